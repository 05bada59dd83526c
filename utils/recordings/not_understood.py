"""Why files that look like tables of annotations are not read as such."""

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from config import Columns
from utils.encodings import decoded, undecoded
from utils.files import check_plain
from utils.recordings.audio_files import is_sound, sounds_below
from utils.recordings.event_layout import SEPARATORS, Head, is_number
from utils.recordings.event_tables import ENDINGS, blank_for, read_head, read_rows
from utils.recordings.sound_names import Sounds
from utils.tables import csv_rows, first_of, without_preamble

_HEAD = 65_536  # bytes that must tell what a file is
_LONGEST = 110  # characters of headings
_LOOKED_AT = 20  # rows that must tell whether a text is a table
_WIDEST = 60  # characters of a heading; what is longer is a sentence
_NEEDED = {"start": "start times", "species": "species"}
_NOT = "not read as annotations"
_SPREADSHEET = "is a spreadsheet; save it as CSV"
_DATABASE = "is a database; export its annotations as CSV"
_PACKED = (".zip", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".tar", ".zst")
_OF_PROGRAMS = (".json", ".jsonl", ".data", ".xml")  # may hold annotations, or anything else
# forms of other programs, by the ends of their files' names, and what to do
_FORMS = {
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".xlsb", ".ods", ".numbers"), _SPREADSHEET),
    **dict.fromkeys((".sqlite", ".sqlite3", ".db", ".mdb", ".accdb"), _DATABASE),
    **dict.fromkeys((".parquet", ".feather", ".arrow", ".rds", ".rda", ".rdata", ".dta", ".sav"), "is a table in a form for programs; save it as CSV"),
    ".textgrid": "is a TextGrid of Praat; save its tiers as a table (Down to Table, then as comma-separated file)",
    ".svl": "is a layer of Sonic Visualiser; export it as CSV (File, Export Annotation Layer)",
    ".sv": "is a session of Sonic Visualiser; export its layers as CSV (File, Export Annotation Layer)",
    ".eaf": "is of ELAN; export it as tab-delimited text with headings (dataset.columns.species names the tier)",
    ".aup": "is a project of Audacity; export its labels (File, Export Other, Export Labels)",
    ".aup3": "is a project of Audacity; export its labels (File, Export Other, Export Labels)",
    **dict.fromkeys((".srt", ".vtt", ".sbv"), "has subtitles; export the labels as text, as Audacity does by default"),
    **dict.fromkeys((".lab", ".phn", ".wrd", ".seg", ".tags", ".jams"), "has labels in a form that is not known; write them as CSV (file,start,end,species)"),
    ".not.mat": "is of evfuncs or SongAnnotationGUI; export it as CSV (crowsetta can)",
    ".rnd": "is a session of Raven; save its selection table",
}
_PROSE = re.compile(
    r"(read.?me|licen[cs]e|copying|notice|authors|change.?log|changes|history|version|contributors|citation|manifest|checksums?|md5(sums?)?|sha\d+(sums?)?"
    r"|requirements|robots)\b.*|.*\.(md5|sha1|sha256|sha512)\.txt"
)
_NONE = re.compile(r".*birdnet_analysis_params.*\.csv|thumbs\.db|read.?me\.csv")
_CHECKSUM = re.compile(r"[0-9a-f]{32,128}[\s,;]+\*?\S.*|\S.*[\s,;][0-9a-f]{32,128}", re.IGNORECASE)
_LABEL_STUDIO = re.compile(r'"from_name"\s*:')
_WHOMBAT = re.compile(r'"sound_event_annotations"\s*:')
_TIMES_IN_JSON = re.compile(r'"(start|onset|begin)(_?(time|s|sec|seconds))?"\s*:', re.IGNORECASE)
_OURS = re.compile(r'"sci-name"\s*:')
_AVIANZ = re.compile(r'\s*\[\s*\{[^}]*"(Operator|Reviewer|Duration)"')


def explain(table: Path, columns: Columns, sounds: Collection[Path] | None = None) -> str:
    """Say why a file is not read as annotations; '' where it looks like nothing of the kind.

    Parameters
    ----------
    columns : the names of columns that are not the usual ones
    sounds : those of the archive; none: those in the table's folder and below it
    """
    name = table.name.lower()
    if _NONE.fullmatch(name) or (name.endswith(".txt") and _PROSE.fullmatch(name)):
        return ""
    if known := next((reason for ending, reason in _FORMS.items() if name.endswith(ending)), ""):
        return f"{_NOT}: {known}"
    if name.endswith(_PACKED):
        return "is packed, and nothing in it is read; unpack it"
    if not name.endswith((*ENDINGS, *_OF_PROGRAMS)):
        return ""
    try:
        check_plain(table)
        if table.is_symlink() and not table.exists():
            return f"{_NOT}: is a link to nothing"
        if not table.is_file():
            return ""
        with table.open("rb") as stream:
            content = stream.read(_HEAD)
        if not name.endswith(ENDINGS):
            return _of_program(content.decode("utf-8", "replace"), name)
        return _of_table(table, content, columns, sounds)
    except OSError as error:
        return f"{_NOT}: cannot be read ({error.strerror})"
    except ValueError as error:
        return f"{_NOT}: {error}"


def no_species(head: Head) -> str:
    """Say that a table of events does not say who sings."""
    return f"no column of species; there are {_shown(head.names)} (dataset.columns.species may name it)"


def _of_program(text: str, name: str) -> str:
    """Say of which program a JSON or XML file is that holds annotations; '' where it holds none."""
    text = text.removeprefix("\ufeff")
    if name.endswith(".xml"):
        return f"{_NOT}: {_FORMS['.eaf']}" if "<ANNOTATION_DOCUMENT" in text else ""
    if _AVIANZ.match(text):
        return f"{_NOT}: is of AviaNZ; export it as Excel's table, and save that as CSV"
    if _LABEL_STUDIO.search(text):
        return f"{_NOT}: is of Label Studio; export it as CSV"
    if _WHOMBAT.search(text):
        return f"{_NOT}: is of Whombat; export it as CSV"
    if _TIMES_IN_JSON.search(text) and not _OURS.search(text):
        return f"{_NOT}: holds times in JSON; write them as CSV (file,start,end,species)"
    return ""


def _of_table(table: Path, content: bytes, columns: Columns, sounds: Collection[Path] | None) -> str:
    lines, separator = without_preamble(decoded(content).lines)
    first = first_of(lines)
    prose = table.suffix.lower() == ".txt"
    if not first:
        stems = blank_for(table)
        beside = any(file.stem in stems for file in table.parent.iterdir() if is_sound(file))
        return f"{_NOT}: is empty; with dataset.kind = annotations it says that nobody was heard" if beside else "" if prose else f"{_NOT}: is empty"
    if undecoded(first) or "\0" in first:
        return "" if prose else f"{_NOT}: is no text in UTF-8, UTF-16 or Windows-1252"
    if 'File type = "ooTextFile"' in first:
        return f"{_NOT}: {_FORMS['.textgrid']}"
    head = read_head(table, columns)
    separator = head.separator if head else separator or max(SEPARATORS, key=first.count)
    rows = [row for _, (_, row) in zip(range(_LOOKED_AT), csv_rows(lines, separator=separator), strict=False) if row and any(map(str.strip, row))]
    if not head or _is_list(rows, lines, separator) or (prose and not _looks_like_table(rows, head, separator)):
        return ""
    if head.holds_events and (head.names or not all(is_number(cell.strip()) for row in rows for cell in row if cell.strip())):
        return f"{_NOT}: {_unplaced(table, head, sounds)}"
    if sum(not cell.strip() or is_number(cell.strip()) for cell in rows[0]) * 2 >= len(rows[0]):
        return f"{_NOT}: has no headings; write them into its first line, such as file,start,end,species"
    return f"{_NOT}: {_missing(head)}"


def _is_list(rows: Sequence[Sequence[str]], lines: Sequence[str], separator: str) -> bool:
    """Tell whether a text is a list of names, of numbered names, or of checksums."""
    if all(len(row) < 2 for row in rows) or not first_of(lines).strip(f"{SEPARATORS} \r\n"):
        return True
    if all(_CHECKSUM.fullmatch(line.strip()) for line in lines[:_LOOKED_AT] if line.strip()):
        return True
    numbers = [row[0].strip() for row in rows]
    return max(map(len, rows)) == 2 and (numbers in ([str(number) for number in range(first, first + len(rows))] for first in (0, 1)))


def _looks_like_table(rows: Sequence[Sequence[str]], head: Head, separator: str) -> bool:
    """Tell whether a text is a table and no prose: its lines have as many values, and its first line has headings, or it has numbers."""
    same = sum(len(row) == len(rows[0]) for row in rows) >= max(2, 0.8 * len(rows))
    short = all(len(cell.strip()) <= _WIDEST for cell in rows[0])
    known = len(head.places.keys() - {"selection", "view", "folder", "top"}) >= (1 if separator == "\t" else 2)
    numbers = any(is_number(cell.strip()) for row in rows for cell in row)
    if head.holds_events or ("start" in head.places and known):
        return short
    return same and short and (known or numbers)


def _missing(head: Head) -> str:
    """Say which columns a table lacks."""
    lacks = [kind for kind in _NEEDED if kind not in head.places]
    named = " and ".join(f"dataset.columns.{kind}" for kind in lacks)
    of = " nor of ".join(_NEEDED[kind] for kind in lacks)
    return f"no column of {of}; there are {_shown(head.names)} ({named} may name {'it' if len(lacks) == 1 else 'them'})"


def _unplaced(table: Path, head: Head, sounds: Collection[Path] | None) -> str:
    """Say why a table of events that is understood is not used."""
    known = Sounds(sounds_below(table.parent) if sounds is None else sounds)
    where = "in its folder" if sounds is None else "in the archive"
    use = "dataset.kind = annotations uses it"
    if not head.names_files:
        return f"holds annotations ({head.form}); {use}" if known.may_own(table) else f"holds annotations ({head.form}), but is named for no sound {where}"
    names = dict.fromkeys(row.file for row in read_rows(table, head) if row.file)
    if not names:
        return "has headings of annotations, but no row"
    lost = next((name for name in names if not known.may_be(name)), "")
    if any(known.may_be(name) for name in names):
        return f"holds annotations ({head.form}); {use}"
    return f"names sounds that are not {where}, such as {lost[:_WIDEST]!r}"


def _shown(names: Sequence[str]) -> str:
    text = ", ".join(names)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
