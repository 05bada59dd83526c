"""All metrics of a test: key, title, note, formula, and how each is resampled for its interval.

`metrics.json`, the report and `evaluate.py --compare` read this list. A new metric needs two things: its formula
(`ranking.py`, `detection_metrics.py`) and an entry here. The kinds of entries are in `metric_kinds.py`.
"""

import numpy as np
from jaxtyping import Float

from utils.scoring.metrics.bootstrap import Interval, drawn_cmap, drawn_macro_auroc, drawn_micro_ap, interval
from utils.scoring.metrics.detection_metrics import row_f1
from utils.scoring.metrics.metric_kinds import (
    ClassMean,
    DetectionMetric,
    Metric,
    NoiseShare,
    PairMetric,
    RowMean,
    ScoredRows,
)
from utils.scoring.metrics.ranking import (
    auroc,
    average_precision,
    lrap,
    micro_average_precision,
    reciprocal_ranks,
    top_k_correct,
)


def _row_f1(data: ScoredRows) -> Float[np.ndarray, " rows"] | None:
    return None if data.detected is None else row_f1(data.detected, data.truth)


def _lrap_without_background(data: ScoredRows) -> Float[np.ndarray, " rows"] | None:
    return None if data.without_background is None else lrap(data.scores, data.without_background)


def _lrap_with_background(data: ScoredRows) -> Float[np.ndarray, " rows"] | None:
    return None if data.with_background is None else lrap(data.scores, data.with_background)


_OF_MANY = "over classes with enough recordings (testing.min_positives)"
NOISE_DETECTED = NoiseShare(
    "noise_detected",
    "false detections in noise",
    "share of the clips of recordings without birds in which a species is detected",
)
# in the order of the report
_ALL: tuple[Metric, ...] = (
    RowMean("mlrap", "MLRAP", "mean label-ranking average precision over recordings", rows=lambda data: data.lrap),
    RowMean(
        "mlrap_without_background",
        "MLRAP without background species",
        "the same if background species do not count as correct",
        rows=_lrap_without_background,
    ),
    RowMean(
        "mlrap_with_background",
        "MLRAP with background species",
        "the same if background species count as correct",
        rows=_lrap_with_background,
    ),
    RowMean(
        "top1_accuracy",
        "top-1 accuracy",
        "share of recordings whose top prediction is their primary label",
        rows=lambda data: data.top1_correct,
    ),
    RowMean(
        "top5_accuracy",
        "top-5 accuracy",
        "share of recordings with a correct species among the top 5 predictions",
        rows=lambda data: top_k_correct(data.ranks, 5),
    ),
    RowMean(
        "mrr",
        "mean reciprocal rank",
        "mean of 1 / rank of the first correct prediction",
        rows=lambda data: reciprocal_ranks(data.ranks),
    ),
    ClassMean(
        "cmap", "class-mean AP", f"mean average precision {_OF_MANY}", classes=average_precision, drawn=drawn_cmap
    ),
    PairMetric(
        "micro_ap",
        "micro AP",
        "average precision over all pairs of a recording and a class",
        pairs=micro_average_precision,
        drawn=drawn_micro_ap,
    ),
    ClassMean(
        "macro_auroc",
        "macro AUROC",
        f"mean area under the ROC curve {_OF_MANY}",
        classes=auroc,
        drawn=drawn_macro_auroc,
    ),
    DetectionMetric(
        "micro_f1",
        "micro F1",
        "over all detections, by thresholds that were found on other recordings",
        average="micro",
        name="f1",
    ),
    DetectionMetric(
        "micro_precision", "micro precision", "share of detections that are correct", average="micro", name="precision"
    ),
    DetectionMetric(
        "micro_recall", "micro recall", "share of the species present that are detected", average="micro", name="recall"
    ),
    DetectionMetric("macro_f1", "macro F1", "mean over classes, of the same detections", average="macro", name="f1"),
    DetectionMetric("macro_precision", "macro precision", "", average="macro", name="precision"),
    DetectionMetric("macro_recall", "macro recall", "", average="macro", name="recall"),
    DetectionMetric(
        "weighted_f1",
        "weighted F1",
        "mean over classes, weighted by their number of recordings",
        average="weighted",
        name="f1",
    ),
    DetectionMetric("weighted_precision", "weighted precision", "", average="weighted", name="precision"),
    DetectionMetric("weighted_recall", "weighted recall", "", average="weighted", name="recall"),
    RowMean(
        "row_f1",
        "row-wise F1",
        "mean over recordings; no detection counts as the class nocall, as in BirdCLEF 2021",
        rows=_row_f1,
    ),
    NOISE_DETECTED,
)
METRICS = {metric.key: metric for metric in _ALL}


def metrics_of(data: ScoredRows) -> dict[str, Interval]:
    """Return all metrics that can be computed from some rows, by key, each with its 95% interval."""
    found = {key: metric.resampled(data) for key, metric in METRICS.items()}
    return {key: interval(*resampled) for key, resampled in found.items() if resampled is not None}


def value_text(value: float | None, *, otherwise: str = "none") -> str:
    """Write a metric's value for people; `otherwise` if it is not defined."""
    return otherwise if value is None else f"{value:.3f}"
