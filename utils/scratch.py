"""Scratch folders: removed when their block ends, or by the next process if theirs was killed."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from utils.files import try_lock

SCRATCH_PREFIX = "birdclef-scratch-"  # of the folders in the system's folder for temporary files
SCRATCH_LOCK = "scratch"  # held by whoever uses such a folder


@contextmanager
def scratch_folder(within: Path | None = None, *, prefix: str = SCRATCH_PREFIX) -> Iterator[Path]:
    """Yield an empty folder that is removed afterwards; those that killed processes left beside it are removed, too.

    Parameters
    ----------
    within : the folder in which it is made; None: the system's folder for temporary files (`TMPDIR`)
    prefix : start of the names of such folders, and of nothing else there
    """
    within = within or Path(tempfile.gettempdir())
    within.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(within, prefix)
    while True:
        with (
            tempfile.TemporaryDirectory(dir=within, prefix=prefix, ignore_cleanup_errors=True) as scratch,
            try_lock(Path(scratch), SCRATCH_LOCK) as ours,
        ):
            if ours:  # else, another process took it for abandoned before it was locked
                yield Path(scratch)
                return


def abandoned_folders(within: Path, prefix: str = SCRATCH_PREFIX) -> Iterator[Path]:
    """Yield this user's scratch folders whose locks are free; the lock is held while the caller looks at one."""
    for left in sorted(within.glob(f"{prefix}*")):
        with suppress(OSError):  # it has just been removed by its process, or cannot be: the next call tries again
            if left.is_symlink() or not (left / f".{SCRATCH_LOCK}.lock").is_file() or not _is_ours(left):
                continue
            with try_lock(left, SCRATCH_LOCK) as abandoned:
                if abandoned:
                    yield left


def _remove_abandoned(within: Path, prefix: str) -> None:
    """Remove this user's scratch folders whose locks are free, under their own names, so that a kill loses none."""
    for left in abandoned_folders(within, prefix):
        with suppress(OSError):
            shutil.rmtree(left)


def _is_ours(folder: Path) -> bool:
    return os.name != "posix" or folder.stat().st_uid == os.getuid()
