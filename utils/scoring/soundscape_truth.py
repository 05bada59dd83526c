"""Who sings when in recordings that are to be answered, where somebody has listened: the tables of annotations that lie beside them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from config import Dataset
from utils.recordings.annotations import is_annotations, read_annotations
from utils.recordings.event_tables import read_head, read_rows, tables_below
from utils.recordings.labels import Taxonomy, read_aliases, read_taxonomy
from utils.recordings.recording import Event, check_label, sings_between
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
    """

    events: Mapping[str, tuple[Event, ...]]
    species: frozenset[str] | None = None
    doubtful: int = 0


def read_truth(folder: Path, settings: Dataset) -> Truth | None:
    """Read the annotations in a folder of recordings, in any form that `sort_data.py` reads; None where there are none.

    Where a table has a column `kind`, only rows count in which it begins with 'human'; if it says 'target species', no other species can be judged.

    Parameters
    ----------
    settings : columns of the tables, and names of species

    Raises
    ------
    Trouble
        If a table lacks a column that the settings name.
    """
    if not is_annotations(folder, settings.columns):
        return None
    contents = read_annotations(folder, settings.columns)
    taxa = [*contents.taxa, *(read_taxonomy(settings.taxonomy) if settings.taxonomy else [])]
    taxonomy = Taxonomy(taxa, read_aliases(settings.aliases) if settings.aliases else None)
    doubted, targets = _kinds(folder, settings)
    events: dict[str, tuple[Event, ...]] = {}
    doubtful = 0
    for recording in contents.recordings:
        kept = [event for event in recording.events if (recording.file.name, event.start, event.end, event.species) not in doubted]
        doubtful += len(recording.events) - len(kept)
        if kept or not recording.events:
            renamed = tuple(replace(event, species=taxonomy.species(event.species)) for event in kept)
            events[recording.file.relative_to(folder).as_posix()] = renamed
    species = frozenset(event.species for one in events.values() for event in one) if targets else None
    return Truth(events, species, doubtful)


def _kinds(folder: Path, settings: Dataset) -> tuple[set[tuple[str, float, float, str]], bool]:
    """Return the annotations that do not count (file's name, start, end, label), and whether only some species were listened for."""
    doubted: set[tuple[str, float, float, str]] = set()
    targets = False
    for table in tables_below(folder):
        try:
            head = read_head(table, settings.columns)
        except (OSError, ValueError):
            continue
        column = find_column(head.names, ["kind"]) if head and head.holds_events else None
        if head is None or column is None:
            continue
        kinds = {place: row[column] for place, row in read_foreign(table).rows.items()}
        for row in read_rows(table, head):
            kind = kinds.get(f"{table.name} line {row.line}", "")
            targets = targets or OF_TARGETS in kind
            if not kind.startswith(TRUSTED) and row.label and not row.fault:
                doubted.add((Path(row.file).name, row.start, row.end, check_label(row.label)))
    return doubted, targets


def truth_of_intervals(
    events: tuple[Event, ...], starts: Float[np.ndarray, " intervals"], ends: Float[np.ndarray, " intervals"], classes: tuple[str, ...]
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
