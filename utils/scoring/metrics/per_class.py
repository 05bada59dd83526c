"""On which birds it is good: one row a class."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int64

from utils.scoring.metrics.detections import confusion
from utils.scoring.metrics.ranking import auroc, average_precision, judged_firsts
from utils.scoring.metrics.thresholds import curve_of

SCHEMA = {
    "class": pl.String,
    "recordings": pl.Int64,
    "clips": pl.Int64,
    "ap": pl.Float64,
    "auroc": pl.Float64,
    "f1": pl.Float64,
    "threshold": pl.Float64,
    "confused_with": pl.String,
    "confused": pl.Int64,
}


def per_class_table(
    scores: Float[np.ndarray, "rows classes"],
    truth: Bool[np.ndarray, "rows classes"],
    classes: Sequence[str],
    *,
    primary: Int64[np.ndarray, " rows"],
    clips: Int64[np.ndarray, " rows"],
) -> pl.DataFrame:
    """Return one row a class, in the order of `classes`; what a class has no figure for is null.

    - recordings, clips: how many it is right for
    - ap, auroc: of its scores, as in `metrics`
    - f1, threshold: the best F1 that calling it from a threshold on could have on these very rows, and the highest such
    threshold - confused_with, confused: the wrong answer that most often stands first where the class is the primary
    one, and how often;
      of equals the first in the order of the classes. A first answer that is right in the background is not wrong; one
      that scores as much as the primary class stands before it.

    Parameters
    ----------
    primary : number of each row's own class; −1 where it was not trained
    clips : how many clips were heard of each row

    Raises
    ------
    ValueError
        If a score is no number, or shapes differ.
    """
    ap, area = average_precision(scores, truth), auroc(scores, truth)
    firsts = judged_firsts(scores, truth, primary)
    wrong = np.flatnonzero(~truth[np.arange(len(truth)), firsts])
    mistakes = confusion(firsts[wrong], primary[wrong], classes=len(classes))
    rows = []
    for number, label in enumerate(classes):
        f1, threshold = _best_f1(scores[:, number], truth[:, number])
        other = int(mistakes[number].argmax())
        often = int(mistakes[number, other])
        heard = truth[:, number]
        sizes = int(heard.sum()), int(clips[heard].sum())
        rows.append(
            (
                label,
                *sizes,
                _number(ap[number]),
                _number(area[number]),
                f1,
                threshold,
                classes[other] if often else None,
                often,
            )
        )
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def _best_f1(scores: Float[np.ndarray, " rows"], right: Bool[np.ndarray, " rows"]) -> tuple[float | None, float | None]:
    if not right.any():
        return None, None
    curve = curve_of(scores, right)
    point = curve.best(precision=None)
    return (0.0, None) if point is None else (float(curve.f1[point]), float(curve.thresholds[point]))


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
