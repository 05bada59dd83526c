"""Recordings heard by worker processes, once for each way of hearing that an ensemble has."""

import os
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from config import Config
from utils import console
from utils.fanout import AHEAD, fan_out
from utils.files import only_one, remove_folder
from utils.scoring.inference.ensembles import Ensemble
from utils.spectra.decode import Channel
from utils.spectra.extraction import FROM_HAND_TO_HAND, FirstClips, Job, first_clips
from utils.spectra.interval_clips import IntervalClips, IntervalJob, interval_clips

FEW = 2  # recordings a worker has in hand where each may leave gigabytes on disk
LARGE = 2**24  # bytes of a file of sound that may do so
CHANNEL = "spectrogram.channel"  # the setting
SCRATCH = ".heard-"  # folder for pictures that wait for the net, in the run's


class Heard(NamedTuple):
    """A recording's row in the table, the number of the listener, and its pictures or why there are none."""

    row: int
    listener: int
    outcome: FirstClips | IntervalClips | console.Failure


def listening_jobs(recordings: pl.DataFrame, root: Path, pictures: Config, *, cap: int = 0) -> list[Job]:
    """Return what workers need to hear recordings of the data set at `root` with the picture settings of `pictures`."""
    pairs = recordings.select("recording", "file").iter_rows()
    return [Job(name, root / file, cap, pictures.clips, pictures.spectrogram) for name, file in pairs]


def listen(ensemble: Ensemble, recordings: pl.DataFrame, config: Config) -> Generator[Heard]:
    """Hear the first clips of each recording for each listener and yield the pictures as they are finished, in no fixed order.

    However long the recordings are, memory stays bounded: many pictures come through files, which the block below the
    yield has to use up.
    """
    cap = config.testing.max_clips
    with _scratch(config.run_folder) as scratch:
        places: dict[Job, tuple[int, int]] = {}
        for row, (name, file) in enumerate(recordings.select("recording", "file").iter_rows()):
            for number, listener in enumerate(ensemble.listeners):
                job = Job(
                    name,
                    config.dataset.root / file,
                    cap,
                    listener.clips,
                    listener.spectrogram,
                    part=scratch / f"{row}-{number}",
                )
                places[job] = row, number
        largest = max(listener.spectrogram.height * listener.spectrogram.width for listener in ensemble.listeners)
        ahead = AHEAD if 0 < cap * largest <= FROM_HAND_TO_HAND else FEW
        yield from _heard(first_clips, places, workers=config.workers, ahead=ahead)


def listen_by_intervals(
    ensemble: Ensemble, files: Sequence[Path], config: Config, *, interval: float, scratch_in: Path
) -> Generator[Heard]:
    """Hear the clips of each recording's intervals for each listener, as `listen` does those of tests.

    Parameters
    ----------
    files : the recordings; their places in it are the rows of what is yielded
    interval : seconds; 0: a recording is one
    scratch_in : folder in which pictures wait for the net
    """
    overlap = config.submission.overlap
    with _scratch(scratch_in) as scratch:
        places: dict[IntervalJob, tuple[int, int]] = {}
        hear_with = [
            listener.clips if overlap is None else replace(listener.clips, overlap=overlap)
            for listener in ensemble.listeners
        ]
        for row, file in enumerate(files):
            for number, (listener, clips) in enumerate(zip(ensemble.listeners, hear_with, strict=True)):
                part = scratch / f"{row}-{number}"
                job = IntervalJob(
                    str(file), file, config.testing.max_clips, clips, listener.spectrogram, part=part, interval=interval
                )
                places[job] = row, number
        ahead = AHEAD if max(map(_size_of, files), default=0) <= LARGE else FEW
        yield from _heard(interval_clips, places, workers=config.workers, ahead=ahead)


def _heard(
    work: Callable[[Any], Any], places: Mapping[Any, tuple[int, int]], *, workers: int, ahead: int
) -> Generator[Heard]:
    with closing(fan_out(work, list(places), workers=workers, name=lambda job: job.name, ahead=ahead)) as outcomes:
        for job, outcome in outcomes:
            yield Heard(
                *places[job],
                _as_trained(outcome, job.spectrogram.channel) if isinstance(outcome, console.Failure) else outcome,
            )


def _as_trained(failure: console.Failure, channel: Channel) -> console.Failure:
    """Say what helps here where another channel is advised: which one is heard, the snapshot says, and no setting of this call."""
    if CHANNEL not in failure.reason:
        return failure
    help_ = f"(the model was trained with spectrogram.channel = {channel}: save one channel as a mono file, or train with another)"
    return replace(failure, reason=f"{failure.reason} {help_}")


def _size_of(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0  # the worker says what is wrong with it


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that is gone afterwards, and remove those that killed processes left: nobody holds their locks."""
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f"{SCRATCH}*"):
        with only_one(left, "heard") as abandoned:
            if abandoned:
                remove_folder(left)
    with (
        tempfile.TemporaryDirectory(dir=folder, prefix=SCRATCH, ignore_cleanup_errors=os.name != "posix") as scratch,
        only_one(Path(scratch), "heard"),
    ):
        yield Path(scratch)
