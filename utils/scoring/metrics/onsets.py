"""How near the starts of detected events are to those of annotated calls."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64

StartsAndEnds = Float[np.ndarray, "_ 2"]  # of each call or event, seconds


@dataclass(frozen=True)
class OnsetMetrics:
    """How many annotated calls have an event, and how far off its start is.

    Attributes
    ----------
    calls : number of annotated calls of species that the model knows
    found : how many of them an event of their species overlaps
    median_error : median of |start of the event − start of the call| over the calls that are found, seconds; None if
        there is none
    """

    calls: int
    found: int
    median_error: float | None

    @property
    def text(self) -> str:
        """The metrics for people."""
        error = "" if self.median_error is None else f"; median onset error {self.median_error:.2f} s"
        return f"{self.found:,} of {self.calls:,} annotated calls found{error}"


def onset_errors(calls: StartsAndEnds, events: StartsAndEnds) -> Float64[np.ndarray, " calls"]:
    """Return by how much the start of each annotated call is missed, seconds; NaN if no event overlaps the call.

    If several events do, the start that is nearest counts. A point in time overlaps an event that starts with it, but
    not one that ends with it.

    Parameters
    ----------
    events : of the same species and recording, in order, none overlapping another
    """
    first = np.searchsorted(events[:, 1], calls[:, 0], side="right")
    points = calls[:, 0] == calls[:, 1]
    last = np.where(
        points,
        np.searchsorted(events[:, 0], calls[:, 1], side="right"),
        np.searchsorted(events[:, 0], calls[:, 1], side="left"),
    )
    errors = np.full(len(calls), np.nan)
    for call, (low, high) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
        if low < high:
            errors[call] = np.abs(events[low:high, 0] - calls[call, 0]).min()
    return errors


def onset_metrics(errors: Sequence[Float[np.ndarray, " _"]]) -> OnsetMetrics:
    """Return the metrics of the calls of all recordings, from their `onset_errors`."""
    every = np.concatenate([np.zeros(0), *errors])
    found = every[~np.isnan(every)]
    return OnsetMetrics(len(every), len(found), float(np.median(found)) if len(found) else None)
