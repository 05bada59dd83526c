"""Occlusion finds the part of a spectrogram that a score is made from, and nothing where there is none."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.scoring.inference.occlusion import background_of, count_clips, occlude, occlusion_grid

NOISE_ROWS = np.random.default_rng(1).integers(0, 60, (64, 128)).astype(np.uint8)


def mean_of(rows: slice, columns: slice) -> Callable[[np.ndarray], np.ndarray]:
    """Return a score that looks at one rectangle only."""
    return lambda pixels: pixels[:, rows, columns].mean(axis=(1, 2)) / 255


def test_the_map_peaks_where_the_score_looks() -> None:
    pixels = NOISE_ROWS.copy()
    rows, columns = slice(16, 24), slice(80, 92)
    pixels[rows, columns] = 250
    found = occlude(pixels, mean_of(rows, columns), cells=(16, 32), batch_size=50)
    peak = np.unravel_index(found.importance.argmax(), found.importance.shape)
    assert rows.start <= found.row_edges[peak[0]] < rows.stop
    assert columns.start <= found.column_edges[peak[1]] < columns.stop
    far = np.ones(found.importance.shape, bool)
    far[3:7, 19:24] = False  # cells in patches that touch the rectangle
    assert (found.importance[far] == 0).all()
    assert found.importance[4:6, 20:23].min() > 0
    assert found.score == pytest.approx(250 / 255)
    assert found.background < 0.3
    assert found.background < found.lowest < found.score


def test_by_hand() -> None:
    """One band of two pixels; its background is 20. Patches are the first pixel, both, and the second."""
    pixels = np.array([[10, 30]], np.uint8)

    def score(clips: np.ndarray) -> np.ndarray:
        return (clips[:, 0, 0] + 2.0 * clips[:, 0, 1]) / 100

    found = occlude(pixels, score, cells=(12, 24), batch_size=2)
    assert found.score == pytest.approx(0.7)
    assert found.background == pytest.approx(0.6)
    # losses −0.1 (the first), 0.1 (both), 0.2 (the second); there is one row, so that each is there twice
    assert found.importance[0].tolist() == pytest.approx([0.0, 0.15])
    assert found.lowest == pytest.approx(0.5)


@pytest.mark.parametrize("value", [0, 7, 255])
def test_a_constant_spectrogram_has_a_map_of_zeros(value: int) -> None:
    found = occlude(np.full((9, 20), value, np.uint8), mean_of(slice(None), slice(None)), cells=(3, 4), batch_size=64)
    assert (found.importance == 0).all()


def test_a_constant_score_has_a_map_of_zeros() -> None:
    found = occlude(NOISE_ROWS, lambda pixels: np.full(len(pixels), 0.25), cells=(3, 4), batch_size=7)
    assert (found.importance == 0).all()
    assert found.score == found.lowest == found.background == 0.25


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 12), st.integers(1, 12), st.integers(1, 64))
def test_any_size_is_covered_evenly(height: int, width: int, rows: int, columns: int, batch_size: int) -> None:
    pixels = np.random.default_rng(height * width).integers(0, 256, (height, width)).astype(np.uint8)
    scored: list[int] = []
    score = mean_of(slice(None), slice(None))
    found = occlude(pixels, score, cells=(rows, columns), batch_size=batch_size, advance=scored.append)
    grid = occlusion_grid(height, width, cells=(rows, columns))
    assert found.importance.shape == grid.shape == (min(rows, height), min(columns, width))
    assert (grid.row_edges[0], grid.row_edges[-1], grid.column_edges[-1]) == (0, height, width)
    assert (np.diff(grid.row_edges) > 0).all()
    assert np.isfinite(found.importance).all()
    assert sum(scored) == count_clips(height, width, cells=(rows, columns))
    assert max(scored) <= max(batch_size, 2)
    counts = np.zeros(grid.shape, int)
    for patch in grid.patches:
        counts[patch] += 1
    assert (counts == 4).all()


def test_the_background_is_the_median_of_each_band() -> None:
    pixels = np.array([[1, 9, 2], [200, 0, 100]], np.uint8)
    assert background_of(pixels).tolist() == [[2] * 3, [100] * 3]
