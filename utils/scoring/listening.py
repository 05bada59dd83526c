"""Recordings heard by worker processes, once for each way of hearing that an ensemble has."""

import os
import tempfile
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import polars as pl

from config import Config
from utils import console
from utils.fanout import AHEAD, fan_out
from utils.files import only_one, remove_folder
from utils.scoring.ensembles import Ensemble
from utils.spectra.extraction import FROM_HAND_TO_HAND, FirstClips, Job, first_clips

FEW = 2  # recordings a worker has in hand where each may leave gigabytes on disk
SCRATCH = ".heard-"  # folder for pictures that wait for the net, in the run's


class Heard(NamedTuple):
    """A recording's row in the table, the number of the listener, and its pictures or why there are none."""

    row: int
    listener: int
    outcome: FirstClips | console.Failure


def listening_jobs(recordings: pl.DataFrame, root: Path, pictures: Config, *, cap: int = 0) -> list[Job]:
    """Return what workers need to hear recordings of the data set at `root` with the picture settings of `pictures`."""
    pairs = recordings.select("recording", "file").iter_rows()
    return [Job(name, root / file, cap, pictures.clips, pictures.spectrogram) for name, file in pairs]


def listen(ensemble: Ensemble, recordings: pl.DataFrame, config: Config) -> Generator[Heard]:
    """Hear each recording for each listener and yield the pictures as they are finished, in no fixed order.

    However long the recordings are, memory stays bounded: many pictures come through files, which the block below the yield has to use up.
    """
    cap = config.testing.max_clips
    with _scratch(config.run_folder) as scratch:
        places: dict[Job, tuple[int, int]] = {}
        for row, (name, file) in enumerate(recordings.select("recording", "file").iter_rows()):
            for number, listener in enumerate(ensemble.listeners):
                job = Job(name, config.dataset.root / file, cap, listener.clips, listener.spectrogram, part=scratch / f"{row}-{number}")
                places[job] = row, number
        largest = max(listener.spectrogram.height * listener.spectrogram.width for listener in ensemble.listeners)
        ahead = AHEAD if 0 < cap * largest <= FROM_HAND_TO_HAND else FEW
        with closing(fan_out(first_clips, list(places), workers=config.workers, name=lambda job: job.name, ahead=ahead)) as outcomes:
            for job, outcome in outcomes:
                yield Heard(*places[job], outcome)


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that is gone afterwards, and remove those that killed processes left: nobody holds their locks."""
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f"{SCRATCH}*"):
        with only_one(left, "heard") as abandoned:
            if abandoned:
                remove_folder(left)
    with tempfile.TemporaryDirectory(dir=folder, prefix=SCRATCH, ignore_cleanup_errors=os.name != "posix") as scratch, only_one(Path(scratch), "heard"):
        yield Path(scratch)
