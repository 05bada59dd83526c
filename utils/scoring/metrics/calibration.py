"""Scores that mean what they say: of the answers scored 0.8, eight in ten are right. One map from score to probability for all classes.

The map is kept as numbers in a JSON and applied by NumPy; scikit-learn only finds it.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Le, MinLen
from jaxtyping import Bool, Float, Int64
from pydantic import AllowInfNan, TypeAdapter
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from utils.console import UserError
from utils.files import write_json
from utils.saved_json import ADVICE, read_kept
from utils.scoring.metrics.ranking import first_answers

Method = Literal["platt", "isotonic"]
SMALLEST = 1e-6  # scores are held so far from 0 and 1, whose logits are infinite
# pairs are counted at logits so far apart before the fit: no probability moves by more than an eighth of this, and
# millions take a second
STEP = 0.001
BINS = 10
Finite = Annotated[float, AllowInfNan(False)]
Probability = Annotated[float, Ge(0), Le(1)]


@dataclass(frozen=True)
class Platt:
    """p = 1 / (1 + exp(−(slope · logit(score) + intercept)))."""

    slope: Finite
    intercept: Finite
    made_from: str
    method: Literal["platt"] = "platt"
    # of the nets and settings whose scores it was found on; None where that is not known
    fingerprint: str | None = None

    def apply(self, scores: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Return the probability that each score stands for; a NaN stays one."""
        return expit(self.slope * _logits(scores) + self.intercept)


@dataclass(frozen=True)
class Isotonic:
    """A line through the points (x, y) that never falls; flat beyond its ends."""

    x: Annotated[tuple[Finite, ...], MinLen(1)]
    y: Annotated[tuple[Probability, ...], MinLen(1)]
    made_from: str
    method: Literal["isotonic"] = "isotonic"
    fingerprint: str | None = None  # as of Platt

    def apply(self, scores: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Return the probability that each score stands for; a NaN stays one."""
        return np.interp(scores, self.x, self.y)


Calibration = Platt | Isotonic
_FILE: TypeAdapter[Calibration] = TypeAdapter(Calibration)


@dataclass(frozen=True)
class Reliability:
    """How often answers of some score are right, in bins of equal width from 0 to 1; NaN in empty bins.

    Attributes
    ----------
    counts : how many answers are in each bin
    scores : their mean score
    right : share of them that is right
    """

    counts: Int64[np.ndarray, " bins"]
    scores: Float[np.ndarray, " bins"]
    right: Float[np.ndarray, " bins"]

    @property
    def expected_error(self) -> float | None:
        """Expected calibration error: ECE = Σ over bins  n / N · |mean score − share right|; None without answers.

        Source: Naeini et al., Obtaining well calibrated probabilities using Bayesian binning, 2015; Guo et al.,
        arXiv:1706.04599.
        """
        total = int(self.counts.sum())
        return float(np.nansum(self.counts * np.abs(self.scores - self.right)) / total) if total else None


def fit(
    scores: Float[np.ndarray, "*shape"], right: Bool[np.ndarray, "*shape"], *, method: Method, made_from: str
) -> Calibration:
    """Find the map from score to probability, pooled over all pairs of a row and a class.

        platt: logistic regression of `right` on logit(score);  isotonic: the rising step function of least squares

    Platt's has two numbers and does with little data; isotonic takes any rising shape, and wants some hundred right
    answers.

    Parameters
    ----------
    scores : 0 to 1
    right : which pairs are true
    made_from : the run, and what it was tested on

    Raises
    ------
    ValueError
        If a score is no number from 0 to 1, shapes differ, or all pairs are right or none is.

    Source: Platt, Probabilistic outputs for support vector machines, 1999; Zadrozny and Elkan, Transforming classifier
    scores, 2002; scikit-learn's LogisticRegression (its default penalty keeps the slope finite where scores separate
    perfectly) and IsotonicRegression.
    """
    _check_shares(scores, right)
    if right.all() or not right.any():
        raise ValueError("scores cannot be calibrated where all answers are right, or none is")
    logits, wrong_counts, right_counts = _counted(scores, right)
    if method == "platt":
        twice, targets, counts = (
            np.tile(logits, 2)[:, None],
            np.repeat([0, 1], len(logits)),
            np.concatenate([wrong_counts, right_counts]),
        )
        there = counts > 0
        model = LogisticRegression(solver="newton-cholesky", tol=1e-8).fit(twice[there], targets[there], counts[there])
        return Platt(float(model.coef_[0, 0]), float(model.intercept_[0]), made_from)
    counts = wrong_counts + right_counts
    steps = IsotonicRegression(y_min=0, y_max=1).fit(expit(logits), right_counts / counts, counts)
    return Isotonic(tuple(map(float, steps.X_thresholds_)), tuple(map(float, steps.y_thresholds_)), made_from)


def cross_fitted(
    scores: Float[np.ndarray, "rows classes"],
    truth: Bool[np.ndarray, "rows classes"],
    folds: Int64[np.ndarray, " rows"],
    *,
    method: Method,
) -> Float[np.ndarray, "rows classes"]:
    """Calibrate each row by a map that was found on the other folds: what a diagram can be drawn of that flatters nobody.

    Parameters
    ----------
    folds : number of each row's fold, of `thresholds.folds_of`

    Raises
    ------
    ValueError
        As for `fit`, also where that holds for one of the folds' rests.
    """
    calibrated = np.empty(scores.shape)
    for fold in np.unique(folds):
        here = folds == fold
        calibrated[here] = fit(scores[~here], truth[~here], method=method, made_from="the other folds").apply(
            scores[here]
        )
    return calibrated


def reliability(
    scores: Float[np.ndarray, "*shape"], right: Bool[np.ndarray, "*shape"], *, bins: int = BINS
) -> Reliability:
    """Compare scores with how often they are right.

    Of all pairs of a row and a class nearly all lie in the lowest bin and the expected error is small whatever the net;
    that of each row's first answer (its score, and whether it is right) says more.

    Parameters
    ----------
    scores : 0 to 1
    bins : how many of equal width; the last one holds 1

    Raises
    ------
    ValueError
        If a score is no number from 0 to 1, or shapes differ.

    Source: scikit-learn's calibration_curve (strategy="uniform"), which does not tell the counts.
    """
    _check_shares(scores, right)
    edges = np.linspace(0, 1, bins + 1)
    places = np.searchsorted(edges[1:-1], scores.ravel())
    counts, sums, rights = (
        np.bincount(places, weights, minlength=bins) for weights in (None, scores.ravel(), right.ravel())
    )
    filled = np.where(counts > 0, counts, np.nan)
    return Reliability(counts, sums / filled, rights / filled)


def reliabilities(
    scores: Float[np.ndarray, "rows classes"],
    calibrated: Float[np.ndarray, "rows classes"],
    truth: Bool[np.ndarray, "rows classes"],
) -> dict[str, tuple[Reliability, Reliability]]:
    """Return what a diagram shows, by its heading: the reliability before and after, of each row's first answer and of all pairs.

    Parameters
    ----------
    calibrated : of `cross_fitted`; the first answers stay those of `scores`, for a flat step makes some alike
    """
    first = np.arange(len(scores)), first_answers(scores)
    return {
        "first answers": (reliability(scores[first], truth[first]), reliability(calibrated[first], truth[first])),
        "all answers": (reliability(scores, truth), reliability(calibrated, truth)),
    }


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Write a calibration as JSON."""
    write_json(path, asdict(calibration))


def read_calibration(path: Path) -> Calibration:
    """Read a calibration.

    Raises
    ------
    UserError
        If there is no such file, or it does not hold one.
    """
    found: Calibration = read_kept(path, _FILE)
    if isinstance(found, Isotonic) and (
        len(found.x) != len(found.y) or min(np.diff(found.x), default=1) <= 0 or min(np.diff(found.y), default=0) < 0
    ):
        raise UserError(f"{path}: its points do not rise; {ADVICE}")
    return found


def _logits(scores: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    return logit(np.clip(scores.astype(float), SMALLEST, 1 - SMALLEST))


def _counted(
    scores: Float[np.ndarray, "*shape"], right: Bool[np.ndarray, "*shape"]
) -> tuple[Float[np.ndarray, " levels"], Int64[np.ndarray, " levels"], Int64[np.ndarray, " levels"]]:
    """Return the levels of logits that there are, and how many wrong and right answers are at each."""
    lowest = float(logit(SMALLEST))
    places = np.rint((_logits(scores) - lowest) / STEP).astype(np.int64)
    levels = int(places.max()) + 1
    wrong_counts, right_counts = (np.bincount(places[chosen], minlength=levels) for chosen in (~right, right))
    there = np.flatnonzero(wrong_counts + right_counts)
    return lowest + there * STEP, wrong_counts[there], right_counts[there]


def _check_shares(scores: Float[np.ndarray, "*shape"], right: Bool[np.ndarray, "*shape"]) -> None:
    if scores.shape != right.shape:
        raise ValueError(f"scores are of shape {scores.shape}, the truth of {right.shape}")
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError("a score is no number from 0 to 1")
