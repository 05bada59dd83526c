"""Annotations against the length of their recording: what lies behind its end cannot be right, and says nothing of what is there."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from utils.console import Failure, progress
from utils.fanout import fan_out
from utils.recordings.duplicates import measured
from utils.recordings.recording import Event, Recording

MILLISECONDS = 1000.0  # of a second
ROUNDED = 5.0  # seconds by which programs may round the end of an annotation


def inside_and_behind(events: Sequence[Event], seconds: float) -> tuple[tuple[Event, ...], tuple[Event, ...]]:
    """Divide events into those in a recording of so many seconds, and those that begin at or behind its end, or end further behind it than it is long."""
    behind = {event for event in events if event.start >= seconds or event.end > 2 * seconds + ROUNDED}
    return tuple(event for event in events if event not in behind), tuple(event for event in events if event in behind)


def why_behind(lost: Sequence[Event], *, of: int, seconds: float) -> str:
    """Say how many of a recording's annotations lie behind its end, and what may have gone wrong."""
    behind = f"{len(lost)} of {of} annotations lie behind its end ({seconds:.1f} s) and cannot be used"
    if all(event.end / MILLISECONDS <= seconds for event in lost) and max(event.end for event in lost) > 10 * seconds:
        return f"{behind}: are the times in milliseconds?"
    return f"{behind}: do the times count through several sounds (Raven's 'File Offset (s)' is the place in each), or is a part of the recording missing?"


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


def true_lengths(
    recordings: Sequence[Recording], files: Sequence[Path], seconds: Sequence[float | None], *, workers: int
) -> list[float | None]:
    """Return the lengths of recordings; those that no header tells, or that annotations seem to lie behind, are read to their end for it.

    Parameters
    ----------
    files : their sounds
    seconds : length of each by its header; None where that does not say
    """
    lengths = list(seconds)
    rows = {
        file: row
        for row, file in enumerate(files)
        if recordings[row].events and _is_doubtful(recordings[row].events, seconds[row])
    }
    if not rows:
        return lengths
    with (
        progress("measuring sounds", total=len(rows), unit="files") as advance,
        closing(fan_out(measured, [*rows], workers=workers, name=lambda file: file.name)) as outcomes,
    ):
        for file, outcome in outcomes:
            if isinstance(outcome, float):
                lengths[rows[file]] = outcome
            advance()
    return lengths


def _is_doubtful(events: Sequence[Event], seconds: float | None) -> bool:
    return seconds is None or bool(inside_and_behind(events, seconds)[1])


def within(
    recordings: Sequence[Recording], seconds: Sequence[float | None], tables: Mapping[str, Sequence[str]]
) -> Within:
    """Take away annotations that lie behind the end of their recording; what is left of it is not known to be without birds elsewhere.

    Parameters
    ----------
    seconds : length of each recording; None where not known
    tables : where the annotations of a sound stand, by its `source`
    """
    kept: list[Recording | None] = []
    failures = []
    for recording, length in zip(recordings, seconds, strict=True):
        inside, behind = (recording.events, ()) if length is None else inside_and_behind(recording.events, length)
        if length is None or not behind:
            kept.append(recording)
            continue
        place = ", ".join(tables.get(recording.source, ()))
        reason = why_behind(behind, of=len(recording.events), seconds=length)
        failures.append(Failure(recording.name, f"{place}: {reason}" if place else reason))
        kept.append(replace(recording, events=inside, unsure=True) if inside or recording.species else None)
    return Within(kept, failures)
