"""Cutting clips out of a recording that comes as a stream of blocks: in a grid, or where they are wanted."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from math import nan

import numpy as np
from jaxtyping import Float

from config import Clips


@dataclass(frozen=True)
class Window:
    """Where a clip is cut out of a recording, and why there.

    Attributes
    ----------
    start : its first sample, from the recording's begin
    event : number of the event that it is cut for; -1: none
    peak, strength : the peak that it is cut for: seconds from the recording's begin, and decibels; NaN: none
    """

    start: int
    event: int = -1
    peak: float = nan
    strength: float = nan


def clip_samples(clips: Clips, *, rate: int) -> tuple[int, int, int]:
    """Return a clip's length, the step from one clip to the next, and the least length of the last one, in samples."""
    return int(clips.length * rate), int((clips.length - clips.overlap) * rate), int(clips.min_length * rate)


def cut(
    blocks: Iterable[Float[np.ndarray, " _"]], *, length: int, step: int, least: int
) -> Iterator[tuple[int, Float[np.ndarray, "_ length"]]]:
    """Cut a stream of samples into clips that begin every `step` samples.

    What is left at the end is filled with zeros if it has `least` samples, else dropped. Blocks may have any lengths:
    they do not change the clips.

    Parameters
    ----------
    blocks : float32 samples, one after the other
    length, step, least : in samples; step ≥ 1, least ≤ length

    Yields
    ------
    The number of the first of some consecutive clips, and these clips.

    Source: BASELINE, Spectrograms (`golden/split_counts.json`).
    """
    rest = np.zeros(0, np.float32)
    first = 0  # number of the clip that begins at rest[0]
    skip = 0  # samples until the next clip begins, where steps are longer than clips
    for block in blocks:
        rest = np.concatenate([rest, block[skip:]])
        skip = max(0, skip - len(block))
        count = max(0, (len(rest) - length) // step + 1)
        if count:
            yield first, np.lib.stride_tricks.sliding_window_view(rest, length)[::step][:count]
            first += count
            skip += max(0, count * step - len(rest))
            rest = rest[count * step :]
    while len(rest) >= max(least, 1):
        last = np.zeros((1, length), np.float32)
        last[0, : min(len(rest), length)] = rest[:length]
        yield first, last
        first += 1
        rest = rest[step:]


def starts_within(begin: int, end: int, *, length: int, step: int) -> Iterator[int]:
    """Yield where the clips of a span of time start; all in samples.

    A span no longer than a clip has one, centred on it, which may start before 0. A longer one has clips every `step`
    from its begin, and a last one that ends with it.
    """
    if end - begin <= length:
        yield (begin + end - length + 1) // 2
        return
    yield from range(begin, end - length, step)
    yield end - length


def cut_out(
    blocks: Iterable[Float[np.ndarray, " _"]], windows: Iterable[Window], *, length: int
) -> Iterator[tuple[Window, Float[np.ndarray, " length"]]]:
    """Cut clips of `length` samples out of a stream of samples, where `windows` say.

    A window that goes past the end is moved until it ends with the recording; a recording shorter than a clip is filled
    with zeros. Windows that begin where there is no more sound are left out. Blocks may have any lengths: they do not
    change the clips.

    Parameters
    ----------
    blocks : float32 samples, one after the other
    windows : in the order of their starts, none below 0; may be endless

    Yields
    ------
    Each window, where it was cut in the end, and its samples.
    """
    wanted = iter(windows)
    window = next(wanted, None)
    rest = np.zeros(0, np.float32)
    first, end = 0, 0  # the samples that `rest` begins with and ends before
    for block in blocks:
        rest, end = np.concatenate([rest, block]), end + len(block)
        while window and window.start + length <= end:
            yield window, rest[window.start - first :][:length]
            window = next(wanted, None)
        # the last clip may have to be moved back to the end
        keep = max(first, min(window.start if window else end, end - length))
        rest, first = rest[keep - first :], keep
    last = max(0, end - length)
    while window and window.start < end:
        yield replace(window, start=last), np.pad(rest[last - first :], (0, length - (end - last)))
        window = next(wanted, None)
