"""From the scores of clips to the scores of their recording."""

import numpy as np
from jaxtyping import Float

TIMES_MEDIAN = 1.5  # scores below this many times the median of their clip are noise


def median_filtered(scores: Float[np.ndarray, "clips classes"]) -> Float[np.ndarray, " classes"]:
    """Pool by median-filtered mean: scores that do not stand out in their clip count nothing, high ones count more than low ones.

        p = 0 where p < 1.5 · median of p over classes, per clip
        pooled = mean over clips of (2p)²;  pooled −= min;  if max > 1: pooled /= max

    Parameters
    ----------
    scores : from 0 to 1

    Returns
    -------
    Scores from 0 to 1.

    Raises
    ------
    ValueError
        If there is no clip.

    Source: BASELINE, Testing (`golden/pooling.npz`).
    """
    if len(scores) == 0:
        raise ValueError("no clips to pool")
    standing_out = np.where(scores < TIMES_MEDIAN * np.median(scores, axis=1, keepdims=True), 0, scores)
    pooled = np.mean((2 * standing_out) ** 2, axis=0)
    pooled -= pooled.min()
    return pooled / max(float(pooled.max()), 1.0)
