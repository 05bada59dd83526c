"""The page of timelines: predictions and annotations along long recordings, to see and to hear, in one file."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from config import Config, Spectrogram
from utils.files import write_text
from utils.recordings.recording import Event
from utils.scoring.evaluation.soundscape_truth import Truth
from utils.scoring.evaluation.soundscapes import SoundscapeMetrics, soundscape_rows
from utils.scoring.inference.intervals import IntervalScores
from utils.scoring.reports.excerpts import SOUND_RATE, frequency_ticks, jpeg, mp3
from utils.scoring.reports.page import render
from utils.scoring.submissions.formats.layout import SubmissionLayout
from utils.spectra.decode import AudioError, decode
from utils.spectra.decoded_part import samples_between
from utils.spectra.frequency_axis import height_of

LONGEST_TIMELINE = 300.0  # seconds of one recording, at most
SHORTEST_TIMELINE = 60.0  # seconds of each if there are many
PIXELS_PER_SECOND = 12  # of the spectrogram
SPECTROGRAM_HEIGHT = 160  # pixels
RECORDINGS_LISTED = 500  # in the page's list
MARK_STEPS = (1, 2, 5, 10, 15, 30, 60)  # seconds between two marks of the axis
MAX_MARKS = 14
MAX_LANES = 12  # species
MIN_LANES = 3  # species, even if none is detected
FAINTEST_SCORE = 0.02  # lower scores are not drawn
NO_PLOTS: Mapping[str, Path] = MappingProxyType({})


@dataclass(frozen=True)
class Lane:
    """One species along a recording.

    Attributes
    ----------
    known : whether it is a class of the model
    scores, hits : for each interval of the timeline, and whether the species is detected there
    annotated : when it is present, from and to, seconds
    """

    label: str
    known: bool
    scores: Float[np.ndarray, " intervals"]
    hits: Bool[np.ndarray, " intervals"]
    annotated: tuple[tuple[float, float], ...]

    @property
    def fields(self) -> list[tuple[int, float]]:
        """Index of each interval whose score is drawn, and the score."""
        return [(index, round(score, 2)) for index, score in enumerate(self.scores.tolist()) if score >= FAINTEST_SCORE]


@dataclass(frozen=True)
class Box:
    """An annotation with frequencies: seconds, and shares of the spectrogram's height from below."""

    label: str
    start: float
    end: float
    low: float
    high: float


@dataclass(frozen=True)
class Timeline:
    """A recording from its start to the end of its timeline.

    Attributes
    ----------
    seconds, whole : how much of it is shown, and how long it is
    times : start and end of each interval, seconds
    spectrogram : a JPEG, low frequencies at the bottom
    ticks : frequencies, and their heights from 0 (bottom) to 1 (top)
    sound : MP3
    left_out : how many species are detected or annotated and have no lane
    annotated : whether the recording has annotations
    """

    recording: str
    file: str
    seconds: float
    whole: float
    times: tuple[tuple[float, float], ...]
    spectrogram: bytes
    ticks: tuple[tuple[str, float], ...]
    sound: bytes
    lanes: tuple[Lane, ...]
    boxes: tuple[Box, ...]
    left_out: int
    annotated: bool


def write_timeline(
    path: Path,
    results: Iterable[IntervalScores],
    layout: SubmissionLayout,
    *,
    settings: Config,
    title: str,
    truth: Truth | None = None,
    metrics: SoundscapeMetrics | None = None,
    plots: Mapping[str, Path] = NO_PLOTS,
) -> int:
    """Write the page, with at most `submission.page_minutes` of sound, whatever the recordings' number and length.

    Annotated recordings come before all others, which come by name; of each recording the start is shown.

    Parameters
    ----------
    settings : of the snapshot, for spectrograms
    truth, metrics : annotations, and how good the predictions are, if there are any
    plots : PNG files that the page shows, by what they show

    Returns
    -------
    How many recordings have a timeline.
    """
    budget = _SoundBudget(layout, truth)
    timelines: list[Timeline] = []
    listed: list[dict[str, Any]] = []
    more = 0
    for one in results:
        timeline = timeline_of(one, layout, settings, truth, seconds=budget.each) if budget.takes(one) else None
        if timeline:
            timelines.append(timeline)
        if timeline or len(listed) < RECORDINGS_LISTED:
            listed.append(_list_entry(one, layout, truth))
        else:
            more += 1
    anchors = {timeline.file: position for position, timeline in enumerate(timelines, 1)}
    novelty = {entry["file"]: entry["novelty"] for entry in listed}
    write_text(
        path,
        render(
            "timeline.html.j2",
            title=title,
            timelines=[
                {"timeline": timeline, "novelty": novelty[timeline.file], **_axis_and_data(timeline)}
                for timeline in timelines
            ],
            listed=[{**entry, "anchor": anchors.get(entry["file"])} for entry in listed],
            with_novelty=layout.novelty,
            more=more,
            metrics=soundscape_rows(metrics) if metrics else {},
            notes=metrics.notes if metrics else (),
            rule=layout.rule.text,
            plots={name: file.read_bytes() for name, file in plots.items()},
        ),
    )
    return len(timelines)


class _SoundBudget:
    """Which recordings have a timeline, and how long it is; time is reserved for annotated recordings."""

    def __init__(self, layout: SubmissionLayout, truth: Truth | None) -> None:
        self._left = 60 * layout.settings.page_minutes
        share = max(SHORTEST_TIMELINE, self._left / max(len(layout.files), 1))
        self.each = min(LONGEST_TIMELINE, float(self._left), share)
        self._awaited = {file for file in layout.files if truth and file in truth.events}

    def takes(self, one: IntervalScores) -> bool:
        """Tell whether a recording has a timeline, and subtract its length from the rest."""
        annotated = one.file in self._awaited
        self._awaited.discard(one.file)
        length = min(self.each, float(one.ends[-1])) if one.reason is None else 0.0
        if not length or length > self._left - (0 if annotated else self.each * len(self._awaited)):
            return False
        self._left -= length
        return True


def timeline_of(
    one: IntervalScores, layout: SubmissionLayout, settings: Config, truth: Truth | None, *, seconds: float
) -> Timeline | None:
    """Return the timeline of a recording's first `seconds`; None if it cannot be read any more."""
    file, rate, channel = layout.recordings / one.file, settings.spectrogram.rate, settings.spectrogram.channel
    try:
        samples = samples_between(decode(file, rate=rate, channel=channel), start=0.0, end=seconds, rate=rate)
        decoded = decode(file, rate=SOUND_RATE, channel=channel)
        sound = mp3(samples_between(decoded, start=0.0, end=seconds, rate=SOUND_RATE))
    except AudioError:
        return None
    length = min(len(samples) / rate, float(one.ends[-1]))
    events = truth.events.get(one.file) if truth else None
    lanes, left_out = lanes_of(one, layout, events or (), seconds=length)
    times = [
        (float(start), min(float(end), length))
        for start, end in zip(one.starts, one.ends, strict=True)
        if start < length
    ]
    return Timeline(
        recording=one.recording,
        file=one.file,
        seconds=length,
        whole=float(one.ends[-1]),
        times=tuple(times),
        spectrogram=jpeg(samples, settings, size=(max(60, round(PIXELS_PER_SECOND * length)), SPECTROGRAM_HEIGHT)),
        ticks=frequency_ticks(settings.spectrogram),
        sound=sound,
        lanes=lanes,
        boxes=boxes_of(events or (), settings.spectrogram, seconds=length),
        left_out=left_out,
        annotated=events is not None,
    )


def lanes_of(
    one: IntervalScores, layout: SubmissionLayout, events: Sequence[Event], *, seconds: float
) -> tuple[tuple[Lane, ...], int]:
    """Return a lane for each annotated species, then for other detected ones, and how many species are left out.

    Annotated species come in the order of their first events, others by their highest score.

    Parameters
    ----------
    seconds : length of the timeline
    """
    inside = one.starts < seconds
    scores, hits = one.scores[inside], one.detections(layout.rule)[inside]
    in_order = [event for event in sorted(events, key=lambda event: event.start) if event.start < seconds]
    present = dict.fromkeys(event.species for event in in_order)
    best = one.uncalibrated[inside].max(axis=0, initial=0.0)
    by_score = [layout.classes[index] for index in np.argsort(-best, kind="stable").tolist()]
    columns = {label: index for index, label in enumerate(layout.classes)}
    detected = [label for label in by_score if hits[:, columns[label]].any()]
    wanted = list(dict.fromkeys([*present, *detected]))
    labels = list(dict.fromkeys([*wanted, *by_score]))[: max(MIN_LANES, min(MAX_LANES, len(wanted)))]
    lanes = []
    for label in labels:
        times = tuple(
            (event.start, min(event.end, seconds))
            for event in events
            if event.species == label and event.start < seconds
        )
        index = columns.get(label)
        if index is None:
            lanes.append(Lane(label, False, np.zeros(len(scores)), np.zeros(len(scores), bool), times))
        else:
            lanes.append(Lane(label, True, scores[:, index].astype(np.float64), hits[:, index], times))
    return tuple(lanes), len(wanted) - min(len(wanted), len(labels))


def boxes_of(events: Sequence[Event], settings: Spectrogram, *, seconds: float) -> tuple[Box, ...]:
    """Return the events with frequencies as boxes in the spectrogram, cut at its edges."""
    boxes = []
    for event in events:
        if event.low is None or event.high is None or event.start >= seconds:
            continue
        if event.high <= settings.fmin or event.low >= settings.fmax:
            continue
        low, high = (min(max(height_of(frequency, settings), 0.0), 1.0) for frequency in (event.low, event.high))
        boxes.append(Box(event.species, event.start, min(event.end, seconds), low, high))
    return tuple(boxes)


def _list_entry(one: IntervalScores, layout: SubmissionLayout, truth: Truth | None) -> dict[str, Any]:
    """Return a recording's row in the list."""
    hits = np.flatnonzero(one.detected_classes(layout.rule)).tolist() if one.reason is None else []
    events = truth.events.get(one.file) if truth else None
    best = sorted(hits, key=lambda index: -float(one.uncalibrated[:, index].max()))
    return {
        "file": one.file,
        "length": minutes(float(one.ends[-1])) if one.reason is None else "",
        "detected": [layout.classes[index] for index in best],
        "present": None if events is None else sorted({event.species for event in events}),
        "reason": one.reason,
        "novelty": _most_novel(one),
    }


def _most_novel(one: IntervalScores) -> dict[str, Any] | None:
    """Return the highest novelty of a recording's intervals, and where it is."""
    if one.novelty is None:
        return None
    interval = int(np.argmax(one.novelty))
    return {"value": float(one.novelty[interval]), "time": minutes(float(one.starts[interval]))}


def _axis_and_data(timeline: Timeline) -> dict[str, Any]:
    """Return a timeline's axis, and the scores and events for the page's script."""
    step = next((step for step in MARK_STEPS if timeline.seconds / step <= MAX_MARKS), MARK_STEPS[-1])
    lanes: Sequence[Any] = timeline.lanes
    return {
        "marks": [
            (minutes(float(mark)), round(100 * mark / timeline.seconds, 3))
            for mark in range(0, int(timeline.seconds) + 1, step)
        ],
        "data": {
            "ends": [round(end, 3) for _, end in timeline.times],
            "scores": [[round(score, 3) for score in lane.scores.tolist()] if lane.known else None for lane in lanes],
            "annotated": [[[round(start, 3), round(end, 3)] for start, end in lane.annotated] for lane in lanes],
            "stops": sorted(
                {0.0, *(timeline.times[n][0] for lane in lanes for n in np.flatnonzero(lane.hits).tolist())}
            ),
        },
        "length": minutes(timeline.seconds),
        "whole": minutes(timeline.whole),
    }


def minutes(seconds: float) -> str:
    """Write a time for people: 1:05, 2:03:40."""
    whole = int(seconds + 1e-6)
    return (
        f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
        if whole >= 3600
        else f"{whole // 60}:{whole % 60:02d}"
    )
