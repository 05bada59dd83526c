"""Counts of what a submission holds, taken while it is written."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from utils.console import Failure
from utils.scoring.inference.intervals import IntervalScores
from utils.scoring.inference.zero_scores import ZeroScores
from utils.scoring.submissions.formats.layout import SubmissionLayout


@dataclass
class Tally:
    """What was written so far: the number of intervals, the classes detected, recordings with a warning, and zeros."""

    intervals: int = 0
    detected: set[int] = field(default_factory=set)
    odd: list[Failure] = field(default_factory=list)
    zero_scores: ZeroScores = field(default_factory=ZeroScores)

    def through(self, results: Iterable[IntervalScores], layout: SubmissionLayout) -> Iterator[IntervalScores]:
        """Pass recordings on, and count them."""
        for one in results:
            self.intervals += len(one.scores)
            self.zero_scores.add(one.uncalibrated)
            self.detected.update(np.flatnonzero(one.detected_classes(layout.rule)).tolist())
            self.odd += [Failure(one.file, "; ".join(one.warnings))] if one.warnings else []
            yield one
