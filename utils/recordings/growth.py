"""How a data set grew since it was sorted before: what is new, what vanished, and what changed its name or species."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

from config import Dataset
from utils import console
from utils.console import UserError
from utils.recordings.archive import Archive
from utils.recordings.assigned import (
    ASSIGNED_SCHEMA,
    Earlier,
    assigned_table,
    changed_rule,
    find_earlier,
    read_assigned,
)
from utils.recordings.duplicates import ScannedFile
from utils.recordings.grouping import Groups, block_of, dense_blocks, group_keys, group_recordings, grouping_of
from utils.recordings.growing import extend_split
from utils.recordings.recording import SPLITS, Recording
from utils.recordings.selection import Selection
from utils.recordings.splits import Assignment, read_split
from utils.recordings.splitting import assign_with_long

SHOWN_NAMES = 5  # of recordings that something happened to


@dataclass(frozen=True)
class Growth:
    """What became of the recordings that were sorted before.

    Attributes
    ----------
    stayed, new : number of recordings that were sorted before, and that were not
    new_classes : classes that no recording had before
    joined : names of recordings that had to change their split or fold, because new ones joined their group to another
    vanished : names of those that are no longer in the archive, with their splits
    renamed : earlier and present names of recordings that are known by their sound
    relabelled : names of recordings that are of another class than at first, by both classes
    changed : the settings that decide on the split and changed, so that all were assigned anew
    told : names of recordings of which the last call told what is told here
    """

    stayed: int = 0
    new: Counter[str] = field(default_factory=Counter)
    new_classes: tuple[str, ...] = ()
    joined: tuple[str, ...] = ()
    vanished: tuple[tuple[str, str], ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()
    relabelled: tuple[tuple[str, str, str], ...] = ()
    changed: tuple[str, ...] = ()
    told: frozenset[str] = frozenset()

    def log_lines(self) -> list[str]:
        """Return the lines of sorted.log."""
        lines = [f"vanished: {name}, which was in {split}" for name, split in self.vanished]
        lines += [f"renamed: {before} = {now}" for before, now in self.renamed]
        return lines + [f"of another species: {name}, {now}, was {before}" for name, before, now in self.relabelled]


@dataclass(frozen=True)
class Divided:
    """Recordings in their splits.

    Attributes
    ----------
    groups, assignments : of the recordings
    assigned : the table of assignments that replaces the earlier one
    growth : since the data set was sorted before
    """

    groups: Groups
    assignments: list[Assignment]
    assigned: pl.DataFrame
    growth: Growth


def divide_recordings(
    recordings: Sequence[Recording],
    sounds: Sequence[ScannedFile],
    duplicates: Sequence[Sequence[int]],
    archive: Archive,
    selection: Selection,
    settings: Dataset,
    *,
    fresh: bool,
) -> Divided:
    """Divide recordings among the splits; those that were sorted before by the same settings stay where they are.

    Parameters
    ----------
    sounds : of each recording
    duplicates : indices of recordings with the same sound
    fresh : whether all are divided anew
    """
    assigned = pl.DataFrame(schema=ASSIGNED_SCHEMA) if fresh else read_assigned(settings)
    changed = changed_rule(assigned, settings)
    assigned = assigned.clear() if changed else assigned
    names = {recording.name for recording in archive.recordings}
    earlier = find_earlier(recordings, sounds, assigned, in_archive=names)
    by = grouping_of(settings)
    dense = blocks_kept_together(recordings, earlier.rows, settings) if by == "block" else frozenset[str]()
    groups = group_recordings(recordings, settings, by, duplicates, dense=dense)
    if assigned.is_empty():
        assignments, joined = assign_with_long(recordings, groups, settings, long=selection.long), []
    else:
        grown = extend_split(recordings, groups, earlier.rows, settings, long=selection.long)
        assignments, joined = grown.assignments, grown.joined
    keys = [group_keys(recording, settings, by, dense) for recording in recordings]
    table = assigned_table(recordings, sounds, assignments, keys, earlier, settings)
    growth = Growth(changed=tuple(changed))
    if not assigned.is_empty():
        growth = _growth(recordings, assignments, earlier, assigned, table, joined)
        growth = replace(growth, told=_already_told(recordings, earlier, settings))
    return Divided(groups, assignments, table, growth)


def blocks_kept_together(
    recordings: Sequence[Recording], earlier: Sequence[dict[str, Any] | None], settings: Dataset
) -> frozenset[str]:
    """Return the blocks that stay together: those that did before, and new ones with enough recordings.

    A block whose recordings were divided before, when there were few, stays divided.
    """
    whole = {key for row in earlier if row for key in row["keys"]}
    divided = {
        block_of(recording, settings)
        for recording, row in zip(recordings, earlier, strict=True)
        if row and not row["keys"]
    }
    return frozenset(whole | (dense_blocks(recordings, settings) - divided))


def _growth(
    recordings: Sequence[Recording],
    assignments: Sequence[Assignment],
    earlier: Earlier,
    assigned: pl.DataFrame,
    table: pl.DataFrame,
    joined: Sequence[int],
) -> Growth:
    new = [index for index, row in enumerate(earlier.rows) if row is None]
    classes = {recordings[index].species for index in new} - {*assigned["class"]}
    present = table.filter(pl.col("recording").is_in([recording.name for recording in recordings]))
    renamed = present.filter(pl.col("first_name") != pl.col("recording")).select("first_name", "recording")
    other = present.filter(pl.col("first_class") != pl.col("class")).select("recording", "first_class", "class")
    return Growth(
        stayed=len(recordings) - len(new) - len(joined),
        new=Counter(assignments[index].split for index in new),
        new_classes=tuple(sorted(classes)),
        joined=tuple(recordings[index].name for index in joined),
        vanished=tuple(sorted((row["recording"], row["split"]) for row in earlier.vanished)),
        renamed=tuple(renamed.iter_rows()),
        relabelled=tuple(other.iter_rows()),
    )


def _already_told(recordings: Sequence[Recording], earlier: Earlier, settings: Dataset) -> frozenset[str]:
    """Return the recordings whose names and classes are those of the last call, or that had vanished before it."""
    same = {
        recording.name
        for recording, row in zip(recordings, earlier.rows, strict=True)
        if row and (row["recording"], row["class"]) == (recording.name, recording.species)
    }
    path = settings.root / "split.parquet"
    if not path.is_file() or path.is_symlink():
        return frozenset(same)
    try:
        last = read_split(Dataset(root=settings.root, archive=settings.archive), sounds=False)["recording"]
    except UserError:
        return frozenset(same)
    return frozenset(same | ({row["recording"] for row in earlier.vanished} - {*last}))


def show_growth(growth: Growth) -> None:
    """Print what became of the recordings that were sorted before; of single ones, what the last call did not tell."""
    if growth.changed:
        console.info(f"all recordings are divided anew: {'; '.join(growth.changed)}")
    if growth.new and growth.stayed:
        parts = ", ".join(f"{growth.new[split]} {split}" for split in SPLITS if growth.new[split])
        classes = f"; new classes: {_some_names(growth.new_classes)}" if growth.new_classes else ""
        console.info(f"{growth.new.total()} recordings are new ({parts}); {growth.stayed} stay in their split{classes}")
    if growth.joined:
        console.warning(
            f"{len(growth.joined)} recordings change their split or fold, because new ones joined their group to one "
            f"that is held out: {_some_names(growth.joined)}"
        )
    _show_changed_recordings(growth)


def _show_changed_recordings(growth: Growth) -> None:
    if names := [f"{name} ({split})" for name, split in growth.vanished if name not in growth.told]:
        console.warning(
            f"{len(names)} recordings of the earlier split are no longer in the archive: {_some_names(names)}; if they "
            "come back, they come back to their split (--fresh forgets them, and divides all others anew, too)"
        )
    if renamed := [f"{before} is {now}" for before, now in growth.renamed if now not in growth.told]:
        console.info(
            f"{len(renamed)} recordings have new names, are known by their sound, and stay in their split: "
            f"{_some_names(renamed)}"
        )
    if other := [f"{name} was {before}" for name, before, _ in growth.relabelled if name not in growth.told]:
        console.info(
            f"{len(other)} recordings are of another species than at first, and stay in their split: "
            f"{_some_names(other)}"
        )


def _some_names(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN_NAMES]) + (", …" if len(names) > SHOWN_NAMES else "")
