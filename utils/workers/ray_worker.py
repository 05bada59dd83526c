"""What a worker process of a Ray cluster does with the items of a task, and what it sends back."""

import os
import socket
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import cv2

from utils.console import Failure
from utils.workers.shared_disk import unseen_files
from utils.workers.worker_processes import failure_of_error, is_fatal

GPUS = "CUDA_VISIBLE_DEVICES"  # environment variable in which Ray tells each task its GPUs


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
    """An actor to which workers report what they start, because Ray does not tell when a task leaves its queue.

    Likewise, Ray does not tell why a worker ended.
    """

    def __init__(self) -> None:
        self._started: list[int] = []
        self._other_gpu: set[int] = set()

    def note(self, task: int) -> None:
        """Note that a task was started just now."""
        self._started.append(task)

    def take_started(self) -> list[int]:
        """Return the tasks that were started since the last call."""
        taken, self._started = self._started, []
        return taken

    def note_other_gpu(self, task: int) -> None:
        """Note that a worker ends, because this task has another GPU than its first one."""
        self._other_gpu.add(task)

    def had_other_gpu(self, task: int) -> bool:
        """Tell whether that was the end of a task's worker."""
        return task in self._other_gpu


def attempt(
    function: Any,
    items: Sequence[Any],
    seen_by_script: Collection[Path],
    *,
    task: int,
    notes: Any,
    folder: str,
    patience: float,
) -> TaskOutcome:
    """Call the function on each item, in the folder in which the script runs.

    Parameters
    ----------
    seen_by_script : files of the items; with an item of which one is missing here, nothing is done
    patience : seconds for which this machine looks again for missing files
    """
    _end_with_other_gpu(task, notes)
    notes.note.remote(task)
    start = time.perf_counter()
    cv2.setNumThreads(1)
    with suppress(OSError):
        os.chdir(folder)
    needed = [file for item in items for file in files_of(item) if file in seen_by_script]
    missing = unseen_files(needed, seconds=patience)
    outcomes = [_attempt_one(function, item, missing) for item in items]
    return TaskOutcome(outcomes, time.perf_counter() - start)


@cache
def first_gpus() -> str:
    """Return the GPUs of this process's first task: JAX stays on those that it opened."""
    return os.environ.get(GPUS, "")


def _end_with_other_gpu(task: int, notes: Any) -> None:
    """End this process if the task has another GPU than the first one; it is then tried again in another process."""
    if first_gpus() != os.environ.get(GPUS, ""):
        import ray

        ray.get(notes.note_other_gpu.remote(task))
        os._exit(0)


def _attempt_one(function: Any, item: Any, missing: Collection[Path]) -> Outcome:
    if files := [file for file in files_of(item) if file in missing]:
        return Outcome(missing=files, machine=socket.gethostname())
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
