"""A grid of tenths of a second over a recording: in each cell the mean score of the frames of all clips that cover it.

Frame i of the F frames of a clip that starts at s and is L long covers [s + i · L / F, s + (i + 1) · L / F). It counts
in a cell by how much of it lies in the cell. So the scores hardly depend on how the starts of clips fall on the grid,
as those of the nearest frame would; and frames that are longer than a cell, or shorter, need no rule of their own.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64

from utils.spectra.decode import Length

CELLS_PER_SECOND = 10


def count_cells(length: Length) -> int:
    """Return the number of whole cells of a recording; a rest of less than a tenth of a second has none."""
    return length.frames * CELLS_PER_SECOND // length.rate


def overlaps(
    rows: Float[np.ndarray, " rows_and_one"], columns: Float[np.ndarray, " columns_and_one"]
) -> Float64[np.ndarray, "rows columns"]:
    """Return how much each span of one sequence overlaps each of another; both by their bounds, ascending."""
    ends, starts = np.minimum(rows[1:, None], columns[1:]), np.maximum(rows[:-1, None], columns[:-1])
    return (ends - starts).clip(0.0)


def resampled(
    scores: Float[np.ndarray, "clips frames classes"], count: int
) -> Float[np.ndarray, "clips resampled classes"]:
    """Return the scores of another number of frames, each the mean of those that it overlaps."""
    frames = scores.shape[1]
    if frames == count:
        return scores
    return count * overlaps(np.linspace(0, 1, count + 1), np.linspace(0, 1, frames + 1)) @ scores


def joined_frames(
    members: Sequence[tuple[Float[np.ndarray, "clips _ _"], Int64[np.ndarray, " _"]]],
    weights: Float[np.ndarray, " classes"],
) -> Float32[np.ndarray, "clips frames classes"]:
    """Average the scores of frames over members of an ensemble; as many frames as the member with most of them has.

    Parameters
    ----------
    members : scores times the weight of the member, and the columns of its classes
    weights : of each class, the total weight of the members that know it
    """
    count = max(scores.shape[1] for scores, _ in members)
    total = np.zeros((len(members[0][0]), count, len(weights)))
    for scores, known in members:
        total[..., known] += resampled(scores, count)
    return (total / weights).astype(np.float32)


class FrameGrid:
    """Collects the scores of the frames of a recording's clips, and gives out cells as soon as no clip can change them.

    Memory holds the cells of the clips that are not finished. What comes out does not depend on how many clips are
    added at once.

    Parameters
    ----------
    starts : first sample of each clip, in the order in which they are added; below 0 or beyond the recording, what
        frames say of silence does not count
    length : of a clip, samples
    rate : samples per second
    cells : number of cells of the recording, from `count_cells`
    classes : number of classes
    """

    def __init__(
        self, starts: Int64[np.ndarray, " clips"], *, length: int, rate: int, cells: int, classes: int
    ) -> None:
        self._starts, self._length, self._rate, self._cells = starts, length, rate, cells
        later = np.minimum.accumulate(starts[::-1])[::-1] * CELLS_PER_SECOND // rate
        self._finished = np.append(later, cells).clip(0, cells)  # so many cells, when as many clips were added
        self._clips = self._first = 0  # clips that were added; the cell of the first row
        self._sums, self._weights = np.zeros((0, classes)), np.zeros(0)

    def add(self, frames: Float[np.ndarray, "clips frames classes"]) -> Float32[np.ndarray, "cells classes"]:
        """Add the next clips, and return the cells that are finished by them, in order; 0 where there is no frame."""
        for scores in frames:
            self._add_clip(int(self._starts[self._clips]), scores)
            self._clips += 1
        return self._take(int(self._finished[self._clips]))

    def _add_clip(self, start: int, scores: Float[np.ndarray, "frames classes"]) -> None:
        """Add one clip; cells are counted in whole numbers, so that no rounding reaches one that is given out."""
        low = max(start * CELLS_PER_SECOND // self._rate, self._first)
        high = min(-(-(start + self._length) * CELLS_PER_SECOND // self._rate), self._cells)
        if high <= low:
            return
        bounds = start + self._length * np.arange(len(scores) + 1) / len(scores)
        shares = overlaps(np.arange(low, high + 1.0), bounds * CELLS_PER_SECOND / self._rate)
        self._grow(high - self._first)
        rows = slice(low - self._first, high - self._first)
        self._sums[rows] += shares @ scores
        self._weights[rows] += shares.sum(axis=1)

    def _grow(self, rows: int) -> None:
        more = rows - len(self._weights)
        if more > 0:
            self._sums = np.concatenate([self._sums, np.zeros((more, self._sums.shape[1]))])
            self._weights = np.concatenate([self._weights, np.zeros(more)])

    def _take(self, finished: int) -> Float32[np.ndarray, "cells classes"]:
        rows = max(0, finished - self._first)
        self._grow(rows)
        weights = self._weights[:rows, None]
        means = np.divide(self._sums[:rows], weights, out=np.zeros_like(self._sums[:rows]), where=weights > 0)
        self._sums, self._weights, self._first = self._sums[rows:], self._weights[rows:], self._first + rows
        return means.astype(np.float32)
