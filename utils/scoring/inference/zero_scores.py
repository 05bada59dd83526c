"""Scores of exactly 0, which median-filtered pooling gives where a model tells the classes hardly apart."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from config import Testing
from utils import console

MANY = 0.9  # share of all scores; those below the median of a clip, which is half of them, often are 0
ROWS_AT_ONCE = 2**14  # of a recording, whose scores may lie in a file


@dataclass
class ZeroScores:
    """Counts scores of exactly 0.

    Attributes
    ----------
    scores, zeros : number of scores, and of those that are 0
    recordings, without_order : number of recordings, and of those all of whose scores are 0
    """

    scores: int = 0
    zeros: int = 0
    recordings: int = 0
    without_order: int = 0

    def add(self, scores: Float[np.ndarray, "rows classes"]) -> None:
        """Count the scores of a recording; those below 0 (not on a whitelist) and NaN are left out."""
        counted = zeros = 0
        for first in range(0, len(scores), ROWS_AT_ONCE):
            some = scores[first : first + ROWS_AT_ONCE]
            counted += int((some >= 0).sum())
            zeros += int((some == 0).sum())
        self.scores += counted
        self.zeros += zeros
        self.recordings += counted > 0
        self.without_order += 0 < counted == zeros

    def warn(self, settings: Testing) -> None:
        """Say what to set, if pooling leaves recordings, or almost all classes, without a score."""
        few = self.zeros <= MANY * self.scores and not self.without_order
        if settings.pooling != "median_filtered" or few:
            return
        console.warning(
            f"{self.zeros / self.scores:.0%} of all scores are exactly 0, in {self.without_order:,} of "
            f"{self.recordings:,} recordings all of them: testing.pooling = median_filtered drops scores near the "
            "median of their clip, as weak models have; set testing.pooling to mean"
        )


def zero_scores_of(
    scores: Float[np.ndarray, "rows classes"], recording_of_row: Int64[np.ndarray, " rows"]
) -> ZeroScores:
    """Count the scores of a table of rows whose recordings have indices."""
    found = ZeroScores()
    order = np.argsort(recording_of_row, kind="stable")
    ends = np.flatnonzero(np.diff(recording_of_row[order])) + 1
    for rows in np.split(order, ends):
        found.add(scores[rows])
    return found
