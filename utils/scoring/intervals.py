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
    scores : a column a class, 0 to 1, after pooling, prior and calibration; of long recordings they may lie in a file (`np.memmap`)
    reason : why the recording could not be used, and has no intervals; None where it could
    """

    recording: str
    file: str
    starts: Float[np.ndarray, " intervals"]
    ends: Float[np.ndarray, " intervals"]
    scores: Float[np.ndarray, "intervals classes"]
    reason: str | None = None
