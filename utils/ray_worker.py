"""What a worker process of a Ray cluster does with the items of a task, and what it sends back."""

import os
import socket
import time
from collections.abc import Collection, Sequence
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


class TaskOutcome(NamedTuple):
    """What became of the items of a task, in their order, and how long they took together, s."""

    outcomes: list[Outcome]
    seconds: float


class StartNotes:
    """An actor to which workers report what they start, because Ray does not tell when a task leaves its queue."""

    def __init__(self) -> None:
        self._started: list[int] = []

    def note(self, task: int) -> None:
        """Note that a task was started just now."""
        self._started.append(task)

    def take_started(self) -> list[int]:
        """Return the tasks that were started since the last call."""
        taken, self._started = self._started, []
        return taken


def attempt(
    function: Any, items: Sequence[Any], seen: Collection[Path], *, task: int, notes: Any, folder: str
) -> TaskOutcome:
    """Call the function on each item, in the folder in which the script runs.

    Parameters
    ----------
    seen : files of the items that the script sees; with an item of which one is missing here, nothing is done
    """
    notes.note.remote(task)
    start = time.perf_counter()
    cv2.setNumThreads(1)
    with suppress(OSError):
        os.chdir(folder)
    outcomes = [_attempt_one(function, item, seen) for item in items]
    return TaskOutcome(outcomes, time.perf_counter() - start)


def _attempt_one(function: Any, item: Any, seen: Collection[Path]) -> Outcome:
    if missing := [file for file in files_of(item) if file in seen and not is_seen(file)]:
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
