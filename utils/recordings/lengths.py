"""Annotations against the length of their recording: what begins behind its end cannot be right, and says nothing of what is there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from utils.console import Failure
from utils.recordings.recording import Event, Recording

MILLISECONDS = 1000.0  # of a second


def behind_end(events: Sequence[Event], seconds: float) -> tuple[Event, ...]:
    """Return the events that begin at or behind the end of a recording of so many seconds."""
    return tuple(event for event in events if event.start >= seconds)


def why_behind(lost: Sequence[Event], *, of: int, seconds: float) -> str:
    """Say how many of a recording's annotations lie behind its end, and what may have gone wrong."""
    behind = f"{len(lost)} of {of} annotations begin at or behind its end ({seconds:.1f} s) and cannot be used"
    if all(event.end / MILLISECONDS <= seconds for event in lost) and max(event.start for event in lost) > 10 * seconds:
        return f"{behind}: are the times in milliseconds?"
    return f"{behind}: do the times count through several sounds (Raven's 'File Offset (s)' is the place in each), or are they of a longer version of it?"


@dataclass(frozen=True)
class Within:
    """Recordings with the annotations that lie in them.

    Attributes
    ----------
    recordings : None for one of which no annotation is left
    failures : of whose annotations some or all lie behind the end, and why that may be
    """

    recordings: list[Recording | None]
    failures: list[Failure]


def within(recordings: Sequence[Recording], seconds: Sequence[float | None], tables: Mapping[str, Sequence[str]]) -> Within:
    """Take away annotations that begin behind the end of their recording; what is left of it is not known to be without birds elsewhere.

    Parameters
    ----------
    seconds : length of each recording; None where not known
    tables : where the annotations of a sound stand, by its `source`
    """
    kept: list[Recording | None] = []
    failures = []
    for recording, length in zip(recordings, seconds, strict=True):
        lost = behind_end(recording.events, length) if length is not None else ()
        if not lost:
            kept.append(recording)
            continue
        place = ", ".join(tables.get(recording.source, ()))
        failures.append(Failure(recording.name, f"{f'{place}: ' if place else ''}{why_behind(lost, of=len(recording.events), seconds=float(length or 0))}"))
        left = tuple(event for event in recording.events if event.start < float(length or 0))
        kept.append(replace(recording, events=left, unsure=True) if left or recording.species else None)
    return Within(kept, failures)
