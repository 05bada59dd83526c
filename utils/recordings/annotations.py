"""Reader of long recordings in which somebody listened: sounds, and tables that say who sings when.

A table belongs to the sound for which it is named (`tape1.Table.1.selections.txt`, `tape1_labels.txt` to `tape1.flac`), or names the sounds itself.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice, takewhile
from pathlib import Path

from config import Columns
from utils.console import Failure, Trouble
from utils.files import check_name
from utils.recordings.audio_files import READABLE, UNREADABLE, check_readable, sounds_below, stamp_of
from utils.recordings.event_tables import FORMS, Head, Row, check_columns, read_head, read_rows, tables_below
from utils.recordings.labels import CODE_COLUMNS, COMMON_COLUMNS, SPECIES_COLUMNS
from utils.recordings.recording import NOISE, Contents, Event, Recording, Taxon, check_label, refused
from utils.tables import find_column, read_foreign, reason_of

_AS_USUAL = Columns()
_LOOKED_INTO = 100  # tables that must tell whether it is such an archive


def is_annotations(archive: Path, columns: Columns = _AS_USUAL, gone: Sequence[Path] = ()) -> bool:
    """Tell whether a folder holds sounds, and a table of events that names sounds, is named for one, or, if it is Raven's, lies beside one."""
    sounds: _Sounds | None = None
    for table in islice(tables_below(archive), _LOOKED_INTO):
        try:
            head = read_head(table, columns)
        except (OSError, ValueError):
            continue
        if head and head.holds_events:
            sounds = sounds or _Sounds([*sounds_below(archive), *gone])  # not sought for nothing: there may be many
            beside = head.form == "Raven selection tables" and table.parent in sounds.folders
            if sounds.files and (head.names_files or beside or sounds.may_own(table)):
                return True
    return False


def read_annotations(archive: Path, columns: Columns, gone: Sequence[Path] = ()) -> Contents:
    """Read every table of events and find its sounds; sounds that nobody annotated, and rows that cannot be used, are failures.

    Parameters
    ----------
    columns : the names of columns that are not the usual ones
    gone : files that were in the archive, and were moved

    Raises
    ------
    Trouble
        If a table lacks a column which the settings name.
    """
    sounds = _Sounds([*sounds_below(archive), *gone])
    heads, failures = _read_heads(archive, columns)
    tables = {table: head for table, head in heads.items() if head.holds_events}
    for table, head in (tables or _likeliest(heads, columns)).items():
        check_columns(table, head, columns)
    heard: dict[Path, _Heard] = {}
    for table, head in tables.items():
        failures += _hear(table, head, archive=archive, sounds=sounds, heard=heard)
    for table, head in heads.items():
        if table not in tables and "start" in head.places and (head.names_files or head.form == "Raven selection tables"):
            there = ", ".join(head.names)
            failures.append(refused(_place(table, archive), f"no column of species is known (dataset.columns.species may name it); there are {there}"))
    recordings, unheard = _recordings(sounds, heard, archive)
    taxa, unread = _taxa(archive, {table: head for table, head in heads.items() if table not in tables})
    found = {head.form for head in tables.values()}
    form = f"long recordings with annotations ({', '.join(form for form in FORMS if form in found) or 'no tables'})"
    return Contents(form, recordings, failures + unheard + unread, taxa)


class _Sounds:
    """The sounds of an archive, by the names that tables may have for them.

    Upper and lower case do not matter, for Windows does not know them apart; nor how accents are put together, for macOS takes them to pieces.
    """

    def __init__(self, files: Iterable[Path]) -> None:
        self.files = list(files)
        self.folders = {file.parent for file in self.files}
        self._by_name: dict[str, list[Path]] = {}
        self._by_stem: dict[str, list[Path]] = {}
        for file in sorted(self.files, key=lambda file: file.suffix.lower() in UNREADABLE):  # where one name fits several, one that can be read
            self._by_name.setdefault(_key(file.name), []).append(file)
            self._by_stem.setdefault(_key(file.stem), []).append(file)

    def named(self, text: str, table: Path) -> Path:
        """Return the sound that a table names, with or without its ending or folders, which may be those of another computer.

        Raises
        ------
        ValueError
            If there is none, or several are as likely.
        """
        *folders, name = re.split(r"[\\/]", text)
        ending = Path(name).suffix.lower() in READABLE | UNREADABLE  # sounds may have been converted since
        found = self._by_name.get(_key(name)) or self._by_stem.get(_key(name)) or (self._by_stem.get(_key(Path(name).stem)) if ending else None)
        if not found:
            raise ValueError(f"names {text!r}, which is not there")
        found = [file for file in found if file.name == name] or found
        most = max(_shared(file, folders) for file in found)
        nearest = _nearest([file for file in found if _shared(file, folders) == most], table)
        if len({file.parent for file in nearest}) > 1:
            raise ValueError(f"names {text!r}, of which there are {len(nearest)}")
        return nearest[0]

    def may_own(self, table: Path) -> bool:
        """Tell whether a table is named for a sound."""
        return any(prefix in self._by_stem for prefix in _prefixes(table))

    def owner(self, table: Path) -> Path:
        """Return the sound for which a table is named: the longest name counts, and one in the table's folder before all others.

        Raises
        ------
        ValueError
            If there is none, or several are as likely.
        """
        found = [self._by_stem[prefix] for prefix in _prefixes(table) if prefix in self._by_stem]
        here = [file for files in found for file in files if file.parent == table.parent]
        if here:
            return here[0]
        nearest = _nearest(found[0], table) if found else []
        if len({file.parent for file in nearest}) != 1:
            raise ValueError(f"is named for {len(nearest)} sounds" if nearest else "neither names a sound nor is named for one")
        return nearest[0]


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _prefixes(table: Path) -> list[str]:
    """Return all that a table's name begins with and that may be a sound's, the longest first."""
    name = _key(table.name)
    return [name[:end] for end in range(len(name) - 1, 0, -1) if not name[end].isalnum()]


def _shared(file: Path, folders: Sequence[str]) -> int:
    """Return how many folders, from the last one upwards, a path has in common with a file."""
    return _alike(map(_key, reversed(file.parent.parts)), map(_key, reversed(folders)))


def _nearest(files: Sequence[Path], table: Path) -> list[Path]:
    """Return those of the files to which the way through the folders is shortest."""
    ways = [len(file.parent.parts) - 2 * _alike(file.parent.parts, table.parent.parts) for file in files]
    return [file for file, way in zip(files, ways, strict=True) if way == min(ways)]


def _alike(one: Iterable[str], other: Iterable[str]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


@dataclass
class _Heard:
    """What tables say of one sound: its events, whether somebody heard no bird, and whether some row does not say who sings."""

    events: dict[tuple[float, float, str], Event] = field(default_factory=dict)
    nocall: bool = False
    doubtful: bool = False

    def add(self, row: Row) -> None:
        """Add what a row says.

        Raises
        ------
        ValueError
            If it cannot be used.
        """
        if row.fault:
            raise ValueError(row.fault)
        if not row.label:
            self.doubtful = True
        elif (species := check_label(row.label)) == NOISE:
            self.nocall = True
        else:
            self.events.setdefault((row.start, row.end, species), Event(row.start, row.end, species, row.low, row.high))


def _read_heads(archive: Path, columns: Columns) -> tuple[dict[Path, Head], list[Failure]]:
    heads: dict[Path, Head] = {}
    failures = []
    for table in tables_below(archive):
        try:
            if head := read_head(table, columns):
                heads[table] = head
        except (OSError, ValueError) as error:
            failures.append(refused(_place(table, archive), _why(error)))
    return heads, failures


def _likeliest(heads: Mapping[Path, Head], columns: Columns) -> dict[Path, Head]:
    """Return the table that has most of the columns which the settings name."""
    named = [name for name in asdict(columns).values() if name]
    tables = sorted(heads, key=lambda table: -sum(find_column(heads[table].names, [name]) is not None for name in named))
    return {table: heads[table] for table in tables[:1]}


def _hear(table: Path, head: Head, *, archive: Path, sounds: _Sounds, heard: dict[Path, _Heard]) -> list[Failure]:
    """Add what a table says to what is heard in each sound; return what cannot be used."""
    place = _place(table, archive)
    try:
        rows = read_rows(table, head)
        if not head.names_files:
            heard.setdefault(sounds.owner(table), _Heard())  # a table without a row says something, too
    except (OSError, ValueError) as error:
        return [refused(place, _why(error))]
    by_name: dict[str, list[Row]] = {}
    for row in rows:
        by_name.setdefault(row.file, []).append(row)
    failures, nameless = [], 0
    for name, of_it in by_name.items():
        try:
            sound = sounds.named(name, table) if name else sounds.owner(table)
        except ValueError as error:
            failures += _unplaced(of_it, place=place, reason=str(error))
            continue
        said = heard.setdefault(sound, _Heard())
        for row in of_it:
            try:
                said.add(row)
            except ValueError as error:
                said.doubtful = True
                failures.append(refused(f"{place} line {row.line}", str(error)))
        nameless += sum(not row.label and not row.fault for row in of_it)
    if nameless:
        failures.append(refused(place, f"{nameless} annotations name no species" if nameless > 1 else "1 annotation names no species"))
    return failures


def _unplaced(rows: Sequence[Row], *, place: str, reason: str) -> list[Failure]:
    """Return the failures of rows that name a sound which is not there, or none."""
    if not rows[0].file:
        return [refused(f"{place} line {row.line}", row.fault or "names no sound") for row in rows]
    return [refused(place, f"{reason} ({len(rows)} {'rows' if len(rows) > 1 else 'row'})")]


def _recordings(sounds: _Sounds, heard: Mapping[Path, _Heard], archive: Path) -> tuple[list[Recording], list[Failure]]:
    recordings: dict[str, Recording] = {}
    failures = []
    for file in sounds.files:
        try:
            if file not in heard:
                raise ValueError("no table names it")
            recording = _recording(file, heard[file])
            if recording.name in recordings:
                raise ValueError(f"has the same name as {_place(recordings[recording.name].file, archive)}")
            recordings[recording.name] = recording
        except ValueError as error:
            failures.append(refused(_place(file, archive), str(error)))
    return sorted(recordings.values(), key=lambda recording: recording.name), failures


def _recording(file: Path, heard: _Heard) -> Recording:
    check_readable(file)
    events = sorted(heard.events.values(), key=lambda event: (event.start, event.end, event.species))
    if not events and (heard.doubtful or not heard.nocall):
        raise ValueError("has no annotation that can be used")
    date, time = stamp_of(file.stem)
    return Recording(check_name(file.stem), file, "" if events else NOISE, events=tuple(events), date=date, time=time)


def _taxa(archive: Path, heads: Mapping[Path, Head]) -> tuple[list[Taxon], list[Failure]]:
    """Return the names of species from tables that have both codes and scientific names."""
    taxa: dict[Taxon, None] = {}
    failures = []
    for file, head in heads.items():
        if not find_column(head.names, CODE_COLUMNS) or not find_column(head.names, SPECIES_COLUMNS):
            continue
        try:
            table = read_foreign(file)
        except Trouble as error:
            failures.append(refused(_place(file, archive), reason_of(error, file)))
            continue
        columns = [find_column(table.columns, usual) for usual in (SPECIES_COLUMNS, CODE_COLUMNS, COMMON_COLUMNS)]
        for row in table.rows.values():
            taxon = Taxon(*(" ".join(row[column].split()) if column else "" for column in columns))
            taxa |= {taxon: None} if taxon.species and taxon.code else {}
        failures += [refused(_place(file.parent / failure.name, archive), failure.reason) for failure in table.bad]
    return list(taxa), failures


def _place(file: Path, archive: Path) -> str:
    return file.relative_to(archive).as_posix()


def _why(error: OSError | ValueError) -> str:
    return f"cannot be read ({error.strerror})" if isinstance(error, OSError) else str(error)
