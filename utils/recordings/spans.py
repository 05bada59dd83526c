"""The spans of a recording that are labelled, where others are not: there, nobody knows which species are present."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

Spans = tuple[tuple[float, float], ...]  # starts and ends, seconds; in order, without overlap
_TOUCHING = 0.05  # seconds between two spans that touch


def merged_spans(spans: Iterable[tuple[float, float]]) -> Spans:
    """Return spans (start, end) in order; those that touch or overlap become one."""
    merged: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1] + _TOUCHING:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return tuple(merged)


def labelled_intervals(
    spans: Spans | None, starts: Float[np.ndarray, " intervals"], ends: Float[np.ndarray, " intervals"]
) -> Bool[np.ndarray, " intervals"]:
    """Tell which intervals are labelled from start to end; None: the whole recording is."""
    if spans is None:
        return np.ones(len(starts), bool)
    times = np.array([*spans, (np.inf, -np.inf)])  # the last one for intervals before the first span: index −1
    index = np.searchsorted(times[:-1, 0], starts + _TOUCHING, side="right") - 1
    return np.asarray(times[index, 1] >= ends - _TOUCHING, bool)


def labelled_in(metadata: Mapping[str, Any]) -> Spans | None:
    """Return the labelled spans from the content of a recording's JSON file; None: the whole recording.

    Raises
    ------
    ValueError
        If they are not a list of times.
    """
    entries = metadata.get("labelled")
    if entries is None:
        return None
    try:
        spans = [(float(start), float(end)) for start, end in entries]
    except (TypeError, ValueError, OverflowError):
        raise ValueError("labelled is not a list of starts and ends") from None
    if not all(0 <= start < end < math.inf for start, end in spans):
        raise ValueError("a start or end of labelled is not a time")
    return merged_spans(spans)
