"""What the page of timelines shows, as plain values."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from config import Spectrogram
from utils.recordings.recording import Event
from utils.scoring.inference.interval_scores import IntervalScores
from utils.scoring.reports.excerpts import height_in
from utils.scoring.submissions.formats import Sheet
from utils.scoring.submissions.formats.sheet import called

ROWS = 12  # species shown at most
LEAST = 3  # species shown at least, though nobody is called
FAINT = 0.02  # scores below are not drawn


@dataclass(frozen=True)
class Lane:
    """One species along a recording.

    Attributes
    ----------
    known : whether the net knows it
    scores, hits : of each interval shown, and whether the species is called there
    sung : when it sings, from and to, seconds
    """

    label: str
    known: bool
    scores: Float[np.ndarray, " intervals"]
    hits: Bool[np.ndarray, " intervals"]
    sung: tuple[tuple[float, float], ...]

    @property
    def fields(self) -> list[tuple[int, float]]:
        """Numbers of the intervals with a score to be seen, and the score."""
        return [(number, round(score, 2)) for number, score in enumerate(self.scores.tolist()) if score >= FAINT]


@dataclass(frozen=True)
class Box:
    """Who sings when and how high: seconds, and shares of the picture's height from below."""

    label: str
    start: float
    end: float
    low: float
    high: float


@dataclass(frozen=True)
class Timeline:
    """A recording from its begin to where the page ends.

    Attributes
    ----------
    seconds, whole : how much is shown, and how long the recording is
    times : begin and end of each interval shown, seconds
    picture : spectrogram as JPEG, low frequencies at the bottom
    ticks : frequencies, and how high they stand, from 0 (bottom) to 1 (top)
    sound : MP3
    left_out : how many species are called or sing that are not shown
    annotated : whether somebody listened
    """

    recording: str
    file: str
    seconds: float
    whole: float
    times: tuple[tuple[float, float], ...]
    picture: bytes
    ticks: tuple[tuple[str, float], ...]
    sound: bytes
    lanes: tuple[Lane, ...]
    boxes: tuple[Box, ...]
    left_out: int
    annotated: bool


def lanes_of(
    one: IntervalScores, sheet: Sheet, events: Sequence[Event], *, seconds: float
) -> tuple[tuple[Lane, ...], int]:
    """Return who was there, in the order in which they begin, then who else was said, the surest first; and how many more there would be.

    Parameters
    ----------
    seconds : how much of the recording is shown
    """
    shown = one.starts < seconds
    scores, hits = one.scores[shown], called(one, sheet)[shown]
    there = list(
        dict.fromkeys(event.species for event in sorted(events, key=lambda event: event.start) if event.start < seconds)
    )
    best = one.uncalibrated[shown].max(axis=0, initial=0.0)
    order = [sheet.classes[number] for number in np.argsort(-best, kind="stable").tolist()]
    places = {label: number for number, label in enumerate(sheet.classes)}
    said = [label for label in order if hits[:, places[label]].any()]
    wanted = list(dict.fromkeys([*there, *said]))
    rows = list(dict.fromkeys([*wanted, *order]))[: max(LEAST, min(ROWS, len(wanted)))]
    lanes = []
    for label in rows:
        sung = tuple(
            (event.start, min(event.end, seconds))
            for event in events
            if event.species == label and event.start < seconds
        )
        number = places.get(label)
        if number is None:
            lanes.append(Lane(label, False, np.zeros(len(scores)), np.zeros(len(scores), bool), sung))
        else:
            lanes.append(Lane(label, True, scores[:, number].astype(np.float64), hits[:, number], sung))
    return tuple(lanes), len(wanted) - min(len(wanted), len(rows))


def boxes_of(events: Sequence[Event], settings: Spectrogram, *, seconds: float) -> tuple[Box, ...]:
    """Return the events of known frequencies as boxes in the picture, as far as they lie in it."""
    boxes = []
    for event in events:
        if (
            event.low is None
            or event.high is None
            or event.start >= seconds
            or event.high <= settings.fmin
            or event.low >= settings.fmax
        ):
            continue
        low, high = (
            height_in(float(min(max(frequency, settings.fmin), settings.fmax)), settings)
            for frequency in (event.low, event.high)
        )
        boxes.append(Box(event.species, event.start, min(event.end, seconds), low, high))
    return tuple(boxes)
