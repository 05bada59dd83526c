"""Functions that tests run in worker processes."""

import errno
import os
import signal
import sys
import time
from pathlib import Path

from utils.console import Trouble
from utils.spectra.extraction import Job, extract


def behave(what: str) -> str:
    if what == "raise":
        raise ValueError("wrong")
    if what == "trouble":
        raise Trouble("cannot be used")
    if what == "die":
        os._exit(7)
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
        return ",".join(name for name in ("jax", "train", "pytest") if name in sys.modules) + os.environ["OMP_NUM_THREADS"]
    return what.upper()


def extract_or_die(job: Job) -> float:
    """Be killed by the system, as for lack of memory, on one recording."""
    if "killer" in job.name:
        os.kill(os.getpid(), signal.SIGKILL)
    return extract(job)
