"""Why files that look like tables of annotations are not read as such."""

import re
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

from config import Columns
from utils.encodings import decoded, undecoded
from utils.files import check_plain
from utils.recordings.audio_files import sounds_below
from utils.recordings.event_columns import OF_RECORDINGS
from utils.recordings.event_layout import SEPARATORS, Head, head_of, is_number
from utils.recordings.event_tables import ENDINGS, blank_for, read_head, read_rows
from utils.recordings.sound_names import Sounds
from utils.tables import csv_rows, find_column, first_of, plain_heading, without_preamble

_HEAD = 65_536  # bytes that must tell what a file is
_LONGEST = 110  # characters of headings
_LOOKED_AT = 20  # rows that must tell whether a text is a table
# columns that make no table of annotations
_ASIDE = frozenset({"selection", "view", "folder", "top", "end_file", "present", "absent", "verified"})
_LINES_OF_TITLES = 8  # that may stand above headings
_WIDEST = 60  # characters of a heading; what is longer is a sentence
_NEEDED = {"start": "start times", "species": "species"}
_COLUMNS = _NEEDED | {"file": "sounds"}
_NOT = "not read as annotations"
_SPREADSHEET = "is a spreadsheet; save it as CSV"
_PACKED = re.compile(r".*\.(csv|tsv|tab|txt)\.(gz|bz2|xz|zst|zip|7z)")
_OF_PROGRAMS = (".json", ".jsonl", ".data", ".xml")  # may hold annotations, or anything else
# forms of other programs, by the ends of their files' names, and what to do
_FORMS = {
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".xlsb", ".ods", ".numbers"), _SPREADSHEET),
    ".textgrid": "is a TextGrid of Praat; save its tiers as a table (Down to Table, then as comma-separated file)",
    ".svl": "is a layer of Sonic Visualiser; export it as CSV (File, Export Annotation Layer)",
    ".sv": "is a session of Sonic Visualiser; export its layers as CSV (File, Export Annotation Layer)",
    ".eaf": "is of ELAN; export it as tab-delimited text with headings (dataset.columns.species names the tier)",
    ".aup": "is a project of Audacity; export its labels (File, Export Other, Export Labels)",
    ".aup3": "is a project of Audacity; export its labels (File, Export Other, Export Labels)",
    **dict.fromkeys((".srt", ".vtt", ".sbv"), "has subtitles; export the labels as text, as Audacity does by default"),
    **dict.fromkeys(
        (".lab", ".phn", ".wrd", ".seg", ".tags", ".jams"),
        "has labels in a form that is not known; write them as CSV (file,start,end,species)",
    ),
    ".not.mat": "is of evfuncs or SongAnnotationGUI; export it as CSV (crowsetta can)",
    ".rnd": "is a session of Raven; save its selection table",
}
_PROSE = re.compile(
    r"(read.?me|licen[cs]e|copying|notice|authors|change.?log|changes|history|version|contributors|citation|manifest|checksums?|md5(sums?)?|sha\d+(sums?)?"
    r"|requirements|robots)\b.*|.*\.(md5|sha1|sha256|sha512)\.txt"
)
_NONE = re.compile(r".*birdnet_analysis_params.*\.csv|read.?me\.csv|.*_summary\.txt")  # the last are of Song Meters
_CHECKSUM = re.compile(r"[0-9a-f]{32,128}[\s,;]+\*?\S.*|\S.*[\s,;][0-9a-f]{32,128}", re.IGNORECASE)
_LABEL_STUDIO = re.compile(r'"from_name"\s*:')
_WHOMBAT = re.compile(r'"sound_event_annotations"\s*:')
_NUMBER_IN_JSON = r'(_?(time|s|sec|seconds))?"\s*:\s*"?-?\d+(\.\d*)?"?\s*[,}\]]'
_START_IN_JSON = re.compile(rf'"(start|onset|begin){_NUMBER_IN_JSON}', re.IGNORECASE)
_WHO_OR_END_IN_JSON = re.compile(
    rf'"(end|offset|stop){_NUMBER_IN_JSON}|"(labels?|species|annotations?|class|taxon|code|(scientific|common)_?name)"\s*:',
    re.IGNORECASE,
)
# headings of columns that say nothing of who sings, and of those whose numbers are no times
_NOT_WHO_NAMES = (
    "author recordist rec licence license url link comments comment remarks notes note date time day month year site locality location place country state "
    "habitat quality rating device recorder model format type status version doi id uuid md5 sha1 sha256 checksum hash timezone filename file path folder "
    "indir outdir"
)
_NOT_WHEN_NAMES = (
    "id index no nr lat latitude lon lng long longitude elevation altitude height size bytes filesize samplerate rate channels channel bits gain power powerv "
    "temperature temp tempc humidity wind rain pressure battery files count number n year month day hour minute week duration length quality rating confidence "
    "score x y easting northing"
)
_NOT_WHO, _NOT_WHEN = frozenset(_NOT_WHO_NAMES.split()), frozenset(_NOT_WHEN_NAMES.split())
_DATE = re.compile(
    r"\d{4}[-/.:](\d\d?|[A-Z][a-z]{2})[-/.:]\d\d?([T ].*)?|\d\d?[-/.]\d\d?[-/.]\d{2,4}( .*)?|\d\d?:\d\d(:\d\d)?(\.\d*)?( ?[AaPp][Mm])?"
)
_CLOCK = re.compile(r"\d\d?:")
_NO_WORD = re.compile(r"[0-9a-fA-F]{16,}|[0-9a-fA-F-]{36}|\w+://.*|\W*")
_BINOMIAL = re.compile(r"[A-Z][a-z]+ [a-z]{3,}")
_OURS = re.compile(r'"sci-name"\s*:')
_AVIANZ = re.compile(r'\s*\[\s*\{[^}]*"(Operator|Reviewer|Duration)"')


def explain(table: Path, columns: Columns, sounds: Sounds | Collection[Path] | None = None) -> str:
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
    if _PACKED.fullmatch(name):
        return "is a packed table, and is not read; unpack it"
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
        where = "in its folder" if sounds is None else "in the archive"
        there = (
            sounds if isinstance(sounds, Sounds) else Sounds(sounds_below(table.parent) if sounds is None else sounds)
        )
        return _of_table(table, content, columns, there, where)
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
    if _START_IN_JSON.search(text) and _WHO_OR_END_IN_JSON.search(text) and not _OURS.search(text):
        return f"{_NOT}: holds times in JSON; write them as CSV (file,start,end,species)"
    return ""


def _of_table(table: Path, content: bytes, columns: Columns, sounds: Sounds, where: str) -> str:
    """Say why a table is not read; `where` its sounds are sought."""
    lines, separator = without_preamble(decoded(content).lines)
    first = first_of(lines)
    prose = table.suffix.lower() == ".txt"
    if not first:
        beside = any(sounds.in_folder(table.parent, stem) for stem in blank_for(table))
        return f"{_NOT}: is empty; with dataset.kind = annotations it says that nobody was heard" if beside else ""
    if undecoded(first) or "\0" in first:
        return "" if prose else f"{_NOT}: is no text in UTF-8, UTF-16 or Windows-1252"
    if 'File type = "ooTextFile"' in first:
        return f"{_NOT}: {_FORMS['.textgrid']}"
    head = read_head(table, columns)
    separator = head.separator if head else separator or max(SEPARATORS, key=first.count)
    rows = [
        row
        for _, (_, row) in zip(range(_LOOKED_AT), csv_rows(lines, separator=separator), strict=False)
        if row and any(map(str.strip, row))
    ]
    if not head or _is_list(rows, lines, separator) or (prose and not _looks_like_table(rows, head, separator)):
        return ""
    seen = _Seen(head, [[cell.strip() for cell in row] for row in rows[1:]], sounds)
    if head.holds_events and (
        head.names or not all(is_number(cell.strip()) for row in rows for cell in row if cell.strip())
    ):
        return f"{_NOT}: {_unplaced(table, seen, where)}"
    if _has_no_headings([cell.strip() for cell in rows[0]], sounds):
        bare = _Seen(head, [[cell.strip() for cell in row] for row in rows], sounds)
        if not bare.times:
            return (
                f"{_NOT}: its headings are not in its first line; remove what stands above them"
                if _has_headings_below(lines, columns, prose)
                else ""
            )
        return f"{_NOT}: has no headings; write them into its first line, such as file,start,end,species"
    return f"{_NOT}: {_missing(table, seen)}" if _may_be_annotations(table, seen) else ""


def _has_headings_below(lines: Sequence[str], columns: Columns, prose: bool) -> bool:
    """Tell whether headings of annotations stand below some lines with a title and the like."""
    filled = [place for place, line in enumerate(lines) if line.strip()]
    for place in filled[1:_LINES_OF_TITLES]:
        with suppress(ValueError):
            head = head_of(lines[place:], columns, prose=prose)
            if head and head.names and head.holds_events:
                return True
    return False


def _has_no_headings(first: Sequence[str], sounds: Sounds) -> bool:
    """Tell whether the first row of a table is like those below it: half of it are numbers, or it has a date or the name of a sound."""
    if any(_DATE.fullmatch(cell) or (Path(cell).suffix and sounds.may_be(cell)) for cell in first):
        return True
    return sum(not cell or is_number(cell) for cell in first) * 2 >= len(first)


@dataclass(frozen=True)
class _Seen:
    """The first rows of a table, and what its columns look like that are not recognised."""

    head: Head
    rows: Sequence[Sequence[str]]
    sounds: Sounds

    @cached_property
    def _unknown(self) -> dict[int, list[str]]:
        """The values of the columns that are not recognised, but for those that are left out."""
        width = max([len(self.head.names), *map(len, self.rows)])
        places = set(range(width)) - set(self.head.places.values()) if self.head.names else range(width)
        return {place: [row[place] for row in self.rows if place < len(row) and row[place]] for place in sorted(places)}

    def _called(self, place: int, names: Collection[str]) -> bool:
        return place < len(self.head.names) and plain_heading(self.head.names[place]) in names

    @cached_property
    def of_sounds(self) -> str:
        """The heading of a column that is not recognised, and at least half of whose values are names of sounds."""
        for place, values in self._unknown.items():
            if (
                place < len(self.head.names)
                and values
                and 2 * sum(not is_number(value) and self.sounds.may_be(value) for value in values) >= len(values)
            ):
                return self.head.names[place]
        return ""

    @cached_property
    def words(self) -> bool:
        """Whether there is a column that may say who sings."""
        for place, values in self._unknown.items():
            if self._called(place, _NOT_WHO) or (
                place < len(self.head.names) and self.head.names[place] == self.of_sounds
            ):
                continue
            said = [
                value
                for value in values
                if not is_number(value) and not _DATE.fullmatch(value) and not _NO_WORD.fullmatch(value)
            ]
            is_class = (
                place < len(self.head.names)
                and _BINOMIAL.fullmatch(self.head.names[place])
                and set(values) <= {"0", "1"}
            )
            if values and (is_class or 2 * len(said) >= len(values)):
                return True
        return False

    @cached_property
    def starts_on_days(self) -> bool:
        """Whether the begins are dates, as those of recordings are."""
        place = self.head.places["start"]
        starts = [row[place] for row in self.rows if place < len(row) and row[place]]
        return bool(starts) and all(_DATE.fullmatch(start) and not _CLOCK.match(start) for start in starts)

    @cached_property
    def times(self) -> bool:
        """Whether two columns of numbers look like begins and ends: of each row, the second is greater, and the first mostly grows from row to row."""
        numbers = {
            place: [float(value.replace(",", ".")) for value in values]
            for place, values in self._unknown.items()
            if len(values) == len(self.rows) and not self._called(place, _NOT_WHEN) and all(map(is_number, values))
        }
        return any(
            _are_times(start, end)
            for place, start in numbers.items()
            for later, end in numbers.items()
            if later > place
        )


def _are_times(starts: Sequence[float], ends: Sequence[float]) -> bool:
    grown = sum(later > start for start, later in pairwise(starts))
    return (
        bool(starts)
        and all(0 <= start < end for start, end in zip(starts, ends, strict=True))
        and 2 * grown >= len(starts) - 1
    )


def _may_be_annotations(table: Path, seen: _Seen) -> bool:
    """Tell whether a table may say who sings, when or in which sounds, so that somebody may expect it to be read."""
    head = seen.head
    named = head.names_files or bool(seen.of_sounds)
    if "start" in head.places and not seen.starts_on_days:
        return named or seen.words or "species" in head.places or head.form == "Raven selection tables"
    if "species" in head.places:
        return named or seen.times or seen.sounds.may_own(table)
    if seen.of_sounds:
        return seen.words or seen.times
    if find_column(head.names, OF_RECORDINGS):
        return False
    return seen.words and ((seen.times and (named or len(seen.rows) > 1)) or (named and _has_classes(seen)))


def _has_classes(seen: _Seen) -> bool:
    """Tell whether headings are species, each with 0 or 1 for every sound."""
    return any(map(_BINOMIAL.fullmatch, seen.head.names)) and not seen.head.classes


def _is_list(rows: Sequence[Sequence[str]], lines: Sequence[str], separator: str) -> bool:
    """Tell whether a text is a list of names, of numbered names, or of checksums."""
    if all(len(row) < 2 for row in rows) or not first_of(lines).strip(f"{SEPARATORS} \r\n"):
        return True
    if all(_CHECKSUM.fullmatch(line.strip()) for line in lines[:_LOOKED_AT] if line.strip()):
        return True
    numbers = [row[0].strip() for row in rows]
    return max(map(len, rows)) == 2 and (
        numbers in ([str(number) for number in range(first, first + len(rows))] for first in (0, 1))
    )


def _looks_like_table(rows: Sequence[Sequence[str]], head: Head, separator: str) -> bool:
    """Tell whether a text is a table and no prose: its lines have as many values, and its first line has headings, or it has numbers."""
    same = sum(len(row) == len(rows[0]) for row in rows) >= max(2, 0.8 * len(rows))
    short = all(len(cell.strip()) <= _WIDEST for cell in rows[0])
    known = len(head.places.keys() - _ASIDE) >= (1 if separator == "\t" else 2)
    numbers = any(is_number(cell.strip()) for row in rows for cell in row)
    if head.holds_events or ("start" in head.places and known):
        return short
    return same and short and (known or numbers)


def _missing(table: Path, seen: _Seen) -> str:
    """Say which columns a table lacks."""
    head = seen.head
    placed = head.names_files or bool(seen.of_sounds) or seen.sounds.may_own(table)
    lacks = [kind for kind in _NEEDED if kind not in head.places] + ([] if placed else ["file"])
    named = " and ".join(f"dataset.columns.{kind}" for kind in lacks)
    of = " nor of ".join(_COLUMNS[kind] for kind in lacks)
    reason = (
        f"no column of {of}; there are {_shown(head.names)} ({named} may name {'it' if len(lacks) == 1 else 'them'})"
    )
    return f"{_naming(seen)}; {reason}" if seen.of_sounds and not head.names_files else reason


def _naming(seen: _Seen) -> str:
    return f"column {seen.of_sounds!r} names sounds: dataset.columns.file = {seen.of_sounds}"


def _unplaced(table: Path, seen: _Seen, where: str) -> str:
    """Say why a table of events that is understood is not used."""
    head, known = seen.head, seen.sounds
    use = "dataset.kind = annotations uses it"
    if not head.names_files:
        if known.may_own(table):
            return f"holds annotations ({head.form}); {use}"
        if seen.of_sounds:
            return _naming(seen)
        if not head.names:
            return f"holds annotations ({head.form}), but is named for no sound {where}"
        return f"is named for no sound {where}, and no column names sounds; there are {_shown(head.names)} (dataset.columns.file may name it)"
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
