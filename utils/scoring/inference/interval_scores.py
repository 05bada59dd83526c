"""What is answered to the intervals of one recording: what every format of a submission is written from."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class IntervalScores:
    """The scores of one recording's intervals.

    Attributes
    ----------
    recording : the stem of its file's name
    file : its path below `submission.recordings`, with '/'
    starts, ends : of the intervals, seconds; the last one ends with the recording
    scores : what is written: a column a class, 0 to 1, after pooling, prior and calibration
    uncalibrated : what a test knows: pooled scores times the prior, up to 1.5; by these a class is called, and stands
        before another. −1 for those that are not asked for. Without prior, calibration and whitelist the same array.
        Both may lie in files where recordings are long (`np.memmap`)
    reason : why the recording could not be used, and has no intervals; None where it could
    warnings : what is odd about its file, and how much of it was read
    """

    recording: str
    file: str
    starts: Float[np.ndarray, " intervals"]
    ends: Float[np.ndarray, " intervals"]
    scores: Float[np.ndarray, "intervals classes"]
    uncalibrated: Float[np.ndarray, "intervals classes"]
    reason: str | None = None
    warnings: tuple[str, ...] = ()
