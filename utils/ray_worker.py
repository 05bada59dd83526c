"""What a worker process of a Ray cluster does with one item, and what it sends back."""

import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import cv2

from utils.console import Failure
from utils.worker_processes import failure_of_error, is_fatal


class Outcome(NamedTuple):
    """What became of an item.

    Attributes
    ----------
    result : of the function
    failure : why there is none, still without the item's name
    error : an error of the disk, which would meet every other item, too
    missing : files of the item that this machine does not have, though the script sees them; nothing was done then
    machine : its name
    """

    result: Any = None
    failure: Failure | None = None
    error: OSError | None = None
    missing: Sequence[Path] = ()
    machine: str = ""


Start = tuple[int, int]  # an item's index, and how often its worker or machine was lost before


class StartNotes:
    """An actor to which workers report what they start, because Ray does not tell when a task leaves its queue."""

    def __init__(self) -> None:
        self._started: list[Start] = []

    def note(self, start: Start) -> None:
        """Note that an item was started just now."""
        self._started.append(start)

    def take_started(self) -> list[Start]:
        """Return the items that were started since the last call."""
        taken, self._started = self._started, []
        return taken


def attempt(function: Any, item: Any, start: Start, notes: Any, folder: str, files: Sequence[Path]) -> Outcome:
    """Call the function on an item, in the folder in which the script runs, if this machine has it.

    Parameters
    ----------
    files : of the item, as far as the script sees them; if one is missing here, nothing is done
    """
    notes.note.remote(start)
    cv2.setNumThreads(1)
    with suppress(OSError):
        os.chdir(folder)
    if missing := [file for file in files if not is_seen(file)]:
        return Outcome(missing=missing, machine=socket.gethostname())
    try:
        return Outcome(function(item))
    except Exception as error:  # noqa: BLE001 — whatever it is, it is the outcome
        return Outcome(error=error) if is_fatal(error) else Outcome(failure=failure_of_error(error, ""))


def files_of(item: Any) -> list[Path]:
    """Return the files of this machine that an item names: itself, its parts, its `file` or its `files`.

    Addresses are the same on every machine.
    """
    named = getattr(item, "files", None) or [getattr(item, "file", item)]
    parts = item if isinstance(item, list | tuple) and not hasattr(item, "_fields") else named
    return [file for file in parts if isinstance(file, Path)]


def is_seen(file: Path) -> bool:
    """Tell whether this process sees a file."""
    try:
        return file.exists()
    except OSError:  # it may not look into a folder above
        return False


def still_running(starts: Sequence[Start], *, running: set[int], losses: Mapping[int, int]) -> set[int]:
    """Return the items among those noted as started that still run, and were not lost since.

    Parameters
    ----------
    running : indices of the items that Ray has
    losses : how often an item's worker or machine was lost
    """
    return {index for index, lost in starts if index in running and lost == losses.get(index, 0)}
