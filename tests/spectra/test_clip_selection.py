"""Every choice of clips finds what it should, inside the recording, whatever the blocks."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import Clips, Spectrogram
from utils.recordings.labels import labels_between
from utils.recordings.recording import event_overlaps
from utils.spectra.clip_selection import EventSpan, EventSpans, event_starts, select_windows
from utils.spectra.clips import Window, clip_samples, cut_windows

RATE = 100
SMALL = Spectrogram(rate=RATE, fmin=0.0, fmax=50.0, height=8, width=8)


def numbered(samples: int, borders: Sequence[int] = ()) -> Iterator[np.ndarray]:
    """Yield a sound in blocks whose samples are numbered from 1."""
    return iter(
        np.split(np.arange(1, samples + 1, dtype=np.float32), sorted(border for border in borders if border <= samples))
    )


def choose(
    clips: Clips, *, samples: int, events: Sequence[EventSpan] | None = None, borders: Sequence[int] = ()
) -> list[tuple[Window, np.ndarray]]:
    return list(select_windows(lambda: numbered(samples, borders), clips, SMALL, events=events))


@given(
    st.integers(0, 200),
    st.integers(1, 50),
    st.lists(st.integers(0, 250), max_size=12),
    st.lists(st.integers(0, 200), max_size=8),
    st.booleans(),
    st.integers(0, 60),
)
def test_cutting_out_of_a_stream_is_cutting_out_of_the_whole(
    samples: int, length: int, starts: list[int], borders: list[int], endless: bool, margin: int
) -> None:
    windows = (Window(start, event=index) for index, start in enumerate(sorted(starts)))
    more = (Window(start) for start in itertools.count(250, 7)) if endless else iter(())
    found = list(cut_windows(numbered(samples, borders), itertools.chain(windows, more), length=length, margin=margin))
    whole = np.pad(np.arange(1, samples + 1, dtype=np.float32), (margin, length + margin))
    expected = [min(start, max(0, samples - length)) for start in sorted(starts) if start < samples]
    assert [(window.start, window.event) for window, _ in found] == list(
        zip(expected, range(len(expected)), strict=True)
    )
    for window, clip in found:
        np.testing.assert_array_equal(clip, whole[window.start : window.start + length + 2 * margin])


def test_windows_of_an_event() -> None:
    assert list(event_starts(100, 100, length=20, step=10)) == [90]  # a point in time, in the middle
    assert list(event_starts(100, 104, length=20, step=10)) == [92]
    assert list(event_starts(100, 120, length=20, step=10)) == [100]  # as long as a clip
    assert list(event_starts(100, 121, length=20, step=10)) == [100, 101]
    assert list(event_starts(100, 130, length=20, step=10)) == [100, 110]
    assert list(event_starts(100, 145, length=20, step=10)) == [100, 110, 120, 125]  # the last one ends with it
    assert list(event_starts(3, 7, length=20, step=10)) == [0]  # moved inside


@given(st.integers(0, 300), st.integers(0, 300), st.integers(1, 60), st.integers(1, 60))
def test_windows_go_through_an_event(onset: int, duration: int, length: int, step: int) -> None:
    step = min(step, length)
    starts = list(event_starts(onset, onset + duration, length=length, step=step))
    assert starts == sorted(set(starts))
    assert starts[0] <= onset
    assert starts[-1] + length >= onset + duration
    assert all(later - earlier <= step for earlier, later in itertools.pairwise(starts))
    assert all(start < onset + max(duration, 1) and start + length > onset for start in starts)


times = st.integers(0, 40).map(lambda quarters: quarters / 4)
events_of = st.lists(
    st.tuples(times, st.sampled_from([0.0, 0.0, 0.25, 0.5, 3.0]), st.sampled_from("ABC")), max_size=8
).map(lambda entries: [(start, start + duration, species) for start, duration, species in sorted(entries)])


@given(events_of, times, times)
def test_spans_overlap_as_events_do(events: list[EventSpan], start: float, end: float) -> None:
    assert EventSpans(events).overlap(start, end) == any(event_overlaps(event[:2], start, end) for event in events)


@given(
    st.integers(1, 1100),
    events_of,
    st.sampled_from([0.5, 0.33, 2.0]),
    st.sampled_from([0.0, 0.2]),
    st.lists(st.integers(0, 1100), max_size=6),
)
def test_every_event_has_its_clip(
    samples: int, events: list[EventSpan], length: float, overlap: float, borders: list[int]
) -> None:
    clips = Clips(choose="annotations", length=length, overlap=overlap, min_length=0.0)
    found = choose(clips, samples=samples, events=events, borders=borders)
    size, _, _ = clip_samples(clips, rate=RATE)
    whole = np.pad(np.arange(1, samples + 1, dtype=np.float32), (0, size))
    starts = [window.start for window, _ in found]
    assert starts == sorted(starts)
    assert len({(window.start, events[window.event][2] if window.event >= 0 else "") for window, _ in found}) == len(
        found
    )
    for window, clip in found:
        assert 0 <= window.start <= max(0, samples - size)
        np.testing.assert_array_equal(clip, whole[window.start : window.start + size])
        start = window.start / RATE
        singing = [event for event in events if event_overlaps(event[:2], start, start + length)]
        assert bool(singing) == (window.event >= 0)
        assert window.event < 0 or events[window.event] in singing
    for onset, end, species in events:
        if onset * RATE < samples:
            around = {window.start for window, _ in found if window.event >= 0 and events[window.event][2] == species}
            overlaps = [event_overlaps((onset, end), start / RATE, start / RATE + length) for start in around]
            assert any(overlaps)
            covered = np.zeros(samples, bool)
            for start in around:
                covered[start : start + size] = True
            assert covered[round(onset * RATE) : round(end * RATE)].all()
    assert [window for window, _ in found] == [window for window, _ in choose(clips, samples=samples, events=events)]


def test_two_species_at_one_moment_are_two_clips_and_one_twice_is_one() -> None:
    events = [(2.0, 2.0, "A"), (2.0, 2.0, "A"), (2.0, 2.0, "B"), (2.125, 2.125, "B")]
    found = choose(Clips(choose="annotations", noise_share=0.0), samples=500, events=events)
    cut_for = [(window.start, window.event) for window, _ in found if window.event >= 0]
    assert cut_for == [(150, 0), (150, 2), (162, 3)]
    rows = [{"start": start, "end": end, "species": species} for start, end, species in events]
    assert set(labels_between(rows, 1.5, 2.5)) == {"A", "B"}


def test_events_at_the_ends_and_beyond() -> None:
    events = [(0.0, 0.0, "A"), (4.75, 5.5, "B"), (4.9, 4.9, "C"), (6.0, 6.0, "D"), (4.0, 9.0, "E")]
    found = choose(Clips(choose="annotations"), samples=500, events=events)
    cut_for = [(window.start, events[window.event][2]) for window, _ in found if window.event >= 0]
    assert sorted(cut_for) == [(0, "A"), (400, "B"), (400, "C"), (400, "E")]
    (short,) = choose(Clips(choose="annotations", min_length=0.2), samples=40, events=[(0.1, 0.2, "A")])
    assert (short[0].start, short[1][39], short[1][40:].any()) == (0, 40.0, False)


def test_between_events_the_grid_continues() -> None:
    found = choose(Clips(choose="annotations", overlap=0.0), samples=650, events=[(2.2, 2.4, "A")])
    assert [(window.start, window.event) for window, _ in found] == [
        (0, -1),
        (100, -1),
        (180, 0),
        (300, -1),
        (400, -1),
        (500, -1),
        (550, -1),
    ]


def test_a_recording_with_a_class_has_the_grid_for_annotations() -> None:
    clips = Clips(choose="annotations", overlap=0.0, min_length=0.5)
    assert [window.start for window, _ in choose(clips, samples=360)] == [0, 100, 200, 300]
    assert [window.start for window, _ in choose(clips, samples=340)] == [0, 100, 200]


@pytest.mark.parametrize(("count", "expected"), [(2, [0, 100]), (10, [0, 100, 200, 300]), (0, [0, 100, 200, 300])])
def test_first_is_the_start_of_the_grid_and_all_is_decoded(count: int, expected: list[int]) -> None:
    decoded: list[int] = []

    def decode() -> Iterator[np.ndarray]:
        for block in numbered(360, [90, 180, 270]):
            decoded.append(len(block))
            yield block

    clips = Clips(choose="first", count=count, overlap=0.0, min_length=0.5)
    found = list(select_windows(decode, clips, SMALL, events=None))
    assert [window.start for window, _ in found] == expected
    assert sum(decoded) == 360
    for window, clip in found:
        np.testing.assert_array_equal(
            clip[: 360 - window.start], np.arange(window.start + 1, min(360, window.start + 100) + 1)
        )


def at_times(samples: int, times: Sequence[float], **settings: object) -> list[tuple[Window, np.ndarray]]:
    clips = Clips(choose="table", **settings)
    borders = [7, samples // 2, samples - 1]
    return list(select_windows(lambda: numbered(samples, borders), clips, SMALL, events=None, times=times))


def test_windows_at_times_by_hand() -> None:
    found = at_times(501, [0.0, 0.2, 0.51, 2.0, 2.004, 2.3, 4.9, 5.0, 5.01, 5.02, 7.0])
    # the first two are one clip at the start, 2.0 and 2.004 round to one sample, the end of the recording is 5.01 s
    assert [(window.start, window.event, window.peak) for window, _ in found] == [
        (0, -1, 0.0),
        (1, -1, 0.51),
        (150, -1, 2.0),
        (180, -1, 2.3),
        (401, -1, 4.9),
    ]
    for window, clip in found:
        np.testing.assert_array_equal(clip, np.arange(window.start + 1, window.start + 101))
    assert at_times(501, []) == []


@given(
    st.integers(1, 400),
    st.lists(st.integers(0, 500).map(lambda hundredths: hundredths / 100), max_size=8),
    st.sampled_from([0.01, 0.33, 1.0, 5.0]),
)
def test_windows_at_times_are_centred_and_inside(samples: int, times: list[float], length: float) -> None:
    size = int(length * RATE)
    found = at_times(samples, sorted(times), length=length, min_length=0.0, overlap=0.0)
    whole = np.pad(np.arange(1, samples + 1, dtype=np.float32), (0, size))
    last = max(0, samples - size)
    centres = [round(time * RATE) for time in sorted(times) if round(time * RATE) <= samples]
    expected = sorted({max(0, min(centre - size // 2, last)) for centre in centres if centre - size // 2 < samples})
    assert [window.start for window, _ in found] == expected
    for window, clip in found:
        np.testing.assert_array_equal(clip, whole[window.start : window.start + size])
