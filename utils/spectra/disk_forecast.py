"""Whether the clips that are still to be extracted will fit on the disk, judged by those so far."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from utils import console
from utils.sound.remote import sizes_and_times
from utils.spectra.extraction import Job, JobResult
from utils.spectra.stored_sound import row_format

LEAST_RECORDINGS = 20  # extracted before a forecast; before that, DOUBT times as much space must be missing
DOUBT = 4
WORTH_TELLING = 1e8  # bytes
LEAST_SHARE = 0.02  # of the bytes of all recordings that must be read before a forecast, too


class DiskForecast:
    """Forecasts the size of a store: its clips take as many bytes per byte of the recordings as those so far.

    Parameters
    ----------
    folder : folder of the store
    jobs : what is to be extracted
    largest_shard : number of recordings whose clips stand on disk twice, while their shard is packed
    """

    def __init__(self, folder: Path, jobs: Sequence[Job], *, largest_shard: int = 0) -> None:
        self._folder = folder
        marks = sizes_and_times([job.file for job in jobs])
        self._sizes = {job.name: max(size, 0) for job, (size, _) in zip(jobs, marks, strict=True)}
        self._waiting = sum(self._sizes.values())
        self._twice = sum(sorted(self._sizes.values())[-largest_shard:]) if largest_shard else 0
        self._enough = LEAST_SHARE * self._waiting
        self._read = self._written = self._recordings = 0
        self._told = False
        if jobs:
            clip = row_format(jobs[0].clips, jobs[0].spectrogram, jobs[0].external).bytes
            free = shutil.disk_usage(folder).free
            console.info(f"each clip takes {clip / 1000:,.0f} kB on disk; {free / 1e9:,.1f} GB are free")

    def record(self, job: Job, result: JobResult | None) -> None:
        """Record that a recording is done; None: it failed.

        Raises
        ------
        UserError
            If the clips of the others will not fit, before the disk is full.
        """
        self._read += self._sizes[job.name]
        self._waiting -= self._sizes[job.name]
        self._written += result.stored_bytes if result else 0
        self._recordings += 1
        if self._read:
            self._compare()

    def _compare(self) -> None:
        certain = self._recordings >= LEAST_RECORDINGS and self._read >= self._enough
        needed = self._written * (self._waiting + min(self._twice, self._waiting + self._read)) / self._read
        free = shutil.disk_usage(self._folder).free
        if needed > (1 if certain else DOUBT) * free:
            raise console.UserError(
                f"{self._folder}: the remaining clips will take about {needed / 1e9:,.1f} GB, but {free / 1e9:,.1f} GB "
                "are free; free some space and run the same command again, which resumes, or keep fewer clips "
                "(clips.max_per_class, clips.overlap) or less of each (clips.margin, clips.keep)"
            )
        if certain and needed > WORTH_TELLING and not self._told:
            self._told = True
            console.info(f"the remaining clips will take about {needed / 1e9:,.2f} GB")
