"""The intervals of a recording, which cover it from start to end without gaps, and the clips in each of them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64

from utils.spectra.clips import starts_within
from utils.spectra.decode import Length


class IntervalClip(NamedTuple):
    """A clip of an interval.

    Attributes
    ----------
    interval : index of the interval
    start : its first sample, counted from the start of the recording; below 0 if it begins with silence
    samples : of the clip
    """

    interval: int
    start: int
    samples: Float[np.ndarray, " length"]


def exact_seconds(seconds: float) -> Fraction:
    """Return a setting in seconds as the exact fraction that was written, so that intervals do not drift over a day."""
    return Fraction(repr(seconds))


def interval_start(index: int, *, interval: float, rate: int) -> int:
    """Return the first sample of an interval, rounded to the nearest.

    Parameters
    ----------
    index : index of the interval, from 0
    interval : length of intervals, seconds
    rate : samples per second
    """
    return round(index * exact_seconds(interval) * rate)


def count_intervals(length: Length, *, interval: float) -> int:
    """Return the number of intervals of a recording; a rest of less than one sample is no interval."""
    each = exact_seconds(interval) * length.rate
    whole = length.frames // each
    return max(1, int(whole) + (length.frames - whole * each >= 1))


def interval_times(
    length: Length, *, interval: float
) -> tuple[Float64[np.ndarray, " intervals"], Float64[np.ndarray, " intervals"]]:
    """Return starts and ends of a recording's intervals, seconds; the last interval ends with the recording.

    Parameters
    ----------
    length : length of the recording, at the rate of its file
    interval : length of intervals, seconds; 0: the recording is one interval
    """
    count = count_intervals(length, interval=interval) if interval else 1
    starts = [float(index * exact_seconds(interval)) for index in range(count)]
    bounds = np.array([*starts, length.frames / length.rate])
    return bounds[:-1], bounds[1:]


def clip_starts(start: int, end: int, *, length: int, step: int) -> Iterator[int]:
    """Yield the starts of the clips of an interval; all in samples.

    An interval that is one sample longer than a clip, by rounding, has one clip.
    """
    if end - start == length + 1:
        yield start
        return
    yield from starts_within(start, end, length=length, step=step)


def shift_offsets(shifts: int, *, step: int) -> tuple[int, ...]:
    """Return by how many samples the clips of an interval are shifted, in ascending order; 0 is among them.

    They lie at equal distances, and less than half a step before or after: the shifted clips of neighbours do not meet.

    Parameters
    ----------
    shifts : number of shifts to either side, `testing.shifts`
    step : from one clip to the next, or from one interval if that is shorter, samples
    """
    return tuple(sorted({round(index * step / (2 * shifts + 1)) for index in range(-shifts, shifts + 1)}))


def cut_interval_clips(
    blocks: Iterable[Float[np.ndarray, " _"]],
    count: Callable[[], int],
    *,
    interval: float,
    rate: int,
    length: int,
    step: int,
    offsets: Sequence[int] = (0,),
) -> Iterator[IntervalClip]:
    """Cut the clips of a recording's intervals out of a stream of samples, at the starts of `clip_starts`.

    Clips that are longer than their interval have the sound before and after it, or silence beyond the recording. Each
    clip is also cut at `offsets` from its start, where that is within the recording. The end of the stream is not known
    in advance, so a clip is cut as soon as no end could move it. The sizes of the blocks do not matter; memory grows
    neither with the recording nor with the interval.

    Parameters
    ----------
    blocks : float32 samples, in order
    count : called at the end of the stream; returns the number of intervals of the recording
    interval : length of intervals, seconds
    rate : samples per second
    length, step : of clips, in samples; 1 ≤ step ≤ length
    offsets : from `shift_offsets`, samples

    Yields
    ------
    Clips in order of time but for offsets; each interval has at least one.
    """
    before, reach = min(offsets), max(offsets)
    rest, first = np.zeros(length, np.float32), -length  # rest[0] is the recording's sample `first`
    index, lower, upper = 0, 0, interval_start(1, interval=interval, rate=rate)  # the interval and its bounds
    start = 0  # clips of the interval that start before it are done

    def shifted(clip: int, total: int | None = None) -> Iterator[IntervalClip]:
        last = clip + reach if total is None else total - length
        starts = (clip + one for one in offsets if one == 0 or 0 <= clip + one <= last)
        yield from (IntervalClip(index, start, rest[start - first :][:length]) for start in starts)

    def remaining(upper: int, total: int | None = None) -> Iterator[IntervalClip]:
        *others, last = clip_starts(lower, upper, length=length, step=step)
        for clip in (*(other for other in others if other >= start), last):
            yield from shifted(clip, total)

    for block in blocks:
        rest = np.concatenate([rest, block])
        seen = first + len(rest)
        while True:
            # wherever the recording ends, this is a clip of the interval, but not its last
            if start + length + 1 < min(upper, seen - reach):
                yield from shifted(start)
                start += step
            elif seen >= upper + max(0, (length - (upper - lower) + 1) // 2) + reach:
                yield from remaining(upper)
                index, lower, upper = index + 1, upper, interval_start(index + 2, interval=interval, rate=rate)
                start = lower
            else:
                break
        keep = max(first, start - length + before)  # the last clip may start a step before `start`
        rest, first = rest[keep - first :], keep
    total = first + len(rest)
    rest = np.concatenate([rest, np.zeros(length, np.float32)])
    for index in range(index, count()):  # noqa: B020 — `remaining` reads it
        lower, upper = (min(total, interval_start(one, interval=interval, rate=rate)) for one in (index, index + 1))
        yield from remaining(upper, total)
