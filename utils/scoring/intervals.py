"""What a net says of a recording's intervals."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class IntervalScores:
    """The scores of one recording, interval by interval.

    Attributes
    ----------
    recording : the file's stem
    file : path relative to `submission.recordings`, with forward slashes
    starts, ends : seconds; the last end is the recording's exact length
    scores : 0 to 1, after pooling, prior and calibration
    reason : why the recording could not be used (then there are no intervals); None where it could
    """

    recording: str
    file: str
    starts: Float[np.ndarray, " intervals"]
    ends: Float[np.ndarray, " intervals"]
    scores: Float[np.ndarray, "intervals classes"]
    reason: str | None = None
