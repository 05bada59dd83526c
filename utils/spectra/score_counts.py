"""How many clips another signal threshold would keep: the scores of all clips, counted between fixed edges."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64

STEPS = ("1", "1.25", "1.6", "2", "2.5", "3.15", "4", "5", "6.3", "8")  # of a decade: about 26% from one to the next
# bin i: from EDGES[i] to below EDGES[i + 1]; the last to 1
EDGES = (0.0, *(float(f"{step}e{decade}") for decade in (-4, -3, -2, -1) for step in STEPS))


def count_scores(scores: Sequence[float]) -> Int64[np.ndarray, " bins"]:
    """Count signal scores between EDGES."""
    return np.bincount(np.searchsorted(EDGES, np.asarray(scores, np.float64), side="right") - 1, minlength=len(EDGES))


def kept_from(counts: Int64[np.ndarray, "*some bins"]) -> Int64[np.ndarray, "*some bins"]:
    """Return how many clips each of EDGES, as the threshold, would keep."""
    return counts[..., ::-1].cumsum(axis=-1)[..., ::-1]


def kept_at(counts: Int64[np.ndarray, " bins"], threshold: float) -> float:
    """Return how many clips a threshold would keep: exactly at one of EDGES, as if the scores of a bin were spread evenly between them."""
    return float(np.interp(threshold, [*EDGES, 1.0], [*kept_from(counts), 0]))


def nearest_edge(threshold: float) -> float:
    """Return the edge that is nearest to a threshold, by their ratio."""
    return min(EDGES[1:], key=lambda edge: abs(np.log(edge / max(threshold, EDGES[1]))))


def around(threshold: float) -> list[float]:
    """Return about half the threshold, the threshold, and about twice as much, in that order; 0 is followed by what people usually take."""
    if threshold == 0:
        return [0.0, 0.0005, 0.001, 0.002]
    other = [nearest_edge(threshold / 2), nearest_edge(2 * threshold)]
    return sorted({threshold, *other})
