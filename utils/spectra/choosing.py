"""Which windows of a recording become clips: a grid, its begin, the strongest peaks, or what somebody annotated."""

import heapq
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, count

import numpy as np
from jaxtyping import Float

from config import Clips, Spectrogram
from utils.recordings.recording import sings_between
from utils.spectra.clips import Window, clip_samples, cut, cut_out, starts_within
from utils.spectra.peaks import peak_windows, snr_curve

Blocks = Iterator[Float[np.ndarray, " _"]]
Chosen = Iterator[tuple[Window, Float[np.ndarray, " length"]]]
Heard = tuple[float, float, str]  # begin and end of an event, seconds, and who sings


def chosen_windows(
    hear: Callable[[], Blocks], clips: Clips, spectrogram: Spectrogram, *, events: Sequence[Heard] | None
) -> Chosen:
    """Yield the windows of a recording that `clips.choose` names, in the order of time, and their samples.

    Parameters
    ----------
    hear : decodes the recording, each time from its begin
    events : what is annotated; None where the recording has a class of its own. Of such a one, `annotations` chooses
        the grid
    """
    length, step, least = clip_samples(clips, rate=spectrogram.rate)
    if clips.choose == "annotations" and events is not None:
        return _annotated(hear(), events, clips, rate=spectrogram.rate)
    if clips.choose == "peaks":
        return _peaks(hear, clips, spectrogram)
    return _grid(hear(), length=length, step=step, least=least, most=clips.count if clips.choose == "first" else 0)


def _grid(blocks: Blocks, *, length: int, step: int, least: int, most: int) -> Chosen:
    """Yield the first `most` clips of the grid (0: all); the rest of the recording is still heard, for what is wrong with it."""
    for first, batch in cut(blocks, length=length, step=step, least=least):
        for number, samples in enumerate(batch, first):
            if not most or number < most:
                yield Window(number * step), samples


def _peaks(hear: Callable[[], Blocks], clips: Clips, spectrogram: Spectrogram) -> Chosen:
    length, _, _ = clip_samples(clips, rate=spectrogram.rate)
    samples = 0

    def counted() -> Blocks:
        nonlocal samples
        for block in hear():
            samples += len(block)
            yield block

    curve = snr_curve(counted(), spectrogram)
    yield from cut_out(
        hear(),
        peak_windows(curve, samples=samples, length=length, count=clips.count, rate=spectrogram.rate),
        length=length,
    )


def _annotated(blocks: Blocks, events: Sequence[Heard], clips: Clips, *, rate: int) -> Chosen:
    """Yield windows around the events, one for each species where several sing, and those of the grid in which nobody does."""
    length, step, _ = clip_samples(clips, rate=rate)
    sung, seen = Spans(events), set()
    around = [_around(number, event, length=length, step=step, rate=rate) for number, event in enumerate(events)]
    between = (Window(start) for start in count(0, step))
    for window, samples in cut_out(blocks, heapq.merge(*around, between, key=lambda one: one.start), length=length):
        start = window.start / rate
        if window.event < 0:
            wanted, what = not sung.touch(start, start + clips.length), (window.start, "")
        else:
            event = events[window.event]
            wanted, what = sings_between(event[:2], start, start + clips.length), (window.start, event[2])
        if wanted and what not in seen:
            seen.add(what)
            yield window, samples


def _around(number: int, event: Heard, *, length: int, step: int, rate: int) -> Iterator[Window]:
    for start in event_starts(round(event[0] * rate), round(event[1] * rate), length=length, step=step):
        yield Window(start, event=number)


def event_starts(begin: int, end: int, *, length: int, step: int) -> Iterator[int]:
    """Yield where the windows of an event start, as `starts_within` says, but none before the recording does; all in samples."""
    first = begin if end - begin <= length else max(0, begin)
    yield from (max(0, start) for start in starts_within(first, end, length=length, step=step))


class Spans:
    """From when to when somebody sings, for many questions: each takes the logarithm of their number.

    Parameters
    ----------
    events : begin and end first, in seconds; equal for a point in time
    """

    def __init__(self, events: Sequence[Heard]) -> None:
        ordered = sorted(event[:2] for event in events)
        self._starts = [start for start, _ in ordered]
        self._ends = list(accumulate((end for _, end in ordered), max))  # the latest end of an event and all before it
        self._points = {start for start, end in ordered if start == end}

    def touch(self, start: float, end: float) -> bool:
        """Tell whether any event sings between two times, as `sings_between` says of one."""
        before = bisect_left(self._starts, end)
        return before > 0 and (self._ends[before - 1] > start or (start in self._points and start < end))
