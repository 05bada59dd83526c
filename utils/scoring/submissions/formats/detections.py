"""Detections, one per row: what tables of intervals and tables of events have in common."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from utils.scoring.inference.intervals import IntervalScores
from utils.scoring.submissions.formats.layout import SubmissionLayout, usable


class Detection(NamedTuple):
    """A species in a span of a recording.

    Attributes
    ----------
    start, end : seconds
    class_index : of the species
    score : 0 to 1
    novelty : of the interval, if it was asked for
    """

    start: float
    end: float
    class_index: int
    score: float
    novelty: float | None = None


class RecordingDetections(NamedTuple):
    """The detections in a recording, which is named by its path below `submission.recordings`."""

    file: str
    detections: Iterable[Detection]


def detections_of_intervals(
    results: Iterable[IntervalScores], layout: SubmissionLayout
) -> Iterator[RecordingDetections]:
    """Yield the detections of the recordings that could be used: which species are in which intervals.

    Raises
    ------
    ValueError
        If scores are not from 0 to 1, or intervals overlap.
    """
    for one in usable(results, layout):
        yield RecordingDetections(one.file, _in_intervals(one, layout))


def _in_intervals(one: IntervalScores, layout: SubmissionLayout) -> Iterator[Detection]:
    for interval, index in np.argwhere(one.detections(layout.rule)).tolist():
        novelty = None if one.novelty is None else float(one.novelty[interval])
        score = float(one.scores[interval, index])
        yield Detection(float(one.starts[interval]), float(one.ends[interval]), index, score, novelty)
