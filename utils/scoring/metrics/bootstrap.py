"""Confidence of a metric: 95% intervals, and intervals of the difference of two systems, by bootstrap over recordings.

A draw takes as many recordings as there are, with replacement. It is stored as weights: how often each row was taken.
With weights, a mean is one product of matrices, and the average precisions of all classes are a few products;
scipy.stats.bootstrap would sort every class again in each draw (minutes instead of seconds). Two systems that are
evaluated with the same weights are evaluated on the same draws, whatever the metric.

Source: Efron and Tibshirani, An introduction to the bootstrap, 1993 (percentile method).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64, Real

from utils.scoring.metrics.ranking import check_scores

DRAWS = 1000
TAILS = (0.025, 0.975)  # the 95% interval lies between these quantiles
BLOCK_ELEMENTS = 2**22  # of the largest matrix that is computed at a time
_ClassCounts = Float32[np.ndarray, "draws classes"]


@dataclass(frozen=True)
class Interval:
    """A metric with its 95% interval.

    Attributes
    ----------
    value : the metric over all rows
    low, high : 2.5% and 97.5% quantiles of the draws; None if the metric is not defined, or in no draw
    draws : number of draws in which it was defined
    """

    value: float | None
    low: float | None
    high: float | None
    draws: int


def draw_weights(
    recordings: Int64[np.ndarray, " rows"], *, draws: int = DRAWS, seed: int
) -> Float32[np.ndarray, "draws rows"]:
    """Draw recordings with replacement and return how often each row was taken.

    Parameters
    ----------
    recordings : index of each row's recording, from 0 without gaps: np.arange(rows) if each row is a recording.
        Intervals of a recording are taken together, because they are alike

    Memory: 4 bytes × draws × rows.
    """
    rng = np.random.default_rng(seed)
    count = int(recordings.max()) + 1 if len(recordings) else 0
    # counts, exact below 16 million; float32 for quick products
    weights = np.empty((draws, len(recordings)), np.float32)
    for row in weights if count else ():
        row[:] = np.bincount(rng.integers(count, size=count), minlength=count)[recordings]
    return weights


def drawn_means(
    values: Float[np.ndarray, " rows"], weights: Float32[np.ndarray, "draws rows"]
) -> Float[np.ndarray, " draws"]:
    """Return the mean of the values that are not NaN in each draw: for the LRAP of each row, the MLRAP."""
    defined = ~np.isnan(values)
    return drawn_ratios(np.where(defined, values, 0.0), defined.astype(float), weights)


def drawn_ratios(
    part: Float[np.ndarray, " rows"], whole: Float[np.ndarray, " rows"], weights: Float32[np.ndarray, "draws rows"]
) -> Float[np.ndarray, " draws"]:
    """Return Σ part / Σ whole in each draw; NaN if the whole is 0.

    With the correct detections and all detections of each row, that is the micro precision.
    """
    return _ratio(weights @ part, weights @ whole)


def drawn_cmap(
    scores: Float[np.ndarray, "rows classes"],
    truth: Bool[np.ndarray, "rows classes"],
    weights: Float32[np.ndarray, "draws rows"],
    *,
    min_positives: int = 1,
) -> Float[np.ndarray, " draws"]:
    """Return the class-mean average precision in each draw.

    Parameters
    ----------
    min_positives : which classes count is decided once, over all rows; a draw leaves out those of which it took no row

    Raises
    ------
    ValueError
        If a score is not finite, or the shapes differ.
    """

    def precision(
        row: Int64[np.ndarray, " some"], column: Int64[np.ndarray, " some"]
    ) -> Float[np.ndarray, "draws some"]:
        above = scores[:, column] >= scores[row, column]
        correct = above & truth[:, column]
        rows = correct.any(axis=1)  # few, so that the second product is the smaller one
        return (weights[:, rows] @ correct[rows].astype(np.float32)) / np.maximum(weights @ above.astype(np.float32), 1)

    check_scores(scores, truth)
    chosen = np.flatnonzero(truth.sum(axis=0) >= max(min_positives, 1))
    return _class_means(
        _class_sums(precision, truth[:, chosen], chosen, weights), weights @ truth[:, chosen].astype(np.float32)
    )


def drawn_macro_auroc(
    scores: Float[np.ndarray, "rows classes"],
    truth: Bool[np.ndarray, "rows classes"],
    weights: Float32[np.ndarray, "draws rows"],
    *,
    min_positives: int = 1,
) -> Float[np.ndarray, " draws"]:
    """Return the macro AUROC in each draw; parameters and errors as for `drawn_cmap`."""

    def wins(row: Int64[np.ndarray, " some"], column: Int64[np.ndarray, " some"]) -> Float[np.ndarray, "draws some"]:
        others, true_score = scores[:, column], scores[row, column]
        won = ((others < true_score) + np.float32(0.5) * (others == true_score)) * ~truth[:, column]
        return weights @ won.astype(np.float32)

    check_scores(scores, truth)
    chosen = np.flatnonzero(truth.sum(axis=0) >= max(min_positives, 1))
    positives = weights @ truth[:, chosen].astype(np.float32)
    negatives = weights.sum(axis=1, keepdims=True) - positives
    return _class_means(_class_sums(wins, truth[:, chosen], chosen, weights), positives.astype(float) * negatives)


def drawn_micro_ap(
    scores: Float[np.ndarray, "rows classes"],
    truth: Bool[np.ndarray, "rows classes"],
    weights: Float32[np.ndarray, "draws rows"],
) -> Float[np.ndarray, " draws"]:
    """Return the micro average precision in each draw; NaN if a draw took no true pair. Errors as for `drawn_cmap`.

    Only the scores of true pairs (levels) matter: how many pairs of each row reach each level is counted once for all
    draws.
    """
    check_scores(scores, truth)
    levels = np.unique(scores[truth])[::-1]
    reached = np.searchsorted(-levels, -scores)  # index of the highest level that a pair reaches
    above, correct = np.zeros((len(scores), 1), np.float32), np.zeros((len(scores), 1), np.float32)
    sums, sizes = np.zeros(len(weights)), np.zeros(len(weights))
    block = max(1, BLOCK_ELEMENTS // max(len(scores), len(weights), 1))
    for start in range(0, len(levels), block):
        count = min(block, len(levels) - start)
        true_pairs = _count_at_levels(reached - start, truth, count)
        above = above[:, -1:] + _count_at_levels(reached - start, np.ones_like(truth), count).cumsum(axis=1)
        correct = correct[:, -1:] + true_pairs.cumsum(axis=1)
        taken = weights @ true_pairs
        sums += (taken * (weights @ correct) / np.maximum(weights @ above, 1)).sum(axis=1)
        sizes += taken.sum(axis=1)
    return _ratio(sums, sizes)


def _count_at_levels(
    reached: Int64[np.ndarray, "rows classes"], chosen: Bool[np.ndarray, "rows classes"], count: int
) -> Float32[np.ndarray, "rows count"]:
    """Count the chosen pairs of each row at each of `count` levels; pairs at other levels are left out."""
    inside = chosen & (reached >= 0) & (reached < count)
    row, _ = np.nonzero(inside)
    return (
        np.bincount(row * count + reached[inside], minlength=len(reached) * count)
        .reshape(len(reached), count)
        .astype(np.float32)
    )


def drawn_precision_recall_f1(
    detected: Bool[np.ndarray, "rows classes"],
    truth: Bool[np.ndarray, "rows classes"],
    weights: Float32[np.ndarray, "draws rows"],
) -> dict[str, dict[str, Float[np.ndarray, " draws"]]]:
    """Return precision, recall and F1 in each draw: by average, then by field of `PrecisionRecallF1`.

    NaN if a draw took no row in which a class is present or detected; for the weighted ones, if no class is present.
    """
    hits, detections, present = (weights @ part.astype(np.float32) for part in (detected & truth, detected, truth))
    rows = present.sum(axis=1)
    return {
        "micro": _means_over_occurring(*(part.sum(axis=1, keepdims=True) for part in (hits, detections, present))),
        "macro": _means_over_occurring(hits, detections, present),
        "weighted": {
            key: _ratio((values * present).sum(axis=1), rows)
            for key, values in _shares(hits, detections, present).items()
        },
    }


def _shares(hits: _ClassCounts, detections: _ClassCounts, present: _ClassCounts) -> dict[str, _ClassCounts]:
    """Return precision, recall and F1 of each class in each draw; 0 / 0 is 0."""
    wholes = {"precision": detections, "recall": present, "f1": (detections + present) / 2}
    return {key: hits / np.where(whole > 0, whole, 1) for key, whole in wholes.items()}


def _means_over_occurring(
    hits: _ClassCounts, detections: _ClassCounts, present: _ClassCounts
) -> dict[str, Float[np.ndarray, " draws"]]:
    """Return the means in each draw over the classes that are present or detected in it; others have shares of 0."""
    occurring = (detections + present > 0).sum(axis=1)
    shares = _shares(hits, detections, present)
    return {key: _ratio(values.sum(axis=1), occurring) for key, values in shares.items()}


def _ratio(part: Float[np.ndarray, " draws"], whole: Real[np.ndarray, " draws"]) -> Float[np.ndarray, " draws"]:
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)


def interval(value: float | None, drawn: Float[np.ndarray, " draws"]) -> Interval:
    """Return a metric with its interval, from its value in each draw."""
    defined = drawn[~np.isnan(drawn)]
    if value is None or not len(defined):
        return Interval(value, None, None, 0)
    low, high = np.quantile(defined, TAILS)
    return Interval(value, float(low), float(high), len(defined))


def difference_interval(
    a: float | None, b: float | None, *, drawn_a: Float[np.ndarray, " draws"], drawn_b: Float[np.ndarray, " draws"]
) -> Interval:
    """Return how much higher system A scores than system B by one metric, with the interval of the difference.

    Parameters
    ----------
    a, b : the metric of each over all rows
    drawn_a, drawn_b : its value in each draw, by the same weights
    """
    return interval(None if a is None or b is None else a - b, drawn_a - drawn_b)


def paired_interval(one: Float[np.ndarray, " rows"], other: Float[np.ndarray, " rows"]) -> tuple[float, float] | None:
    """Return the ends of the 95% interval of mean(one) − mean(other); None for fewer than two rows.

    Both are resampled by the same draws. This pairing
    removes how much harder some recordings are than others, which tells nothing about the systems.
    """
    if len(one) < 2:
        return None
    draws = draw_weights(np.arange(len(one)), seed=0)
    found = difference_interval(
        float(one.mean()), float(other.mean()), drawn_a=drawn_means(one, draws), drawn_b=drawn_means(other, draws)
    )
    return None if found.low is None or found.high is None else (found.low, found.high)


def _class_sums(
    metric: Callable[[Int64[np.ndarray, " some"], Int64[np.ndarray, " some"]], Float[np.ndarray, "draws some"]],
    truth: Bool[np.ndarray, "rows chosen"],
    chosen: Int64[np.ndarray, " chosen"],
    weights: Float32[np.ndarray, "draws rows"],
) -> Float[np.ndarray, "draws chosen"]:
    """Sum a metric over the true rows of each class, each as often as each draw took it.

    Parameters
    ----------
    metric : of rows and their classes, in each draw
    """
    sums = np.zeros((len(weights), len(chosen)))
    for row, index in _true_pairs(truth, block=max(1, BLOCK_ELEMENTS // max(len(truth), len(weights), 1))):
        values = weights[:, row] * metric(row, chosen[index])
        first, starts = np.unique(index, return_index=True)
        sums[:, first] += np.add.reduceat(values, starts, axis=1)
    return sums


def _true_pairs(
    truth: Bool[np.ndarray, "rows classes"], *, block: int
) -> Iterator[tuple[Int64[np.ndarray, " some"], Int64[np.ndarray, " some"]]]:
    """Yield rows and classes of the true pairs in the order of the classes, block by block."""
    classes, rows = np.nonzero(truth.T)
    for start in range(0, len(rows), block):
        yield rows[start : start + block], classes[start : start + block]


def _class_means(
    sums: Float[np.ndarray, "draws chosen"], sizes: Float[np.ndarray, "draws chosen"]
) -> Float[np.ndarray, " draws"]:
    """Return the mean over classes of sum / size in each draw; a class of size 0 is left out."""
    defined = sizes > 0
    return _ratio(np.where(defined, sums / np.maximum(sizes, 1), 0).sum(axis=1), defined.sum(axis=1))
