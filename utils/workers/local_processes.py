"""Worker processes of this machine, by pebble: they may crash or hang without ending the stage."""

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from typing import Any

import cv2
from pebble import ProcessExpired, ProcessPool

from utils.console import Failure, UserError
from utils.workers.worker_processes import die_with_parent, failure_of_error, is_fatal, late_failure, without_interrupts

MOST_POOLS = 5  # broken pools before a stage gives up


def run_in_processes(
    function: Any,
    items: Sequence[Any],
    *,
    workers: int,
    ahead: int,
    name: Callable[[Any], str],
    time_limit: Callable[[Any], float],
) -> Iterator[tuple[Any, Any]]:
    """Yield each item with its result or a Failure; a pool that breaks, as when a worker is killed, is replaced.

    Parameters and errors are those of `utils.workers.fanout.fan_out`.
    """
    workers = max(1, min(workers or os.cpu_count() or 1, len(items)))
    todo = deque(items)
    running: dict[Future[Any], Any] = {}
    pool, broken = _start_pool(workers), 0
    try:
        while todo or running:
            try:
                while todo and len(running) < ahead * workers:
                    scheduled = pool.schedule(function, args=(todo[0],), timeout=time_limit(todo[0]))
                    running[scheduled] = todo.popleft()
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                outcomes = [
                    (future, _outcome(future, name(running[future]), time_limit(running[future])))
                    for future in finished
                ]
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
    pool = ProcessPool(max_workers=workers, initializer=_prepare_worker, context=multiprocessing.get_context("spawn"))
    with without_interrupts():
        pool.active  # noqa: B018 — starts the threads that start the workers; both inherit the mask
    return pool


def _prepare_worker() -> None:
    cv2.setNumThreads(1)
    threading.Thread(target=die_with_parent, daemon=True).start()


def _outcome(future: Any, name: str, time_limit: float) -> Any:
    try:
        return future.result()
    except TimeoutError:
        return late_failure(name, time_limit)
    except BrokenExecutor:
        raise
    except ProcessExpired as error:
        return Failure(name, f"the worker process died (exit status {error.exitcode})", transient=True)
    except Exception as error:
        if is_fatal(error):
            raise
        return failure_of_error(error, name)
