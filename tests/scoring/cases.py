"""Random answers on which metrics are held to scikit-learn: with ties, with classes and rows without a truth, of one class, of one row."""

from collections.abc import Iterator

import numpy as np

CASES = 200


def cases(*, right_in_each_row: bool = False) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield scores and truth of CASES cases, the same ones each time; a quarter each of one row and of one class."""
    rng = np.random.default_rng(6)
    for number in range(CASES):
        rows = 1 if number % 4 == 1 else int(rng.integers(2, 12))
        classes = 1 if number % 4 == 2 else int(rng.integers(2, 9))
        scores = rng.integers(0, 4, (rows, classes)) / 4 if number % 3 else rng.random((rows, classes))
        truth = rng.random((rows, classes)) < rng.random()
        truth[:, rng.random(classes) < 0.2] = False
        if right_in_each_row:
            truth[np.arange(rows), rng.integers(0, classes, rows)] = True
        yield scores, truth
