"""Workers of this machine that are the test's own process: one of their own takes two seconds to start."""

import pickle
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from utils.console import Failure
from utils.workers import fanout
from utils.workers.worker_processes import failure_of_error, is_fatal


def in_this_process(
    function: Callable[[Any], Any], items: Sequence[Any], *, name: Callable[[Any], str], **_: Any
) -> Generator[tuple[Any, Any]]:
    """Do what `run_in_processes` does, item by item; what travels to and from a process is pickled here, too."""
    for item in items:
        yield item, _outcome(function, item, name(item))


def _outcome(function: Callable[[Any], Any], item: Any, name: str) -> Any | Failure:
    try:
        work, given = _copied((function, item))
        return _copied(work(given))
    except Exception as error:
        if is_fatal(error):
            raise
        return failure_of_error(error, name)


def _copied(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


@contextmanager
def no_processes() -> Iterator[None]:
    """Let `fan_out` start no process of this machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fanout, "run_in_processes", in_this_process)
        yield
