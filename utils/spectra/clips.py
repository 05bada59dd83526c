"""Cutting clips out of a stream of samples: in a regular grid, or at given windows."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from math import nan

import numpy as np
from jaxtyping import Float

from config import Clips


@dataclass(frozen=True)
class Window:
    """Where a clip is cut out of a recording, and why there.

    Attributes
    ----------
    start : its first sample, counted from the start of the recording
    event : index of the event that it is cut for; -1: none
    peak, strength : the peak that it is cut for: seconds from the start of the recording, and decibels; NaN: none
    """

    start: int
    event: int = -1
    peak: float = nan
    strength: float = nan


def clip_samples(clips: Clips, *, rate: int) -> tuple[int, int, int]:
    """Return length, step and minimal length of clips (`clips.length`, length − overlap, `min_length`), in samples."""
    return int(clips.length * rate), int((clips.length - clips.overlap) * rate), int(clips.min_length * rate)


def margin_samples(clips: Clips, *, rate: int) -> int:
    """Return the number of samples that a store keeps on each side of a clip."""
    return int(clips.margin * rate) if clips.keep == "sound" else 0


def cut_grid(
    blocks: Iterable[Float[np.ndarray, " _"]], *, length: int, step: int, min_length: int, margin: int = 0
) -> Iterator[tuple[int, Float[np.ndarray, "_ samples"]]]:
    """Cut a stream of samples into clips that start every `step` samples.

    The rest at the end is padded with zeros if it has at least `min_length` samples, else it is dropped. The sizes of
    the blocks do not matter.

    Parameters
    ----------
    blocks : float32 samples, in order
    length, step, min_length : in samples; step ≥ 1, min_length ≤ length
    margin : samples of the recording that each clip gets before and after it; zeros where there are none

    Yields
    ------
    The index of the first of some consecutive clips, and these clips, each of length + 2 · margin samples.

    Source: docs/baseline.md (Spectrograms).
    """
    length, min_length = length + 2 * margin, min_length + margin
    rest = np.zeros(0, np.float32)
    first = 0  # index of the clip whose margin starts at rest[0]
    skip = 0  # samples until the next clip starts, if steps are longer than clips
    for block in chain([np.zeros(margin, np.float32)], blocks):
        rest = np.concatenate([rest, block[skip:]])
        skip = max(0, skip - len(block))
        count = max(0, (len(rest) - length) // step + 1)
        if count:
            yield first, np.lib.stride_tricks.sliding_window_view(rest, length)[::step][:count]
            first += count
            skip += max(0, count * step - len(rest))
            rest = rest[count * step :]
    while len(rest) >= max(min_length, margin + 1):
        last = np.zeros((1, length), np.float32)
        last[0, : min(len(rest), length)] = rest[:length]
        yield first, last
        first += 1
        rest = rest[step:]


def starts_within(start: int, end: int, *, length: int, step: int) -> Iterator[int]:
    """Yield the starts of the clips of a time span; all in samples.

    A span that is not longer than a clip has one clip, centred on it, which may start before 0. A longer span has a
    clip every `step` samples, and a last clip that ends with the span.
    """
    if end - start <= length:
        yield (start + end - length + 1) // 2
        return
    yield from range(start, end - length, step)
    yield end - length


def cut_windows(
    blocks: Iterable[Float[np.ndarray, " _"]], windows: Iterable[Window], *, length: int, margin: int = 0
) -> Iterator[tuple[Window, Float[np.ndarray, " samples"]]]:
    """Cut clips of `length` samples out of a stream of samples, at the given windows.

    A window that goes past the end of the recording is moved back to end with it; a recording shorter than a clip is
    padded with zeros. Windows that start after the end are left out. The sizes of the blocks do not matter.

    Parameters
    ----------
    blocks : float32 samples, in order
    windows : ordered by start, none below 0; may be an infinite iterator
    margin : samples of the recording that each clip gets before and after it; zeros where there are none

    Yields
    ------
    Each window, with the start at which it was cut in the end, and its length + 2 · margin samples.
    """
    wanted = iter(windows)
    window = next(wanted, None)
    rest = np.zeros(margin, np.float32)
    first, end = -margin, 0  # indices of the first sample of `rest` and of the one after its last
    for block in blocks:
        rest, end = np.concatenate([rest, block]), end + len(block)
        while window and window.start + length + margin <= end:
            yield window, rest[window.start - margin - first :][: length + 2 * margin]
            window = next(wanted, None)
        # the last clip may have to be moved back to the end
        keep = max(first, min(window.start if window else end, end - length) - margin)
        rest, first = rest[keep - first :], keep
    last = max(0, end - length)
    while window and window.start < end:
        start = min(window.start, last)
        samples = rest[start - margin - first :][: length + 2 * margin]
        yield replace(window, start=start), np.pad(samples, (0, length + 2 * margin - len(samples)))
        window = next(wanted, None)
