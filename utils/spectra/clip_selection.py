"""Which windows of a recording become clips: of a grid, the start of it, around peaks, events, or given times."""

import heapq
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, count

import numpy as np
from jaxtyping import Float

from config import Clips, Spectrogram
from utils.recordings.recording import event_overlaps
from utils.spectra.clips import Window, clip_samples, cut_grid, cut_windows, margin_samples, starts_within
from utils.spectra.peaks import peak_windows, snr_curve

Blocks = Iterator[Float[np.ndarray, " _"]]
SelectedClips = Iterator[tuple[Window, Float[np.ndarray, " samples"]]]
EventSpan = tuple[float, float, str]  # start and end of an event, seconds, and its species


def select_windows(
    decode: Callable[[], Blocks],
    clips: Clips,
    spectrogram: Spectrogram,
    *,
    events: Sequence[EventSpan] | None,
    times: Sequence[float] = (),
) -> SelectedClips:
    """Yield the windows that `clips.choose` selects from a recording, in order of time, with samples and margins.

    Parameters
    ----------
    decode : decodes the recording from its start, each time it is called
    events : the annotated events; None if the recording has a primary label. For such recordings, `choose =
        annotations` is the same as `grid`
    times : choose = table: the times of the recording in `clips.table`, seconds, in order
    """
    length, step, min_length = clip_samples(clips, rate=spectrogram.rate)
    margin = margin_samples(clips, rate=spectrogram.rate)
    if clips.choose == "annotations" and events is not None:
        return _event_windows(decode(), events, clips, rate=spectrogram.rate)
    if clips.choose == "peaks":
        return _peak_windows(decode, clips, spectrogram)
    if clips.choose == "table":
        return _windows_at(decode(), times, length=length, margin=margin, rate=spectrogram.rate)
    limit = clips.count if clips.choose == "first" else 0
    grid = cut_grid(decode(), length=length, step=step, min_length=min_length, margin=margin)
    return _grid_windows(grid, step=step, limit=limit)


def _grid_windows(
    grid: Iterator[tuple[int, Float[np.ndarray, "_ samples"]]], *, step: int, limit: int
) -> SelectedClips:
    """Yield the first `limit` clips of the grid (0: all).

    The rest of the recording is decoded all the same, because it may be damaged.
    """
    for first, batch in grid:
        for index, samples in enumerate(batch, first):
            if not limit or index < limit:
                yield Window(index * step), samples


def _peak_windows(decode: Callable[[], Blocks], clips: Clips, spectrogram: Spectrogram) -> SelectedClips:
    length, _, _ = clip_samples(clips, rate=spectrogram.rate)
    margin = margin_samples(clips, rate=spectrogram.rate)
    samples = 0

    def counted() -> Blocks:
        nonlocal samples
        for block in decode():
            samples += len(block)
            yield block

    curve = snr_curve(counted(), spectrogram)
    windows = windows_at_peaks(curve, clips, samples=samples, rate=spectrogram.rate)
    yield from cut_windows(decode(), windows, length=length, margin=margin)


def windows_at_peaks(curve: Float[np.ndarray, " frames"], clips: Clips, *, samples: int, rate: int) -> list[Window]:
    """Return the windows that `clips.choose = peaks` selects by a signal-to-noise curve, in order of time.

    Parameters
    ----------
    samples : length of the recording
    """
    length, _, _ = clip_samples(clips, rate=rate)
    apart = length if clips.peak_distance is None else clips.peak_distance * rate
    distance = int(min(apart, 2 * samples))  # huge ones are no integers
    return peak_windows(curve, samples=samples, length=length, distance=distance, count=clips.count, rate=rate)


def _windows_at(blocks: Blocks, times: Sequence[float], *, length: int, margin: int, rate: int) -> SelectedClips:
    """Yield windows centred on the times, as around peaks; times after the end of the recording have none."""
    samples, before = 0, -1

    def counted() -> Blocks:
        nonlocal samples
        for block in blocks:
            samples += len(block)
            yield block

    centred = (Window(max(0, round(time * rate) - length // 2), peak=time) for time in times)
    for window, clip in cut_windows(counted(), centred, length=length, margin=margin):
        if window.start != before and round(window.peak * rate) <= samples:
            before = window.start
            yield window, clip


def _event_windows(blocks: Blocks, events: Sequence[EventSpan], clips: Clips, *, rate: int) -> SelectedClips:
    """Yield windows around the events, one for each species, and the windows of the grid that overlap no event."""
    length, step, _ = clip_samples(clips, rate=rate)
    margin = margin_samples(clips, rate=rate)
    spans, seen = EventSpans(events), set()
    around = [windows_around(index, event, length=length, step=step, rate=rate) for index, event in enumerate(events)]
    between = (Window(start) for start in count(0, step))
    windows = heapq.merge(*around, between, key=lambda one: one.start)
    for window, samples in cut_windows(blocks, windows, length=length, margin=margin):
        start = window.start / rate
        if window.event < 0:
            wanted, what = not spans.overlap(start, start + clips.length), (window.start, "")
        else:
            event = events[window.event]
            wanted, what = event_overlaps(event[:2], start, start + clips.length), (window.start, event[2])
        if wanted and what not in seen:
            seen.add(what)
            yield window, samples


def windows_around(index: int, event: EventSpan, *, length: int, step: int, rate: int) -> Iterator[Window]:
    """Yield the windows of an event, in order of time; `length` and `step` in samples."""
    for start in event_starts(round(event[0] * rate), round(event[1] * rate), length=length, step=step):
        yield Window(start, event=index)


def event_starts(start: int, end: int, *, length: int, step: int) -> Iterator[int]:
    """Yield the starts of the windows of an event like `starts_within`, but none before the recording; in samples."""
    first = start if end - start <= length else max(0, start)
    yield from (max(0, one) for one in starts_within(first, end, length=length, step=step))


class EventSpans:
    """The time spans of events, searched by bisection: a query takes logarithmic time.

    Parameters
    ----------
    events : tuples that begin with start and end, seconds; both are equal for a point in time
    """

    def __init__(self, events: Sequence[EventSpan]) -> None:
        ordered = sorted(event[:2] for event in events)
        self._starts = [start for start, _ in ordered]
        self._ends = list(accumulate((end for _, end in ordered), max))  # latest end of an event and all before it
        self._points = {start for start, end in ordered if start == end}

    def overlap(self, start: float, end: float) -> bool:
        """Tell whether any event overlaps a time span, by the rule of `event_overlaps`."""
        before = bisect_left(self._starts, end)
        return before > 0 and (self._ends[before - 1] > start or (start in self._points and start < end))
