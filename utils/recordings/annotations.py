"""Reader of annotated long recordings: audio files, and tables that say which species calls when.

A table belongs to the audio file after which it is named (`tape1.Table.1.selections.txt`, `tape1_labels.txt` to
`tape1.flac`), or names the audio files itself. Tables beside it, and the names of the audio files, tell where, when and
by whom they were recorded.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from config import Columns
from utils.console import Failure, UserError, info, warning
from utils.recordings.annotation_metadata import read_annotation_metadata
from utils.recordings.annotation_source import AnnotationSource, names_some, source_beside, tables_outside
from utils.recordings.annotation_tables import find_tables, most_likely_table, read_error
from utils.recordings.audio_files import check_readable, files_below, is_sound, sounds_below
from utils.recordings.event_rows import AnnotationRow, parse_rows
from utils.recordings.event_tables import TABLE_FORMATS, TableLayout, check_columns, read_layout
from utils.recordings.labels import CODE_COLUMNS, COMMON_COLUMNS, SPECIES_COLUMNS
from utils.recordings.names import plain_name
from utils.recordings.recording import NOISE, Contents, Event, Recording, Taxon, check_label, failure_of
from utils.recordings.sound_finder import SoundFinder
from utils.recordings.table_problems import explain
from utils.tables import find_column, read_foreign, read_text, reason_of

_DEFAULT_COLUMNS = Columns()
_EXCLUDED_BECAUSE = {"absent": "species absent", "unverified": "not verified"}


def is_annotations(
    archive: Path, columns: Columns = _DEFAULT_COLUMNS, moved: Sequence[Path] = (), *, without: Path | None = None
) -> bool:
    """Tell whether a folder holds audio files and an annotation table that belongs to some of them.

    The table names one of them, is named after one, or is a Raven table beside one.

    Parameters
    ----------
    columns : headings from the settings; the others are recognised
    moved : files that were in the archive before sorting moved them
    without : a folder in it whose tables are skipped
    """
    sounds: SoundFinder | None = None
    for table in tables_outside(archive, without):
        try:
            layout = read_layout(table, columns)
            if not layout or not layout.holds_events:
                continue
            sounds = sounds or SoundFinder(
                [*sounds_below(archive), *moved]
            )  # slow in a large archive, so only if needed
            if not sounds.files:
                return False
            beside = layout.format == "Raven selection tables" and table.parent in sounds.folders
            if beside or sounds.has_sound_for(table) or names_some(table, layout, sounds) is not False:
                return True
        except (OSError, ValueError):
            continue
    return False


def why_none(archive: Path, columns: Columns) -> list[Failure]:
    """Return the files that look like annotation tables, and why they are not read, if `is_annotations` is False."""
    sounds = SoundFinder(sounds_below(archive))
    reasons = ((file, explain(file, columns, sounds)) for file in files_below(archive) if not is_sound(file))
    return [Failure(file.relative_to(archive).as_posix(), reason) for file, reason in reasons if reason]


def read_annotations(
    archive: Path,
    columns: Columns,
    moved: Sequence[Path] = (),
    *,
    without: Path | None = None,
    site_pattern: str = "",
) -> Contents:
    """Read every annotation table and find its audio files.

    Audio files without annotations, and rows that cannot be used, are failures.

    Parameters
    ----------
    columns : headings from the settings; the others are recognised
    moved : files that were in the archive before sorting moved them
    without : a folder in it whose tables are skipped
    site_pattern : `dataset.site_pattern`

    Raises
    ------
    UserError
        If no table has a column that the settings name.
    """
    return read_annotation_source(source_beside(archive, moved, without=without), columns, site_pattern=site_pattern)


def read_annotation_source(source: AnnotationSource, columns: Columns, *, site_pattern: str = "") -> Contents:
    """Read annotation tables as `read_annotations` does.

    Of tables that are elsewhere, only what they say of recordings in the folder counts; recordings that were not found
    at all cost one line for each table.
    """
    sounds, found = source.sounds, find_tables(source, columns)
    metadata = read_annotation_metadata(source, found.tables)
    unread = [table for table in found.unread if table not in metadata.files]
    described = {source.name_of(table) for table in metadata.files}
    unusable = [failure for failure in found.failures if failure.name not in described]
    check_columns(found.tables or most_likely_table(found.others, columns), columns)
    reader = _TableReader(source)
    for table, layout in found.tables.items():
        reader.add_table(table, layout)
    for sound, table in found.blank:
        reader.annotations_of(sound, table).nocall = True
    for table in unread:
        reader.mark_incomplete(table)
    recordings, without_annotations = _recordings(reader)
    recordings = metadata.complete(recordings, source, site_pattern)
    taxa, bad, taxon_tables = _taxa(source, found.others)
    formats = {layout.format for layout in found.tables.values()}
    kinds = ", ".join(known for known in TABLE_FORMATS if known in formats) or "no tables"
    return Contents(
        f"long recordings with annotations ({kinds})",
        recordings,
        unusable + reader.failures + ([] if source.is_elsewhere else metadata.failures) + without_annotations + bad,
        taxa,
        seen=frozenset(
            [
                *(*sounds.files, *found.tables, *unread, *metadata.files),
                *(table for _, table in found.blank),
                *taxon_tables,
            ]
        ),
        tables={sound: tuple(annotations.tables) for sound, annotations in reader.annotations.items()},
    )


@dataclass
class _Annotations:
    """The annotations of one audio file.

    Attributes
    ----------
    events : by start, end and species
    nocall : whether a row or a blank table says that no bird calls
    incomplete : whether some annotation cannot be used, so that times without events may hold birds
    tables : in which they are, in order
    """

    events: dict[tuple[float, float, str], Event] = field(default_factory=dict)
    nocall: bool = False
    incomplete: bool = False
    tables: dict[str, None] = field(default_factory=dict)

    def add(self, row: AnnotationRow) -> None:
        """Add a row.

        Raises
        ------
        ValueError
            If it cannot be used.
        """
        if row.excluded:
            self.incomplete |= row.excluded == "unverified"
            return
        self.incomplete |= bool(row.ends_in)
        if row.problem:
            raise ValueError(row.problem)
        if not row.label:
            self.incomplete = True
        elif (species := check_label(row.label)) == NOISE:
            self.nocall = True
        else:
            self.events.setdefault((row.start, row.end, species), Event(row.start, row.end, species, row.low, row.high))


class _TableReader:
    """Collects the annotations of an archive, table by table.

    Attributes
    ----------
    annotations : by audio file
    failures : what cannot be used of the tables, and why
    """

    def __init__(self, source: AnnotationSource) -> None:
        self.source = source
        self.sounds = source.sounds
        self.annotations: dict[Path, _Annotations] = {}
        self.failures: list[Failure] = []

    def annotations_of(self, sound: Path, table: Path) -> _Annotations:
        """Return the annotations of an audio file, and note that they are in a table."""
        annotations = self.annotations.setdefault(sound, _Annotations())
        annotations.tables[self.source.name_of(table)] = None
        return annotations

    def add_table(self, table: Path, layout: TableLayout) -> None:
        """Add the annotations of a table to those of its audio files."""
        path = self.source.name_of(table)
        try:
            rows = parse_rows(read_text(table).lines, layout)
            if not rows:
                self._add_without_rows(table, layout)
            elif not layout.names_files:
                self.annotations_of(self.sounds.find_for_table(table), table)
        except (OSError, ValueError) as error:
            self.failures.append(failure_of(path, read_error(error)))
            self.mark_incomplete(table)
        else:
            _report_excluded(rows, path)
            self._add_rows(rows, table)
        if layout.headings and not {"end", "duration"} & layout.positions.keys():
            points = f"{path}: no column for ends or durations, so annotations are taken as points in time"
            info(f"{points}; the columns are {', '.join(layout.headings)} (set dataset.columns.end)")

    def mark_incomplete(self, table: Path) -> None:
        """Note that a table cannot be used: the annotations of the file after which it is named are incomplete."""
        with suppress(ValueError):
            sound = self.sounds.find_for_table(table)
            if sound in self.annotations:
                self.annotations[sound].incomplete = True

    def _add_without_rows(self, table: Path, layout: TableLayout) -> None:
        """Add a table without rows: in the audio file after which it is named, no bird calls."""
        if layout.names_files and not self.sounds.has_sound_for(table):
            raise ValueError("has no rows, and is not named after an audio file")
        self.annotations_of(self.sounds.find_for_table(table), table).nocall = True

    def _add_rows(self, rows: Sequence[AnnotationRow], table: Path) -> None:
        path, unlabelled = self.source.name_of(table), 0
        by_name: dict[str, list[AnnotationRow]] = {}
        for row in rows:
            by_name.setdefault(row.file, []).append(row)
        sounds = self.sounds.find_all(by_name, table)
        if self.source.is_elsewhere:
            by_name = self._of_folder(by_name, sounds, path)
        for name, rows_of_name in by_name.items():
            sound = sounds[name]
            if isinstance(sound, str):
                self.failures += _without_sound(rows_of_name, path=path, reason=sound)
                continue
            self._add_to(self.annotations_of(sound, table), rows_of_name, path)
            self._mark_next_files(rows_of_name, table)
            unlabelled += sum(not row.label and not row.problem and not row.excluded for row in rows_of_name)
        if unlabelled:
            count = f"{unlabelled} annotations have" if unlabelled > 1 else "1 annotation has"
            self.failures.append(failure_of(path, f"{count} no species"))

    def _of_folder(
        self, by_name: dict[str, list[AnnotationRow]], sounds: Mapping[str, Path | str], path: str
    ) -> dict[str, list[AnnotationRow]]:
        """Return the rows of recordings in the folder; those of others may have been moved, and are no failures."""
        lost = [name for name, sound in sounds.items() if isinstance(sound, str)]
        if lost:
            warning(f"{path}: {sounds[lost[0]]} ({len(lost)} of {len(sounds)} recordings cannot be found)")
        wanted = {name for name, sound in sounds.items() if isinstance(sound, Path) and self.source.wants(sound)}
        return {name: rows for name, rows in by_name.items() if name in wanted}

    def _add_to(self, annotations: _Annotations, rows: Iterable[AnnotationRow], path: str) -> None:
        for row in rows:
            try:
                annotations.add(row)
            except ValueError as error:
                annotations.incomplete = True
                self.failures.append(failure_of(f"{path} line {row.line}", str(error)))

    def _mark_next_files(self, rows: Sequence[AnnotationRow], table: Path) -> None:
        """Note that annotations continue in the next file, whose own annotations are therefore incomplete."""
        continued = [(row.line, row.ends_in) for row in rows if row.ends_in and row.label and not row.excluded]
        for line, next_file in dict.fromkeys(continued):
            reason = f"continues in {next_file}, where its end is not known"
            try:
                self.annotations_of(self.sounds.find(next_file, table), table).incomplete = True
            except ValueError as error:
                reason = f"continues in the next file, but {error}"
            self.failures.append(failure_of(f"{self.source.name_of(table)} line {line}", reason))


def _report_excluded(rows: Sequence[AnnotationRow], path: str) -> None:
    """Print how many rows of a table are not used because their own columns exclude them."""
    counts = Counter(
        _EXCLUDED_BECAUSE[row.excluded] for row in {row.line: row for row in rows if row.excluded}.values()
    )
    parts = [f"{count:,} {'row' if count == 1 else 'rows'} ({why})" for why, count in counts.items()]
    if parts:
        info(f"{path}: skipped {' and '.join(parts)}")


def _without_sound(rows: Sequence[AnnotationRow], *, path: str, reason: str) -> list[Failure]:
    """Return the failures of rows that name an audio file that was not found, or none."""
    if not rows[0].file:
        return [failure_of(f"{path} line {row.line}", row.problem or "names no audio file") for row in rows]
    return [failure_of(path, f"{reason} ({len(rows)} {'rows' if len(rows) > 1 else 'row'})")]


def _recordings(reader: _TableReader) -> tuple[list[Recording], list[Failure]]:
    """Return the recordings with usable annotations, and why the other audio files are not used."""
    recordings = []
    failures = []
    for file in filter(reader.source.wants, reader.sounds.files):
        try:
            check_readable(file)
            if file not in reader.annotations:
                raise ValueError("is in no annotation table")
            recordings.append(_annotated_recording(file, reader.annotations[file]))
        except ValueError as error:
            failures.append(failure_of(reader.source.name_of(file), str(error)))
    return sorted(recordings, key=lambda recording: (recording.name, recording.file)), failures


def _annotated_recording(file: Path, annotations: _Annotations) -> Recording:
    events = sorted(annotations.events.values(), key=lambda event: (event.start, event.end, event.species))
    if not events and (annotations.incomplete or not annotations.nocall):
        raise ValueError("has no usable annotation")
    species = "" if events else NOISE
    return Recording(plain_name(file.stem), file, species, events=tuple(events), unsure=annotations.incomplete)


def _taxa(
    source: AnnotationSource, layouts: Mapping[Path, TableLayout]
) -> tuple[list[Taxon], list[Failure], list[Path]]:
    """Return the taxa from tables with codes and scientific names, the failures, and the files of these tables."""
    taxa: dict[Taxon, None] = {}
    failures, files = [], []
    for file, layout in layouts.items():
        if not find_column(layout.headings, CODE_COLUMNS) or not find_column(layout.headings, SPECIES_COLUMNS):
            continue
        files.append(file)
        try:
            table = read_foreign(file)
        except UserError as error:
            failures.append(failure_of(source.name_of(file), reason_of(error, file)))
            continue
        columns = [find_column(table.columns, usual) for usual in (SPECIES_COLUMNS, CODE_COLUMNS, COMMON_COLUMNS)]
        for row in table.rows.values():
            taxon = Taxon(*(" ".join(row[column].split()) if column else "" for column in columns))
            taxa |= {taxon: None} if taxon.species and taxon.code else {}
        failures += [failure_of(source.name_of(file.parent / failure.name), failure.reason) for failure in table.bad]
    return list(taxa), failures, files
