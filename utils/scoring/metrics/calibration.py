"""Calibration: one map from score to probability for all classes; of the predictions with 0.8, 80% are then correct.

The map is saved as numbers in JSON and applied with NumPy; scikit-learn only fits it.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt, Le, MinLen
from jaxtyping import Bool, Float, Int64, Shaped
from pydantic import AllowInfNan, TypeAdapter
from scipy.special import expit, logit

from utils.console import UserError
from utils.files import write_json
from utils.scoring.metrics.ranking import top1_classes
from utils.scoring.metrics.units import Unit
from utils.tables import RUN_TEST_AGAIN, read_json

CalibrationMethod = Literal["platt", "isotonic"]
SCORE_MARGIN = 1e-6  # scores are clipped this far from 0 and 1, whose logits are infinite
# pairs are counted at logits this far apart before the fit: no probability moves by more than an eighth of it, and
# millions of pairs take a second
LOGIT_STEP = 0.001
PAIRS_AT_ONCE = 2**22  # that are computed in float64 at a time
BINS = 10
Finite = Annotated[float, AllowInfNan(False)]
Probability = Annotated[float, Ge(0), Le(1)]
Seconds = Annotated[float, Gt(0), AllowInfNan(False)] | None


@dataclass(frozen=True)
class Platt:
    """p = 1 / (1 + exp(−(slope · logit(score) + intercept)))."""

    slope: Finite
    intercept: Finite
    made_from: str
    method: Literal["platt"] = "platt"
    # of the networks and settings whose scores it was fitted to; None if not known
    fingerprint: str | None = None
    unit: Unit | None = None  # what a row is that it was fitted to; None if not known, as in files of earlier versions
    interval: Seconds = None  # length of these rows, seconds, if the unit is the interval

    def apply(self, scores: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Return the probability for each score; NaN stays NaN."""
        return expit(self.slope * _clipped_logits(scores) + self.intercept)


@dataclass(frozen=True)
class Isotonic:
    """A non-decreasing piecewise linear function through the points (x, y); flat beyond its ends."""

    x: Annotated[tuple[Finite, ...], MinLen(1)]
    y: Annotated[tuple[Probability, ...], MinLen(1)]
    made_from: str
    method: Literal["isotonic"] = "isotonic"
    # as in Platt
    fingerprint: str | None = None
    unit: Unit | None = None
    interval: Seconds = None

    def apply(self, scores: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Return the probability for each score; NaN stays NaN."""
        return np.interp(scores, self.x, self.y)


Calibration = Platt | Isotonic
_CALIBRATION_FILE: TypeAdapter[Calibration] = TypeAdapter(Calibration)


@dataclass(frozen=True)
class Reliability:
    """How often predictions of a given score are correct, in bins of equal width from 0 to 1; NaN in empty bins.

    Attributes
    ----------
    counts : number of predictions in each bin
    scores : their mean score
    correct : share of them that is correct
    """

    counts: Int64[np.ndarray, " bins"]
    scores: Float[np.ndarray, " bins"]
    correct: Float[np.ndarray, " bins"]

    @property
    def expected_error(self) -> float | None:
        """Expected calibration error; None without predictions.

            ECE = Σ over bins  n / N · |mean score − share correct|

        Source: Naeini et al., Obtaining well calibrated probabilities using Bayesian binning, 2015; Guo et al.,
        arXiv:1706.04599.
        """
        total = int(self.counts.sum())
        return float(np.nansum(self.counts * np.abs(self.scores - self.correct)) / total) if total else None


def fit(
    scores: Float[np.ndarray, "*shape"],
    correct: Bool[np.ndarray, "*shape"],
    *,
    method: CalibrationMethod,
    made_from: str,
) -> Calibration:
    """Fit the map from score to probability to all pairs of a row and a class.

        platt: logistic regression of `correct` on logit(score);  isotonic: the non-decreasing function of least squares

    Platt's map has two parameters and works with little data; the isotonic one can take any non-decreasing shape, and
    needs some hundred correct predictions.

    Parameters
    ----------
    scores : 0 to 1
    correct : which pairs are true
    made_from : the run, and what it was tested on

    Raises
    ------
    ValueError
        If a score is not between 0 and 1, shapes differ, or all pairs are correct or none is.

    Source: Platt, Probabilistic outputs for support vector machines, 1999; Zadrozny and Elkan, Transforming classifier
    scores, 2002; scikit-learn's LogisticRegression (its default penalty keeps the slope finite where scores separate
    perfectly) and IsotonicRegression.
    """
    from sklearn.isotonic import IsotonicRegression  # slow to import, and not needed to apply a calibration
    from sklearn.linear_model import LogisticRegression

    _check_probabilities(scores, correct)
    if correct.all() or not correct.any():
        raise ValueError("scores cannot be calibrated if all predictions are correct, or none is")
    logits, wrong_counts, correct_counts = _counts_by_logit(scores, correct)
    if method == "platt":
        twice, targets, counts = (
            np.tile(logits, 2)[:, None],
            np.repeat([0, 1], len(logits)),
            np.concatenate([wrong_counts, correct_counts]),
        )
        used = counts > 0
        model = LogisticRegression(solver="newton-cholesky", tol=1e-8).fit(twice[used], targets[used], counts[used])
        return Platt(float(model.coef_[0, 0]), float(model.intercept_[0]), made_from)
    counts = wrong_counts + correct_counts
    steps = IsotonicRegression(y_min=0, y_max=1).fit(expit(logits), correct_counts / counts, counts)
    return Isotonic(tuple(map(float, steps.X_thresholds_)), tuple(map(float, steps.y_thresholds_)), made_from)


def cross_fitted(
    scores: Float[np.ndarray, "rows classes"],
    truth: Bool[np.ndarray, "rows classes"],
    folds: Int64[np.ndarray, " rows"],
    *,
    method: CalibrationMethod,
) -> Float[np.ndarray, "rows classes"]:
    """Calibrate each row with a map that was fitted to the other folds, so that a diagram is not optimistic.

    Parameters
    ----------
    folds : index of each row's fold, from `thresholds.folds_of`

    Raises
    ------
    ValueError
        As in `fit`, also if that holds for the rows outside one of the folds.
    """
    calibrated = np.empty_like(scores)
    for fold in np.unique(folds):
        here = folds == fold
        found = fit(scores[~here], truth[~here], method=method, made_from="the other folds")
        for rows in _blocks(np.flatnonzero(here), pairs=scores.shape[1]):
            calibrated[rows] = found.apply(scores[rows])
    return calibrated


def reliability(
    scores: Float[np.ndarray, "*shape"], correct: Bool[np.ndarray, "*shape"], *, bins: int = BINS
) -> Reliability:
    """Compare scores with how often they are correct.

    Nearly all pairs of a row and a class lie in the lowest bin, so that their expected error is small for any network;
    that of each row's top prediction (its score, and whether it is correct) tells more.

    Parameters
    ----------
    scores : 0 to 1
    bins : number of bins of equal width; 1 belongs to the last one

    Raises
    ------
    ValueError
        If a score is not between 0 and 1, or shapes differ.

    Source: scikit-learn's calibration_curve (strategy="uniform"), which does not return the counts.
    """
    _check_probabilities(scores, correct)
    inner = np.linspace(0, 1, bins + 1)[1:-1]
    counts, sums, correct_counts = np.zeros(bins, np.int64), np.zeros(bins), np.zeros(bins)
    for some, hits in zip(_blocks(scores.ravel()), _blocks(correct.ravel()), strict=True):
        indices = np.searchsorted(inner, some.astype(float))
        counts += np.bincount(indices, minlength=bins)
        sums += np.bincount(indices, some, minlength=bins)
        correct_counts += np.bincount(indices, hits, minlength=bins)
    filled = np.where(counts > 0, counts, np.nan)
    return Reliability(counts, sums / filled, correct_counts / filled)


def reliabilities(
    scores: Float[np.ndarray, "rows classes"],
    calibrated: Float[np.ndarray, "rows classes"],
    truth: Bool[np.ndarray, "rows classes"],
) -> dict[str, tuple[Reliability, Reliability]]:
    """Return the reliability of top predictions and of all pairs, before and after calibration, by heading.

    Parameters
    ----------
    calibrated : from `cross_fitted`; top predictions stay those of `scores`, because flat steps make scores equal
    """
    top1 = np.arange(len(scores)), top1_classes(scores)
    return {
        "top predictions": (reliability(scores[top1], truth[top1]), reliability(calibrated[top1], truth[top1])),
        "all predictions": (reliability(scores, truth), reliability(calibrated, truth)),
    }


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Write a calibration as JSON."""
    write_json(path, asdict(calibration))


def read_calibration(path: Path) -> Calibration:
    """Read a calibration.

    Raises
    ------
    UserError
        If there is no such file, or it does not contain one.
    """
    found: Calibration = read_json(path, _CALIBRATION_FILE)
    if isinstance(found, Isotonic) and (
        len(found.x) != len(found.y) or min(np.diff(found.x), default=1) <= 0 or min(np.diff(found.y), default=0) < 0
    ):
        raise UserError(f"{path}: its points do not increase; {RUN_TEST_AGAIN}")
    if (found.unit == "interval") != (found.interval is not None):
        raise UserError(f"{path}: should have an interval if its unit is 'interval', and only then; {RUN_TEST_AGAIN}")
    return found


def _clipped_logits(scores: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    return logit(np.clip(scores.astype(float), SCORE_MARGIN, 1 - SCORE_MARGIN))


def _counts_by_logit(
    scores: Float[np.ndarray, "*shape"], correct: Bool[np.ndarray, "*shape"]
) -> tuple[Float[np.ndarray, " levels"], Int64[np.ndarray, " levels"], Int64[np.ndarray, " levels"]]:
    """Return the logits that occur, in steps of `LOGIT_STEP`, and how many predictions each has: wrong, correct."""
    lowest = float(logit(SCORE_MARGIN))
    counts = np.zeros((2, round(-2 * lowest / LOGIT_STEP) + 2), np.int64)
    for some, hits in zip(_blocks(scores.ravel()), _blocks(correct.ravel()), strict=True):
        levels = np.rint((_clipped_logits(some) - lowest) / LOGIT_STEP).astype(np.int64)
        counts += [np.bincount(levels[chosen], minlength=counts.shape[1]) for chosen in (~hits, hits)]
    used = np.flatnonzero(counts.sum(axis=0))
    return lowest + used * LOGIT_STEP, counts[0, used], counts[1, used]


def _blocks(values: Shaped[np.ndarray, " some"], *, pairs: int = 1) -> Iterator[Shaped[np.ndarray, " few"]]:
    """Yield the values in blocks; each of them stands for so many pairs."""
    size = max(1, PAIRS_AT_ONCE // max(pairs, 1))
    for start in range(0, len(values), size):
        yield values[start : start + size]


def _check_probabilities(scores: Float[np.ndarray, "*shape"], correct: Bool[np.ndarray, "*shape"]) -> None:
    if scores.shape != correct.shape:
        raise ValueError(f"scores have shape {scores.shape}, the truth has {correct.shape}")
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError("a score is not between 0 and 1")
