"""What a test saved of a run, read and checked: all scores, and the primary label of each recording."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Bool, Float

from utils.console import UserError
from utils.scoring.metrics.thresholds import read_thresholds
from utils.tables import read_table

SCORES = {"recording": pl.String(), "class": pl.String(), "score": pl.Float32(), "right": pl.Boolean()}
PRIMARY_LABELS = {"recording": pl.String(), "class": pl.String()}
TEST_FIRST, TEST_AGAIN = "run test.py for this run first", "run test.py for this run again"


@dataclass(frozen=True)
class SavedScores:
    """What the test of a run saved.

    Attributes
    ----------
    scores : table of SCORES, one row per recording and class
    primary : primary label of each recording; '' if it has none
    min_positives : from the settings of the test
    """

    scores: pl.DataFrame
    primary: dict[str, str]
    min_positives: int


def read_scores(folder: Path) -> SavedScores:
    """Read what the test of a run saved.

    Parameters
    ----------
    folder : of the run, such as snapshots/demo

    Raises
    ------
    UserError
        If the run was not tested, or a file is not as a test writes it.
    """
    path = folder / "test" / "scores.parquet"
    scores = read_table(path, SCORES, missing=TEST_FIRST, damaged=TEST_AGAIN)
    _check_scores(path, scores)
    primary = _read_primary(folder / "test" / "predictions.csv", set(scores["recording"]))
    return SavedScores(scores, primary, read_thresholds(folder / "test" / "thresholds.json", ()).min_positives)


def _check_scores(path: Path, scores: pl.DataFrame) -> None:
    """Refuse scores from which no metrics can be computed."""
    pairs = scores["recording"].n_unique() * scores["class"].n_unique()
    faults = {
        "has empty fields": any(column.null_count() for column in scores),
        "a score is NaN or infinite": not scores["score"].is_finite().all(),
        "does not have one score for each recording and class": len(scores) != pairs
        or scores.select("recording", "class").is_duplicated().any(),
    }
    for fault, found in faults.items():
        if found:
            raise UserError(f"{path}: {fault}; {TEST_AGAIN}")


def _read_primary(path: Path, scored: set[str]) -> dict[str, str]:
    """Return the primary label of each recording; each scored recording must be listed, and the last line complete."""
    try:
        content = path.read_bytes()
        table = pl.read_csv(content, columns=list(PRIMARY_LABELS), schema_overrides=PRIMARY_LABELS)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise UserError(f"{path}: cannot be read ({' '.join(str(error).split())}); {TEST_AGAIN}") from None
    primary = dict(table.with_columns(pl.col("class").fill_null("")).iter_rows())
    if not content.endswith(b"\n") or len(primary) != len(table) or not scored <= primary.keys():
        raise UserError(f"{path}: does not have one complete line for each recording of scores.parquet; {TEST_AGAIN}")
    return primary


def score_matrices(
    scores: pl.DataFrame,
) -> tuple[list[str], list[str], Float[np.ndarray, "recordings classes"], Bool[np.ndarray, "recordings classes"]]:
    """Return recordings and classes in the order of their names, the scores, and which classes are correct.

    Parameters
    ----------
    scores : table of SCORES that has each class of each recording once
    """
    table = scores.sort("recording", "class")
    recordings, classes = (table[name].unique().sort().to_list() for name in ("recording", "class"))
    values, truth = (table[name].to_numpy().reshape(len(recordings), len(classes)) for name in ("score", "right"))
    return recordings, classes, values.astype(np.float64), truth
