"""Random scores for comparing metrics with scikit-learn: with ties, without true rows, of one class, of one row."""

from collections.abc import Iterator

import numpy as np

CASES = 200


def cases(*, correct_in_each_row: bool = False) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield scores and truth of CASES cases, the same ones each time; a quarter each of one row and of one class."""
    rng = np.random.default_rng(6)
    for case in range(CASES):
        rows = 1 if case % 4 == 1 else int(rng.integers(2, 12))
        classes = 1 if case % 4 == 2 else int(rng.integers(2, 9))
        scores = rng.integers(0, 4, (rows, classes)) / 4 if case % 3 else rng.random((rows, classes))
        truth = rng.random((rows, classes)) < rng.random()
        truth[:, rng.random(classes) < 0.2] = False
        if correct_in_each_row:
            truth[np.arange(rows), rng.integers(0, classes, rows)] = True
        yield scores, truth
