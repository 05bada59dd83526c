"""What sort_data.py assigned to splits before: by `assigned.parquet`, recordings stay where they are as archives grow.

It is written before the first recording is put into its folder, so that a call that was killed ends with the same split
when it is run again. An archive that comes with splits removes it: nothing is assigned then.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from config import Dataset
from utils.console import UserError, warning
from utils.recordings.duplicates import ScannedFile
from utils.recordings.recording import SPLITS, Recording
from utils.recordings.splits import Assignment, count_folds, read_split
from utils.tables import read_table, write_table

ASSIGNED = "assigned.parquet"
ASSIGNED_SCHEMA = pl.Schema(
    {
        "recording": pl.String(),  # its name
        "class": pl.String(),
        "split": pl.String(),
        "fold": pl.Int32(),
        "reason": pl.String(),
        "keys": pl.List(pl.String()),  # what it shares with others of its group: recordist, site, day or block
        "sound": pl.String(),  # length, channels and a hash of its start, by which it is known under a new name
        "first_name": pl.String(),  # its name and class when it was assigned
        "first_class": pl.String(),
        "rule": pl.String(),  # the settings that decided, as JSON
    }
)
GIVEN_REASON, UNREADABLE_REASON = "given", "cannot be opened"  # reasons of recordings that nothing was drawn for


def rule_of(settings: Dataset) -> str:
    """Return the settings by which recordings are assigned, as JSON; with others, all are assigned anew."""
    split = "recordings" if settings.split == "auto" else settings.split
    rule: dict[str, Any] = {
        "dataset.split": split,
        "dataset.test_share": settings.test_share,
        "dataset.folds": settings.folds,
        "dataset.long_recordings": settings.long_recordings,
        "dataset.seed": settings.seed,
    }
    if not settings.folds:
        rule["dataset.val_share"] = settings.val_share
    if split == "grouped":
        rule["dataset.group_by"] = settings.group_by
    if split == "blocked":
        rule |= {
            "dataset.block_degrees": settings.block_degrees,
            "dataset.block_recordings": settings.block_recordings,
        }
    return json.dumps(rule, sort_keys=True)


def read_assigned(settings: Dataset) -> pl.DataFrame:
    """Return what was assigned before; of a data set that an earlier version sorted, by its split.parquet.

    Raises
    ------
    UserError
        If the table is damaged, or has a split or fold that cannot be.
    """
    path = settings.root / ASSIGNED
    if path.is_file() and not path.is_symlink():  # a link came with a folder of someone else
        advice = "run sort_data.py --fresh, which divides all recordings anew"
        table = read_table(path, ASSIGNED_SCHEMA, missing=advice, damaged=advice)
        if not _is_plausible(table, folds=settings.folds):
            raise UserError(f"{path}: has a row that is no assignment; {advice}")
        return table
    split = settings.root / "split.parquet"
    if not split.is_file() or split.is_symlink():
        return pl.DataFrame(schema=ASSIGNED_SCHEMA)
    try:
        return _of_split(settings)
    except UserError:
        warning(f"{split}: cannot be read, and there is no {ASSIGNED}, so that all recordings are divided anew")
        return pl.DataFrame(schema=ASSIGNED_SCHEMA)


def _is_plausible(table: pl.DataFrame, *, folds: int) -> bool:
    """Tell whether a table has only splits and folds that there can be, and one rule, so that it can be used."""
    known = pl.col("split").is_in(SPLITS) & (pl.col("fold").is_null() | (pl.col("fold") >= 0))
    full = pl.all_horizontal(pl.all().exclude("fold").is_not_null())
    if not table.select((known & full).all()).item() or table["rule"].n_unique() > 1:
        return False
    if table.is_empty():
        return True
    try:
        rule = json.loads(table["rule"][0])
    except (ValueError, RecursionError):
        return False
    beyond = table.filter(pl.col("fold") >= max(folds, 1))
    return isinstance(rule, dict) and (rule.get("dataset.folds") != folds or beyond.is_empty())


def _of_split(settings: Dataset) -> pl.DataFrame:
    """Return the assignments of a split of which nothing else is known: they hold if it has the wanted parts."""
    table = read_split(Dataset(root=settings.root, archive=settings.archive), sounds=False)
    as_wanted = count_folds(table) == settings.folds and (settings.test_share > 0) == ("test" in table["split"])
    drawn = (pl.col("reason") != GIVEN_REASON) & ~pl.col("reason").str.starts_with(UNREADABLE_REASON)
    return table.filter(drawn).select(
        "recording",
        "class",
        "split",
        "fold",
        "reason",
        # a group without keys has the name of its only recording, or of its sound
        keys=pl.when((pl.col("group") == pl.col("recording")) | pl.col("group").str.starts_with("same sound: "))
        .then(pl.lit([], pl.List(pl.String)))
        .otherwise(pl.concat_list("group")),
        sound=pl.lit(""),
        first_name="recording",
        first_class="class",
        rule=pl.lit(rule_of(settings) if as_wanted else "{}"),
    )


def changed_rule(assigned: pl.DataFrame, settings: Dataset) -> list[str]:
    """Say which settings of the split differ from those of the assignments; nothing if they are the same."""
    if assigned.is_empty() or assigned["rule"][0] == rule_of(settings):
        return []
    before, now = json.loads(assigned["rule"][0]), json.loads(rule_of(settings))
    known = [name for name in now if name in before and before[name] != now[name]]
    return [f"{name} was {before[name]}, is {now[name]}" for name in known] or ["the settings of the split changed"]


@dataclass(frozen=True)
class Earlier:
    """The earlier assignments of recordings.

    Attributes
    ----------
    rows : of each recording, its row of the table of assignments; None: it is new
    vanished : rows of the table whose recordings are no longer in the archive
    others : rows of recordings that are not used now, and may be again
    """

    rows: list[dict[str, Any] | None]
    vanished: list[dict[str, Any]]
    others: list[dict[str, Any]]


def find_earlier(
    recordings: Sequence[Recording],
    sounds: Sequence[ScannedFile],
    assigned: pl.DataFrame,
    *,
    in_archive: Collection[str],
) -> Earlier:
    """Find the earlier assignment of each recording: by its name, or by its sound if it has a new name.

    Names that were exchanged follow their sounds, too. Of several recordings with one sound, each takes one of those
    that had it, if all of these were in one split and fold.

    Parameters
    ----------
    in_archive : names of all recordings of the archive, also of those that are not used
    """
    free = {row["recording"]: row for row in assigned.iter_rows(named=True)}
    marks = list(map(sound_mark, sounds))
    rows = [
        free.pop(recording.name) if _is_as_before(free.get(recording.name), mark) else None
        for recording, mark in zip(recordings, marks, strict=True)
    ]
    here = {recording.name for recording in recordings}
    by_sound: dict[str, list[str]] = {}
    for name, row in free.items():
        if row["sound"] and (name in here or name not in in_archive):
            by_sound.setdefault(row["sound"], []).append(name)
    for index, mark in enumerate(marks):
        names = by_sound.get(mark, [])
        if rows[index] is None and names and len({(free[name]["split"], free[name]["fold"]) for name in names}) == 1:
            rows[index] = free.pop(names.pop(0))
    rows = [row or free.pop(recording.name, None) for row, recording in zip(rows, recordings, strict=True)]
    gone = [row for name, row in free.items() if name not in in_archive]
    return Earlier(rows, gone, [row for name, row in free.items() if name in in_archive])


def _is_as_before(row: dict[str, Any] | None, mark: str) -> bool:
    """Tell whether the recording of a name has the sound that it had, as far as that is known."""
    return row is not None and (not row["sound"] or not mark or row["sound"] == mark)


def sound_mark(sound: ScannedFile) -> str:
    """Return a text by which a sound is known under another name; '' if its length is not known for certain."""
    if sound.frames is None:  # its start alone may be silence
        return ""
    return f"{sound.frames} {sound.channels} {sound.first_digest}"


def assigned_table(
    recordings: Sequence[Recording],
    sounds: Sequence[ScannedFile],
    assignments: Sequence[Assignment],
    keys: Sequence[Sequence[str]],
    earlier: Earlier,
    settings: Dataset,
) -> pl.DataFrame:
    """Return the table of assignments: those of these recordings, and those of vanished and unused ones as before."""
    rows = [
        {
            "recording": recording.name,
            "class": recording.species,
            "split": assignment.split,
            "fold": assignment.fold,
            "reason": assignment.reason,
            "keys": list(shared),
            "sound": sound_mark(sound),
            "first_name": before["first_name"] if before else recording.name,
            "first_class": before["first_class"] if before else recording.species,
            "rule": rule_of(settings),
        }
        for recording, sound, assignment, shared, before in zip(
            recordings, sounds, assignments, keys, earlier.rows, strict=True
        )
    ]
    return pl.DataFrame([*rows, *earlier.vanished, *earlier.others], schema=ASSIGNED_SCHEMA).sort("recording")


def write_assigned(root: Path, table: pl.DataFrame | None) -> None:
    """Write the table of assignments; None: the archive comes with splits, and nothing is assigned."""
    if table is None:
        (root / ASSIGNED).unlink(missing_ok=True)
    else:
        write_table(root / ASSIGNED, table)
