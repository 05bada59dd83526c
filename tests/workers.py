"""Functions that tests run in worker processes."""

import ctypes
import errno
import os
import re
import signal
import sys
import time
from pathlib import Path

from utils.console import UserError
from utils.spectra.extraction import Job, JobResult, extract
from utils.workers import ray_worker

MEASURED = "MEASURED"  # environment variable: the file to which `extract_measured` appends its measurements


def behave(what: str) -> str:
    if what == "raise":
        raise ValueError("wrong")
    if what == "unusable":
        raise UserError("cannot be used")
    if what == "die":
        os._exit(7)
    if what == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if what.startswith("die once: "):
        mark = Path(what.removeprefix("die once: "))
        if not mark.exists():
            mark.touch()
            os._exit(9)
    if what == "hang":
        time.sleep(60)
    if what == "full":
        raise OSError(errno.ENOSPC, "No space left on device")
    if what == "modules":
        return (
            ",".join(name for name in ("jax", "train", "pytest") if name in sys.modules) + os.environ["OMP_NUM_THREADS"]
        )
    return what.upper()


def leave_marks(mark: Path) -> str:
    """Leave a file at the start and, after a while, one at the end."""
    mark.with_suffix(".started").touch()
    time.sleep(0.6)
    mark.with_suffix(".ended").touch()
    return mark.name


def environment(name: str) -> str | None:
    return os.environ.get(name)


def pretend_other_gpu(_: str) -> int:
    """Let the worker believe that it has used another GPU; return its process."""
    ray_worker.first_gpus.cache_clear()
    actual = os.environ[ray_worker.GPUS]
    os.environ[ray_worker.GPUS] = "7"
    ray_worker.first_gpus()
    os.environ[ray_worker.GPUS] = actual
    return os.getpid()


class OnlyAtHome(type(Path())):
    """A file that machines of a cluster do not have."""

    def exists(self) -> bool:
        return not sys.argv[0].endswith("default_worker.py")


def extract_or_die(job: Job) -> float:
    """Be killed on one recording, as by a system that is out of memory; crash on others, as a decoder may."""
    if "killer" in job.name:
        os.kill(os.getpid(), signal.SIGKILL)
    if "aborter" in job.name:
        ctypes.CDLL(None).abort()
    if "crasher" in job.name:
        ctypes.string_at(0)  # reads an invalid address
    return extract(job)


def extract_measured(job: Job) -> JobResult:
    """Extract, and note how long it took, the most memory that this process ever held (MB), and the name."""
    start = time.perf_counter()
    try:
        return extract(job)
    finally:
        if os.environ.get(MEASURED):
            peak = int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1000
            with Path(os.environ[MEASURED]).open("a") as stream:
                stream.write(f"{time.perf_counter() - start:.2f} {peak:.0f} {job.name}\n")
