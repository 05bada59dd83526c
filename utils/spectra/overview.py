"""What extraction kept of each class, why the rest was left out, and what another threshold would keep."""

from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Int64

from config import Config
from utils import console
from utils.recordings.audit import smallest
from utils.recordings.recording import LONG, NOISE
from utils.spectra.image_files import KEPT
from utils.spectra.score_counts import EDGES, around, kept_at
from utils.spectra.store import Store
from utils.tables import write_csv


def per_class(store: Store) -> pl.DataFrame:
    """Count what was kept and rejected of each class.

    Returns
    -------
    One row a class, those with the fewest clips first: `class`, `recordings`, `kept`, `rejected`, `noise` (rejected
    ones that are in the store), `minutes` (of sound), `unreadable` (recordings), `scores` (how many clips have which
    signal score). Of long recordings the clips that are kept stand with their species, all else in a row of its own.
    """
    unread = pl.col("reason").is_not_null()
    own = store.recordings.group_by("class").agg(
        pl.len().alias("recordings"),
        pl.col("rejected", "noise").sum(),
        (pl.col("seconds").sum() / 60).alias("minutes"),
        unread.sum().alias("unreadable"),
    )
    long = store.recordings.filter(pl.col("class") == "").select("recording")
    kept = store.clips.filter("accepted").group_by("class").agg(pl.len().alias("kept"))
    sung = (
        store.clips.filter("accepted")
        .join(long, on="recording")
        .group_by("class")
        .agg(pl.col("recording").n_unique().alias("heard_in"))
    )
    table = own.join(kept, on="class", how="full", coalesce=True).join(sung, on="class", how="left")
    counts = {str(label): _total(rows) for (label,), rows in store.recordings.group_by("class")}
    nothing = _total(store.recordings.clear())
    return (
        table.with_columns(
            pl.col("recordings").fill_null(0) + pl.col("heard_in").fill_null(0),
            pl.col("kept", "rejected", "noise", "unreadable").fill_null(0),
        )
        .sort("kept", "class")
        .with_columns(
            scores=pl.Series(
                [counts.get(label, nothing).tolist() for label in table.sort("kept", "class")["class"]],
                dtype=pl.List(pl.Int64()),
            )
        )
        .select(
            pl.col("class").replace("", LONG),
            "recordings",
            "kept",
            "rejected",
            "noise",
            "minutes",
            "unreadable",
            "scores",
        )
    )


def _total(recordings: pl.DataFrame) -> Int64[np.ndarray, " bins"]:
    """Add up how many clips have which score."""
    return np.array(recordings["scores"].drop_nulls().to_list(), np.int64).reshape(-1, len(EDGES)).sum(axis=0)


def all_scores(store: Store) -> Int64[np.ndarray, " bins"]:
    """Return how many clips have which score, of all classes on which the signal rule decides."""
    return _total(store.recordings.filter(pl.col("class") != NOISE))


def write_classes(classes: pl.DataFrame, folder: Path) -> None:
    """Write the table of `per_class` as CSV."""
    write_csv(folder / "classes.csv", classes.drop("scores").with_columns(pl.col("minutes").round(2)))


def summarize(
    classes: pl.DataFrame, recordings: pl.DataFrame, store: Store, config: Config, *, seconds: float
) -> list[console.Failure]:
    """Print what was kept and rejected of each class and in all, and what could not be read.

    Parameters
    ----------
    classes : as `per_class` counts them
    recordings : the store's table of recordings, with their files
    seconds : how long the extraction took

    Returns
    -------
    The recordings that could not be used.
    """
    show_classes(classes, store.folder)
    folder = store.folder
    read = recordings.filter(pl.col("reason").is_null())
    kept, noise, rejected = (int(read[name].sum()) for name in ("kept", "noise", "rejected"))
    silent = read.filter(kept=0)
    console.show_table(
        "Spectrograms",
        {
            "recordings": f"{len(read)} of {len(recordings)} read, {console.clock(float(read['seconds'].sum()))} of sound",
            "clips": f"{kept} kept, {rejected} rejected as empty ({noise} of them kept as noise)",
            "threshold": preview(all_scores(store), config.clips.signal_threshold),
            "without a clip": f"{len(silent)} recordings hold nothing that the signal rule accepts",
            "store": console.shown(folder),
            "overview": console.shown(folder / "overview.html"),
            **({"pictures": console.shown(folder / KEPT)} if config.spectrogram.pictures else {}),
            "time": console.clock(seconds),
            "next": "python train.py, with the same experiment",
        },
    )
    failures = [
        console.Failure(name, reason)
        for name, reason in recordings.filter(pl.col("reason").is_not_null()).select("file", "reason").iter_rows()
    ]
    console.report_failures(failures, what=f"recordings (also in {console.shown(folder / 'rejected.csv')})")
    console.report_failures(warned(recordings), what="recordings", done="read, with a warning")
    return failures


def warned(recordings: pl.DataFrame) -> list[console.Failure]:
    """Return the recordings whose files are odd, as the store's table with their files names them, and what is odd."""
    rows = recordings.filter(pl.col("warning").is_not_null()).select("file", "warning")
    return [console.Failure(file, warning) for file, warning in rows.iter_rows()]


def show_classes(classes: pl.DataFrame, folder: Path) -> None:
    """Print the table of `per_class`; of many classes only those with the fewest clips."""
    shown = smallest(classes)
    file = console.shown(folder / "classes.csv")
    title = (
        "Classes"
        if len(shown) == len(classes)
        else f"The {len(shown)} of {len(classes)} classes with the fewest clips (all in {file})"
    )
    headings = ["class", "recordings", "kept", "rejected", "minutes", "unreadable"]
    rows = [
        [
            row["class"],
            *(str(row[name]) for name in headings[1:4]),
            "–" if row["minutes"] is None else f"{row['minutes']:.1f}",
            str(row["unreadable"]),
        ]
        for row in shown.iter_rows(named=True)
    ]
    console.show_grid(title, headings, rows)


def preview(counts: Int64[np.ndarray, " bins"], threshold: float) -> str:
    """Say which share of the clips this threshold keeps, and which lower and higher ones would, before any limit."""
    total = int(counts.sum())
    if total == 0:
        return f"{threshold:g}"
    said = []
    for other in around(threshold):
        share = f"{'' if other in EDGES else 'about '}{kept_at(counts, other) / total:.0%}"
        said.append(f"{other:g} keeps {share} (now)" if other == threshold else f"{other:g} would keep {share}")
    return ", ".join(said)
