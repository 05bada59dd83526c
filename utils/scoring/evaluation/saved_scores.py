"""What a test kept of a run's answers, read back and checked: all scores, and the own class of each recording."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Bool, Float

from utils.console import UserError
from utils.scoring.metrics.thresholds import read_thresholds
from utils.tables import read_table

SCORES = {"recording": pl.String(), "class": pl.String(), "score": pl.Float32(), "right": pl.Boolean()}
OWN = {"recording": pl.String(), "class": pl.String()}
ADVICE = {"missing": "run test.py for this run first", "damaged": "run test.py for this run again"}


@dataclass(frozen=True)
class Kept:
    """What the test of a run kept.

    Attributes
    ----------
    scores : table of SCORES, one row a recording and class
    own : each recording's own class; '' where it has none
    min_positives : of the test's settings
    """

    scores: pl.DataFrame
    own: dict[str, str]
    min_positives: int


def read_answers(folder: Path) -> Kept:
    """Read what the test of a run kept.

    Parameters
    ----------
    folder : of the run, such as snapshots/demo

    Raises
    ------
    UserError
        If the run was not tested, or a file is not what a test writes.
    """
    path = folder / "test" / "scores.parquet"
    scores = read_table(path, SCORES, missing=ADVICE["missing"], damaged=ADVICE["damaged"])
    _check(path, scores)
    own = _read_own(folder / "test" / "predictions.csv", set(scores["recording"]))
    return Kept(scores, own, read_thresholds(folder / "test" / "thresholds.json", ()).min_positives)


def _check(path: Path, scores: pl.DataFrame) -> None:
    """Refuse scores that cannot be judged."""
    pairs = scores["recording"].n_unique() * scores["class"].n_unique()
    faults = {
        "has empty fields": any(column.null_count() for column in scores),
        "a score is no number": not scores["score"].is_finite().all(),
        "does not hold one score for each recording and class": len(scores) != pairs
        or scores.select("recording", "class").is_duplicated().any(),
    }
    for fault, found in faults.items():
        if found:
            raise UserError(f"{path}: {fault}; {ADVICE['damaged']}")


def _read_own(path: Path, scored: set[str]) -> dict[str, str]:
    """Return each recording's own class; every recording that has scores must be there, and the last line whole."""
    try:
        content = path.read_bytes()
        table = pl.read_csv(content, columns=list(OWN), schema_overrides=OWN)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise UserError(f"{path}: cannot be read ({' '.join(str(error).split())}); {ADVICE['damaged']}") from None
    own = dict(table.with_columns(pl.col("class").fill_null("")).iter_rows())
    if not content.endswith(b"\n") or len(own) != len(table) or not scored <= own.keys():
        raise UserError(
            f"{path}: does not hold one whole line for each recording of scores.parquet; {ADVICE['damaged']}"
        )
    return own


def matrices(
    scores: pl.DataFrame,
) -> tuple[list[str], list[str], Float[np.ndarray, "recordings classes"], Bool[np.ndarray, "recordings classes"]]:
    """Return recordings and classes in the order of their names, the scores, and which classes are right.

    Parameters
    ----------
    scores : table of SCORES that holds each class of each recording once
    """
    table = scores.sort("recording", "class")
    recordings, classes = (table[name].unique().sort().to_list() for name in ("recording", "class"))
    values, right = (table[name].to_numpy().reshape(len(recordings), len(classes)) for name in ("score", "right"))
    return recordings, classes, values.astype(np.float64), right
