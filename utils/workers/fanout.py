"""A function applied to many recordings in worker processes, which may crash or hang without ending the stage.

They are processes of this machine (local_processes.py) or of a Ray cluster (ray_process.py). Within a worker of a
cluster, they are threads (local_threads.py).
"""

import os
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from config import Cluster
from utils.console import Failure
from utils.workers.local_processes import run_in_processes
from utils.workers.local_threads import run_in_threads
from utils.workers.ray_process import run_on_ray
from utils.workers.worker_processes import ONE_THREAD

Item = TypeVar("Item")
Result = TypeVar("Result")

TIME_LIMIT = 1800.0  # seconds for one item; a day of sound takes about 200
# items in flight per worker: enough to keep it busy while the caller uses a result, few enough to save memory
AHEAD = 8
AHEAD_OF_SMALL_RESULTS = 64  # the same if results are a few bytes; on a cluster, half of them may travel in one task
THIS_MACHINE = Cluster()


def fan_out(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    workers: int,
    name: Callable[[Item], str],
    cluster: Cluster = THIS_MACHINE,
    time_limit: float | Callable[[Item], float] = TIME_LIMIT,
    ahead: int = AHEAD,
    split: Callable[[Item], Sequence[Item]] | None = None,
    gpus: int = 0,
    threads: int = 0,
) -> Generator[tuple[Item, Result | Failure]]:
    """Call `function` on every item in worker processes; yield each item with its result, in any order.

    Items whose failure may be transient, for example because the system was out of memory, are tried once more at the
    end, one at a time.

    Parameters
    ----------
    function : importable from a module, without JAX in processes of this machine, of which there is one per core; what
        it takes and returns travels between processes. On a cluster of several machines it has to be in `utils`, and
        its files on a disk that all machines have at the same path
    workers : number of processes; 0: one per core of this machine or of the cluster
    name : the item's name for the user, in the list of failures
    cluster : where the processes run
    time_limit : seconds after which an item fails, for all or by the item
    ahead : items in flight per worker; their results wait in memory if the caller is slower than the workers
    split : the parts of an item that are tried instead of it at the end, if it failed, whatever the reason
    gpus : GPUs that each item takes, if it runs on a cluster that has any
    threads : if positive, so many threads of this process do the work: within a worker of a cluster, which starts no
        processes

    Yields
    ------
    (item, result), or (item, Failure) if the function raised, took too long, or its worker died.

    Raises
    ------
    OSError
        If the disk is full or read-only: every other item would fail, too.
    TypeError
        If the function is defined in the running script.
    UserError
        If the cluster cannot be reached or used, or is lost, or worker processes keep dying.
    """
    if function.__module__ == "__main__":
        raise TypeError(f"{function.__qualname__} is defined in the running script, which workers do not import")
    if threads:
        yield from run_in_threads(function, items, threads=threads, ahead=ahead, name=name)
        return
    engine: Callable[..., Iterator[tuple[Any, Any]]] = (
        partial(run_on_ray, cluster=cluster, gpus=gpus) if cluster.address else run_in_processes
    )
    limit_of = time_limit if callable(time_limit) else _always(time_limit)
    run = partial(engine, function, name=name, time_limit=limit_of)
    again: list[Item] = []
    with _workers_environment():
        for item, outcome in run(items, workers=workers, ahead=ahead) if items else ():
            parts = split(item) if split and isinstance(outcome, Failure) else [item]
            if isinstance(outcome, Failure) and (outcome.transient or len(parts) > 1):
                again += parts
            else:
                yield item, outcome
        if again:
            yield from run(again, workers=1, ahead=1)


def _always(time_limit: float) -> Callable[[Any], float]:
    return lambda _: time_limit


@contextmanager
def _workers_environment() -> Iterator[None]:
    """Set what spawned processes inherit: one thread each for linear algebra, and no running script.

    Otherwise each of them would import the script, and JAX with it, though it needs only the function's module.
    """
    main = sys.modules["__main__"]
    removed: dict[str, Any] = {key: vars(main).pop(key) for key in ("__file__", "__spec__") if key in vars(main)}
    main.__spec__ = None
    threads = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    try:
        yield
    finally:
        vars(main).update(removed)
        for name, value in threads.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
