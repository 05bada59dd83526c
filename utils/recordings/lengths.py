"""Annotations after the end of their recording, or far across it: they are wrong, and are removed."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from config import Cluster, Location
from utils.console import Failure, progress
from utils.recordings.duplicates import measure_length
from utils.recordings.recording import Event, Recording
from utils.sound.remote import name_of_file
from utils.workers.fanout import THIS_MACHINE, fan_out

MILLISECONDS = 1000.0  # per second
AFTER_END = "after its end ("  # in messages about annotations
ROUNDING_SECONDS = 5.0  # programs may round the end of an annotation by so many seconds


def split_at_end(events: Sequence[Event], seconds: float) -> tuple[tuple[Event, ...], tuple[Event, ...]]:
    """Split events into those within a recording of `seconds` and those that cannot be right.

    These start at its end or later, or end later than twice its length.
    """
    after = {event for event in events if event.start >= seconds or event.end > 2 * seconds + ROUNDING_SECONDS}
    return tuple(event for event in events if event not in after), tuple(event for event in events if event in after)


def events_after_end_message(lost: Sequence[Event], *, of: int, seconds: float) -> str:
    """Return how many annotations of a recording are after its end or far across it, and the likely reason."""
    across = sum(event.start < seconds for event in lost)
    after = f"{len(lost)} of {of} annotations lie after its end ({seconds:.1f} s) and cannot be used"
    if across:
        how = "begin before and end far" if across == len(lost) else "lie or end far"
        after = f"{len(lost)} of {of} annotations {how} after its end ({seconds:.1f} s) and cannot be used"
    if all(event.end / MILLISECONDS <= seconds for event in lost) and max(event.end for event in lost) > 10 * seconds:
        return f"{after}: are the times in milliseconds?"
    if across == len(lost):
        return f"{after}: are the ends wrong, or is a part of the recording missing?"
    question = "are the times counted through several files (Raven's 'File Offset (s)' is the time in each)"
    return f"{after}: {question}, or is a part of the recording missing?"


@dataclass(frozen=True)
class RecordingsInside:
    """Recordings with the annotations that are within them.

    Attributes
    ----------
    recordings : None for those without any annotation left
    failures : recordings with annotations after their end, and the likely reason
    """

    recordings: list[Recording | None]
    failures: list[Failure]


def verified_lengths(
    recordings: Sequence[Recording],
    files: Sequence[Location],
    seconds: Sequence[float | None],
    *,
    workers: int,
    cluster: Cluster = THIS_MACHINE,
) -> list[float | None]:
    """Return the lengths of recordings.

    An annotated recording is decoded to measure it, if its header declares no length or annotations are after its end.

    Parameters
    ----------
    files : of the recordings
    seconds : length of each by its header; None if that does not declare it
    """
    lengths = list(seconds)
    rows = {
        file: row
        for row, file in enumerate(files)
        if recordings[row].events and _needs_measuring(recordings[row].events, seconds[row])
    }
    if not rows:
        return lengths
    with (
        progress("measuring audio files", total=len(rows), unit="files") as advance,
        closing(fan_out(measure_length, [*rows], workers=workers, name=name_of_file, cluster=cluster)) as outcomes,
    ):
        for file, outcome in outcomes:
            if isinstance(outcome, float):
                lengths[rows[file]] = outcome
            advance()
    return lengths


def _needs_measuring(events: Sequence[Event], seconds: float | None) -> bool:
    return seconds is None or bool(split_at_end(events, seconds)[1])


def drop_events_after_end(
    recordings: Sequence[Recording], seconds: Sequence[float | None], tables: Mapping[str, Sequence[str]]
) -> RecordingsInside:
    """Remove annotations after the end of their recording.

    The recording is then marked as unsure: its times without annotations may hold birds.

    Parameters
    ----------
    seconds : length of each recording; None if not known
    tables : the tables with the annotations of a recording, by its `source`
    """
    used: list[Recording | None] = []
    failures = []
    for recording, length in zip(recordings, seconds, strict=True):
        inside, after = (recording.events, ()) if length is None else split_at_end(recording.events, length)
        if length is None or not after:
            used.append(recording)
            continue
        where = ", ".join(tables.get(recording.source, ()))
        reason = events_after_end_message(after, of=len(recording.events), seconds=length)
        failures.append(Failure(recording.name, f"{where}: {reason}" if where else reason))
        used.append(replace(recording, events=inside, unsure=True) if inside or recording.species else None)
    return RecordingsInside(used, failures)
