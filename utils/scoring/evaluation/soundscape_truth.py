"""Who sings when in recordings that are to be answered, where somebody has listened: the tables of annotations that lie beside them."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from config import Dataset
from utils.console import Failure, UserError
from utils.recordings.annotations import holds_annotations, is_annotations, read_annotations, tables_apart
from utils.recordings.audio_files import is_sound, sounds_below
from utils.recordings.event_tables import Head, Row, read_head, read_rows
from utils.recordings.labels import Taxonomy, read_aliases, read_taxonomy
from utils.recordings.recording import NOISE, Contents, Event, check_label, sings_between
from utils.recordings.sound_names import Sounds
from utils.tables import find_column, read_foreign

TRUSTED = "human"  # what a table's column `kind` begins with, in rows that count
OF_TARGETS = "target species"  # what it holds where only some species were listened for


@dataclass(frozen=True)
class Truth:
    """Who sings when.

    Attributes
    ----------
    events : of each recording that somebody listened to, by its path below the folder; none where nobody sings
    species : the only species that were listened for; None: all
    doubtful : how many annotations are not counted, for their table says that they are not by a human
    annotated : the recordings that tables speak of, also those of which nothing can be used
    annotations : how many annotations lie there, also those that cannot be used; what several rows say of one span and
        species is one
    failures : what of the tables cannot be used, and why
    seen : the files that were read, or are named in `failures`
    """

    events: Mapping[str, tuple[Event, ...]]
    species: frozenset[str] | None = None
    doubtful: int = 0
    annotated: frozenset[str] = frozenset()
    annotations: int = 0
    failures: tuple[Failure, ...] = ()
    seen: frozenset[Path] = frozenset()


def read_truth(folder: Path, settings: Dataset, *, without: Path | None = None) -> Truth | None:
    """Read the annotations in a folder of recordings, in any form that `sort_data.py` reads; None where there are none.

    A recording of which nothing can be used has no truth, and is named in `failures`; one in which somebody heard
    nobody has a truth without events. Where a table has a column `kind`, only rows count in which it begins with
    'human'; if it says 'target species', no other species can be judged.

    Parameters
    ----------
    settings : columns of the tables, and names of species
    without : a folder in it whose tables are not read

    Raises
    ------
    UserError
        If a table lacks a column that the settings name.
    """
    if not is_annotations(folder, settings.columns, without=without):
        return None
    contents = read_annotations(folder, settings.columns, without=without)
    said = _Said(folder, settings, without)
    taxa = [*contents.taxa, *(read_taxonomy(settings.taxonomy) if settings.taxonomy else [])]
    taxonomy = Taxonomy(taxa, read_aliases(settings.aliases) if settings.aliases else None)
    events: dict[str, tuple[Event, ...]] = {}
    doubtful, failures = 0, _failures(contents, folder)
    for recording in contents.recordings:
        place = recording.file.relative_to(folder).as_posix()
        kept = [event for event in recording.events if said.counts(recording.file, event)]
        doubtful += len(recording.events) - len(kept)
        if kept or (not recording.events and said.listened(recording.file)):
            events[place] = tuple(replace(event, species=taxonomy.species(event.species)) for event in kept)
        else:
            failures.append(
                Failure(place, "all its annotations are marked as not made by a human; it is left out of the score")
            )
    species = frozenset(event.species for one in events.values() for event in one) if said.targets else None
    annotated = frozenset(sound.relative_to(folder).as_posix() for sound in (*contents.tables, *said.owners))
    return Truth(events, species, doubtful, annotated, said.annotations, tuple(failures), contents.seen)


def _failures(contents: Contents, folder: Path) -> list[Failure]:
    """Return what cannot be used; recordings to which nobody listened are no failures here."""
    unheard = {
        file.relative_to(folder).as_posix() for file in contents.seen if is_sound(file) and file not in contents.tables
    }
    return [failure for failure in contents.failures if failure.name not in unheard]


@dataclass
class _Rows:
    """What the rows of tables say of one sound: which events count, which do not, and whether any row does."""

    trusted: set[tuple[float, float, str]] = field(default_factory=set)
    doubted: set[tuple[float, float, str]] = field(default_factory=set)
    listened: bool = False


class _Said:
    """What the tables of a folder say besides who sings.

    Attributes
    ----------
    targets : whether only some species were listened for
    annotations : how many there are, whatever can be used of them; what several rows say alike is one
    owners : the sounds for which tables are named that cannot be read
    """

    def __init__(self, folder: Path, settings: Dataset, without: Path | None) -> None:
        self.targets = False
        self.owners: list[Path] = []
        self._sounds = Sounds(sounds_below(folder))
        self._rows: dict[Path, _Rows] = {}
        self._unusable: set[tuple[object, ...]] = set()
        for table in tables_apart(folder, without):
            try:
                head = read_head(table, settings.columns)
                if head and holds_annotations(table, head, self._sounds):
                    self._add(table, head)
            except (OSError, ValueError):  # the reader names it
                with suppress(ValueError):
                    self.owners.append(self._sounds.owner(table))
        self.annotations = len(self._unusable) + sum(len(rows.trusted | rows.doubted) for rows in self._rows.values())

    def counts(self, sound: Path, event: Event) -> bool:
        """Tell whether an event counts; one of which one table says so and another does not, does."""
        rows, key = self._rows.get(sound, _Rows()), (event.start, event.end, event.species)
        return key in rows.trusted or key not in rows.doubted

    def listened(self, sound: Path) -> bool:
        """Tell whether somebody listened: whether a row counts, or nothing is said of who it is by."""
        return sound not in self._rows or self._rows[sound].listened

    def _add(self, table: Path, head: Head) -> None:
        """Add a table's rows."""
        kinds = _kinds(table, head)
        rows = list(read_rows(table, head))
        places = self._sounds.meant_by((row.file for row in rows), table)
        for row in rows:
            kind = kinds.get(row.line, "") if kinds else TRUSTED
            self.targets = self.targets or OF_TARGETS in kind
            sound = place if isinstance(place := places[row.file], Path) else None
            label = _label(row)
            if sound:
                said = self._rows.setdefault(sound, _Rows())
                said.listened = said.listened or kind.startswith(TRUSTED)
            if not label or (not sound and label != NOISE):
                self._unusable.add(
                    (table, row.line)
                    if row.fault or not row.label
                    else (sound or row.file, row.start, row.end, row.label)
                )
            elif sound and label != NOISE:
                (said.trusted if kind.startswith(TRUSTED) else said.doubted).add((row.start, row.end, label))


def _label(row: Row) -> str:
    """Return who sings; '' where the row cannot be used."""
    with suppress(ValueError):
        return "" if row.fault or not row.label else check_label(row.label)
    return ""


def _kinds(table: Path, head: Head) -> dict[int, str]:
    """Return what a table's column `kind` says of each line; nothing where it has no such column."""
    if not find_column(head.names, ["kind"]):
        return {}
    with suppress(UserError):  # the reader names it
        known = read_foreign(table)
        if column := find_column(known.columns, ["kind"]):
            return {int(place.rsplit(" ", 1)[1]): row[column] for place, row in known.rows.items()}
    return {}


def truth_of_intervals(
    events: tuple[Event, ...],
    starts: Float[np.ndarray, " intervals"],
    ends: Float[np.ndarray, " intervals"],
    classes: tuple[str, ...],
) -> Bool[np.ndarray, "intervals classes"]:
    """Tell which classes sing in which intervals; a part of an event is enough. Species that are no class are left out."""
    places = {label: number for number, label in enumerate(classes)}
    truth = np.zeros((len(starts), len(classes)), bool)
    for event in events:
        if event.species not in places:
            continue
        first, last = int(np.searchsorted(ends, event.start)), int(np.searchsorted(starts, event.end, "right"))
        for interval in range(first, last):
            if sings_between((event.start, event.end), float(starts[interval]), float(ends[interval])):
                truth[interval, places[event.species]] = True
    return truth
