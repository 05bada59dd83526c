"""Metrics of predictions for held-out recordings, intervals or events: values, thresholds, calibration, classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TypedDict

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int64

from config import Testing
from utils.console import warning
from utils.recordings.labels import ground_truth
from utils.recordings.recording import NOISE
from utils.scoring.evaluation.false_alarms import FalseAlarms, false_alarms_of, raised_by_noise
from utils.scoring.evaluation.false_detections import false_detections_in_rows, share_of_noise_detected
from utils.scoring.inference.recordings import Predictions
from utils.scoring.inference.unit_rows import labels_without_class
from utils.scoring.metrics.bootstrap import DRAWS, Interval, draw_recordings
from utils.scoring.metrics.calibration import Calibration, Reliability, cross_fitted, fit, reliabilities
from utils.scoring.metrics.false_alarms import NoiseScores
from utils.scoring.metrics.metric_kinds import ScoredRows
from utils.scoring.metrics.per_class import per_class_table
from utils.scoring.metrics.ranking import lrap, mean_of_defined, top1_ties_as_errors
from utils.scoring.metrics.registry import NOISE_DETECTED, metrics_of
from utils.scoring.metrics.threshold_table import threshold_table
from utils.scoring.metrics.thresholds import ThresholdMetric, Thresholds, cross_detected, find_thresholds, folds_of
from utils.scoring.metrics.units import Unit


@dataclass(frozen=True)
class HeadlineMetrics:
    """The main metrics of predictions for some rows.

    Attributes
    ----------
    mlrap : mean label-ranking average precision over the rows that have a correct class; None if none has
    top1_accuracy : share of the rows of known primary species whose top prediction is that species; a tie does not
        count
    top1_confidence : mean score of the top predictions
    recordings, scored : number of rows (`testing.unit`), and of those that could be used
    without_truth : number of scored rows all of whose species the model does not know
    ranked : number of scored rows that have a correct class, over which `mlrap` is the mean
    ranked_recordings : number of recordings that these rows are of
    """

    mlrap: float | None
    top1_accuracy: float | None
    top1_confidence: float | None
    recordings: int
    scored: int
    without_truth: int
    ranked: int = 0
    ranked_recordings: int = 0


@dataclass(frozen=True)
class Evaluation:
    """Predictions compared with the ground truth.

    Attributes
    ----------
    headline : the main metrics
    truth : which classes are correct
    primary : index of each row's primary class; −1 if the model does not know it
    top1 : index of each row's top class, by `top1_ties_as_errors`; −1 without scores
    lrap, top1_correct : of each row; NaN where not defined
    unknown_labels : intervals and events: the labels of each row that no class stands for; None for recordings, where
        such labels do not count
    unknown_species : how often each of these occurs in the rows that have scores
    novel : rows with scores all of whose species the model does not know; None: not known
    """

    headline: HeadlineMetrics
    truth: Bool[np.ndarray, "rows classes"]
    primary: Int64[np.ndarray, " rows"]
    top1: Int64[np.ndarray, " rows"]
    lrap: Float[np.ndarray, " rows"]
    top1_correct: Float[np.ndarray, " rows"]
    unknown_labels: Sequence[Sequence[str]] | None = None
    unknown_species: Mapping[str, int] = field(default_factory=dict)
    novel: Bool[np.ndarray, " rows"] | None = None

    @cached_property
    def unknown(self) -> Int64[np.ndarray, " rows"] | None:
        """How many labels of each row no class stands for; None like `unknown_labels`."""
        return None if self.unknown_labels is None else np.array([len(one) for one in self.unknown_labels], np.int64)


@dataclass(frozen=True)
class HeldOutMetrics:
    """All that a test computes from the rows that could be used.

    Attributes
    ----------
    metrics : by key of `registry.METRICS`
    per_class : table of `PER_CLASS_SCHEMA`
    thresholds, threshold_table : found on all rows, and metrics by common threshold with their 95% bands
    calibration, reliability : if asked for: the map, and reliability before and after it, by heading
    detected : which classes are detected in each row, by thresholds that were found on other recordings (False in rows
        without scores); None: there were no such thresholds
    noise : table of `NOISE_COLUMNS`, of recordings without birds; None: there are none
    false_alarms : how many there are in `testing.noise_folder`; None: there is no such folder
    """

    metrics: dict[str, Interval]
    per_class: pl.DataFrame
    thresholds: Thresholds
    threshold_table: pl.DataFrame
    calibration: Calibration | None = None
    reliability: Mapping[str, tuple[Reliability, Reliability]] | None = None
    detected: Bool[np.ndarray, "rows classes"] | None = None

    noise: pl.DataFrame | None = None
    false_alarms: FalseAlarms | None = None

    @property
    def nothing_detected(self) -> bool:
        """Whether these thresholds detect no class in any row, because none is better than that."""
        return self.detected is not None and not self.detected.any()


class _ThresholdSettings(TypedDict):
    per_class: bool
    metric: ThresholdMetric
    precision: float | None
    min_positives: int
    unknown: Int64[np.ndarray, " rows"] | None


def evaluate_predictions(
    scores: Float[np.ndarray, "rows classes"], predictions: Predictions, *, background: bool
) -> Evaluation:
    """Compare scores with the ground truth of the rows of `predictions`.

    Parameters
    ----------
    scores : those of `predictions`, or of a baseline; rows of NaN could not be used
    background : whether background species count as correct
    """
    rows = predictions.rows
    truth = ground_truth(rows, predictions.classes, background=background)
    scored = ~np.isnan(scores).any(axis=1)
    indices = {label: index for index, label in enumerate(predictions.classes)}
    primary = np.array([indices.get(label, -1) for label in rows["class"]], np.int64)
    each, top1 = np.full(len(scores), np.nan), np.full(len(scores), -1)
    each[scored] = lrap(scores[scored], truth[scored])
    top1[scored] = top1_ties_as_errors(scores[scored], truth[scored], primary[scored])
    top1_correct = np.where(scored & (primary >= 0), top1 == primary, np.nan)
    unknown, species = None, dict[str, int]()
    without_truth = scored & ~truth.any(axis=1) & (rows["class"] != NOISE).to_numpy()
    if predictions.unit != "recording":
        unknown, species = labels_without_class(rows, predictions.classes, scored=scored, background=background)
        without_truth &= np.array([bool(labels) for labels in unknown], bool)
    headline = HeadlineMetrics(
        mlrap=mean_of_defined(each),
        top1_accuracy=mean_of_defined(top1_correct),
        top1_confidence=mean_of_defined(scores[scored].max(axis=1)) if scored.any() else None,
        recordings=len(scores),
        scored=int(scored.sum()),
        without_truth=int(without_truth.sum()),
        ranked=int(np.isfinite(each).sum()),
        ranked_recordings=rows["recording"].filter(pl.Series(np.isfinite(each))).n_unique(),
    )
    return Evaluation(headline, truth, primary, top1, each, top1_correct, unknown, species, without_truth)


def compute_metrics(
    predictions: Predictions,
    evaluation: Evaluation,
    settings: Testing,
    *,
    made_from: str,
    noise: NoiseScores | None = None,
) -> HeldOutMetrics:
    """Compute all metrics of the rows that could be used.

    Parameters
    ----------
    made_from : the run, and what it was tested on, for the files of thresholds and calibration
    noise : scores of `testing.noise_folder`, by which all thresholds are raised with `testing.max_false_alarms`
    """
    scored = np.flatnonzero(predictions.scored)
    data = scored_rows(predictions, evaluation, settings)
    found = find_thresholds(
        data.scores,
        data.truth,
        predictions.classes,
        **_threshold_settings(data, settings),
        made_from=made_from,
        unit=predictions.unit,
        interval=settings.interval,
    )
    thresholds, before = found, data
    if noise is not None and settings.max_false_alarms is not None:
        thresholds = raised_by_noise(found, noise, settings)
        data = replace(data, detected=_detected(data, settings, noise))
    metrics = HeldOutMetrics(
        metrics=metrics_of(data),
        per_class=per_class_table(
            data.scores, data.truth, predictions.classes, primary=data.primary, clips=predictions.clips[scored]
        ),
        thresholds=thresholds,
        threshold_table=threshold_table(
            data.scores, data.truth, data.draws, unknown=data.unknown, precision=settings.precision or None
        ),
        detected=_in_all_rows(data.detected, scored, rows=len(predictions.rows)),
        false_alarms=None if noise is None else false_alarms_of(noise, (found, before), (thresholds, data)),
    )
    if predictions.unit == "interval" and data.detected is not None:  # whole recordings need their clips
        metrics = with_noise(metrics, false_detections_in_rows(predictions.rows[scored], data.detected), settings)
    return _with_calibration(metrics, data, settings, unit=predictions.unit, made_from=made_from)


def _threshold_settings(data: ScoredRows, settings: Testing) -> _ThresholdSettings:
    return _ThresholdSettings(
        per_class=settings.thresholds == "per_class",
        metric=settings.threshold_metric,
        unknown=data.unknown,
        precision=settings.precision or None,
        min_positives=settings.min_positives,
    )


def _folds(data: ScoredRows, settings: Testing) -> Int64[np.ndarray, " rows"] | None:
    """Return a fold of each row; None if all rows are of one recording."""
    return folds_of(data.draws.recording, seed=settings.seed) if data.draws.recording.any() else None


def with_noise(metrics: HeldOutMetrics, noise: pl.DataFrame, settings: Testing) -> HeldOutMetrics:
    """Add false detections in noise, if there are recordings without birds.

    Parameters
    ----------
    noise : table of `NOISE_COLUMNS`
    """
    if noise.is_empty():
        return metrics
    share = share_of_noise_detected(noise, seed=settings.seed)
    return replace(metrics, metrics={**metrics.metrics, NOISE_DETECTED.key: share}, noise=noise)


def _in_all_rows(
    detected: Bool[np.ndarray, "scored classes"] | None, scored: Int64[np.ndarray, " scored"], *, rows: int
) -> Bool[np.ndarray, "rows classes"] | None:
    """Return detections in the order of all rows."""
    if detected is None:
        return None
    result = np.zeros((rows, detected.shape[1]), bool)
    result[scored] = detected
    return result


def scored_rows(
    predictions: Predictions, evaluation: Evaluation, settings: Testing, *, draws: int = DRAWS
) -> ScoredRows:
    """Return the rows that have scores, with detections, also with the truth by the other `testing.background`.

    Parameters
    ----------
    draws : of recordings, for intervals of metrics
    """
    scored = np.flatnonzero(predictions.scored)
    rows, unit = predictions.rows[scored], predictions.unit
    other = ground_truth(rows, predictions.classes, background=not settings.background) if unit != "interval" else None
    _, recording = np.unique(predictions.recording_of_row[scored], return_inverse=True)
    scores = predictions.scores[scored]
    data = ScoredRows(
        scores=scores.astype(np.float64) if unit == "recording" else scores,
        truth=evaluation.truth[scored],
        primary=evaluation.primary[scored],
        # one long recording has no other to be drawn instead
        draws=draw_recordings(
            recording, draws=draws if unit == "recording" or recording.any() else 0, seed=settings.seed
        ),
        min_positives=settings.min_positives,
        unknown=None if evaluation.unknown is None else evaluation.unknown[scored],
        without_background=other if settings.background else None,
        with_background=None if settings.background else other,
        novelty=None if predictions.novelty is None else predictions.novelty[scored],
        novel=None if evaluation.novel is None else evaluation.novel[scored],
    )
    return replace(data, detected=_detected(data, settings))


def _detected(
    data: ScoredRows, settings: Testing, noise: NoiseScores | None = None
) -> Bool[np.ndarray, "rows classes"] | None:
    """Return what is detected by thresholds of other recordings, raised by noise or not; None if there are none."""
    folds = _folds(data, settings)
    if folds is None or not data.truth.any():
        return None
    changed = None if noise is None else partial(raised_by_noise, noise=noise, settings=settings)
    return cross_detected(data.scores, data.truth, folds, **_threshold_settings(data, settings), changed=changed)


def _with_calibration(
    metrics: HeldOutMetrics,
    data: ScoredRows,
    settings: Testing,
    *,
    unit: Unit,
    made_from: str,
) -> HeldOutMetrics:
    """Add the calibration, if it was asked for and there are enough recordings."""
    folds = _folds(data, settings)
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
    calibration = replace(calibration, unit=unit, interval=settings.interval if unit == "interval" else None)
    return replace(metrics, calibration=calibration, reliability=reliability)
