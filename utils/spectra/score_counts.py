"""Histograms of signal scores, from which follows how many clips another threshold would keep."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64

STEPS_PER_DECADE = ("1", "1.25", "1.6", "2", "2.5", "3.15", "4", "5", "6.3", "8")  # each about 26% above the one before
# bin i: from EDGES[i] to below EDGES[i + 1]; the last bin up to 1
EDGES = (0.0, *(float(f"{step}e{decade}") for decade in (-4, -3, -2, -1) for step in STEPS_PER_DECADE))


def count_scores(scores: Sequence[float]) -> Int64[np.ndarray, " bins"]:
    """Return the histogram of signal scores with the bins of EDGES."""
    return np.bincount(np.searchsorted(EDGES, np.asarray(scores, np.float64), side="right") - 1, minlength=len(EDGES))


def clips_kept_from(counts: Int64[np.ndarray, "*some bins"]) -> Int64[np.ndarray, "*some bins"]:
    """Return how many clips each of EDGES would keep as the threshold."""
    return counts[..., ::-1].cumsum(axis=-1)[..., ::-1]


def clips_kept_at(counts: Int64[np.ndarray, " bins"], threshold: float) -> float:
    """Return how many clips a threshold would keep, interpolated within a bin."""
    return float(np.interp(threshold, [*EDGES, 1.0], [*clips_kept_from(counts), 0]))


def nearest_edge(threshold: float) -> float:
    """Return the edge of a bin that is nearest to a threshold, by ratio."""
    return min(EDGES[1:], key=lambda edge: abs(np.log(edge / max(threshold, EDGES[1]))))


def thresholds_around(threshold: float) -> list[float]:
    """Return about half the threshold, the threshold, and about twice the threshold; for 0, some usual thresholds."""
    if threshold == 0:
        return [0.0, 0.0005, 0.001, 0.002]
    other = [nearest_edge(threshold / 2), nearest_edge(2 * threshold)]
    return sorted({threshold, *other})
