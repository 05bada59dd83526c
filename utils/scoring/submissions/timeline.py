"""The page `timeline.html`: what a net says of long recordings, along time, with who was there, to see and to hear. One file, which needs no network."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from config import Config
from utils.files import write_text
from utils.scoring.evaluation.soundscape_truth import Truth
from utils.scoring.evaluation.soundscapes import SoundscapeFigures, figure_rows
from utils.scoring.inference.interval_scores import IntervalScores
from utils.scoring.reports.excerpts import SOUND_RATE, between, frequency_ticks, jpeg, mp3
from utils.scoring.reports.page import render
from utils.scoring.submissions.formats import Sheet
from utils.scoring.submissions.formats.sheet import called
from utils.scoring.submissions.timeline_parts import Timeline, boxes_of, lanes_of
from utils.spectra.decode import AudioError, decode

LONGEST = 300.0  # seconds shown of one recording, at most
SHORTEST = 60.0  # seconds shown of each where there are many
SCALE = 12  # pixels of the spectrogram a second
HEIGHT = 160  # of it, pixels
LISTED = 500  # recordings in the page's list
STEPS = (1, 2, 5, 10, 15, 30, 60)  # seconds from one mark of the axis to the next
MARKS = 14  # of the axis, at most


def write_timeline(
    path: Path,
    results: Iterable[IntervalScores],
    sheet: Sheet,
    *,
    settings: Config,
    title: str,
    truth: Truth | None = None,
    figures: SoundscapeFigures | None = None,
) -> int:
    """Write the page; it stays within `submission.page_minutes` of sound, whatever the recordings' number and length.

    Annotated recordings are shown before all others, otherwise the first ones by name; of each recording its begin.

    Parameters
    ----------
    settings : of the snapshot: how clips are pictured
    truth, figures : who was there, and how right the answers are, where somebody listened

    Returns
    -------
    How many recordings are shown.
    """
    share = _Share(sheet, truth)
    timelines: list[Timeline] = []
    listed: list[dict[str, Any]] = []
    more = 0
    for one in results:
        timeline = timeline_of(one, sheet, settings, truth, seconds=share.each) if share.takes(one) else None
        if timeline:
            timelines.append(timeline)
        if timeline or len(listed) < LISTED:
            listed.append(_listed(one, sheet, truth))
        else:
            more += 1
    places = {timeline.file: number for number, timeline in enumerate(timelines, 1)}
    write_text(
        path,
        render(
            "timeline.html.j2",
            title=title,
            timelines=[{"timeline": timeline, **_drawn(timeline)} for timeline in timelines],
            listed=[{**entry, "place": places.get(entry["file"])} for entry in listed],
            more=more,
            figures=figure_rows(figures) if figures else {},
            unknown=figures.unknown if figures else (),
            limit="its threshold, as the test found it"
            if sheet.chosen is not None
            else f"{sheet.settings.min_score:g}",
        ),
    )
    return len(timelines)


class _Share:
    """Which recordings are shown, and how much of each: time is kept for those that somebody listened to, whatever comes before them."""

    def __init__(self, sheet: Sheet, truth: Truth | None) -> None:
        self._left = 60 * sheet.settings.page_minutes
        self.each = min(LONGEST, float(self._left), max(SHORTEST, self._left / max(len(sheet.files), 1)))
        self._awaited = {file for file in sheet.files if truth and file in truth.events}

    def takes(self, one: IntervalScores) -> bool:
        """Tell whether a recording is shown, and take its time off what is left."""
        first = one.file in self._awaited
        self._awaited.discard(one.file)
        length = min(self.each, float(one.ends[-1])) if one.reason is None else 0.0
        if not length or length > self._left - (0 if first else self.each * len(self._awaited)):
            return False
        self._left -= length
        return True


def timeline_of(
    one: IntervalScores, sheet: Sheet, settings: Config, truth: Truth | None, *, seconds: float
) -> Timeline | None:
    """Return what is to be seen and heard of a recording's first `seconds`; None where it cannot be read any more."""
    file, rate, channel = sheet.recordings / one.file, settings.spectrogram.rate, settings.spectrogram.channel
    try:
        samples = between(decode(file, rate=rate, channel=channel), start=0.0, end=seconds, rate=rate)
        sound = mp3(between(decode(file, rate=SOUND_RATE, channel=channel), start=0.0, end=seconds, rate=SOUND_RATE))
    except AudioError:
        return None
    length = min(len(samples) / rate, float(one.ends[-1]))
    events = truth.events.get(one.file) if truth else None
    lanes, left_out = lanes_of(one, sheet, events or (), seconds=length)
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
        picture=jpeg(samples, settings, size=(max(60, round(SCALE * length)), HEIGHT)),
        ticks=frequency_ticks(settings.spectrogram),
        sound=sound,
        lanes=lanes,
        boxes=boxes_of(events or (), settings.spectrogram, seconds=length),
        left_out=left_out,
        annotated=events is not None,
    )


def _listed(one: IntervalScores, sheet: Sheet, truth: Truth | None) -> dict[str, Any]:
    """Return a recording's row in the list."""
    said = np.flatnonzero(called(one, sheet).any(axis=0)).tolist() if one.reason is None else []
    events = truth.events.get(one.file) if truth else None
    best = sorted(said, key=lambda number: -float(one.uncalibrated[:, number].max()))
    return {
        "file": one.file,
        "length": minutes(float(one.ends[-1])) if one.reason is None else "",
        "said": [sheet.classes[number] for number in best],
        "there": None if events is None else sorted({event.species for event in events}),
        "reason": one.reason,
    }


def _drawn(timeline: Timeline) -> dict[str, Any]:
    """Return a timeline's axis, and the scores and events for the script that reads them off."""
    step = next((step for step in STEPS if timeline.seconds / step <= MARKS), STEPS[-1])
    lanes: Sequence[Any] = timeline.lanes
    return {
        "marks": [
            (minutes(float(mark)), round(100 * mark / timeline.seconds, 3))
            for mark in range(0, int(timeline.seconds) + 1, step)
        ],
        "data": {
            "ends": [round(end, 3) for _, end in timeline.times],
            "scores": [[round(score, 3) for score in lane.scores.tolist()] if lane.known else None for lane in lanes],
            "sung": [[[round(start, 3), round(end, 3)] for start, end in lane.sung] for lane in lanes],
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
