"""All metrics of a test: key, title, note, formula, and how each is resampled for its interval.

`metrics.json`, the report and `evaluate.py --compare` read this list. `note_for` puts the words of
`testing.unit` into a note, for {row}, {rows}, {clips} and {unknown}. A new metric needs two things: its formula
(`ranking.py`, `detection_metrics.py`) and an entry here. The kinds of entries are in `metric_kinds.py`.
"""

import numpy as np
from jaxtyping import Float

from utils.scoring.metrics.bootstrap import Interval, interval
from utils.scoring.metrics.detection_metrics import row_f1
from utils.scoring.metrics.drawn_ranking import drawn_cmap, drawn_macro_auroc, drawn_micro_ap
from utils.scoring.metrics.metric_kinds import (
    ClassMean,
    DetectionMetric,
    Metric,
    NoiseShare,
    NoveltyAuroc,
    PairMetric,
    RowMean,
    ScoredRows,
    TopClassF1,
)
from utils.scoring.metrics.ranking import (
    auroc,
    average_precision,
    lrap,
    micro_average_precision,
    reciprocal_ranks,
    top_k_correct,
)
from utils.scoring.metrics.units import Unit, unit_word


def _row_f1(data: ScoredRows) -> Float[np.ndarray, " rows"] | None:
    return None if data.detected is None else row_f1(data.detected, data.truth, unknown=data.unknown)


def _lrap_without_background(data: ScoredRows) -> Float[np.ndarray, " rows"] | None:
    return None if data.without_background is None else lrap(data.scores, data.without_background)


def _lrap_with_background(data: ScoredRows) -> Float[np.ndarray, " rows"] | None:
    return None if data.with_background is None else lrap(data.scores, data.with_background)


_OF_MANY = "over classes with enough {rows} (testing.min_positives)"
_UNKNOWN = "; labels that the model does not know are missed"
NOISE_DETECTED = NoiseShare(
    "noise_detected",
    "false detections in noise",
    "share of the {clips} of recordings without birds in which a species is detected",
)
# in the order of the report
_ALL: tuple[Metric, ...] = (
    RowMean("mlrap", "MLRAP", "mean label-ranking average precision over {rows}", rows=lambda data: data.lrap),
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
        "share of {rows} whose top prediction is their primary label; a background species on top is an error",
        rows=lambda data: data.top1_correct,
    ),
    RowMean(
        "top5_accuracy",
        "top-5 accuracy",
        "share of {rows} with a correct species among the top 5 predictions",
        rows=lambda data: top_k_correct(data.ranks, 5),
    ),
    RowMean(
        "mrr",
        "mean reciprocal rank",
        "mean of 1 / rank of the first correct prediction",
        rows=lambda data: reciprocal_ranks(data.ranks),
    ),
    TopClassF1(
        "argmax_macro_f1",
        "macro F1 of top predictions",
        "mean over classes, if the top prediction of each {row} with a primary label is its only detection; "
        "a background species on top is an error",
        average="macro",
    ),
    TopClassF1(
        "argmax_weighted_f1",
        "weighted F1 of top predictions",
        "the same, weighted by the number of {rows} of each class",
        average="weighted",
    ),
    TopClassF1(
        "argmax_micro_f1",
        "micro F1 of top predictions",
        "over all classes together: as each {row} has one label and one top prediction, the share that is correct",
        average="micro",
    ),
    ClassMean(
        "cmap", "class-mean AP", f"mean average precision {_OF_MANY}", classes=average_precision, drawn=drawn_cmap
    ),
    PairMetric(
        "micro_ap",
        "micro AP",
        "average precision over all pairs of {rows} and classes",
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
        "over all detections, by thresholds that were found on other recordings{unknown}",
        average="micro",
        name="f1",
    ),
    DetectionMetric(
        "micro_precision", "micro precision", "share of detections that are correct", average="micro", name="precision"
    ),
    DetectionMetric(
        "micro_recall",
        "micro recall",
        "share of the species present that are detected{unknown}",
        average="micro",
        name="recall",
    ),
    DetectionMetric(
        "macro_f1", "macro F1", "mean over the model's classes, of the same detections", average="macro", name="f1"
    ),
    DetectionMetric("macro_precision", "macro precision", "", average="macro", name="precision"),
    DetectionMetric("macro_recall", "macro recall", "", average="macro", name="recall"),
    DetectionMetric(
        "weighted_f1",
        "weighted F1",
        "mean over classes, weighted by their number of {rows}",
        average="weighted",
        name="f1",
    ),
    DetectionMetric("weighted_precision", "weighted precision", "", average="weighted", name="precision"),
    DetectionMetric("weighted_recall", "weighted recall", "", average="weighted", name="recall"),
    RowMean(
        "row_f1",
        "row-wise F1",
        "mean over {rows}; no detection counts as the class nocall, as in BirdCLEF 2021{unknown}",
        rows=_row_f1,
    ),
    NOISE_DETECTED,
    NoveltyAuroc(
        "novelty_auroc",
        "novelty AUROC",
        "how likely {rows} of species that the model does not know are more novel than {rows} with one that it knows",
    ),
)
METRICS = {metric.key: metric for metric in _ALL}


def metrics_of(data: ScoredRows) -> dict[str, Interval]:
    """Return all metrics that can be computed from some rows, by key, each with its 95% interval."""
    found = {key: metric.resampled(data) for key, metric in METRICS.items()}
    return {key: interval(*resampled) for key, resampled in found.items() if resampled is not None}


def note_for(metric: Metric, unit: Unit) -> str:
    """Return what a metric means, in the words of `testing.unit`."""
    unknown = "" if unit == "recording" else _UNKNOWN
    clips = "clips" if unit == "recording" else unit_word(unit)
    return metric.note.format(row=unit_word(unit, 1), rows=unit_word(unit), clips=clips, unknown=unknown)


def value_text(value: float | None, *, otherwise: str = "none") -> str:
    """Write a metric's value for people; `otherwise` if it is not defined."""
    return otherwise if value is None else f"{value:.3f}"


def value_and_ends_text(metric: Interval) -> str:
    """Write a metric with the ends of its 95% interval for people."""
    ends = "" if metric.low is None or metric.high is None else f" ({metric.low:.3f} to {metric.high:.3f})"
    return f"{value_text(metric.value)}{ends}"
