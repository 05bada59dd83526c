"""Functions that tests run in worker processes."""

import errno
import os
import sys
import time
from pathlib import Path

from utils.console import Trouble


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
