"""Results of extraction: kept and rejected clips per class, failures, and what other thresholds would keep."""

from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Int64

from config import Config
from utils import console
from utils.recordings.audit import smallest_classes
from utils.recordings.recording import LONG_RECORDINGS, NOISE
from utils.spectra.image_files import IMAGES_FOLDER
from utils.spectra.score_counts import EDGES, clips_kept_at, thresholds_around
from utils.spectra.store import Store
from utils.tables import write_csv


def clips_per_class(store: Store) -> pl.DataFrame:
    """Count kept and rejected clips per class.

    Returns
    -------
    One row per class, those with the fewest clips first: `class`, `recordings`, `kept` (accepted clips in the store),
    `rejected`, `noise` (rejected clips in the store), `minutes` of sound, `unreadable` recordings, `scores` (histogram
    of signal scores). Accepted clips of long recordings count for their species; all else of long recordings is in a
    separate row.
    """
    unread = pl.col("reason").is_not_null()
    totals = store.recordings.group_by("class").agg(
        pl.len().alias("recordings"),
        pl.col("rejected", "noise").sum(),
        (pl.col("seconds").sum() / 60).alias("minutes"),
        unread.sum().alias("unreadable"),
    )
    long = store.recordings.filter(pl.col("class") == "").select("recording")
    accepted = store.clips.filter("accepted")
    kept = accepted.group_by("class").agg(pl.len().alias("kept"))
    in_long = accepted.join(long, on="recording").group_by("class").agg(pl.col("recording").n_unique().alias("in_long"))
    table = totals.join(kept, on="class", how="full", coalesce=True).join(in_long, on="class", how="left")
    table = table.with_columns(
        pl.col("recordings").fill_null(0) + pl.col("in_long").fill_null(0),
        pl.col("kept", "rejected", "noise", "unreadable").fill_null(0),
    ).sort("kept", "class")
    counts = {str(label): _total_scores(rows) for (label,), rows in store.recordings.group_by("class")}
    nothing = _total_scores(store.recordings.clear())
    scores = [counts.get(label, nothing).tolist() for label in table["class"]]
    return table.select(
        pl.col("class").replace("", LONG_RECORDINGS),
        *("recordings", "kept", "rejected", "noise", "minutes", "unreadable"),
        pl.Series("scores", scores, dtype=pl.List(pl.Int64())),
    )


def _total_scores(recordings: pl.DataFrame) -> Int64[np.ndarray, " bins"]:
    """Add the histograms of signal scores of all recordings."""
    return np.array(recordings["scores"].drop_nulls().to_list(), np.int64).reshape(-1, len(EDGES)).sum(axis=0)


def all_scores(store: Store) -> Int64[np.ndarray, " bins"]:
    """Return the histogram of signal scores of all clips that the signal rule applies to."""
    return _total_scores(store.recordings.filter(pl.col("class") != NOISE))


def write_classes(classes: pl.DataFrame, folder: Path) -> None:
    """Write the table of `clips_per_class` as CSV."""
    write_csv(folder / "classes.csv", classes.drop("scores").with_columns(pl.col("minutes").round(2)))


def summarize_extraction(
    classes: pl.DataFrame, recordings: pl.DataFrame, store: Store, config: Config, *, seconds: float
) -> list[console.Failure]:
    """Print a summary of the extraction, and the recordings that could not be read.

    Parameters
    ----------
    classes : the table of `clips_per_class`
    recordings : the store's table of recordings, with their files
    seconds : duration of the extraction

    Returns
    -------
    The recordings that could not be used.
    """
    show_clips_per_class(classes, store.folder)
    folder = store.folder
    read = recordings.filter(pl.col("reason").is_null())
    silent, sound = read.filter(kept=0), console.clock(float(read["seconds"].sum()))
    console.show_table(
        "Spectrograms",
        {
            "recordings": f"{len(read)} of {len(recordings)} read, {sound} of sound",
            "clips": f"{int(read['kept'].sum()):,} kept",
            "rejected": rejected_text(read),
            "threshold": threshold_preview(all_scores(store), config.clips.signal_threshold),
            "without a clip": f"{len(silent)} recordings have no clip that reaches the threshold",
            "store": console.printable(store.address),
            "overview": console.printable(folder / "overview.html"),
            **({"images": console.printable(folder / IMAGES_FOLDER)} if config.spectrogram.images else {}),
            "time": console.clock(seconds),
            "next": "python train.py, with the same experiment",
        },
    )
    failures = [
        console.Failure(name, reason)
        for name, reason in recordings.filter(pl.col("reason").is_not_null()).select("file", "reason").iter_rows()
    ]
    console.report_failures(failures, what=f"recordings (also in {console.printable(folder / 'rejected.csv')})")
    console.report_failures(recordings_with_warnings(recordings), what="recordings", done="read, with a warning")
    return failures


def rejected_text(recordings: pl.DataFrame) -> str:
    """Return how many clips were rejected, those between annotated events apart where the store tells them.

    Parameters
    ----------
    recordings : those rows of the store's table that could be read
    """
    noise, rejected, between = (int(recordings[name].sum()) for name in ("noise", "rejected", "without_event"))
    without = f", {between:,} without an annotated event" if between else ""
    return f"{rejected - between:,} as empty{without} ({noise:,} of these saved as noise)"


def recordings_with_warnings(recordings: pl.DataFrame) -> list[console.Failure]:
    """Return the files of recordings that were read with a warning, and the warnings.

    Parameters
    ----------
    recordings : the store's table of recordings, with their files
    """
    rows = recordings.filter(pl.col("warning").is_not_null()).select("file", "warning")
    return [console.Failure(file, warning) for file, warning in rows.iter_rows()]


def show_clips_per_class(classes: pl.DataFrame, folder: Path) -> None:
    """Print the table of `clips_per_class`; of many classes only those with the fewest clips."""
    shown = smallest_classes(classes)
    file = console.printable(folder / "classes.csv")
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


def threshold_preview(counts: Int64[np.ndarray, " bins"], threshold: float) -> str:
    """Return a text: the percentage of clips that this threshold keeps, and that a lower and a higher one would keep.

    The limit `clips.max_per_class` is not considered.
    """
    total = int(counts.sum())
    if total == 0:
        return f"{threshold:g}"
    parts = []
    for other in thresholds_around(threshold):
        share = f"{'' if other in EDGES else 'about '}{clips_kept_at(counts, other) / total:.0%}"
        parts.append(f"{other:g} keeps {share} (now)" if other == threshold else f"{other:g} would keep {share}")
    return ", ".join(parts)
