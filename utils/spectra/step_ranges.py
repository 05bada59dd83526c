"""A long curve in few numbers: the lowest and the highest value of equal steps, for a plot."""

import numpy as np
from jaxtyping import Float, Float32

PLOTTED_STEPS = 3000  # of a curve over a recording, at least, if it has as many values


class StepRanges:
    """The lowest and the highest value in each of `steps` to 2 · `steps` equal steps of a stream of unknown length.

    Attributes
    ----------
    size : values in a step; the last step may have fewer
    """

    def __init__(self, *, steps: int = PLOTTED_STEPS) -> None:
        self.size = 1
        self._most, self._count = 2 * steps, 0
        self._ranges = np.zeros((2, self._most), np.float32)
        self._rest = np.zeros(0, np.float32)

    def add(self, values: Float[np.ndarray, " values"]) -> None:
        """Add the next values of the stream."""
        values = np.concatenate([self._rest, values])
        while len(values) >= self.size:
            count = min(len(values) // self.size, self._most - self._count)
            rows = values[: count * self.size].reshape(count, self.size)
            new = slice(self._count, self._count + count)
            self._ranges[:, new] = rows.min(axis=1), rows.max(axis=1)
            self._count += count
            values = values[count * self.size :]
            if self._count == self._most:
                self._join_pairs()
        self._rest = values

    def _join_pairs(self) -> None:
        self.size, self._count = 2 * self.size, self._count // 2
        pairs = self._ranges.reshape(2, self._count, 2)
        self._ranges[:, : self._count] = pairs[0].min(axis=1), pairs[1].max(axis=1)

    def ranges(self) -> Float32[np.ndarray, "2 steps"]:
        """Return the lowest and the highest value of each step."""
        ranges = self._ranges[:, : self._count]
        if not len(self._rest):
            return ranges.copy()
        return np.concatenate([ranges, [[self._rest.min()], [self._rest.max()]]], axis=1)
