"""The split as one table, `split.parquet`: which recordings are used for training and which are held out."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from config import ADDRESS_MARK, Dataset
from utils.console import UserError
from utils.recordings.recording import Recording, Split, quality_fraction
from utils.tables import leads_outside, read_table, write_table

EVENT_DTYPE = pl.Struct(
    {"start": pl.Float64(), "end": pl.Float64(), "species": pl.String(), "low": pl.Float64(), "high": pl.Float64()}
)
SPLIT_SCHEMA = pl.Schema(
    {
        "recording": pl.String(),  # its name
        "file": pl.String(),  # path of the sound below the data set's root, or its address in an archive elsewhere
        "class": pl.String(),  # primary species; '' for recordings that are labelled by events only
        "background": pl.List(pl.String()),  # background species
        "events": pl.List(EVENT_DTYPE),  # annotations: start and end in seconds, low and high in Hz
        "unsure": pl.Boolean(),  # some annotation could not be used, so that spans without events may contain birds
        "quality": pl.Float32(),  # rating, from 0.2 to 1; null: unrated
        "split": pl.String(),  # train, val or test
        "fold": pl.Int32(),  # the fold that holds it out; null: none does
        "group": pl.String(),  # recordings of one group are in one split
        "reason": pl.String(),  # why it is in this split
    }
)


@dataclass(frozen=True)
class Assignment:
    """The split of a recording, the fold that holds it out (None: no fold does), and the reason."""

    split: Split
    fold: int | None
    reason: str


def held_out_count(count: int, *, share: float) -> int:
    """Return how many of a class's `count` recordings are held out: about `share` of them, at least one, never all.

    Of a class with one recording, none is.
    """
    if share == 0 or count < 2:
        return 0
    return min(max(1, round(count * share)), count - 1)


def quotas(counts: Sequence[int], *, share: float, least: int, seed: int) -> list[int]:
    """Return how many recordings of each class are held out, so that they are `share` of all, and at least one.

    Largest remainder method; ties are broken at random. Classes with fewer than `least` recordings give none, and no
    class gives all of its recordings.
    """
    wanted = np.array([min(count * share, count - 1) if count >= least else 0.0 for count in counts])
    result = np.floor(wanted).astype(int)
    missing = max(round(wanted.sum()), int(wanted.any())) - result.sum()
    chance = np.random.default_rng(seed).random(len(wanted))
    result[np.lexsort((chance, result - wanted))[:missing]] += 1
    return result.tolist()


def draw_names(names: Sequence[str], count: int, *, seed: int, label: str) -> set[str]:
    """Draw `count` of the names at random; the result depends on seed and label only, not on other classes."""
    generator = np.random.default_rng((seed, zlib.crc32(label.encode())))
    return set(generator.permutation(np.array(sorted(names), dtype=object))[:count].tolist())


def split_table(
    recordings: Sequence[Recording], assignments: Sequence[Assignment], groups: Sequence[str], files: Sequence[str]
) -> pl.DataFrame:
    """Return the split as a table, ordered by class and name.

    Parameters
    ----------
    groups, files : for each recording, the name of its group, and the path of its sound below the root
    """
    columns = {
        "recording": [recording.name for recording in recordings],
        "file": list(files),
        "class": [recording.species for recording in recordings],
        "background": [list(recording.background) for recording in recordings],
        "unsure": [recording.unsure for recording in recordings],
        "quality": [quality_fraction(recording.quality) for recording in recordings],
        "split": [assignment.split for assignment in assignments],
        "fold": [assignment.fold for assignment in assignments],
        "group": list(groups),
        "reason": [assignment.reason for assignment in assignments],
    }
    table = pl.DataFrame(columns, schema={name: kind for name, kind in SPLIT_SCHEMA.items() if name != "events"})
    no_events = pl.lit([], dtype=pl.List(EVENT_DTYPE))
    return (
        table.join(_event_table(recordings), on="recording", how="left")
        .with_columns(pl.col("events").fill_null(no_events))
        .select(*SPLIT_SCHEMA)
        .sort("class", "recording")
    )


def _event_table(recordings: Sequence[Recording]) -> pl.DataFrame:
    """Return one row for each recording that has events.

    Built as columns: from nested lists, row by row, polars is a hundred times slower.
    """
    rows = [
        (recording.name, event.start, event.end, event.species, event.low, event.high)
        for recording in recordings
        for event in recording.events
    ]
    fields = {field.name: field.dtype for field in EVENT_DTYPE.fields}
    events = pl.DataFrame(rows, schema={"recording": pl.String(), **fields}, orient="row")
    return events.group_by("recording", maintain_order=True).agg(pl.struct(*fields).alias("events"))


def write_split(root: Path, table: pl.DataFrame) -> Path:
    """Write the split of a data set, atomically."""
    path = root / "split.parquet"
    write_table(path, table)
    return path


def count_folds(table: pl.DataFrame) -> int:
    """Return the number of folds of a split; 0 if it has none."""
    return table["fold"].drop_nulls().n_unique()


def labels_in(table: pl.DataFrame) -> set[str]:
    """Return all classes of a split: primary species, and the species of events of long recordings."""
    species = table.select(pl.col("events").explode().struct.field("species")).to_series().drop_nulls()
    return {*table["class"], *species} - {""}


def has_split(settings: Dataset) -> bool:
    """Tell whether the data set was sorted."""
    return (settings.root / "split.parquet").is_file()


def read_split(settings: Dataset, *, sounds: bool = True) -> pl.DataFrame:
    """Read the split of the data set `settings.root`, ordered by class and name; with folds, `settings.fold` is val.

    Parameters
    ----------
    sounds : whether the sounds will be read, too: then addresses must be in `settings.archive`

    Raises
    ------
    UserError
        If it does not exist, lacks a column of `SPLIT_SCHEMA`, contains a path that leads out of the data set's folder,
        or does not have that fold.
    """
    path = settings.root / "split.parquet"
    table = read_table(
        path,
        SPLIT_SCHEMA,
        missing="run sort_data.py with the same experiment first",
        damaged="run sort_data.py again",
        later={"unsure": False},
        renamed={"side": "split"},
    )
    away = table.filter(
        leads_outside("file", folders=True)
        | leads_outside("recording", folders=True)
        | leads_outside("class", folders=False)
    )
    if len(away):
        raise UserError(
            f"{path}: the path {away['file'][0]} of {away['class'][0]} leads out of the data set's folder; "
            "run sort_data.py again"
        )
    if sounds:
        _check_addresses(path, table, settings)
    folds = count_folds(table)
    if folds == 0:
        if settings.fold:
            raise UserError(
                f"{path}: has no folds, but dataset.fold = {settings.fold}; run sort_data.py with dataset.folds"
            )
        return table
    if settings.fold not in table["fold"]:
        raise UserError(f"{path}: has folds 0 to {folds - 1}, but dataset.fold = {settings.fold}")
    return split_of_fold(table, settings.fold)


def _check_addresses(path: Path, table: pl.DataFrame, settings: Dataset) -> None:
    """Refuse addresses that are not in the archive: a table of someone else's could name any."""
    archive = None if settings.archive_folder else settings.archive
    elsewhere = pl.col("file").str.contains(ADDRESS_MARK, literal=True)
    inside = pl.col("file").str.starts_with(f"{str(archive).rstrip('/')}/") if archive else pl.lit(value=False)
    away = table.filter(elsewhere & ~inside)
    if len(away):
        raise UserError(
            f"{path}: has recordings outside of dataset.archive, such as {away['file'][0]}; set dataset.archive to the "
            "address with which sort_data.py was run"
        )


def split_of_fold(table: pl.DataFrame, fold: int) -> pl.DataFrame:
    """Return the split in which `fold` is val and all other recordings are in train, but for those in test."""
    folded = pl.when(pl.col("fold") == fold).then(pl.lit("val")).otherwise(pl.lit("train"))
    return table.with_columns(split=pl.when(pl.col("split") == "test").then(pl.col("split")).otherwise(folded))
