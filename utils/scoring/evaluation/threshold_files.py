"""The files of a search for thresholds: the thresholds themselves, a table of how good others are, and its plot."""

from pathlib import Path

import polars as pl

from utils.scoring.evaluation.plots import draw_threshold_search
from utils.scoring.metrics.thresholds import Thresholds, write_thresholds
from utils.tables import write_csv

ENDINGS = (".csv", ".png", ".json")  # the last one is what a submission reads


def write_threshold_search(stem: Path, thresholds: Thresholds, table: pl.DataFrame, *, title: str) -> None:
    """Write `<stem>.csv`, `<stem>.png` and `<stem>.json`, each whole or not at all.

    `submission.thresholds` takes the last one.

    Parameters
    ----------
    stem : folder and name of the files, without ending; dots in it stay
    thresholds : with the fingerprint of the scores on which they were found
    table : from `threshold_table`, of the same scores; without rows there is no plot, and an earlier one is removed
    title : of the plot
    """
    csv, png, json = _paths(stem)
    write_csv(csv, table)
    if table.is_empty():
        png.unlink(missing_ok=True)
    else:
        draw_threshold_search(png, table, thresholds, title=title)
    write_thresholds(json, thresholds)


def remove_threshold_search(stem: Path) -> None:
    """Remove the files of an earlier search."""
    for path in _paths(stem):
        path.unlink(missing_ok=True)


def _paths(stem: Path) -> list[Path]:
    return [stem.with_name(f"{stem.name}{ending}") for ending in ENDINGS]
