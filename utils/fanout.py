"""A function applied to many recordings in worker processes, which may crash or hang without ending the stage."""

import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any, TypeVar

import cv2
from pebble import ProcessExpired, ProcessPool

from utils.console import OUTPUT_IS_LOST, Failure, UserError

Item = TypeVar("Item")
Result = TypeVar("Result")

TIME_LIMIT = 1800.0  # seconds for one item; a day of sound takes about 200
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")  # processes share the cores already
MOST_POOLS = 5  # broken pools before a stage gives up
# items in flight per worker: enough to keep it busy while the caller uses a result, few enough to save memory
AHEAD = 8


def fan_out(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    workers: int,
    name: Callable[[Item], str],
    time_limit: float = TIME_LIMIT,
    ahead: int = AHEAD,
) -> Generator[tuple[Item, Result | Failure]]:
    """Call `function` on every item in worker processes; yield each item with its result, in any order.

    Items whose failure may be transient, for example because the system was out of memory, are tried once more at the
    end, one at a time.

    Parameters
    ----------
    function : importable from a module, without JAX; what it takes and returns travels between processes
    workers : number of processes; 0: one per core
    name : the item's name for the user, in the list of failures
    time_limit : seconds after which an item fails
    ahead : items in flight per worker; their results wait in memory if the caller is slower than the workers

    Yields
    ------
    (item, result), or (item, Failure) if the function raised, took too long, or its worker died.

    Raises
    ------
    OSError
        If the disk is full or read-only: every other item would fail, too.
    TypeError
        If the function is defined in the running script.
    """
    if function.__module__ == "__main__":
        raise TypeError(f"{function.__qualname__} is defined in the running script, which workers do not import")
    workers = max(1, min(workers or os.cpu_count() or 1, len(items)))
    again: list[Item] = []
    with _workers_environment():
        for item, outcome in _run(
            function, items, workers=workers, ahead=ahead * workers, name=name, time_limit=time_limit
        ):
            if isinstance(outcome, Failure) and outcome.transient:
                again.append(item)
            else:
                yield item, outcome
        yield from _run(function, again, workers=1, ahead=1, name=name, time_limit=time_limit)


def _run(
    function: Any, items: Sequence[Any], *, workers: int, ahead: int, name: Callable[[Any], str], time_limit: float
) -> Iterator[tuple[Any, Any]]:
    """Process the items with at most `ahead` in flight; a pool that breaks, as when a worker is killed, is replaced."""
    if not items:
        return
    todo = deque(items)
    running: dict[Future[Any], Any] = {}
    pool, broken = _start_pool(workers), 0
    try:
        while todo or running:
            try:
                while todo and len(running) < ahead:
                    scheduled = pool.schedule(function, args=(todo[0],), timeout=time_limit)
                    running[scheduled] = todo.popleft()
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                outcomes = [(future, _outcome(future, name(running[future]), time_limit)) for future in finished]
            except RuntimeError as error:  # raised by the pool: errors of the function are outcomes
                broken += 1
                if broken > MOST_POOLS:
                    raise UserError(
                        f"worker processes keep dying ({error}); if memory is short, use fewer --workers"
                    ) from None
                pool.stop()
                pool.join()
                todo.extendleft(running.values())
                running.clear()
                pool = _start_pool(workers)
                continue
            for future, outcome in outcomes:
                yield running.pop(future), outcome
    finally:
        pool.stop()
        pool.join()


def _start_pool(workers: int) -> ProcessPool:
    """Start workers that ignore Ctrl-C, which reaches the whole process group: only the parent reacts to it."""
    pool = ProcessPool(max_workers=workers, initializer=_prepare_worker, context=multiprocessing.get_context("spawn"))
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        return pool
    resource_tracker.ensure_running()  # starting it later would lift the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        pool.active  # noqa: B018 — starts the threads that start the workers; both inherit the mask
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pool


def _prepare_worker() -> None:
    cv2.setNumThreads(1)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    """End a worker whose parent was killed, before it writes to files that the next process may be writing."""
    parent = multiprocessing.parent_process()
    if parent:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


def _outcome(future: Any, name: str, time_limit: float) -> Any:
    try:
        return future.result()
    except TimeoutError:
        return Failure(name, f"stopped after {time_limit:.0f} s")  # a second try would cost as much
    except BrokenExecutor:
        raise
    except ProcessExpired as error:
        return Failure(name, f"the worker process died (exit status {error.exitcode})", transient=True)
    except UserError as error:
        return Failure(name, str(error))
    except Exception as error:
        if isinstance(error, OSError) and error.errno in OUTPUT_IS_LOST:
            raise
        return Failure(name, f"{type(error).__name__}: {error}", transient=True)


@contextmanager
def _workers_environment() -> Iterator[None]:
    """Set what spawned workers inherit: one thread each for linear algebra, and no running script.

    Otherwise each worker would import the script, and JAX with it, though it needs only the function's module.
    """
    main = sys.modules["__main__"]
    removed: dict[str, Any] = {key: vars(main).pop(key) for key in ("__file__", "__spec__") if key in vars(main)}
    main.__spec__ = None
    threads = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        vars(main).update(removed)
        for name, value in threads.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
