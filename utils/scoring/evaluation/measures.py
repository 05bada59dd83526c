"""Everything that a test measures: figures with their intervals, one row a class, thresholds and calibration."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int64

from config import Testing
from utils.console import warn
from utils.recordings.labels import truth_of
from utils.scoring.evaluation.recordings import Judged
from utils.scoring.inference.recordings import Answers
from utils.scoring.metrics.bootstrap import (
    Interval,
    draw_weights,
    drawn_agreement,
    drawn_cmap,
    drawn_macro_auroc,
    drawn_means,
    drawn_micro_ap,
    interval,
)
from utils.scoring.metrics.calibration import Calibration, Reliability, cross_fitted, fit, reliabilities
from utils.scoring.metrics.detections import count, macro, micro, row_f1, weighted
from utils.scoring.metrics.per_class import per_class_table
from utils.scoring.metrics.ranking import (
    auroc,
    average_precision,
    class_mean,
    first_right_ranks,
    lrap,
    mean_of_defined,
    mean_reciprocal_rank,
    micro_average_precision,
    within_first,
)
from utils.scoring.metrics.thresholds import Curve, Thresholds, cross_decided, curve_of, find_thresholds, folds_of

TOP = 5  # first answers among which a right one counts, besides the very first
Scores = Float[np.ndarray, "rows classes"]
Truth = Bool[np.ndarray, "rows classes"]


@dataclass(frozen=True)
class Measures:
    """What a test measured, of the recordings that could be scored.

    Attributes
    ----------
    figures : by key
    per_class : table of `per_class.SCHEMA`
    thresholds, curve : found on all recordings, and what a common threshold would do
    calibration, reliability : where it was asked for: the map, and scores against how often they are right, before and
        after, by heading
    """

    figures: dict[str, Interval]
    per_class: pl.DataFrame
    thresholds: Thresholds
    curve: Curve
    calibration: Calibration | None = None
    reliability: Mapping[str, tuple[Reliability, Reliability]] | None = None


NOTES = {
    "mlrap": ("MLRAP", "mean label-ranking average precision over recordings"),
    "mlrap_without_background": ("MLRAP of own species", "the same without species in the background"),
    "mlrap_with_background": ("MLRAP with background", "the same with species in the background"),
    "top1_accuracy": ("top-1 accuracy", "share of recordings whose first answer is their own species"),
    "top5_accuracy": (f"top-{TOP} accuracy", f"share of recordings with a right species among the first {TOP} answers"),
    "mrr": ("mean reciprocal rank", "mean of 1 / the rank of the first right answer"),
    "cmap": (
        "class-mean AP",
        "mean average precision over classes with enough right recordings (testing.min_positives)",
    ),
    "micro_ap": ("micro AP", "average precision over all pairs of a recording and a class"),
    "macro_auroc": ("macro AUROC", "mean area under the ROC curve over classes with enough right recordings"),
    "micro_f1": ("micro F1", "of all calls, by thresholds that were found on other recordings"),
    "micro_precision": ("micro precision", "share of these calls that are right"),
    "micro_recall": ("micro recall", "share of what is right that is called"),
    "macro_f1": ("macro F1", "mean over classes, by the same calls"),
    "macro_precision": ("macro precision", ""),
    "macro_recall": ("macro recall", ""),
    "weighted_f1": ("weighted F1", "mean over classes, by how often each is right"),
    "weighted_precision": ("weighted precision", ""),
    "weighted_recall": ("weighted recall", ""),
    "noise_called": (
        "noise taken for birds",
        "share of the clips of recordings without birds in which a species reaches its threshold",
    ),
    "row_f1": ("row-wise F1", "mean over recordings, nocall where nothing is called, as BirdCLEF 2021 scored"),
}


def measure(answers: Answers, judged: Judged, settings: Testing, *, made_from: str) -> Measures:
    """Measure all that can be measured of the answers that could be scored.

    Parameters
    ----------
    made_from : the run, and what it was tested on, to stand in files of thresholds
    """
    scored = np.flatnonzero(~np.isnan(answers.scores).any(axis=1))
    scores, truth = answers.scores[scored].astype(np.float64), judged.truth[scored]
    recordings = answers.recordings[scored]
    other = truth_of(recordings, answers.classes, background=not settings.background)
    wanted = {
        "per_class": settings.thresholds == "per_class",
        "precision": settings.precision or None,
        "min_positives": settings.min_positives,
    }
    figures = dict(_ranking(scores, truth, other, judged.lrap[scored], judged.first_right[scored], settings))
    folds = folds_of(np.arange(len(scores)), seed=settings.seed) if len(scores) > 1 else None
    if folds is not None and truth.any():
        figures |= _deciding(cross_decided(scores, truth, folds, **wanted), truth, settings)  # type: ignore[arg-type]
    thresholds = find_thresholds(scores, truth, answers.classes, **wanted, made_from=made_from)  # type: ignore[arg-type]
    per_class = per_class_table(scores, truth, answers.classes, primary=judged.own[scored], clips=answers.clips[scored])
    found = Measures(figures, per_class, thresholds, curve_of(scores.ravel(), truth.ravel()))
    return _calibrated(found, scores.clip(0, 1), truth, folds, settings, made_from=made_from)


def _ranking(
    scores: Scores,
    truth: Truth,
    other: Truth,
    each: Float[np.ndarray, " rows"],
    first: Float[np.ndarray, " rows"],
    settings: Testing,
) -> Iterator[tuple[str, Interval]]:
    """Yield the figures of rankings, with their intervals; `each` and `first` are the rows' LRAP, and whether their first answer is right."""
    draws = draw_weights(np.arange(len(scores)), seed=settings.seed)
    least = settings.min_positives
    ranks = first_right_ranks(scores, truth)
    by_row = {"mlrap": each, f"mlrap_{'without' if settings.background else 'with'}_background": lrap(scores, other)}
    by_row |= {"top1_accuracy": first, "top5_accuracy": within_first(ranks, TOP)}
    for key, values in by_row.items():
        yield key, interval(mean_of_defined(values), drawn_means(values, draws))
    yield "mrr", interval(mean_reciprocal_rank(ranks), drawn_means(1 / ranks, draws))
    precision, area = average_precision(scores, truth), auroc(scores, truth)
    yield (
        "cmap",
        interval(
            class_mean(precision, truth, min_positives=least), drawn_cmap(scores, truth, draws, min_positives=least)
        ),
    )
    yield "micro_ap", interval(micro_average_precision(scores, truth), drawn_micro_ap(scores, truth, draws))
    yield (
        "macro_auroc",
        interval(
            class_mean(area, truth, min_positives=least), drawn_macro_auroc(scores, truth, draws, min_positives=least)
        ),
    )


def _deciding(decided: Bool[np.ndarray, "rows classes"], truth: Truth, settings: Testing) -> dict[str, Interval]:
    """Return the figures of decisions, with their intervals; the thresholds are not found anew in each draw."""
    counts, draws = count(decided, truth), draw_weights(np.arange(len(truth)), seed=settings.seed)
    drawn, rows = drawn_agreement(decided, truth, draws), row_f1(decided, truth)
    found = {mean: asdict(of(counts)) for mean, of in (("micro", micro), ("macro", macro), ("weighted", weighted))}
    figures = {
        f"{mean}_{key}": interval(found[mean][key], drawn[mean][key])
        for mean in found
        for key in ("f1", "precision", "recall")
    }
    return {**figures, "row_f1": interval(float(rows.mean()), drawn_means(rows, draws))}


def _calibrated(
    found: Measures,
    scores: Scores,
    truth: Truth,
    folds: Int64[np.ndarray, " rows"] | None,
    settings: Testing,
    *,
    made_from: str,
) -> Measures:
    """Add the calibration, where it was asked for and there is enough to find it from."""
    if settings.calibration == "none" or folds is None:
        return found
    try:
        calibration = fit(scores, truth, method=settings.calibration, made_from=made_from)
        shown = reliabilities(scores, cross_fitted(scores, truth, folds, method=settings.calibration), truth)
    except ValueError as error:
        warn(f"no calibration: {error}")
        return found
    return Measures(found.figures, found.per_class, found.thresholds, found.curve, calibration, shown)
