"""Cells of hand size, and any clips against a plain reading of the same rule over the whole recording."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.scoring.inference.frame_grid import FrameGrid, count_cells, joined_frames, overlaps, resampled
from utils.spectra.decode import Length

A, B = 0.2, 0.8  # scores


def cells_of(
    starts: list[int], frames: np.ndarray, *, length: int, rate: int, cells: int, at_once: int = 1000
) -> list[np.ndarray]:
    """Add clips, some at once; return what came out each time."""
    grid = FrameGrid(np.array(starts, np.int64), length=length, rate=rate, cells=cells, classes=frames.shape[2])
    return [grid.add(frames[first : first + at_once]) for first in range(0, len(frames), at_once)]


def test_a_rest_of_less_than_a_tenth_of_a_second_has_no_cell() -> None:
    assert [count_cells(Length(frames, 8000)) for frames in (799, 800, 12_345)] == [0, 1, 15]
    assert count_cells(Length(44_100 * 86_400, 44_100)) == 864_000


def test_overlaps_of_hand_size() -> None:
    shares = overlaps(np.array([0.0, 1, 2, 3]), np.array([-1.0, 1.5, 2]))
    np.testing.assert_array_equal(shares, [[1, 0], [0.5, 0.5], [0, 0]])


def one_class(*frames: float) -> np.ndarray:
    return np.array(frames, np.float32)[None, :, None]


@pytest.mark.parametrize(
    ("starts", "frames", "length", "cells", "expected"),
    [
        ([0], one_class(A, B), 40, 4, [A, A, B, B]),
        ([0], one_class(A, B), 30, 3, [A, (A + B) / 2, B]),  # frames of one cell and a half
        ([0], one_class(A, B, B, A), 20, 2, [(A + B) / 2, (A + B) / 2]),  # of half a cell
        ([0, 10], np.concatenate([one_class(A, B)] * 2), 20, 3, [A, (A + B) / 2, B]),  # clips that overlap
        ([5], one_class(A, B), 20, 3, [A, (A + B) / 2, B]),  # a quarter and three quarters of a frame do not count more
        ([-20], one_class(A, B, B, A), 40, 2, [B, A]),  # what is before the recording does not count
        ([0], one_class(A, A, B, B), 40, 3, [A, A, B]),  # nor what is behind it
        ([20], one_class(A, A), 20, 5, [0, 0, A, A, 0]),  # no clip: no score
    ],
)
def test_cells_of_hand_size(
    starts: list[int], frames: np.ndarray, length: int, cells: int, expected: list[float]
) -> None:
    found = np.concatenate(cells_of(starts, frames, length=length, rate=100, cells=cells))
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-6)


def plain_cells(starts: list[int], frames: np.ndarray, *, length: int, rate: int, cells: int) -> np.ndarray:
    """The rule, frame by frame and cell by cell, in fractions."""
    found = np.zeros((cells, frames.shape[2]))
    for cell in range(cells):
        low, high, total = Fraction(cell, 10), Fraction(cell + 1, 10), Fraction(0)
        for start, scores in zip(starts, frames, strict=True):
            for index, score in enumerate(scores):
                begin = (start + Fraction(index * length, len(scores))) / rate
                end = (start + Fraction((index + 1) * length, len(scores))) / rate
                share = max(Fraction(0), min(high, end) - max(low, begin))
                found[cell] += float(share) * score
                total += share
        if total:
            found[cell] /= float(total)
    return found


@given(
    steps=st.lists(st.integers(-8, 30), min_size=1, max_size=8),  # clips may come a little out of order, as by shifts
    first=st.integers(-15, 5),
    length=st.integers(7, 60),
    frames=st.integers(1, 5),
    cells=st.integers(0, 25),
    rate=st.sampled_from([97, 100]),
    at_once=st.integers(1, 4),
)
def test_cells_are_those_of_a_plain_reading_however_many_clips_come_at_once(
    steps: list[int], first: int, length: int, frames: int, cells: int, rate: int, at_once: int
) -> None:
    starts = np.cumsum([first, *steps]).tolist()
    scores = np.random.default_rng(1).uniform(0, 1, (len(starts), frames, 2)).astype(np.float32)
    settings = {"length": length, "rate": rate, "cells": cells}
    parts = cells_of(starts, scores, **settings, at_once=at_once)
    whole = cells_of(starts, scores, **settings)
    np.testing.assert_array_equal(np.concatenate(parts), np.concatenate(whole))
    np.testing.assert_allclose(np.concatenate(parts), plain_cells(starts, scores, **settings), atol=1e-6)


def test_cells_come_as_soon_as_no_clip_can_change_them() -> None:
    frames = np.ones((4, 2, 1), np.float32)
    parts = cells_of([0, 10, 5, 30], frames, length=20, rate=100, cells=5, at_once=1)
    assert [len(part) for part in parts] == [0, 0, 3, 2]  # after the second clip, the third may change all


def test_members_with_other_frames_are_averaged() -> None:
    np.testing.assert_allclose(resampled(one_class(A, B), 4), one_class(A, A, B, B))
    np.testing.assert_allclose(resampled(one_class(A, B), 3), one_class(A, (A + B) / 2, B), rtol=1e-6)
    two, four = np.array([[[0.2, 0.4], [0.6, 0.8]]]), np.array([[[0.0], [0.1], [0.2], [0.9]]])
    # the first knows both classes, with weight 1; the second, with weight 3, only class 1
    found = joined_frames([(two, np.array([0, 1])), (3 * four, np.array([1]))], np.array([1.0, 4.0]))
    np.testing.assert_allclose(found[0, :, 0], [0.2, 0.2, 0.6, 0.6], rtol=1e-6)
    np.testing.assert_allclose(found[0, :, 1], [0.4 / 4, 0.7 / 4, 1.4 / 4, 3.5 / 4], rtol=1e-6)
