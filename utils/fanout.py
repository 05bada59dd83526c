"""A function applied to many recordings in worker processes, which may crash or hang without ending the stage.

They are processes of this machine (utils/local_processes.py) or of a Ray cluster (utils/ray_process.py).
"""

import os
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from config import Cluster
from utils.console import Failure
from utils.local_processes import run_in_processes
from utils.ray_process import run_on_ray
from utils.worker_processes import ONE_THREAD

Item = TypeVar("Item")
Result = TypeVar("Result")

TIME_LIMIT = 1800.0  # seconds for one item; a day of sound takes about 200
# items in flight per worker: enough to keep it busy while the caller uses a result, few enough to save memory
AHEAD = 8
THIS_MACHINE = Cluster()


def fan_out(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    workers: int,
    name: Callable[[Item], str],
    cluster: Cluster = THIS_MACHINE,
    time_limit: float = TIME_LIMIT,
    ahead: int = AHEAD,
) -> Generator[tuple[Item, Result | Failure]]:
    """Call `function` on every item in worker processes; yield each item with its result, in any order.

    Items whose failure may be transient, for example because the system was out of memory, are tried once more at the
    end, one at a time.

    Parameters
    ----------
    function : importable from a module, without JAX; what it takes and returns travels between processes. On a cluster
        of several machines it has to be in `utils`, and its files on a disk that all machines have at the same path
    workers : number of processes; 0: one per core of this machine or of the cluster
    name : the item's name for the user, in the list of failures
    cluster : where the processes run
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
    UserError
        If the cluster cannot be reached or used, or is lost, or worker processes keep dying.
    """
    if function.__module__ == "__main__":
        raise TypeError(f"{function.__qualname__} is defined in the running script, which workers do not import")
    engine: Callable[..., Iterator[tuple[Any, Any]]] = (
        partial(run_on_ray, cluster=cluster) if cluster.address else run_in_processes
    )
    run = partial(engine, function, name=name, time_limit=time_limit)
    again: list[Item] = []
    with _workers_environment():
        for item, outcome in run(items, workers=workers, ahead=ahead) if items else ():
            if isinstance(outcome, Failure) and outcome.transient:
                again.append(item)
            else:
                yield item, outcome
        if again:
            yield from run(again, workers=1, ahead=1)


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
