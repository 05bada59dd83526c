"""What extraction kept, and why the rest was left out."""

from pathlib import Path

import polars as pl

from utils import console


def summarize(recordings: pl.DataFrame, folder: Path, *, seconds: float) -> list[console.Failure]:
    """Print how many clips were kept and rejected, and what could not be read.

    Parameters
    ----------
    recordings : the store's table of recordings, with their files
    seconds : how long the extraction took

    Returns
    -------
    The recordings that could not be used.
    """
    read = recordings.filter(pl.col("reason").is_null())
    kept, noise, rejected = (int(read[name].sum()) for name in ("kept", "noise", "rejected"))
    silent = read.filter(kept=0)
    console.show_table(
        "Spectrograms",
        {
            "recordings": f"{len(read)} of {len(recordings)} read, {console.clock(float(read['seconds'].sum()))} of sound",
            "clips": f"{kept} kept, {rejected} rejected as empty ({noise} of them kept as noise)",
            "without a clip": f"{len(silent)} recordings hold nothing that the signal rule accepts",
            "store": console.shown(folder),
            "time": console.clock(seconds),
            "next": "python train.py, with the same experiment",
        },
    )
    failures = [console.Failure(name, reason) for name, reason in recordings.filter(pl.col("reason").is_not_null()).select("file", "reason").iter_rows()]
    console.report_failures(failures, what=f"recordings (also in {console.shown(folder / 'rejected.csv')})")
    return failures
