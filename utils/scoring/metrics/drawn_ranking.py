"""How well scores rank the correct classes, in each draw of a bootstrap: class-mean and micro AP, macro AUROC.

Only the scores of true pairs of a row and a class matter, the levels. How many pairs of each recording reach each level
is counted once for all draws; what is left are products of matrices of draws, recordings and levels.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64

from utils.scoring.metrics.bootstrap import Draws, ratio
from utils.scoring.metrics.ranking import check_scores

BLOCK_ELEMENTS = 2**22  # of the largest matrix that is computed at a time


def drawn_cmap(
    scores: Float[np.ndarray, "rows classes"],
    truth: Bool[np.ndarray, "rows classes"],
    draws: Draws,
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
    check_scores(scores, truth)
    chosen = np.flatnonzero(truth.sum(axis=0) >= max(min_positives, 1))
    sums = _sums_over_true_pairs(_precision, [(scores[:, index], truth[:, index]) for index in chosen], draws)
    return _class_means(sums, draws.sums(truth)[:, chosen])


def drawn_macro_auroc(
    scores: Float[np.ndarray, "rows classes"],
    truth: Bool[np.ndarray, "rows classes"],
    draws: Draws,
    *,
    min_positives: int = 1,
) -> Float[np.ndarray, " draws"]:
    """Return the macro AUROC in each draw; parameters and errors as for `drawn_cmap`."""
    check_scores(scores, truth)
    chosen = np.flatnonzero(truth.sum(axis=0) >= max(min_positives, 1))
    # pairs of a true row and another row that are in the wrong order; those of equal score count half
    lost = _sums_over_true_pairs(_not_below, [(scores[:, index], truth[:, index]) for index in chosen], draws)
    positives = draws.sums(truth)[:, chosen].astype(float)
    size = positives * (draws.sums(np.ones(len(truth)))[:, None] - positives)
    return _class_means(size - lost, size)


def drawn_micro_ap(
    scores: Float[np.ndarray, "rows classes"], truth: Bool[np.ndarray, "rows classes"], draws: Draws
) -> Float[np.ndarray, " draws"]:
    """Return the micro average precision in each draw; NaN if a draw took no true pair. Errors as for `drawn_cmap`."""
    check_scores(scores, truth)
    sums = _sums_over_true_pairs(_precision, [(scores, truth)], draws)
    return ratio(sums[:, 0], draws.sums(truth.sum(axis=1).astype(float)))


_Counts = Float32[np.ndarray, "recordings levels"]
_Pairs = tuple[Float[np.ndarray, "rows *classes"], Bool[np.ndarray, "rows *classes"]]  # scores and truth


@dataclass(frozen=True)
class _Levels:
    """How many pairs of each recording are at some levels, true and wrong ones, and how many reach them."""

    true: _Counts
    wrong: _Counts
    true_reach: _Counts
    every_reach: _Counts

    @classmethod
    def joined(cls, several: Sequence["_Levels"]) -> "_Levels":
        """Return the levels of several classes side by side."""
        return cls(*(np.concatenate([getattr(one, field.name) for one in several], axis=1) for field in fields(cls)))


def _precision(levels: _Levels, weights: Float32[np.ndarray, "draws recordings"]) -> Float[np.ndarray, "draws levels"]:
    """Return the share of true pairs among those that reach each level, in each draw."""
    return (weights @ levels.true_reach) / np.maximum(weights @ levels.every_reach, 1)


def _not_below(levels: _Levels, weights: Float32[np.ndarray, "draws recordings"]) -> Float[np.ndarray, "draws levels"]:
    """Return how many wrong pairs reach each level in each draw; those at the level count half."""
    return weights @ (levels.every_reach - levels.true_reach - np.float32(0.5) * levels.wrong)


def _sums_over_true_pairs(
    metric: Callable[[_Levels, Float32[np.ndarray, "draws recordings"]], Float[np.ndarray, "draws levels"]],
    groups: Sequence[_Pairs],
    draws: Draws,
) -> Float[np.ndarray, "draws groups"]:
    """Sum a metric over the true pairs of each group (a class, or all pairs), each as often as each draw took it."""
    sums = np.zeros((len(draws), len(groups)))
    if not len(draws):
        return sums
    for levels, group in _joined_blocks(groups, draws):
        values = (draws.weights @ levels.true) * metric(levels, draws.weights)
        first, starts = np.unique(group, return_index=True)
        sums[:, first] += np.add.reduceat(values, starts, axis=1)
    return sums


def _joined_blocks(groups: Iterable[_Pairs], draws: Draws) -> Iterator[tuple[_Levels, Int64[np.ndarray, " levels"]]]:
    """Yield levels and the index of their group, so many at a time that products of matrices are quick and small."""
    block = max(1, BLOCK_ELEMENTS // max(draws.weights.shape))
    waiting: list[_Levels] = []
    indices: list[int] = []
    for index, (scores, truth) in enumerate(groups):
        for levels in _levels(scores, truth, draws, block=block):
            if len(indices) + levels.true.shape[1] > block:
                yield _Levels.joined(waiting), np.array(indices)
                waiting, indices = [], []
            waiting.append(levels)
            indices += [index] * levels.true.shape[1]
    if waiting:
        yield _Levels.joined(waiting), np.array(indices)


def _levels(
    scores: Float[np.ndarray, "rows *classes"], truth: Bool[np.ndarray, "rows *classes"], draws: Draws, *, block: int
) -> Iterator[_Levels]:
    """Yield the levels of some pairs, highest first, in blocks."""
    order = np.argsort(scores, axis=None)[::-1]  # of the pairs, row by row
    falling, true = scores.ravel()[order], truth.ravel()[order]
    levels = np.unique(falling[true])[::-1]
    reaching = (len(falling) - np.searchsorted(falling[::-1], levels)).tolist()  # how many pairs reach each level
    columns = scores[0].size if len(scores) else 1
    true_reach = every_reach = np.zeros((draws.weights.shape[1], 1), np.float32)
    for start in range(0, len(levels), block):
        here, first = reaching[start : start + block], reaching[start - 1] if start else 0
        every, hits, wrong = np.zeros((3, draws.weights.shape[1], len(here)), np.float32)
        for pairs in _slices(first, here[-1]):
            level = np.searchsorted(here, np.arange(pairs.start, pairs.stop), side="right")  # the highest one reached
            cells = draws.recording[order[pairs] // columns] * len(here) + level
            every += np.bincount(cells, minlength=every.size).reshape(every.shape)
            hits += np.bincount(cells[true[pairs]], minlength=every.size).reshape(every.shape)
            tied = ~true[pairs] & (falling[pairs] == levels[start + level])
            wrong += np.bincount(cells[tied], minlength=every.size).reshape(every.shape)
        true_reach, every_reach = true_reach[:, -1:] + hits.cumsum(axis=1), every_reach[:, -1:] + every.cumsum(axis=1)
        yield _Levels(hits, wrong, true_reach, every_reach)


def _slices(start: int, stop: int) -> Iterator[slice]:
    for first in range(start, stop, BLOCK_ELEMENTS):
        yield slice(first, min(first + BLOCK_ELEMENTS, stop))


def _class_means(
    sums: Float[np.ndarray, "draws chosen"], sizes: Float[np.ndarray, "draws chosen"]
) -> Float[np.ndarray, " draws"]:
    """Return the mean over classes of sum / size in each draw; a class of size 0 is left out."""
    defined = sizes > 0
    return ratio(np.where(defined, sums / np.maximum(sizes, 1), 0).sum(axis=1), defined.sum(axis=1))
