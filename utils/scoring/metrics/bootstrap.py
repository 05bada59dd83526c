"""How sure a figure is: 95% intervals and differences of two systems by bootstrap over recordings.

A draw takes as many recordings as there are, with replacement. It is kept as weights, how often each row was taken:
with them a mean is one product of matrices, and the average precisions of all classes are a few, where
scipy.stats.bootstrap would order every class anew in each draw (minutes instead of seconds). Two systems that are
judged by the same weights are judged on the same draws, whatever the figure.

Source: Efron and Tibshirani, An introduction to the bootstrap, 1993 (percentile method); for p-values Davison and
Hinkley, Bootstrap methods, 1997, 4.2.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64, Real

from utils.scoring.metrics.ranking import check

DRAWS = 1000
TAILS = (0.025, 0.975)  # what lies between is the 95% interval
BLOCK = 2**22  # elements of a matrix that is made at a time
_Counts = Float32[np.ndarray, "draws classes"]


@dataclass(frozen=True)
class Interval:
    """A figure with its 95% interval.

    Attributes
    ----------
    value : the figure of all rows
    low, high : 2.5% and 97.5% quantile of the draws; None where the figure is not defined, or in no draw
    draws : in how many draws it was defined
    """

    value: float | None
    low: float | None
    high: float | None
    draws: int


@dataclass(frozen=True)
class Difference:
    """How much higher system A scores than system B on the same recordings.

    Attributes
    ----------
    interval : of A − B
    a_better : share of the draws in which A scores higher; draws in which both score the same count for neither
    p_value : of the hypothesis that A and B are alike, two-sided; None without draws
    """

    interval: Interval
    a_better: float | None
    p_value: float | None


def draw_weights(
    recordings: Int64[np.ndarray, " rows"], *, draws: int = DRAWS, seed: int
) -> Float32[np.ndarray, "draws rows"]:
    """Draw recordings with replacement and return how often each row was taken.

    Parameters
    ----------
    recordings : number of each row's recording, from 0 without gaps: np.arange(rows) where each row is one; intervals
        of a recording are taken together, for they are alike

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
    """Return the mean of what is no NaN in each draw: of each row's LRAP, say, the MLRAP."""
    defined = ~np.isnan(values)
    return drawn_ratios(np.where(defined, values, 0.0), defined.astype(float), weights)


def drawn_ratios(
    part: Float[np.ndarray, " rows"], whole: Float[np.ndarray, " rows"], weights: Float32[np.ndarray, "draws rows"]
) -> Float[np.ndarray, " draws"]:
    """Return Σ part / Σ whole in each draw: of right calls and calls in each row, say, the micro precision. NaN where the whole is nothing."""
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
    min_positives : which classes count is settled once, by all rows; a draw leaves out those that it took no row of

    Raises
    ------
    ValueError
        If a score is no number, or the shapes differ.
    """

    def precision(
        row: Int64[np.ndarray, " some"], column: Int64[np.ndarray, " some"]
    ) -> Float[np.ndarray, "draws some"]:
        above = scores[:, column] >= scores[row, column]
        right = above & truth[:, column]
        own = right.any(axis=1)  # few rows: the second product is the smaller one
        return (weights[:, own] @ right[own].astype(np.float32)) / np.maximum(weights @ above.astype(np.float32), 1)

    check(scores, truth)
    kept = np.flatnonzero(truth.sum(axis=0) >= max(min_positives, 1))
    return _class_means(
        _class_sums(precision, truth[:, kept], kept, weights), weights @ truth[:, kept].astype(np.float32)
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
        others, own = scores[:, column], scores[row, column]
        won = ((others < own) + np.float32(0.5) * (others == own)) * ~truth[:, column]
        return weights @ won.astype(np.float32)

    check(scores, truth)
    kept = np.flatnonzero(truth.sum(axis=0) >= max(min_positives, 1))
    positives = weights @ truth[:, kept].astype(np.float32)
    negatives = weights.sum(axis=1, keepdims=True) - positives
    return _class_means(_class_sums(wins, truth[:, kept], kept, weights), positives.astype(float) * negatives)


def drawn_micro_ap(
    scores: Float[np.ndarray, "rows classes"],
    truth: Bool[np.ndarray, "rows classes"],
    weights: Float32[np.ndarray, "draws rows"],
) -> Float[np.ndarray, " draws"]:
    """Return the micro average precision in each draw; NaN where it took no true pair. Errors as for `drawn_cmap`.

    Only the levels at which true pairs stand matter: how many pairs of each row stand at or above each of them is
    counted once for all draws.
    """
    check(scores, truth)
    levels = np.unique(scores[truth])[::-1]
    place = np.searchsorted(-levels, -scores)  # the first level that a pair reaches
    above, right = np.zeros((len(scores), 1), np.float32), np.zeros((len(scores), 1), np.float32)
    sums, sizes = np.zeros(len(weights)), np.zeros(len(weights))
    block = max(1, BLOCK // max(len(scores), len(weights), 1))
    for start in range(0, len(levels), block):
        count = min(block, len(levels) - start)
        own = _counts(place - start, truth, count)
        above = above[:, -1:] + _counts(place - start, np.ones_like(truth), count).cumsum(axis=1)
        right = right[:, -1:] + own.cumsum(axis=1)
        taken = weights @ own
        sums += (taken * (weights @ right) / np.maximum(weights @ above, 1)).sum(axis=1)
        sizes += taken.sum(axis=1)
    return _ratio(sums, sizes)


def _counts(
    place: Int64[np.ndarray, "rows classes"], chosen: Bool[np.ndarray, "rows classes"], count: int
) -> Float32[np.ndarray, "rows count"]:
    """Count the chosen pairs of each row at each of so many places; what lies beyond is left out."""
    inside = chosen & (place >= 0) & (place < count)
    row, _ = np.nonzero(inside)
    return (
        np.bincount(row * count + place[inside], minlength=len(place) * count)
        .reshape(len(place), count)
        .astype(np.float32)
    )


def drawn_agreement(
    decided: Bool[np.ndarray, "rows classes"],
    truth: Bool[np.ndarray, "rows classes"],
    weights: Float32[np.ndarray, "draws rows"],
) -> dict[str, dict[str, Float[np.ndarray, " draws"]]]:
    """Return precision, recall and F1 in each draw, by "micro", "macro" and "weighted", then as the fields of `decisions.Agreement`.

    NaN where a draw took nothing that is true or called; of the weighted ones, nothing that is true.
    """
    hits, calls, present = (weights @ part.astype(np.float32) for part in (decided & truth, decided, truth))
    rows = present.sum(axis=1)
    return {
        "micro": _means_of_there(*(part.sum(axis=1, keepdims=True) for part in (hits, calls, present))),
        "macro": _means_of_there(hits, calls, present),
        "weighted": {
            key: _ratio((values * present).sum(axis=1), rows) for key, values in _shares(hits, calls, present).items()
        },
    }


def _shares(hits: _Counts, calls: _Counts, present: _Counts) -> dict[str, _Counts]:
    """Return precision, recall and F1 of each class in each draw; 0 / 0 is 0."""
    wholes = {"precision": calls, "recall": present, "f1": (calls + present) / 2}
    return {key: hits / np.where(whole > 0, whole, 1) for key, whole in wholes.items()}


def _means_of_there(hits: _Counts, calls: _Counts, present: _Counts) -> dict[str, Float[np.ndarray, " draws"]]:
    """Return the means in each draw over the classes that are true or called in it; all others have shares of 0."""
    there = (calls + present > 0).sum(axis=1)
    return {key: _ratio(values.sum(axis=1), there) for key, values in _shares(hits, calls, present).items()}


def _ratio(part: Float[np.ndarray, " draws"], whole: Real[np.ndarray, " draws"]) -> Float[np.ndarray, " draws"]:
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)


def interval(value: float | None, drawn: Float[np.ndarray, " draws"]) -> Interval:
    """Return a figure with its interval, from what it was in each draw."""
    defined = drawn[~np.isnan(drawn)]
    if value is None or not len(defined):
        return Interval(value, None, None, 0)
    low, high = np.quantile(defined, TAILS)
    return Interval(value, float(low), float(high), len(defined))


def compare(
    a: float | None, b: float | None, *, drawn_a: Float[np.ndarray, " draws"], drawn_b: Float[np.ndarray, " draws"]
) -> Difference:
    """Compare two systems by one figure.

        p = min(1, 2 (1 + min(|draws with A − B ≤ 0|, |draws with A − B ≥ 0|)) / (1 + draws))

    so that no p-value is smaller than what so many draws can tell.

    Parameters
    ----------
    a, b : the figure of each on all rows
    drawn_a, drawn_b : what it was in each draw, by the same weights
    """
    drawn = drawn_a - drawn_b
    found = interval(None if a is None or b is None else a - b, drawn)
    if not found.draws:
        return Difference(found, None, None)
    drawn = drawn[~np.isnan(drawn)]
    tail = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    return Difference(found, float((drawn > 0).mean()), min(1.0, 2 * (1 + tail) / (1 + len(drawn))))


def paired_interval(one: Float[np.ndarray, " rows"], other: Float[np.ndarray, " rows"]) -> tuple[float, float] | None:
    """Return the ends of the 95% interval of mean(one) − mean(other), by the same draws of both; None of fewer than two rows.

    That some recordings are harder than others then tells nothing of the systems, and drops out.
    """
    if len(one) < 2:
        return None
    draws = draw_weights(np.arange(len(one)), seed=0)
    found = compare(
        float(one.mean()), float(other.mean()), drawn_a=drawn_means(one, draws), drawn_b=drawn_means(other, draws)
    ).interval
    return None if found.low is None or found.high is None else (found.low, found.high)


def _class_sums(
    figure: Callable[[Int64[np.ndarray, " some"], Int64[np.ndarray, " some"]], Float[np.ndarray, "draws some"]],
    truth: Bool[np.ndarray, "rows kept"],
    kept: Int64[np.ndarray, " kept"],
    weights: Float32[np.ndarray, "draws rows"],
) -> Float[np.ndarray, "draws kept"]:
    """Add up a figure of the rows of each class, as often as each draw took them.

    Parameters
    ----------
    figure : of rows and their classes, in each draw
    """
    sums = np.zeros((len(weights), len(kept)))
    for row, place in _true_pairs(truth, block=max(1, BLOCK // max(len(truth), len(weights), 1))):
        values = weights[:, row] * figure(row, kept[place])
        first, starts = np.unique(place, return_index=True)
        sums[:, first] += np.add.reduceat(values, starts, axis=1)
    return sums


def _true_pairs(
    truth: Bool[np.ndarray, "rows classes"], *, block: int
) -> Iterator[tuple[Int64[np.ndarray, " some"], Int64[np.ndarray, " some"]]]:
    """Yield rows and classes of the true pairs in the order of the classes, a block at a time."""
    classes, rows = np.nonzero(truth.T)
    for start in range(0, len(rows), block):
        yield rows[start : start + block], classes[start : start + block]


def _class_means(
    sums: Float[np.ndarray, "draws kept"], sizes: Float[np.ndarray, "draws kept"]
) -> Float[np.ndarray, " draws"]:
    """Return the mean over classes of sum / size in each draw; a class of size 0 is left out."""
    there = sizes > 0
    return _ratio(np.where(there, sums / np.maximum(sizes, 1), 0).sum(axis=1), there.sum(axis=1))
