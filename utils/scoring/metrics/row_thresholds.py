"""Row-wise F1 with nocall by one threshold for all classes: counts of each row at many thresholds, and the best one.

Memory does not grow with rows × thresholds × classes: rows come in blocks, and of a block only scores that reach the
lowest threshold are looked at.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64, Real

SCORES_AT_ONCE = 2**22  # of a block of rows
COARSE = 32  # thresholds at which a bound is found, below which no threshold can be the best
SAME_F1 = 1e-9  # sums of so many rows are not more exact

Unknown = Int64[np.ndarray, " rows"] | None


class RowCounts(NamedTuple):
    """Counts of a block of rows at each of several thresholds.

    Attributes
    ----------
    rows : the block
    hits, detected : correct detections, and all detections
    present : true labels of each row, also those that are no class
    """

    rows: slice
    hits: Int64[np.ndarray, "rows thresholds"]
    detected: Int64[np.ndarray, "rows thresholds"]
    present: Int64[np.ndarray, " rows"]

    @property
    def f1(self) -> Float[np.ndarray, "rows thresholds"]:
        """F1 of each row, as `detection_metrics.row_f1` has it."""
        return row_f1_of_counts(self.hits, self.detected, self.present[:, None])


def row_f1_of_counts(
    hits: Real[np.ndarray, "..."], detected: Real[np.ndarray, "..."], present: Real[np.ndarray, "..."]
) -> Float[np.ndarray, "..."]:
    """Return 2 |detected ∩ true| / (|detected| + |true|), where an empty set is {nocall}."""
    both_empty = (detected == 0) & (present == 0)
    return 2 * (hits + both_empty) / (np.maximum(detected, 1) + np.maximum(present, 1))


def row_counts(
    scores: Float[np.ndarray, "rows classes"],
    truth: Bool[np.ndarray, "rows classes"],
    thresholds: Float[np.ndarray, " thresholds"],
    *,
    unknown: Unknown = None,
) -> Iterator[RowCounts]:
    """Yield the counts of all rows at each threshold, block by block.

    Parameters
    ----------
    thresholds : rising, at least one
    unknown : true labels of each row that are no class: they are missed, whatever is detected
    """
    width = len(thresholds) + 1
    for rows in blocks(scores.shape, columns=width):
        pair_rows, columns = np.nonzero(scores[rows] >= thresholds[0])
        # of the highest threshold that a pair reaches, counted from 1
        highest = np.searchsorted(thresholds, scores[rows][pair_rows, columns], side="right")
        cells, correct = pair_rows * width + highest, truth[rows][pair_rows, columns]
        hits, detected = (
            np.bincount(chosen, minlength=width * (rows.stop - rows.start))
            .reshape(-1, width)[:, :0:-1]
            .cumsum(axis=1)[:, ::-1]
            for chosen in (cells[correct], cells)
        )
        yield RowCounts(rows, hits, detected, present_in(truth, rows, unknown))


def blocks(shape: tuple[int, ...], *, columns: int = 1) -> Iterator[slice]:
    """Yield blocks of rows whose tables of classes, or of so many columns, stay small."""
    size = max(1, SCORES_AT_ONCE // max(1, shape[1], columns))
    for first in range(0, shape[0], size):
        yield slice(first, min(first + size, shape[0]))


def present_in(truth: Bool[np.ndarray, "rows classes"], rows: slice, unknown: Unknown) -> Int64[np.ndarray, " block"]:
    """Return the number of true labels of each row of a block."""
    return truth[rows].sum(axis=1) + (0 if unknown is None else unknown[rows])


def best_row_threshold(
    scores: Float[np.ndarray, "rows classes"], truth: Bool[np.ndarray, "rows classes"], *, unknown: Unknown = None
) -> float | None:
    """Return the threshold with the highest mean row-wise F1; of equally good ones, the highest.

    It is the score of a true pair of a row and a class: between two of them, further detections are false, and lower
    the F1 of their rows or leave it. The lowest score of all is none, unless all pairs are true (see `curve_of`).

    Returns
    -------
    None if it is as good to detect nothing.
    """
    if not truth.any():
        return None
    levels = np.unique(scores[truth])
    levels = levels if truth.all() else levels[levels > scores.min()]
    if not len(levels):
        return None
    levels = levels[levels >= _lowest_useful(scores, truth, levels, unknown)]
    nothing, gains = 0, np.zeros(len(levels) + 1)
    for rows in blocks(scores.shape):
        present = present_in(truth, rows, unknown)
        nothing += int((present == 0).sum())
        gains += _gains(scores[rows], truth[rows], levels, present)
    sums = nothing + gains[:0:-1].cumsum()[::-1]
    best = int(np.flatnonzero(sums >= sums.max() - SAME_F1 * len(scores))[-1])
    return float(levels[best]) if sums[best] > nothing + SAME_F1 * len(scores) else None


def _lowest_useful(
    scores: Float[np.ndarray, "rows classes"],
    truth: Bool[np.ndarray, "rows classes"],
    levels: Float[np.ndarray, " levels"],
    unknown: Unknown,
) -> float:
    """Return a threshold below which F1 is lower than at some other, however many detections were correct."""
    coarse = levels[np.unique(np.linspace(0, len(levels) - 1, COARSE).round().astype(int))]
    sums, bounds = np.zeros(len(coarse)), np.zeros(len(coarse))
    for counts in row_counts(scores, truth, coarse, unknown=unknown):
        present = counts.present[:, None]
        sums += counts.f1.sum(axis=0)
        bounds += row_f1_of_counts(present, np.maximum(counts.detected, present), present).sum(axis=0)
    useless = np.flatnonzero(bounds < sums.max())
    return float(coarse[useless[-1]]) if len(useless) else float(levels[0])


def _gains(
    scores: Float[np.ndarray, "rows classes"],
    truth: Bool[np.ndarray, "rows classes"],
    levels: Float[np.ndarray, " levels"],
    present: Int64[np.ndarray, " rows"],
) -> Float[np.ndarray, " levels+1"]:
    """Return by how much the F1 of all rows together rises at each level, from that above; behind an unused 0."""
    rows, columns = np.nonzero(scores >= levels[0])
    found, correct = scores[rows, columns], truth[rows, columns]
    order = np.lexsort((-found, rows))
    rows, found, correct = rows[order], found[order], correct[order]
    starts = np.searchsorted(rows, rows)  # of the pair's row
    detected = np.arange(len(rows)) - starts + 1
    hits = np.concatenate([[0], np.cumsum(correct)])
    hits_before, hits_after = hits[:-1] - hits[starts], hits[1:] - hits[starts]
    after = row_f1_of_counts(hits_after, detected, present[rows])
    before = row_f1_of_counts(hits_before, detected - 1, present[rows])
    reached = np.searchsorted(levels, found, side="right")
    return np.bincount(reached, weights=after - before, minlength=len(levels) + 1)
