"""Metrics per class: which species a model recognises, and which it confuses."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int64

from utils.scoring.metrics.detection_metrics import confusion
from utils.scoring.metrics.ranking import auroc, average_precision, top1_ties_as_errors
from utils.scoring.metrics.thresholds import curve_of

PER_CLASS_SCHEMA = {
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
    """Return one row per class, in the order of `classes`; a metric that is not defined for a class is null.

    - recordings, clips: in how many the class is correct
    - ap, auroc: average precision and area under the ROC curve, as in `ranking.py`
    - f1, threshold: the best F1 that one threshold could reach on these very rows, and the highest such threshold
    - confused_with, confused: the wrong class that is most often on top where this class is the primary one, and how
      often. Of equally frequent ones, the first in the order of the classes. A top prediction that is correct in the
      background is not wrong; of equal scores, a wrong class comes before the primary one.

    Parameters
    ----------
    primary : index of each row's primary class; −1 if the model does not know it
    clips : number of clips of each row

    Raises
    ------
    ValueError
        If a score is not finite, or shapes differ.
    """
    ap, area = average_precision(scores, truth), auroc(scores, truth)
    top1 = top1_ties_as_errors(scores, truth, primary)
    wrong = np.flatnonzero(~truth[np.arange(len(truth)), top1])
    mistakes = confusion(top1[wrong], primary[wrong], classes=len(classes))
    rows = []
    for index, label in enumerate(classes):
        correct = truth[:, index]
        f1, threshold = _best_f1(scores[:, index], correct)
        other = int(mistakes[index].argmax())
        often = int(mistakes[index, other])
        rows.append(
            (
                label,
                int(correct.sum()),
                int(clips[correct].sum()),
                _none_if_nan(ap[index]),
                _none_if_nan(area[index]),
                f1,
                threshold,
                classes[other] if often else None,
                often,
            )
        )
    return pl.DataFrame(rows, schema=PER_CLASS_SCHEMA, orient="row")


def _best_f1(
    scores: Float[np.ndarray, " rows"], correct: Bool[np.ndarray, " rows"]
) -> tuple[float | None, float | None]:
    if not correct.any():
        return None, None
    curve = curve_of(scores, correct)
    point = curve.best(precision=None)
    return (0.0, None) if point is None else (float(curve.f1[point]), float(curve.thresholds[point]))


def _none_if_nan(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
