"""The files of a search for thresholds: the thresholds themselves, a table of how good others are, and its plot."""

from pathlib import Path

import polars as pl

from utils.scoring.evaluation.plots import draw_threshold_search
from utils.scoring.metrics.thresholds import Thresholds, write_thresholds
from utils.tables import write_csv


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
    write_threshold_table(stem, thresholds, table, title=title)
    write_thresholds(_path(stem, ".json"), thresholds)


def write_threshold_table(stem: Path, thresholds: Thresholds, table: pl.DataFrame, *, title: str) -> None:
    """Write `<stem>.csv` and `<stem>.png` alone, without thresholds for a submission.

    Parameters are those of `write_threshold_search`.
    """
    write_csv(_path(stem, ".csv"), table)
    if table.is_empty():
        _path(stem, ".png").unlink(missing_ok=True)
    else:
        draw_threshold_search(_path(stem, ".png"), table, thresholds, title=title)


def _path(stem: Path, ending: str) -> Path:
    return stem.with_name(f"{stem.name}{ending}")
