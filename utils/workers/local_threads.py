"""Threads of this process, for work inside a worker of a cluster, which starts no processes of its own."""

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from utils.console import Failure
from utils.workers.worker_processes import failure_of_error, is_fatal


def run_in_threads(
    function: Callable[[Any], Any], items: Sequence[Any], *, threads: int, ahead: int, name: Callable[[Any], str]
) -> Generator[tuple[Any, Any]]:
    """Yield each item with its result or a Failure, in their order; `ahead` items for each thread are in hand.

    What may fail once is tried again at once. Nothing is stopped that hangs: the worker as a whole has a time limit.
    Parameters and errors are those of `utils.workers.fanout.fan_out`; `time_limit`, `split` and `gpus` do not apply.
    """

    def attempt_twice(item: Any) -> Any:
        outcome = _outcome_here(function, item, name(item))
        transient = isinstance(outcome, Failure) and outcome.transient
        return _outcome_here(function, item, name(item)) if transient else outcome

    executor = ThreadPoolExecutor(threads, thread_name_prefix="items")
    running: deque[tuple[Any, Future[Any]]] = deque()
    try:
        for item in items:
            running.append((item, executor.submit(attempt_twice, item)))
            if len(running) >= ahead * threads:  # with the one that the caller uses
                yield _first_of_queue(running)
        while running:
            yield _first_of_queue(running)
    finally:
        executor.shutdown(cancel_futures=True)


def _first_of_queue(running: deque[tuple[Any, Future[Any]]]) -> tuple[Any, Any]:
    item, future = running.popleft()
    return item, future.result()


def _outcome_here(function: Callable[[Any], Any], item: Any, name: str) -> Any:
    try:
        return function(item)
    except Exception as error:
        if is_fatal(error):
            raise
        return failure_of_error(error, name)
