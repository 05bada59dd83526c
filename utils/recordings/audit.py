"""What a split is like: how much of each class stands on each side, and whether anything stands on two."""

from collections.abc import Sequence

import polars as pl

from config import Dataset
from utils import console
from utils.recordings.grouping import Grouping, block_of, group, kept_together, keys_of
from utils.recordings.recording import SIDES, Recording

ALL_CLASSES = 60  # a split of more classes is shown by its smallest
SMALLEST = 20  # of them
GROUPINGS: dict[Grouping, str] = {"author": "recordists", "site": "sites", "day": "days at a site"}


def per_class(table: pl.DataFrame, seconds: Sequence[float | None]) -> pl.DataFrame:
    """Count what each class has on each side.

    Parameters
    ----------
    table : the split
    seconds : length of each of its recordings; None where not known

    Returns
    -------
    One row a class, the smallest in train first: `class`, and for every side the number of `<side>_recordings` (of long
    recordings, their annotations) and of `<side>_minutes` (null where no length is known).
    """
    timed = table.with_columns(seconds=pl.Series(list(seconds), dtype=pl.Float64))
    whole = timed.filter(pl.col("class") != "").select("class", "side", "seconds")
    event = pl.col("events").struct
    events = timed.filter(pl.col("class") == "").explode("events").drop_nulls("events")
    sung = events.select(
        event.field("species").alias("class"), "side", (event.field("end") - event.field("start")).alias("seconds")
    )
    samples = pl.concat([whole, sung])
    counts = [(pl.col("side") == side).sum().alias(f"{side}_recordings") for side in SIDES]
    known = pl.col("seconds").is_not_null().any()
    minutes = [
        pl.when(known).then(pl.col("seconds").filter(pl.col("side") == side).sum() / 60).alias(f"{side}_minutes")
        for side in SIDES
    ]
    return samples.group_by("class").agg(*counts, *minutes).sort("train_recordings", "class")


def shared_groups(table: pl.DataFrame) -> list[str]:
    """Return the groups that stand on two sides, or in two folds: those that leak."""
    stands = pl.struct("side", "fold") if table["fold"].is_not_null().any() else pl.col("side")
    return (
        table.group_by("group")
        .agg(stands.n_unique().alias("places"))
        .filter(pl.col("places") > 1)["group"]
        .sort()
        .to_list()
    )


def shared_keys(
    recordings: Sequence[Recording], table: pl.DataFrame, settings: Dataset
) -> dict[Grouping, tuple[int, int]]:
    """Count the recordists, sites and days that are heard on two sides, whatever the split kept together.

    Returns
    -------
    For each grouping that is known of any recording: how many of its groups are on two sides, and how many there are.
    """
    side = dict(table.select("recording", "side").iter_rows())
    counts = {}
    for by in GROUPINGS:
        known = [recording for recording in recordings if keys_of(recording, settings, by)]
        groups = group(known, settings, by)
        sides: dict[int, set[str]] = {}
        for recording, number in zip(known, groups.of.tolist(), strict=True):
            sides.setdefault(number, set()).add(side[recording.name])
        if known:
            counts[by] = (sum(len(own) > 1 for own in sides.values()), len(sides))
    return counts


def known_keys(recordings: Sequence[Recording], settings: Dataset, by: Grouping) -> int:
    """Count the recordings of which it is known by what they would be grouped; nobody can tell where the others belong."""
    return sum(
        bool(block_of(recording, settings) if by == "block" else keys_of(recording, settings, by))
        for recording in recordings
    )


def unknown_groups(recordings: Sequence[Recording], settings: Dataset) -> str:
    """Say of how many recordings it is not known by what `dataset.split` keeps them together; '' where it is of all."""
    by = kept_together(settings)
    missing = 0 if by == "recording" else len(recordings) - known_keys(recordings, settings, by)
    if not missing:
        return ""
    what = "place" if by == "block" else by
    return f"of {missing:,} of {len(recordings):,} recordings no {what} is known: each is a group of its own, and may share its {what} with another side"


def audit_rows(recordings: Sequence[Recording], table: pl.DataFrame, settings: Dataset) -> dict[str, str]:
    """Return what an audit says of leaks as rows of a summary; of each grouping with how many recordings it is known of, where that is not all."""
    rows = {"groups on two sides": f"{len(shared_groups(table)):,} of {table['group'].n_unique():,}"}
    if unknown := unknown_groups(recordings, settings):
        rows["groups of their own"] = unknown
    leaking = []
    for by, (shared, count) in shared_keys(recordings, table, settings).items():
        known = known_keys(recordings, settings, by)
        part = "" if known == len(recordings) else f", known of {known:,} of {len(recordings):,} recordings"
        rows[f"{GROUPINGS[by]} on two sides"] = f"{shared:,} of {count:,}{part}"
        leaking += [by] if shared else []
    if leaking:
        rows["to keep them together"] = f"dataset.split = grouped, dataset.group_by = {' or '.join(leaking)}"
    return rows


def smallest(classes: pl.DataFrame) -> pl.DataFrame:
    """Return what of a table of classes, the smallest first, is printed: all of it, or of many classes only the smallest."""
    return classes if len(classes) <= ALL_CLASSES else classes.head(SMALLEST)


def show_classes(classes: pl.DataFrame, *, whole: bool) -> None:
    """Print what each class has on each side; of many classes, unless `whole`, only the smallest."""
    shown = classes if whole else smallest(classes)
    sides = [side for side in SIDES if classes[f"{side}_recordings"].sum()]
    title = "Classes" if len(shown) == len(classes) else f"The {len(shown)} smallest of {len(classes)} classes"
    rows = [
        [row["class"], *(_cell(row[f"{side}_recordings"], row[f"{side}_minutes"]) for side in sides)]
        for row in shown.iter_rows(named=True)
    ]
    console.show_grid(title, ["class", *sides], rows)


def _cell(count: int, minutes: float | None) -> str:
    if count == 0:
        return "–"
    return str(count) if minutes is None else f"{count} · {minutes:.1f} min"
