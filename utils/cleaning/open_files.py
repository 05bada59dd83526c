"""Which files other processes have open or mapped into memory; only Linux tells."""

from collections.abc import Iterator
from pathlib import Path

PROCESSES = Path("/proc")


def is_open_below(folder: Path) -> bool:
    """Tell whether a process has a file of a folder open, as trainings map the shards of a store; False elsewhere."""
    below = f"{folder.resolve()}/"
    return any(name.startswith(below) for process in PROCESSES.glob("[0-9]*") for name in _files_of(process))


def _files_of(process: Path) -> Iterator[str]:
    """Yield the files of a process; none if it has ended or is somebody else's."""
    try:
        for line in (process / "maps").read_text(errors="replace").splitlines():
            yield line.split(maxsplit=5)[-1]
        for link in (process / "fd").iterdir():
            yield str(link.readlink())
    except OSError:
        return
