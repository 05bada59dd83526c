"""Workers of inference decode recordings and make spectrograms of their clips, once per group of members.

They are processes, or threads within a worker of a cluster.
"""

import math
from collections.abc import Callable, Generator, Mapping, Sequence, Set
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from config import Config, Location
from utils import console
from utils.scoring.inference.ensembles import Ensemble
from utils.scoring.inference.stored_embeddings import StoredEmbeddings, stored_embeddings
from utils.scratch import scratch_folder
from utils.sound.remote import sizes_and_times, sound_at
from utils.spectra.clip_selection import EventSpan
from utils.spectra.decode import Channel
from utils.spectra.event_clips import EventSpectrograms, event_spectrograms
from utils.spectra.extraction import Job
from utils.spectra.interval_clips import IntervalJob, IntervalSpectrograms, interval_spectrograms
from utils.spectra.recording_spectrograms import (
    MAX_PASSED_IN_MEMORY,
    RecordingSpectrograms,
    WarningsJob,
    first_spectrograms,
)
from utils.workers.fanout import AHEAD, fan_out

LARGE_FILES_AHEAD = 2  # recordings in hand per worker if each may leave gigabytes of spectrograms on disk
LARGE_FILE = 2**24  # bytes; larger sound files may do so
CHANNEL = "spectrogram.channel"  # the setting
SCRATCH = ".spectrograms-"  # prefix of the folder in which spectrograms wait for the networks


class ClipSpectrograms(NamedTuple):
    """The spectrograms of a recording's clips for one group of members.

    Attributes
    ----------
    row : index of the recording in its table
    group : index of the group in the ensemble
    outcome : the spectrograms, or why there are none
    """

    row: int
    group: int
    outcome: RecordingSpectrograms | IntervalSpectrograms | EventSpectrograms | StoredEmbeddings | console.Failure


def recording_jobs(recordings: pl.DataFrame, root: Path, settings: Config, *, cap: int = 0) -> list[Job]:
    """Return one job per recording of the data set at `root`, with the clip and spectrogram settings of `settings`."""
    pairs = recordings.select("recording", "file").iter_rows()
    return [Job(name, sound_at(root, file), cap, settings.clips, settings.spectrogram) for name, file in pairs]


def scratch_home(ensemble: Ensemble, folder: Path) -> Path | None:
    """Return where scratch files may be: in `folder`; None: in `TMPDIR` of this machine, if a cluster's worker asks."""
    return None if ensemble.threads else folder


def spectrograms_of_recordings(
    ensemble: Ensemble, recordings: pl.DataFrame, config: Config
) -> Generator[ClipSpectrograms]:
    """Yield the spectrograms of each recording's first clips for each group, as they are finished, in no fixed order.

    Memory stays bounded however long the recordings are: many spectrograms come through a file, which exists only until
    the next recording is asked for. Embeddings that the data set's store keeps are not computed again.
    """
    cap, stored = config.testing.max_clips, stored_embeddings(ensemble, recordings, config)
    with scratch_folder(scratch_home(ensemble, config.run_folder), prefix=SCRATCH) as scratch:
        indices: dict[Job, tuple[int, int]] = {}
        for row, (name, file) in enumerate(recordings.select("recording", "file").iter_rows()):
            for index, group in enumerate(ensemble.groups):
                part = scratch / f"{row}-{index}"
                sound = sound_at(config.dataset.root, file)
                found = stored.get((row, index))
                if found is None or found.to_be_decoded:
                    kind = WarningsJob if found else Job
                    job = kind(name, sound, cap, group.clips, group.spectrogram, part=part, external=group.external)
                    indices[job] = row, index
        largest = max(math.prod(group.members[0].snapshot.config.input_shape) for group in ensemble.groups)
        ahead = AHEAD if 0 < cap * largest <= MAX_PASSED_IN_MEMORY else LARGE_FILES_AHEAD
        made = _finished(first_spectrograms, indices, config=config, ahead=ahead, threads=ensemble.threads)
        yield from _with_stored(made, stored, set(indices.values()))


def _with_stored(
    made: Generator[ClipSpectrograms],
    stored: Mapping[tuple[int, int], StoredEmbeddings],
    worked_on: Set[tuple[int, int]],
) -> Generator[ClipSpectrograms]:
    """Yield what the store keeps, and what workers make; all parts of a recording come together.

    Parameters
    ----------
    worked_on : rows and groups of what comes from workers, of which some has only warnings
    """
    at_once: dict[int, list[ClipSpectrograms]] = {}
    for (row, group), kept in stored.items():
        if (row, group) not in worked_on:
            at_once.setdefault(row, []).append(ClipSpectrograms(row, group, kept))
    waiting = {row for row, _ in worked_on}
    for row in [row for row in at_once if row not in waiting]:
        yield from at_once.pop(row)
    with closing(made):
        for one in made:
            found, outcome = stored.get((one.row, one.group)), one.outcome
            if found and isinstance(outcome, RecordingSpectrograms):
                one = one._replace(outcome=replace(found, warnings=outcome.warnings))
            yield one
            yield from at_once.pop(one.row, ())


def spectrograms_of_events(
    ensemble: Ensemble, recordings: pl.DataFrame, events: Sequence[Sequence[EventSpan]], config: Config
) -> Generator[ClipSpectrograms]:
    """Yield the spectrograms of the clips around each recording's events, as `spectrograms_of_recordings` does.

    Parameters
    ----------
    events : of each recording
    """
    with scratch_folder(scratch_home(ensemble, config.run_folder), prefix=SCRATCH) as scratch:
        indices: dict[Job, tuple[int, int]] = {}
        for row, (name, file) in enumerate(recordings.select("recording", "file").iter_rows()):
            for index, group in enumerate(ensemble.groups):
                job = Job(
                    name,
                    sound_at(config.dataset.root, file),
                    0,
                    group.clips,
                    group.spectrogram,
                    part=scratch / f"{row}-{index}",
                    events=tuple(events[row]),
                    external=group.external,
                )
                indices[job] = row, index
        ahead = LARGE_FILES_AHEAD
        yield from _finished(event_spectrograms, indices, config=config, ahead=ahead, threads=ensemble.threads)


def spectrograms_of_intervals(
    ensemble: Ensemble, files: Sequence[Location], config: Config, *, interval: float, scratch_in: Path | None
) -> Generator[ClipSpectrograms]:
    """Yield the spectrograms of the clips in each recording's intervals, as `spectrograms_of_recordings` does.

    Parameters
    ----------
    files : the recordings; `row` of what is yielded is an index into them
    interval : seconds; 0: each recording is one interval
    scratch_in : folder in which spectrograms wait for the networks; None: `TMPDIR`
    """
    overlap = config.submission.overlap
    with scratch_folder(scratch_in, prefix=SCRATCH) as scratch:
        indices: dict[IntervalJob, tuple[int, int]] = {}
        clips_of_groups = [
            group.clips if overlap is None else replace(group.clips, overlap=overlap) for group in ensemble.groups
        ]
        for row, file in enumerate(files):
            for index, (group, clips) in enumerate(zip(ensemble.groups, clips_of_groups, strict=True)):
                part = scratch / f"{row}-{index}"
                job = IntervalJob(
                    str(file),
                    file,
                    config.testing.max_clips,
                    clips,
                    group.spectrogram,
                    part=part,
                    external=group.external,
                    interval=interval,
                    shifts=config.testing.shifts,
                )
                indices[job] = row, index
        ahead = (
            AHEAD if max((size for size, _ in sizes_and_times(files)), default=0) <= LARGE_FILE else LARGE_FILES_AHEAD
        )
        yield from _finished(interval_spectrograms, indices, config=config, ahead=ahead, threads=ensemble.threads)


def _finished(
    work: Callable[[Any], Any], indices: Mapping[Any, tuple[int, int]], *, config: Config, ahead: int, threads: int
) -> Generator[ClipSpectrograms]:
    with closing(
        fan_out(
            work,
            list(indices),
            workers=config.workers,
            name=lambda job: job.name,
            cluster=config.cluster,
            ahead=ahead,
            threads=threads,
        )
    ) as outcomes:
        for job, outcome in outcomes:
            if isinstance(outcome, console.Failure):
                outcome = _with_advice(outcome, job.spectrogram.channel)
            yield ClipSpectrograms(*indices[job], outcome)


def _with_advice(failure: console.Failure, channel: Channel) -> console.Failure:
    """Correct the advice to choose another channel: at inference the snapshot decides which channel is used."""
    if CHANNEL not in failure.reason:
        return failure
    advice = (
        f"(the model was trained with {CHANNEL} = {channel}: save one channel as a mono file, or train with another)"
    )
    return replace(failure, reason=f"{failure.reason} {advice}")
