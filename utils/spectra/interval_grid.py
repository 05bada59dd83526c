"""The intervals of a recording and the clips in them, as numbers: from the begin to the very end, none missing, none doubled."""

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction

import numpy as np
from jaxtyping import Float, Float64

from utils.spectra.clips import starts_within
from utils.spectra.decode import Length


def exactly(seconds: float) -> Fraction:
    """Return a setting as it was written: 0.1 is a tenth, not the nearest binary number, so that nothing drifts over a day."""
    return Fraction(repr(seconds))


def position(number: int, *, interval: float, rate: int) -> int:
    """Return the sample with which an interval begins, to the nearest one.

    Parameters
    ----------
    number : of the interval, from 0
    interval : its length, seconds
    rate : samples per second
    """
    return round(number * exactly(interval) * rate)


def interval_count(length: Length, *, interval: float) -> int:
    """Return how many intervals a recording has; a rest of less than one sample, which a length that is no whole number of samples leaves, is none."""
    each = exactly(interval) * length.rate
    whole = length.frames // each
    return max(1, int(whole) + (length.frames - whole * each >= 1))


def interval_times(
    length: Length, *, interval: float
) -> tuple[Float64[np.ndarray, " intervals"], Float64[np.ndarray, " intervals"]]:
    """Return starts and ends of a recording's intervals, seconds; the last one ends with the recording.

    Parameters
    ----------
    length : of the recording, at its own rate
    interval : seconds; 0: all of it is one
    """
    count = interval_count(length, interval=interval) if interval else 1
    bounds = np.array([float(number * exactly(interval)) for number in range(count)] + [length.frames / length.rate])
    return bounds[:-1], bounds[1:]


def clip_starts(begin: int, end: int, *, length: int, step: int) -> Iterator[int]:
    """Yield where the clips of an interval start; all in samples. A clip that rounding leaves one sample short of the interval still fills it."""
    if end - begin == length + 1:
        yield begin
        return
    yield from starts_within(begin, end, length=length, step=step)


def cut_intervals(
    blocks: Iterable[Float[np.ndarray, " _"]],
    count: Callable[[], int],
    *,
    interval: float,
    rate: int,
    length: int,
    step: int,
) -> Iterator[tuple[int, Float[np.ndarray, " length"]]]:
    """Cut the clips of a recording's intervals out of a stream of samples, as `clip_starts` says.

    What a clip needs from beyond its interval is the real sound there; only beyond the recording it is silence. The
    stream's end is not known before it comes, so that a clip is cut once no end could move it. Blocks may have any
    lengths: they do not change the clips, and memory does not grow with the recording or the interval.

    Parameters
    ----------
    blocks : float32 samples, one after the other
    count : tells, once the stream has ended, how many intervals the recording has
    interval : seconds
    rate : of the samples, per second
    length, step : of clips, samples; 1 ≤ step ≤ length

    Yields
    ------
    The number of an interval, and the samples of a clip: intervals and clips in the order of time, at least one clip an
    interval.
    """
    rest, first = np.zeros(length, np.float32), -length  # rest[0] is the recording's sample `first`
    number, begin, end = 0, 0, position(1, interval=interval, rate=rate)
    start = 0  # clips of the interval that begin before it are done

    def left(end: int) -> Iterator[tuple[int, Float[np.ndarray, " length"]]]:
        *others, last = clip_starts(begin, end, length=length, step=step)
        yield from (
            (number, rest[place - first :][:length]) for place in (*(place for place in others if place >= start), last)
        )

    for block in blocks:
        rest = np.concatenate([rest, block])
        seen = first + len(rest)
        while True:
            # wherever the recording ends, this is one of the interval's clips, and not its last
            if start + length + 1 < min(end, seen):
                yield number, rest[start - first :][:length]
                start += step
            elif seen >= end + max(0, (length - (end - begin) + 1) // 2):
                yield from left(end)
                number, begin, end = number + 1, end, position(number + 2, interval=interval, rate=rate)
                start = begin
            else:
                break
        keep = max(first, start - length)
        rest, first = rest[keep - first :], keep
    total = first + len(rest)
    rest = np.concatenate([rest, np.zeros(length, np.float32)])
    for number in range(number, count()):  # noqa: B020 — `left` names it
        begin, end = (min(total, position(one, interval=interval, rate=rate)) for one in (number, number + 1))
        yield from left(end)
