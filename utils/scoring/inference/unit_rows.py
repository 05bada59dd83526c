"""The rows of a recording's intervals or events: which species are correct in each, by its annotations."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Bool, Float

from utils.recordings.lengths import events_after_end_message, split_at_end
from utils.recordings.recording import NOISE, Event, event_overlaps
from utils.spectra.decode import Length

ROWS = pl.Schema(
    {
        "recording": pl.String(),
        "file": pl.String(),
        "class": pl.String(),  # of an event: its species; of intervals: '', or Noise where nobody heard a bird
        "background": pl.List(pl.String()),  # of an event: species that overlap its clips
        "events": pl.List(pl.Struct({"species": pl.String()})),  # of an interval: the species in it
        "start": pl.Float64(),  # seconds; null for a recording that could not be used
        "end": pl.Float64(),
    }
)


def events_inside(events: Sequence[Mapping[str, Any]], length: Length) -> tuple[tuple[Event, ...], str | None]:
    """Return the events within a recording, and a sentence about those after its end, if there are any."""
    seconds = length.frames / length.rate
    inside, lost = split_at_end([Event(one["start"], one["end"], one["species"]) for one in events], seconds)
    return inside, events_after_end_message(lost, of=len(events), seconds=seconds) if lost else None


def species_of_intervals(
    events: Sequence[Event], starts: Float[np.ndarray, " intervals"], ends: Float[np.ndarray, " intervals"]
) -> list[list[dict[str, str]]]:
    """Return the species in each interval, in whole or in part, as the column `events` of ROWS."""
    species: list[dict[str, None]] = [{} for _ in starts]
    for event in events:
        first, last = int(np.searchsorted(ends, event.start)), int(np.searchsorted(starts, event.end, "right"))
        for index in range(first, last):
            if event_overlaps((event.start, event.end), float(starts[index]), float(ends[index])):
                species[index][event.species] = None
    return [[{"species": name} for name in names if name != NOISE] for names in species]


def interval_rows(
    events: Sequence[Event],
    starts: Float[np.ndarray, " intervals"],
    ends: Float[np.ndarray, " intervals"],
    labelled: Bool[np.ndarray, " intervals"],
    **recording: str,
) -> list[dict[str, Any]]:
    """Return the labelled intervals of a recording as rows of ROWS.

    Parameters
    ----------
    recording : other columns, the same in each row
    """
    species = species_of_intervals(events, starts, ends)
    return [
        {"class": "", "background": [], **recording, "events": species[row], "start": starts[row], "end": ends[row]}
        for row in np.flatnonzero(labelled)
    ]


def overlapping_species(events: Sequence[Event], *, length: float) -> list[list[str]]:
    """Return the other species that overlap the clips around each event: its background.

    Parameters
    ----------
    length : of a clip, seconds; shorter events are in the middle of one
    """
    result = []
    ordered = sorted(events, key=lambda event: event.start)
    starts = np.array([event.start for event in ordered])
    longest = max((event.end - event.start for event in ordered), default=0.0)
    for event in events:
        margin = max(0.0, length - (event.end - event.start)) / 2
        start, end = event.start - margin, event.end + margin
        near = ordered[int(np.searchsorted(starts, start - longest)) : int(np.searchsorted(starts, end))]
        names = dict.fromkeys(one.species for one in near if event_overlaps((one.start, one.end), start, end))
        result.append([name for name in names if name != event.species])
    return result


def labels_without_class(
    rows: pl.DataFrame, classes: Sequence[str], *, scored: Bool[np.ndarray, " rows"], background: bool
) -> tuple[list[list[str]], dict[str, int]]:
    """Return the labels of each row that no class stands for, and how often each of them occurs where there are scores.

    Parameters
    ----------
    rows : table of ROWS
    background : whether background species count
    """
    known, found, unknown = {*classes, NOISE, ""}, Counter[str](), []
    for usable, (label, others, events) in zip(
        scored.tolist(), rows.select("class", "background", "events").iter_rows(), strict=True
    ):
        labels = {label, *(others if background else ()), *(event["species"] for event in events)} - known
        found.update(labels if usable else ())
        unknown.append(sorted(labels))
    return unknown, dict(found)
