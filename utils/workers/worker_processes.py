"""What holds in the worker processes of every engine: one thread each, no Ctrl-C, failures instead of exceptions."""

import multiprocessing
import multiprocessing.connection
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import TypeGuard

from utils.console import OUTPUT_IS_LOST, Failure, UserError

# for linear algebra, whose threads would share the cores with the other processes
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
THREADS_OF_MODELS = "NPROC"  # environment variable with the number of threads of models; JAX reads it, too


def is_fatal(error: Exception) -> TypeGuard[OSError]:
    """Tell whether every other item would fail, too, because nothing more can be written."""
    return isinstance(error, OSError) and error.errno in OUTPUT_IS_LOST


def failure_of_error(error: Exception, name: str) -> Failure:
    """Return what the user is told of an exception that the function raised."""
    if isinstance(error, UserError):
        return Failure(name, str(error))
    return Failure(name, f"{type(error).__name__}: {error}", transient=True)


def late_failure(name: str, time_limit: float) -> Failure:
    """Return what the user is told of an item that was stopped; a second try would cost as much."""
    return Failure(name, f"stopped after {time_limit:.0f} s")


@contextmanager
def without_interrupts() -> Iterator[None]:
    """Start processes that ignore Ctrl-C, which reaches the whole process group: only the parent reacts to it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # starting it later would lift the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def die_with_parent() -> None:
    """End a process whose parent was killed, before it writes to files that the next process may be writing."""
    parent = multiprocessing.parent_process()
    if parent:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)
