"""Which recordings are learned from and which are held out: the split, one table."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from config import Dataset
from utils.console import UserError
from utils.recordings.recording import Recording, Side, quality_share
from utils.tables import leads_away, read_table, write_table

EVENT = pl.Struct(
    {"start": pl.Float64(), "end": pl.Float64(), "species": pl.String(), "low": pl.Float64(), "high": pl.Float64()}
)
SCHEMA = pl.Schema(
    {
        "recording": pl.String(),  # its name
        "file": pl.String(),  # where its sound is, below the data set's root
        "class": pl.String(),  # its species; '' where only events say who sings
        "background": pl.List(pl.String()),  # species that are heard besides
        "events": pl.List(EVENT),  # who sings from when to when (seconds, Hz), where somebody listened
        # whether some annotation of it cannot be used, so that a time without events is not known to be without birds
        "unsure": pl.Boolean(),
        "quality": pl.Float32(),  # how well it was rated, from 0.2 to 1; null: unrated
        "side": pl.String(),  # train, val or test
        "fold": pl.Int32(),  # the fold that holds it out; null: none does
        "group": pl.String(),  # recordings of one group stand on one side
        "reason": pl.String(),  # why it stands there
    }
)


@dataclass(frozen=True)
class Place:
    """Where a recording stands in a split: its side, the fold that holds it out (None: none does), and why."""

    side: Side
    fold: int | None
    reason: str


def held_out(count: int, *, share: float) -> int:
    """Return how many of a class's `count` recordings are held out: about `share` of them, at least one, and never all.

    A class of one recording gives none.
    """
    if share == 0 or count < 2:
        return 0
    return min(max(1, round(count * share)), count - 1)


def quotas(counts: Sequence[int], *, share: float, least: int, seed: int) -> list[int]:
    """Return how many of each class are held out, so that they are `share` of all together, at least one: whole parts first, the rest by largest remainders.

    Classes with fewer than `least` give none, no class gives all; of equal remainders chance decides.
    """
    wanted = np.array([min(count * share, count - 1) if count >= least else 0.0 for count in counts])
    result = np.floor(wanted).astype(int)
    missing = max(round(wanted.sum()), int(wanted.any())) - result.sum()
    chance = np.random.default_rng(seed).random(len(wanted))
    result[np.lexsort((chance, result - wanted))[:missing]] += 1
    return result.tolist()


def draw(names: Sequence[str], count: int, *, seed: int, label: str) -> set[str]:
    """Draw `count` of the names, the same ones for the same seed and label whatever other classes there are."""
    generator = np.random.default_rng((seed, zlib.crc32(label.encode())))
    return set(generator.permutation(np.array(sorted(names), dtype=object))[:count].tolist())


def split_table(
    recordings: Sequence[Recording], places: Sequence[Place], groups: Sequence[str], files: Sequence[str]
) -> pl.DataFrame:
    """Put the split into its table, in the order of class and name.

    Parameters
    ----------
    groups, files : of each recording: the name of its group, and where its sound is, below the root
    """
    columns = {
        "recording": [recording.name for recording in recordings],
        "file": list(files),
        "class": [recording.species for recording in recordings],
        "background": [list(recording.background) for recording in recordings],
        "unsure": [recording.unsure for recording in recordings],
        "quality": [quality_share(recording.quality) for recording in recordings],
        "side": [place.side for place in places],
        "fold": [place.fold for place in places],
        "group": list(groups),
        "reason": [place.reason for place in places],
    }
    table = pl.DataFrame(columns, schema={name: kind for name, kind in SCHEMA.items() if name != "events"})
    nothing = pl.lit([], dtype=pl.List(EVENT))
    return (
        table.join(_events(recordings), on="recording", how="left")
        .with_columns(pl.col("events").fill_null(nothing))
        .select(*SCHEMA)
        .sort("class", "recording")
    )


def _events(recordings: Sequence[Recording]) -> pl.DataFrame:
    """Return the events of those recordings that have some: one row a recording. (Built row by row, polars takes nested lists a hundred times slower.)"""
    rows = [
        (recording.name, event.start, event.end, event.species, event.low, event.high)
        for recording in recordings
        for event in recording.events
    ]
    fields = {field.name: field.dtype for field in EVENT.fields}
    events = pl.DataFrame(rows, schema={"recording": pl.String(), **fields}, orient="row")
    return events.group_by("recording", maintain_order=True).agg(pl.struct(*fields).alias("events"))


def write_split(root: Path, table: pl.DataFrame) -> Path:
    """Write the split of a data set; it appears whole or not at all."""
    path = root / "split.parquet"
    write_table(path, table)
    return path


def count_folds(table: pl.DataFrame) -> int:
    """Return how many folds a split has; 0 where it has none."""
    return table["fold"].drop_nulls().n_unique()


def labels_in(table: pl.DataFrame) -> set[str]:
    """Return all classes of a split: those of its recordings, and those of the events of long ones."""
    sung = table.select(pl.col("events").explode().struct.field("species")).to_series().drop_nulls()
    return {*table["class"], *sung} - {""}


def read_split(settings: Dataset) -> pl.DataFrame:
    """Read the split of the data set `settings.root`, in the order of class and name; of a split in folds, `settings.fold` is val.

    Raises
    ------
    UserError
        If there is none, it is no table of the columns in SCHEMA, a path in it leads out of the data set's folder, or
        it has not that fold.
    """
    path = settings.root / "split.parquet"
    table = read_table(
        path,
        SCHEMA,
        missing="run sort_data.py with the same experiment first",
        damaged="run sort_data.py again",
        later={"unsure": False},
    )
    away = table.filter(
        leads_away("file", folders=True) | leads_away("recording", folders=True) | leads_away("class", folders=False)
    )
    if len(away):
        raise UserError(
            f"{path}: {away['file'][0]} of {away['class'][0]} would leave the data set's folder; run sort_data.py again"
        )
    folds = count_folds(table)
    if folds == 0:
        if settings.fold:
            raise UserError(
                f"{path}: has no folds, but dataset.fold = {settings.fold}; run sort_data.py with dataset.folds"
            )
        return table
    if settings.fold not in table["fold"]:
        raise UserError(f"{path}: has the folds 0 to {folds - 1}, but dataset.fold = {settings.fold}")
    folded = pl.when(pl.col("fold") == settings.fold).then(pl.lit("val")).otherwise(pl.lit("train"))
    return table.with_columns(side=pl.when(pl.col("side") == "test").then(pl.col("side")).otherwise(folded))
