"""Metrics of predictions for held-out recordings, with intervals, thresholds, calibration and a table per class."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypedDict

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int64

from config import Testing
from utils.console import warning
from utils.recordings.labels import ground_truth
from utils.recordings.recording import LONG_RECORDINGS, NOISE
from utils.scoring.inference.recordings import Predictions
from utils.scoring.metrics.bootstrap import Interval, draw_weights
from utils.scoring.metrics.calibration import Calibration, Reliability, cross_fitted, fit, reliabilities
from utils.scoring.metrics.metric_kinds import ScoredRows
from utils.scoring.metrics.per_class import per_class_table
from utils.scoring.metrics.ranking import lrap, mean_of_defined, top1_ties_as_errors
from utils.scoring.metrics.registry import metrics_of
from utils.scoring.metrics.thresholds import Curve, Thresholds, cross_detected, curve_of, find_thresholds, folds_of


@dataclass(frozen=True)
class HeadlineMetrics:
    """The main metrics of predictions for some recordings.

    Attributes
    ----------
    mlrap : mean label-ranking average precision over the recordings that have a correct class; None if none has
    top1_accuracy : share of the recordings of known species whose top prediction is that species; a tie does not count
    top1_confidence : mean score of the top predictions
    recordings, scored : number of recordings, and of those that could be used
    without_truth : number of scored recordings whose species the model does not know; they do not count
    ranked : number of scored recordings that have a correct class, over which `mlrap` is the mean
    """

    mlrap: float | None
    top1_accuracy: float | None
    top1_confidence: float | None
    recordings: int
    scored: int
    without_truth: int
    ranked: int = 0


@dataclass(frozen=True)
class Evaluation:
    """Predictions compared with the ground truth.

    Attributes
    ----------
    headline : the main metrics
    truth : which classes are correct
    primary : index of each recording's primary class; −1 if the model does not know it
    top1 : index of each recording's top class, by `top1_ties_as_errors`; −1 without scores
    lrap, top1_correct : of each recording; NaN where not defined
    """

    headline: HeadlineMetrics
    truth: Bool[np.ndarray, "recordings classes"]
    primary: Int64[np.ndarray, " recordings"]
    top1: Int64[np.ndarray, " recordings"]
    lrap: Float[np.ndarray, " recordings"]
    top1_correct: Float[np.ndarray, " recordings"]


@dataclass(frozen=True)
class HeldOutMetrics:
    """All that a test computes from the recordings that could be used.

    Attributes
    ----------
    metrics : by key of `registry.METRICS`
    per_class : table of `PER_CLASS_SCHEMA`
    thresholds, curve : found on all recordings, and precision and recall for each common threshold
    calibration, reliability : if asked for: the map, and reliability before and after it, by heading
    """

    metrics: dict[str, Interval]
    per_class: pl.DataFrame
    thresholds: Thresholds
    curve: Curve
    calibration: Calibration | None = None
    reliability: Mapping[str, tuple[Reliability, Reliability]] | None = None


class _ThresholdSettings(TypedDict):
    per_class: bool
    precision: float | None
    min_positives: int


def evaluate_predictions(
    scores: Float[np.ndarray, "recordings classes"], predictions: Predictions, *, background: bool
) -> Evaluation:
    """Compare scores with the ground truth of the recordings of `predictions`.

    Parameters
    ----------
    scores : those of `predictions`, or of a baseline; rows of NaN are recordings that could not be used
    background : whether background species count as correct
    """
    truth = ground_truth(predictions.recordings, predictions.classes, background=background)
    scored = ~np.isnan(scores).any(axis=1)
    indices = {label: index for index, label in enumerate(predictions.classes)}
    primary = np.array([indices.get(label, -1) for label in predictions.recordings["class"]], np.int64)
    each, top1 = np.full(len(scores), np.nan), np.full(len(scores), -1)
    each[scored] = lrap(scores[scored], truth[scored])
    top1[scored] = top1_ties_as_errors(scores[scored], truth[scored], primary[scored])
    top1_correct = np.where(scored & (primary >= 0), top1 == primary, np.nan)
    noise = (predictions.recordings["class"] == NOISE).to_numpy()
    headline = HeadlineMetrics(
        mlrap=mean_of_defined(each),
        top1_accuracy=mean_of_defined(top1_correct),
        top1_confidence=mean_of_defined(scores[scored].max(axis=1)) if scored.any() else None,
        recordings=len(scores),
        scored=int(scored.sum()),
        without_truth=int((scored & ~truth.any(axis=1) & ~noise).sum()),
        ranked=int(np.isfinite(each).sum()),
    )
    return Evaluation(headline, truth, primary, top1, each, top1_correct)


def confusion_pairs(predictions: Predictions, evaluation: Evaluation) -> list[tuple[str, str]]:
    """Return the primary label of each recording that has a correct class, and its top predicted class.

    Recordings whose top prediction is a background species that counts as correct are left out: they are no confusion.
    Long recordings have no primary label: they, and any correct top prediction for them, are called LONG_RECORDINGS.
    """
    pairs = []
    for primary, top1, correct in zip(predictions.recordings["class"], evaluation.top1, evaluation.truth, strict=True):
        if top1 < 0 or not correct.any():
            continue
        label = predictions.classes[top1]
        if primary == label or not correct[top1]:
            pairs.append((primary or LONG_RECORDINGS, label))
        elif not primary:
            pairs.append((LONG_RECORDINGS, LONG_RECORDINGS))
    return pairs


def compute_metrics(
    predictions: Predictions, evaluation: Evaluation, settings: Testing, *, made_from: str
) -> HeldOutMetrics:
    """Compute all metrics of the recordings that could be used.

    Parameters
    ----------
    made_from : the run, and what it was tested on, for the files of thresholds and calibration
    """
    scored = np.flatnonzero(~np.isnan(predictions.scores).any(axis=1))
    data = _scored_rows(predictions, evaluation, scored, settings)
    folds = folds_of(np.arange(len(scored)), seed=settings.seed) if len(scored) > 1 else None
    wanted = _ThresholdSettings(
        per_class=settings.thresholds == "per_class",
        precision=settings.precision or None,
        min_positives=settings.min_positives,
    )
    if folds is not None and data.truth.any():
        data = replace(data, detected=cross_detected(data.scores, data.truth, folds, **wanted))
    metrics = HeldOutMetrics(
        metrics=metrics_of(data),
        per_class=per_class_table(
            data.scores, data.truth, predictions.classes, primary=data.primary, clips=predictions.clips[scored]
        ),
        thresholds=find_thresholds(data.scores, data.truth, predictions.classes, **wanted, made_from=made_from),
        curve=curve_of(data.scores.ravel(), data.truth.ravel()),
    )
    return _with_calibration(metrics, data, folds, settings, made_from=made_from)


def _scored_rows(
    predictions: Predictions, evaluation: Evaluation, scored: Int64[np.ndarray, " rows"], settings: Testing
) -> ScoredRows:
    """Return the rows that have scores, also with the ground truth by the other choice of `testing.background`."""
    other = ground_truth(predictions.recordings[scored], predictions.classes, background=not settings.background)
    return ScoredRows(
        scores=predictions.scores[scored].astype(np.float64),
        truth=evaluation.truth[scored],
        primary=evaluation.primary[scored],
        draws=draw_weights(np.arange(len(scored)), seed=settings.seed),
        min_positives=settings.min_positives,
        without_background=other if settings.background else None,
        with_background=None if settings.background else other,
    )


def _with_calibration(
    metrics: HeldOutMetrics,
    data: ScoredRows,
    folds: Int64[np.ndarray, " rows"] | None,
    settings: Testing,
    *,
    made_from: str,
) -> HeldOutMetrics:
    """Add the calibration, if it was asked for and there are enough recordings."""
    if settings.calibration == "none" or folds is None:
        return metrics
    scores = data.scores.clip(0, 1)
    try:
        calibration = fit(scores, data.truth, method=settings.calibration, made_from=made_from)
        calibrated = cross_fitted(scores, data.truth, folds, method=settings.calibration)
        reliability = reliabilities(scores, calibrated, data.truth)
    except ValueError as error:
        warning(f"no calibration: {error}")
        return metrics
    return replace(metrics, calibration=calibration, reliability=reliability)
