"""Audit of a split: how much of each class is in train, val and test, and whether anything is in two of them."""

from collections.abc import Sequence

import polars as pl

from config import Dataset
from utils import console
from utils.recordings.grouping import (
    Grouping,
    block_of,
    count_dense_blocks,
    group_keys,
    group_recordings,
    grouping_of,
)
from utils.recordings.recording import SPLITS, Recording

MAX_SHOWN_CLASSES = 60  # of more classes, only the smallest are shown
SHOWN_CLASSES = 20  # that many
GROUP_NAMES: dict[Grouping, str] = {"author": "recordists", "site": "sites", "day": "days at a site"}


def class_counts(table: pl.DataFrame, seconds: Sequence[float | None]) -> pl.DataFrame:
    """Count the recordings and minutes of each class in each split.

    Parameters
    ----------
    table : of split.parquet
    seconds : length of each of its recordings; None if not known

    Returns
    -------
    One row per class, the smallest in train first: `class`, and for each split `<split>_recordings` (for long
    recordings, the number of annotations) and `<split>_minutes` (null if no length is known).
    """
    timed = table.with_columns(seconds=pl.Series(list(seconds), dtype=pl.Float64))
    whole = timed.filter(pl.col("class") != "").select("class", "split", "seconds")
    event = pl.col("events").struct
    events = timed.filter(pl.col("class") == "").explode("events").drop_nulls("events")
    annotated = events.select(
        event.field("species").alias("class"), "split", (event.field("end") - event.field("start")).alias("seconds")
    )
    samples = pl.concat([whole, annotated])
    counts = [(pl.col("split") == split).sum().alias(f"{split}_recordings") for split in SPLITS]
    known = pl.col("seconds").is_not_null().any()
    minutes = [
        pl.when(known).then(pl.col("seconds").filter(pl.col("split") == split).sum() / 60).alias(f"{split}_minutes")
        for split in SPLITS
    ]
    return samples.group_by("class").agg(*counts, *minutes).sort("train_recordings", "class")


def shared_groups(table: pl.DataFrame) -> list[str]:
    """Return the groups in more than one split or fold: those that leak."""
    part = pl.struct("split", "fold") if table["fold"].is_not_null().any() else pl.col("split")
    return (
        table.group_by("group")
        .agg(part.n_unique().alias("parts"))
        .filter(pl.col("parts") > 1)["group"]
        .sort()
        .to_list()
    )


def shared_keys(
    recordings: Sequence[Recording], table: pl.DataFrame, settings: Dataset
) -> dict[Grouping, tuple[int, int]]:
    """Count the recordists, sites and days in more than one split, whatever the split kept together.

    Returns
    -------
    For each grouping that is known for any recording: how many groups are in more than one split, and how many exist.
    """
    split = dict(table.select("recording", "split").iter_rows())
    counts = {}
    for by in GROUP_NAMES:
        known = [recording for recording in recordings if group_keys(recording, settings, by)]
        groups = group_recordings(known, settings, by)
        splits: dict[int, set[str]] = {}
        for recording, group_index in zip(known, groups.index.tolist(), strict=True):
            splits.setdefault(group_index, set()).add(split[recording.name])
        if known:
            counts[by] = (sum(len(splits_of_key) > 1 for splits_of_key in splits.values()), len(splits))
    return counts


def count_with_keys(recordings: Sequence[Recording], settings: Dataset, by: Grouping) -> int:
    """Count the recordings for which the key of a grouping is known, such as the author."""
    return sum(
        bool(block_of(recording, settings) if by == "block" else group_keys(recording, settings, by))
        for recording in recordings
    )


def missing_keys_message(recordings: Sequence[Recording], settings: Dataset) -> str:
    """Return how many recordings lack the key by which `dataset.split` groups them; '' if none does."""
    by = grouping_of(settings)
    missing = 0 if by == "recording" else len(recordings) - count_with_keys(recordings, settings, by)
    if not missing:
        return ""
    what = "place" if by == "block" else by
    lacking = f"{missing:,} of {len(recordings):,} recordings have no {what}"
    return f"{lacking}: each is treated as its own group, so its {what} may also be in another split"


def audit_rows(recordings: Sequence[Recording], table: pl.DataFrame, settings: Dataset) -> dict[str, str]:
    """Return the audit of leaks as rows of a table: for each grouping, the number of groups in more than one split."""
    rows = {"groups in two splits": f"{len(shared_groups(table)):,} of {table['group'].n_unique():,}"}
    if grouping_of(settings) == "block":
        dense, count = count_dense_blocks(recordings, settings)
        rows["blocks"] = f"{dense:,} of {count:,} have dataset.block_recordings recordings and stay together"
    if unknown := missing_keys_message(recordings, settings):
        rows["without a group"] = unknown
    leaking = []
    for by, (shared, count) in shared_keys(recordings, table, settings).items():
        known = count_with_keys(recordings, settings, by)
        part = "" if known == len(recordings) else f", known for {known:,} of {len(recordings):,} recordings"
        rows[f"{GROUP_NAMES[by]} in two splits"] = f"{shared:,} of {count:,}{part}"
        leaking += [by] if shared else []
    if leaking and grouping_of(settings) != "block":
        rows["to avoid this"] = f"dataset.split = grouped, dataset.group_by = {' or '.join(leaking)}"
    return rows


def smallest_classes(classes: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of a table of classes (the smallest first) to print: if there are many, only the smallest."""
    return classes if len(classes) <= MAX_SHOWN_CLASSES else classes.head(SHOWN_CLASSES)


def show_class_counts(classes: pl.DataFrame, *, whole: bool) -> None:
    """Print the recordings and minutes of each class; of many classes only the smallest, unless `whole`."""
    shown = classes if whole else smallest_classes(classes)
    splits = [split for split in SPLITS if classes[f"{split}_recordings"].sum()]
    title = "Classes" if len(shown) == len(classes) else f"The {len(shown)} smallest of {len(classes)} classes"
    rows = [
        [row["class"], *(_count_and_minutes(row[f"{split}_recordings"], row[f"{split}_minutes"]) for split in splits)]
        for row in shown.iter_rows(named=True)
    ]
    console.show_grid(title, ["class", *splits], rows)


def _count_and_minutes(count: int, minutes: float | None) -> str:
    if count == 0:
        return "–"
    return str(count) if minutes is None else f"{count} · {minutes:.1f} min"
