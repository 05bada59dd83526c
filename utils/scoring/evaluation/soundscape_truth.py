"""Ground truth of annotated soundscapes: which species are present when, by the tables beside the recordings."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from config import Dataset
from utils.console import Failure, UserError
from utils.recordings.annotation_source import AnnotationSource, source_beside, source_elsewhere
from utils.recordings.annotation_tables import is_annotation_table
from utils.recordings.annotations import is_annotations, read_annotation_source
from utils.recordings.audio_files import is_sound
from utils.recordings.class_names import read_class_names
from utils.recordings.event_tables import AnnotationRow, TableLayout, read_layout, read_rows
from utils.recordings.labels import Taxonomy, read_aliases, read_taxonomy
from utils.recordings.recording import NOISE, Contents, Event, check_label
from utils.recordings.spans import Spans
from utils.scoring.evaluation.kaggle_truth import KaggleTruth, read_kaggle_truth
from utils.tables import find_column, read_foreign

# in a table's column `kind`: rows count if it starts with the first; the second tells that no others were annotated
TRUSTED, OF_TARGETS = "human", "target species"


@dataclass(frozen=True)
class Truth:
    """Which species are present when.

    Attributes
    ----------
    events : annotations of each annotated recording, by its path below the folder; empty if no species is present
    species : the only species that were annotated; None: all
    doubtful : annotations that do not count, because their table says that they are not by a human
    annotated : the recordings that tables refer to, also those without usable annotations
    annotations : number of annotations, also unusable ones; the same span and species in several rows is one annotation
    failures : what could not be used in the tables, and why
    seen : the files that were read, or are in `failures`
    labelled : the spans of a recording for which the species are known, seconds; without an entry, the whole recording
    """

    events: Mapping[str, tuple[Event, ...]]
    species: frozenset[str] | None = None
    doubtful: int = 0
    annotated: frozenset[str] = frozenset()
    annotations: int = 0
    failures: tuple[Failure, ...] = ()
    seen: frozenset[Path] = frozenset()
    labelled: Mapping[str, Spans] = field(default_factory=dict)


def read_truth(folder: Path, settings: Dataset, *, without: Path | None = None) -> Truth | None:
    """Read the annotations of the recordings in a folder, in any format that `sort_data.py` reads; None without any.

    Where no table in the folder holds annotations, those in the folder above and in the archive count, as far as they
    name its recordings. So it is with Kaggle's labels of soundscapes.

    A recording without usable annotations has no ground truth, and is in `failures`; one in which no species was
    annotated has a ground truth without events. If a table has a column `kind`, only rows count in which it starts with
    'human'; if it says 'target species', no other species are evaluated.

    Parameters
    ----------
    settings : columns of the tables, names of species, and the archive
    without : a folder whose tables are not read, such as that of submissions

    Raises
    ------
    UserError
        If a table lacks a column that the settings name.
    """
    below = without if without and without.is_relative_to(folder) else None  # recordings may lie in it themselves
    beside = is_annotations(folder, settings.columns, without=below)
    source = source_beside(folder, without=below) if beside else source_elsewhere(folder, settings, without=without)
    annotated = _annotated_truth(source, folder, settings) if source else None
    labelled = read_kaggle_truth(folder, settings)
    return annotated if labelled is None else _joined(annotated or Truth({}), labelled)


def _annotated_truth(source: AnnotationSource, folder: Path, settings: Dataset) -> Truth | None:
    """Return what tables say of the recordings in a folder; None if tables elsewhere name none of them."""
    contents = read_annotation_source(source, settings.columns)
    notes = _TableNotes(source, settings)
    annotated = frozenset(source.name_of(sound) for sound in (*contents.tables, *notes.owners) if source.wants(sound))
    if source.is_elsewhere and not annotated:
        return None
    taxa = [*contents.taxa, *(read_taxonomy(settings.taxonomy) if settings.taxonomy else [])]
    classes = read_class_names(settings.root)
    aliases = read_aliases(settings.aliases) if settings.aliases else None
    taxonomy = Taxonomy([*taxa, *classes.taxa], aliases, classes.labels)
    events: dict[str, tuple[Event, ...]] = {}
    doubtful, failures = 0, _failures(contents, source)
    for recording in contents.recordings:
        name = source.name_of(recording.file)
        counted = [event for event in recording.events if notes.counts(recording.file, event)]
        doubtful += len(recording.events) - len(counted)
        if counted or (not recording.events and notes.is_trusted(recording.file)):
            events[name] = tuple(replace(event, species=taxonomy.label(event.species)) for event in counted)
        else:
            failures.append(
                Failure(name, "all its annotations are marked as not made by a human; it is left out of the metrics")
            )
    species = frozenset(event.species for one in events.values() for event in one) if notes.targets else None
    seen = frozenset(
        folder / file.relative_to(source.folder) for file in contents.seen if file.is_relative_to(source.folder)
    )
    return Truth(events, species, doubtful, annotated, notes.annotations, tuple(failures), seen)


def _joined(annotated: Truth, labelled: KaggleTruth) -> Truth:
    """Return both truths as one; of recordings in both, the annotations count."""
    both = annotated.annotated & labelled.annotated
    twice = [Failure(name, "is annotated and labelled by Kaggle's table; the labels do not count") for name in both]
    return Truth(
        {**{name: events for name, events in labelled.events.items() if name not in both}, **annotated.events},
        annotated.species,
        annotated.doubtful,
        annotated.annotated | labelled.annotated,
        annotated.annotations + labelled.annotations,
        (*annotated.failures, *labelled.failures, *sorted(twice, key=lambda failure: failure.name)),
        annotated.seen | labelled.seen,
        {name: spans for name, spans in labelled.labelled.items() if name not in both},
    )


def _failures(contents: Contents, source: AnnotationSource) -> list[Failure]:
    """Return what could not be used; recordings without annotations are no failures here."""
    unannotated = {
        source.name_of(file)
        for file in contents.seen
        if is_sound(file) and source.wants(file) and file not in contents.tables
    }
    return [failure for failure in contents.failures if failure.name not in unannotated]


@dataclass
class _RowsOfSound:
    """Annotations of one sound as (start, end, label): trusted ones, which count, and doubtful ones."""

    trusted: set[tuple[float, float, str]] = field(default_factory=set)
    doubtful: set[tuple[float, float, str]] = field(default_factory=set)
    any_trusted: bool = False


class _TableNotes:
    """What the tables tell besides the annotations.

    Attributes
    ----------
    targets : whether only some species were annotated
    annotations : number of annotations, usable or not; the same in several rows is one
    owners : sounds whose tables cannot be read
    """

    def __init__(self, source: AnnotationSource, settings: Dataset) -> None:
        self.targets = False
        self.owners: list[Path] = []
        self._source, self._sounds = source, source.sounds
        self._rows: dict[Path, _RowsOfSound] = {}
        self._unusable: set[tuple[object, ...]] = set()
        for table in source.tables:
            try:
                layout = read_layout(table, settings.columns)
                if layout and is_annotation_table(table, layout, self._sounds):
                    self._add(table, layout)
            except (OSError, ValueError):  # the reader names it
                with suppress(ValueError):
                    self.owners.append(self._sounds.find_for_table(table))
        self.annotations = len(self._unusable) + sum(len(rows.trusted | rows.doubtful) for rows in self._rows.values())

    def counts(self, sound: Path, event: Event) -> bool:
        """Tell whether an annotation counts; if one table trusts it and another does not, it does."""
        rows, key = self._rows.get(sound, _RowsOfSound()), (event.start, event.end, event.species)
        return key in rows.trusted or key not in rows.doubtful

    def is_trusted(self, sound: Path) -> bool:
        """Tell whether some row of a sound is by a human, or no table has a column `kind` for it."""
        return sound not in self._rows or self._rows[sound].any_trusted

    def _add(self, table: Path, layout: TableLayout) -> None:
        """Add a table's rows."""
        kinds = _kinds(table, layout)
        rows = list(read_rows(table, layout))
        sounds = self._sounds.find_all((row.file for row in rows), table)
        for row in rows:
            sound = found if isinstance(found := sounds[row.file], Path) else None
            if self._source.is_elsewhere and not (sound and self._source.wants(sound)):
                continue
            kind = kinds.get(row.line, "") if kinds else TRUSTED
            self.targets = self.targets or OF_TARGETS in kind
            self._add_row(table, row, sound, trusted=kind.startswith(TRUSTED))

    def _add_row(self, table: Path, row: AnnotationRow, sound: Path | None, *, trusted: bool) -> None:
        label = _species_of_row(row)
        rows = self._rows.setdefault(sound, _RowsOfSound()) if sound else _RowsOfSound()
        rows.any_trusted = rows.any_trusted or trusted
        if not label or (not sound and label != NOISE):
            unclear = row.problem or not row.label
            self._unusable.add((table, row.line) if unclear else (sound or row.file, row.start, row.end, row.label))
        elif sound and label != NOISE:
            (rows.trusted if trusted else rows.doubtful).add((row.start, row.end, label))


def _species_of_row(row: AnnotationRow) -> str:
    """Return the species of a row; '' if the row cannot be used."""
    with suppress(ValueError):
        return "" if row.problem or not row.label else check_label(row.label)
    return ""


def _kinds(table: Path, layout: TableLayout) -> dict[int, str]:
    """Return the value of column `kind` of each line; empty if the table has no such column."""
    if not find_column(layout.headings, ["kind"]):
        return {}
    with suppress(UserError):  # the reader names it
        known = read_foreign(table)
        if column := find_column(known.columns, ["kind"]):
            return {int(line.rsplit(" ", 1)[1]): row[column] for line, row in known.rows.items()}
    return {}
