"""Intervals cover a recording without gaps, and each has its clips, for any recording, interval, clip and overlap."""

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from utils.spectra.decode import Length
from utils.spectra.interval_grid import (
    clip_starts,
    count_intervals,
    cut_interval_clips,
    exact_seconds,
    interval_start,
    interval_times,
    shift_offsets,
)

seconds = st.integers(1, 90).map(lambda tenths: tenths / 10)


def in_blocks(samples: np.ndarray, sizes: list[int]) -> Iterator[np.ndarray]:
    """Cut samples into blocks of these sizes, again and again."""
    first = index = 0
    while first < len(samples):
        size = sizes[index % len(sizes)]
        yield samples[first : first + size]
        first, index = first + size, index + 1


@given(frames=st.integers(1, 50_000), rate=st.sampled_from([100, 441, 999, 8000]), interval=seconds)
def test_intervals_go_from_the_begin_to_the_very_end(frames: int, rate: int, interval: float) -> None:
    starts, ends = interval_times(Length(frames, rate), interval=interval)
    assert starts[0] == 0
    assert ends[-1] == frames / rate
    assert (starts[1:] == ends[:-1]).all()
    np.testing.assert_allclose(np.diff(starts), interval, atol=1e-9)
    last = Fraction(frames, rate) - (len(starts) - 1) * exact_seconds(interval)
    assert last > 0
    assert last < exact_seconds(interval) + Fraction(1, rate)  # less than one sample more: no interval of its own
    assert len(starts) == 1 or last >= Fraction(1, rate)


def test_lengths_by_hand() -> None:
    assert count_intervals(Length(44_100 * 86_400, 44_100), interval=5.0) == 17_280
    assert count_intervals(Length(44_100 * 10, 44_100), interval=5.0) == 2
    assert count_intervals(Length(44_100 * 10 + 1, 44_100), interval=5.0) == 3
    assert count_intervals(Length(3, 10), interval=0.1) == 3  # as binary numbers, 0.1 · 3 is more than 0.3
    assert [times.tolist() for times in interval_times(Length(95, 10), interval=4.0)] == [
        [0.0, 4.0, 8.0],
        [4.0, 8.0, 9.5],
    ]
    assert [times.tolist() for times in interval_times(Length(95, 10), interval=0.0)] == [[0.0], [9.5]]


def test_clips_by_hand() -> None:
    assert list(clip_starts(50, 100, length=10, step=20)) == [50, 70, 90]
    assert list(clip_starts(50, 100, length=15, step=10)) == [50, 60, 70, 80, 85]
    assert list(clip_starts(50, 100, length=50, step=10)) == [50]
    assert list(clip_starts(50, 100, length=49, step=10)) == [50]
    assert list(clip_starts(50, 100, length=70, step=10)) == [40]  # 5 s in clips of 7 s: one more on either side
    assert list(clip_starts(0, 50, length=70, step=10)) == [-10]


@given(
    total=st.integers(1, 4000),
    interval=seconds,
    length=st.integers(1, 900),
    step=st.integers(1, 900),
    sizes=st.lists(st.integers(0, 700), min_size=1, max_size=5).filter(any),
)
def test_a_stream_is_cut_as_the_whole_would_be(
    total: int, interval: float, length: int, step: int, sizes: list[int]
) -> None:
    """Against a plain reading: the whole recording in memory, silence on both sides, and each clip taken out of it."""
    rate, step = 97, min(step, length)
    samples = np.arange(1, total + 1, dtype=np.float32)
    count = count_intervals(Length(total, rate), interval=interval)
    found: dict[int, list[np.ndarray]] = {}
    indices, firsts = [], []
    for index, first, clip in cut_interval_clips(
        in_blocks(samples, sizes), lambda: count, interval=interval, rate=rate, length=length, step=step
    ):
        indices.append(index)
        firsts.append(first)
        found.setdefault(index, []).append(clip.copy())
    assert indices == sorted(indices)
    assert list(found) == list(range(count))
    silent = np.zeros(length, np.float32)
    around = np.concatenate([silent, samples, silent])
    for index, clips in found.items():
        lower, upper = (min(total, interval_start(one, interval=interval, rate=rate)) for one in (index, index + 1))
        starts = list(clip_starts(lower, upper, length=length, step=step))
        assert len(starts) == len(clips)
        for start, clip in zip(starts, clips, strict=True):
            np.testing.assert_array_equal(clip, around[start + length :][:length])
            assert firsts.pop(0) == start
        if upper - lower >= length:
            assert starts[0] == lower
            assert starts[-1] + length - upper in (0, -1)
            assert all(lower <= start for start in starts)
            assert (np.diff(starts) <= step).all()
        else:
            (start,) = starts
            assert abs((start + start + length) - (lower + upper)) <= 1  # centred


def test_shifts_by_hand() -> None:
    """They are symmetric, and spread evenly over a step, whatever their number."""
    assert shift_offsets(0, step=10) == (0,)
    assert shift_offsets(1, step=30) == (-10, 0, 10)
    assert shift_offsets(2, step=50) == (-20, -10, 0, 10, 20)
    assert shift_offsets(8, step=1) == (0,)


@given(
    total=st.integers(1, 3000),
    interval=seconds,
    length=st.integers(1, 500),
    step=st.integers(1, 500),
    shifts=st.integers(1, 3),
    sizes=st.lists(st.integers(0, 700), min_size=1, max_size=5).filter(any),
)
@example(total=200, interval=1.0, length=31, step=31, shifts=1, sizes=[1])  # the last clip starts far before the others
def test_shifted_clips_are_beside_the_others_and_within_the_recording(
    total: int, interval: float, length: int, step: int, shifts: int, sizes: list[int]
) -> None:
    """Against a plain reading; the clips of the grid are there, also where they extend beyond the recording."""
    rate, step = 97, min(step, length)
    samples = np.arange(1, total + 1, dtype=np.float32)
    count = count_intervals(Length(total, rate), interval=interval)
    offsets = shift_offsets(shifts, step=step)
    cut = cut_interval_clips(
        in_blocks(samples, sizes),
        lambda: count,
        interval=interval,
        rate=rate,
        length=length,
        step=step,
        offsets=offsets,
    )
    found = [(index, start, clip.tolist()) for index, start, clip in cut]
    silent = np.zeros(length, np.float32)
    around = np.concatenate([silent, samples, silent])
    expected = []
    for index in range(count):
        lower, upper = (min(total, interval_start(one, interval=interval, rate=rate)) for one in (index, index + 1))
        for start in clip_starts(lower, upper, length=length, step=step):
            starts = [start + one for one in offsets if one == 0 or 0 <= start + one <= total - length]
            expected += [(index, one, around[one + length :][:length].tolist()) for one in starts]
    assert found == expected


@pytest.mark.parametrize("other", [11_025, 22_050, 48_000])
def test_another_rate_has_the_same_intervals(other: int) -> None:
    """A last interval that hardly is, and that a lower rate rounds away, still has its clip."""
    length = Length(44_100 * 10 + 1, 44_100)
    samples = np.ones(round(length.frames * other / length.rate), np.float32)
    clips = cut_interval_clips(
        iter([samples]),
        lambda: count_intervals(length, interval=5.0),
        interval=5.0,
        rate=other,
        length=other,
        step=other,
    )
    indices = [clip.interval for clip in clips]
    assert indices == [0] * 5 + [1] * 5 + [2]


def test_long_intervals_are_not_held_in_memory() -> None:
    """Of an interval of an hour, clips come as soon as the recording has gone past them."""
    decoded = 0

    def blocks() -> Iterator[np.ndarray]:
        nonlocal decoded
        for _ in range(3600):
            decoded += 100
            yield np.zeros(100, np.float32)

    clips = cut_interval_clips(blocks(), lambda: 1, interval=3600.0, rate=100, length=100, step=50)
    for expected in range(20):
        next(clips)
        assert decoded <= 100 * (expected // 2 + 3)
