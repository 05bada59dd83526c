"""Events: when a species calls, from the first to the last tenth of a second in which its score reaches its limit.

Frames next to a call still see some of it, so that scores rise before a call and fall after it. Where they are far
below the highest score nearby, it is not calling yet, or no more.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.ndimage import maximum_filter1d

from utils.scoring.inference.frame_grid import CELLS_PER_SECOND
from utils.scoring.metrics.detection_rule import Limits

CLOSED_GAP = 3  # cells; two runs that are less apart are one event
NEARBY = 30  # cells before and after


class FrameEvent(NamedTuple):
    """A span of a recording in which a species calls.

    Attributes
    ----------
    first, end : its first cell, and the cell behind its last one
    class_index : of the species
    score : the highest in it
    """

    first: int
    end: int
    class_index: int
    score: float

    @property
    def start_time(self) -> float:
        """Where it starts, seconds."""
        return self.first / CELLS_PER_SECOND

    @property
    def end_time(self) -> float:
        """Where it ends, seconds."""
        return self.end / CELLS_PER_SECOND


def find_events(
    tables: Iterable[Float[np.ndarray, "_ classes"]], limits: Limits, *, level: float = 0.0
) -> list[FrameEvent]:
    """Return the events of a recording, ordered by start and class.

    An event is a run of cells whose scores reach the limit of the class and a share of the highest score within 3 s
    around; gaps of less than 0.3 s within it are closed. It does not depend on how the cells are divided into tables.

    Parameters
    ----------
    tables : the scores of all cells, table after table
    limits : from `DetectionRule.limits`
    level : that share, 0 to 1
    """
    found: list[FrameEvent] = []
    open_events: dict[int, FrameEvent] = {}  # the latest of each class, which the next run may continue
    first = 0
    for table, highest in _with_highest_nearby(tables):
        for run in _runs(table, np.maximum(np.asarray(limits, np.float64), level * highest), first=first):
            before = open_events.get(run.class_index)
            if before is not None and run.first - before.end < CLOSED_GAP:
                run = FrameEvent(before.first, run.end, run.class_index, max(before.score, run.score))
            elif before is not None:
                found.append(before)
            open_events[run.class_index] = run
        first += len(table)
    return sorted([*found, *open_events.values()], key=lambda event: (event.first, event.class_index))


def _with_highest_nearby(
    tables: Iterable[Float[np.ndarray, "_ classes"]],
) -> Iterator[tuple[Float[np.ndarray, "cells classes"], Float[np.ndarray, "cells classes"]]]:
    """Yield the same cells in other tables, and the highest score of the class within `NEARBY` cells of each."""
    held, before = None, 0  # cells; how many of them were yielded
    for table in tables:
        held = table if held is None else np.concatenate([held, table])
        ready = len(held) - NEARBY
        if ready > before:
            yield held[before:ready], _highest_nearby(held)[before:ready]
            held, before = held[max(0, ready - NEARBY) :], min(ready, NEARBY)
    if held is not None and len(held) > before:
        yield held[before:], _highest_nearby(held)[before:]


def _highest_nearby(cells: Float[np.ndarray, "cells classes"]) -> Float[np.ndarray, "cells classes"]:
    return maximum_filter1d(cells, 2 * NEARBY + 1, axis=0, mode="constant", cval=0.0)


def _runs(
    table: Float[np.ndarray, "cells classes"], limits: Float[np.ndarray, "cells classes"], *, first: int
) -> Iterator[FrameEvent]:
    """Yield the runs of cells that reach the limit, class by class, in order of time."""
    reached = np.pad(table >= limits, ((1, 1), (0, 0)))
    starts, ends = (np.argwhere((reached[1:] > reached[:-1]).T), np.argwhere((reached[1:] < reached[:-1]).T))
    for (index, start), (_, end) in zip(starts.tolist(), ends.tolist(), strict=True):
        yield FrameEvent(first + start, first + end, index, float(table[start:end, index].max()))
