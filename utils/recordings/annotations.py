"""Reader of long recordings in which somebody listened: sounds, and tables that say who sings when.

A table belongs to the sound for which it is named (`tape1.Table.1.selections.txt`, `tape1_labels.txt` to `tape1.flac`),
or names the sounds itself.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from config import Columns
from utils.console import Failure, UserError, say
from utils.recordings.audio_files import check_readable, files_below, is_sound, sounds_below, stamp_of
from utils.recordings.event_rows import Row, rows_of
from utils.recordings.event_tables import (
    FORMS,
    Head,
    blank_for,
    check_columns,
    has_rows,
    read_head,
    read_rows,
    tables_below,
)
from utils.recordings.labels import CODE_COLUMNS, COMMON_COLUMNS, SPECIES_COLUMNS
from utils.recordings.names import plain_name
from utils.recordings.not_understood import explain, no_species
from utils.recordings.recording import NOISE, Contents, Event, Recording, Taxon, check_label, refused
from utils.recordings.sound_names import Sounds
from utils.tables import find_column, read_foreign, read_text, reason_of

_AS_USUAL = Columns()
_OUT = {
    "absent": ("says that the species was not there", "say that the species was not there"),
    "unverified": ("is not verified", "are not verified"),
}


def is_annotations(
    archive: Path, columns: Columns = _AS_USUAL, gone: Sequence[Path] = (), *, without: Path | None = None
) -> bool:
    """Tell whether a folder holds sounds, and a table of events that names some of them, is named for one, or, if it is Raven's, lies beside one.

    Tables in the folder `without` are passed over.
    """
    sounds: Sounds | None = None
    for table in tables_apart(archive, without):
        try:
            head = read_head(table, columns)
            if not head or not head.holds_events:
                continue
            sounds = sounds or Sounds([*sounds_below(archive), *gone])  # not sought for nothing: there may be many
            if not sounds.files:
                return False
            beside = head.form == "Raven selection tables" and table.parent in sounds.folders
            if beside or sounds.may_own(table) or (head.names_files and _names_some(table, head, sounds)):
                return True
        except (OSError, ValueError):
            continue
    return False


def tables_apart(archive: Path, without: Path | None) -> Iterator[Path]:
    """Yield the files of an archive that may be tables, but for those in the folder `without`, which is named by its path below `archive`."""
    yield from (table for table in tables_below(archive) if without is None or not table.is_relative_to(without))


def holds_annotations(table: Path, head: Head, sounds: Sounds) -> bool:
    """Tell whether a table is one of events; numbers and words without headings may be anything, unless it is named for a sound."""
    return head.holds_events and (head.form != "Sonic Visualiser layers" or sounds.may_own(table))


def _names_some(table: Path, head: Head, sounds: Sounds) -> bool:
    """Tell whether a table names a sound that is there, or has no row yet."""
    names = dict.fromkeys(row.file for row in read_rows(table, head))
    return not names or any(sounds.may_be(name) for name in names if name)


def why_none(archive: Path, columns: Columns) -> list[Failure]:
    """Return the files of a folder that look like tables of annotations, and why they are not read as such, where `is_annotations` says that none is."""
    sounds = Sounds(sounds_below(archive))
    reasons = ((file, explain(file, columns, sounds)) for file in files_below(archive) if not is_sound(file))
    return [Failure(_place(file, archive), reason) for file, reason in reasons if reason]


def read_annotations(
    archive: Path, columns: Columns, gone: Sequence[Path] = (), *, without: Path | None = None
) -> Contents:
    """Read every table of events and find its sounds; sounds that nobody annotated, and rows that cannot be used, are failures.

    Parameters
    ----------
    columns : the names of columns that are not the usual ones
    gone : files that were in the archive, and were moved
    without : a folder in it whose tables are not read

    Raises
    ------
    UserError
        If a table lacks a column which the settings name.
    """
    sounds = Sounds([*sounds_below(archive), *gone])
    looked = _look(archive, columns, sounds, without)
    check_columns(looked.tables or _likeliest(looked.others, columns), columns)
    reading = _Reading(archive, sounds)
    for table, head in looked.tables.items():
        reading.hear(table, head)
        if head.names and not {"end", "duration"} & head.places.keys():
            points = f"{_place(table, archive)}: no column of ends or durations, so that annotations are points in time"
            say(f"{points}; there are {', '.join(head.names)} (dataset.columns.end may name it)")
    for sound, table in looked.blank:
        reading.of(sound, table).nocall = True
    for table in looked.unread:
        reading.doubt(table)
    recordings, unheard = _recordings(reading)
    taxa, bad, of_taxa = _taxa(archive, looked.others)
    forms = {head.form for head in looked.tables.values()}
    form = f"long recordings with annotations ({', '.join(form for form in FORMS if form in forms) or 'no tables'})"
    seen = frozenset([*sounds.files, *looked.tables, *looked.unread, *(table for _, table in looked.blank), *of_taxa])
    tables = {sound: tuple(said.tables) for sound, said in reading.heard.items()}
    return Contents(
        form, recordings, looked.failures + reading.failures + unheard + bad, taxa, seen=seen, tables=tables
    )


@dataclass
class _Heard:
    """What tables say of one sound: its events, whether somebody heard no bird, whether some of it cannot be used, and which tables."""

    events: dict[tuple[float, float, str], Event] = field(default_factory=dict)
    nocall: bool = False
    doubtful: bool = False
    tables: dict[str, None] = field(default_factory=dict)

    def add(self, row: Row) -> None:
        """Add what a row says.

        Raises
        ------
        ValueError
            If it cannot be used.
        """
        if row.out:
            self.doubtful |= row.out == "unverified"
            return
        self.doubtful |= bool(row.into)
        if row.fault:
            raise ValueError(row.fault)
        if not row.label:
            self.doubtful = True
        elif (species := check_label(row.label)) == NOISE:
            self.nocall = True
        else:
            self.events.setdefault((row.start, row.end, species), Event(row.start, row.end, species, row.low, row.high))


@dataclass(frozen=True)
class _Looked:
    """The files of an archive that may be tables.

    Attributes
    ----------
    tables : those of events
    others : other tables
    blank : sounds, and the file that is named for each and has no row
    unread : tables that are named in `failures`, and why
    """

    tables: dict[Path, Head] = field(default_factory=dict)
    others: dict[Path, Head] = field(default_factory=dict)
    blank: list[tuple[Path, Path]] = field(default_factory=list)
    unread: list[Path] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


def _look(archive: Path, columns: Columns, sounds: Sounds, without: Path | None) -> _Looked:
    looked = _Looked()
    for table in tables_apart(archive, without):
        try:
            head = read_head(table, columns)
        except (OSError, ValueError) as error:
            looked.unread.append(table)
            looked.failures.append(refused(_place(table, archive), _why(error)))
            continue
        if head is None:
            looked.blank.extend(
                [(sound, table) for stem in blank_for(table) for sound in sounds.in_folder(table.parent, stem)][:1]
            )
        elif holds_annotations(table, head, sounds):
            looked.tables[table] = head
        elif "start" in head.places and (head.names_files or head.form == "Raven selection tables"):
            # Raven has no column of species before somebody fills it
            if sounds.may_own(table) and not has_rows(table, head):
                looked.blank.append((sounds.owner(table), table))
                continue
            looked.unread.append(table)
            looked.failures.append(refused(_place(table, archive), no_species(head)))
        else:
            looked.others[table] = head
    return looked


def _likeliest(heads: Mapping[Path, Head], columns: Columns) -> dict[Path, Head]:
    """Return the table that has most of the columns which the settings name."""
    named = [name for name in asdict(columns).values() if name]
    tables = sorted(
        heads, key=lambda table: -sum(find_column(heads[table].names, [name]) is not None for name in named)
    )
    return {table: heads[table] for table in tables[:1]}


class _Reading:
    """The tables of an archive as they are read, one after the other.

    Attributes
    ----------
    heard : what they say of each sound
    failures : what of them cannot be used, and why
    """

    def __init__(self, archive: Path, sounds: Sounds) -> None:
        self.archive = archive
        self.sounds = sounds
        self.heard: dict[Path, _Heard] = {}
        self.failures: list[Failure] = []

    def of(self, sound: Path, table: Path) -> _Heard:
        """Return what is said of a sound, of which a table speaks."""
        said = self.heard.setdefault(sound, _Heard())
        said.tables[_place(table, self.archive)] = None
        return said

    def hear(self, table: Path, head: Head) -> None:
        """Add what a table says to what is heard in each sound."""
        place = _place(table, self.archive)
        try:
            rows = rows_of(read_text(table).lines, head)
            if not rows:
                self._hear_nobody(table, head)
            elif not head.names_files:
                self.of(self.sounds.owner(table), table)
        except (OSError, ValueError) as error:
            self.failures.append(refused(place, _why(error)))
            self.doubt(table)
            return
        by_name: dict[str, list[Row]] = {}
        for row in rows:
            by_name.setdefault(row.file, []).append(row)
        self._say_what_is_out(rows, place)
        found, nameless = self.sounds.meant_by(by_name, table), 0
        for name, of_it in by_name.items():
            if isinstance(found[name], str):
                self.failures += _unplaced(of_it, place=place, reason=str(found[name]))
            else:
                self._add(of_it, self.of(Path(found[name]), table), place)
                self._run_over(of_it, table)
                nameless += sum(not row.label and not row.fault and not row.out for row in of_it)
        if nameless:
            self.failures.append(
                refused(
                    place,
                    f"{nameless} annotations name no species" if nameless > 1 else "1 annotation names no species",
                )
            )

    def _say_what_is_out(self, rows: Sequence[Row], place: str) -> None:
        """Say how many rows of a table are not used because it says so itself."""
        counts = Counter(_OUT[row.out] for row in {row.line: row for row in rows if row.out}.values())
        parts = [f"{count:,} {f'row {one}' if count == 1 else f'rows {many}'}" for (one, many), count in counts.items()]
        if parts:
            say(f"{place}: {' and '.join(parts)}, and {'is' if counts.total() == 1 else 'are'} not used")

    def _run_over(self, rows: Sequence[Row], table: Path) -> None:
        """Keep in mind that sounds are not known in whole into which the annotations of those before them run."""
        for line, into in dict.fromkeys((row.line, row.into) for row in rows if row.into and row.label and not row.out):
            reason = f"runs on into {into}; until when is not known there"
            try:
                self.of(self.sounds.named(into, table), table).doubtful = True
            except ValueError as error:
                reason = f"runs on into the next sound, but {error}"
            self.failures.append(refused(f"{_place(table, self.archive)} line {line}", reason))

    def doubt(self, table: Path) -> None:
        """Keep in mind that a table could not be used which is named for a sound."""
        with suppress(ValueError):
            sound = self.sounds.owner(table)
            if sound in self.heard:
                self.heard[sound].doubtful = True

    def _hear_nobody(self, table: Path, head: Head) -> None:
        """Take a table without a row for one of a sound in which nobody sings, if it is named for one."""
        if head.names_files and not self.sounds.may_own(table):
            raise ValueError("has no row, and is named for no sound")
        self.of(self.sounds.owner(table), table).nocall = True

    def _add(self, rows: Iterable[Row], said: _Heard, place: str) -> None:
        for row in rows:
            try:
                said.add(row)
            except ValueError as error:
                said.doubtful = True
                self.failures.append(refused(f"{place} line {row.line}", str(error)))


def _unplaced(rows: Sequence[Row], *, place: str, reason: str) -> list[Failure]:
    """Return the failures of rows that name a sound which is not there, or none."""
    if not rows[0].file:
        return [refused(f"{place} line {row.line}", row.fault or "names no sound") for row in rows]
    return [refused(place, f"{reason} ({len(rows)} {'rows' if len(rows) > 1 else 'row'})")]


def _recordings(reading: _Reading) -> tuple[list[Recording], list[Failure]]:
    recordings = []
    failures = []
    for file in reading.sounds.files:
        try:
            check_readable(file)
            if file not in reading.heard:
                raise ValueError("no table names it")
            recordings.append(_recording(file, reading.heard[file]))
        except ValueError as error:
            failures.append(refused(_place(file, reading.archive), str(error)))
    return sorted(recordings, key=lambda recording: (recording.name, recording.file)), failures


def _recording(file: Path, heard: _Heard) -> Recording:
    events = sorted(heard.events.values(), key=lambda event: (event.start, event.end, event.species))
    if not events and (heard.doubtful or not heard.nocall):
        raise ValueError("has no annotation that can be used")
    date, time = stamp_of(file.stem)
    return Recording(
        plain_name(file.stem),
        file,
        "" if events else NOISE,
        events=tuple(events),
        date=date,
        time=time,
        unsure=heard.doubtful,
    )


def _taxa(archive: Path, heads: Mapping[Path, Head]) -> tuple[list[Taxon], list[Failure], list[Path]]:
    """Return the names of species from tables that have both codes and scientific names, and which tables these are."""
    taxa: dict[Taxon, None] = {}
    failures, files = [], []
    for file, head in heads.items():
        if not find_column(head.names, CODE_COLUMNS) or not find_column(head.names, SPECIES_COLUMNS):
            continue
        files.append(file)
        try:
            table = read_foreign(file)
        except UserError as error:
            failures.append(refused(_place(file, archive), reason_of(error, file)))
            continue
        columns = [find_column(table.columns, usual) for usual in (SPECIES_COLUMNS, CODE_COLUMNS, COMMON_COLUMNS)]
        for row in table.rows.values():
            taxon = Taxon(*(" ".join(row[column].split()) if column else "" for column in columns))
            taxa |= {taxon: None} if taxon.species and taxon.code else {}
        failures += [refused(_place(file.parent / failure.name, archive), failure.reason) for failure in table.bad]
    return list(taxa), failures, files


def _place(file: Path, archive: Path) -> str:
    return file.relative_to(archive).as_posix()


def _why(error: OSError | ValueError) -> str:
    return f"cannot be read ({error.strerror})" if isinstance(error, OSError) else str(error)
