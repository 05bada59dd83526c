"""A disk that several machines have: each sees what another one wrote with some delay."""

import time
from collections.abc import Iterable
from pathlib import Path

SEEN_SECONDS = 120.0  # after which a machine sees what another one wrote on the same network disk; usually under 60
LOOK_AGAIN_SECONDS = 0.5


def unseen_files(files: Iterable[Path], *, seconds: float) -> list[Path]:
    """Return the files that this process does not see, though it looks again and again for so many seconds."""
    deadline = time.monotonic() + seconds
    missing = [file for file in files if not is_seen(file)]
    while missing and time.monotonic() < deadline:
        time.sleep(LOOK_AGAIN_SECONDS)
        missing = [file for file in missing if not is_seen(file)]
    return missing


def is_seen(file: Path) -> bool:
    """Tell whether this process sees a file."""
    try:
        return file.exists()
    except OSError:  # it may not look into a folder above
        return False
