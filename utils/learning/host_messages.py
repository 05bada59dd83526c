"""Messages between hosts that train together, through the key-value store of JAX's coordinator.

All hosts exchange the same messages in the same order. With one process nothing is sent.
"""

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import jax
from jax._src import distributed  # its client is the only way to the key-value store

from utils import console
from utils.learning.hosts import ErrorOnAllHosts, host_count, host_index, is_first

CTRL_C_SECONDS = 1  # how often a host that waits for a message looks for Ctrl-C
MESSAGES_KEPT = 1000  # by the coordinator; hosts are at most a few chunks of steps apart

Exchanged = TypeVar("Exchanged")
_messages = itertools.count()  # of messages; the same on all hosts


def from_first(make: Callable[[], Exchanged]) -> Exchanged:
    """Return what `make` returns on host 0, on all hosts; it is called there alone, and JSON can hold the value.

    Raises
    ------
    ErrorOnAllHosts
        If host 0 raises a UserError; one process raises that itself.
    """
    if host_count() == 1:
        return make()
    key = _next_key()
    if is_first():
        try:
            _send(key, {"value": make()})
        except console.UserError as error:
            _send(key, {"error": str(error)})
    message = _receive(key)
    if "error" in message:
        raise ErrorOnAllHosts(message["error"])
    return message["value"]


def values_of_all(value: Exchanged) -> list[Exchanged]:
    """Return the values of all hosts, in their order; JSON can hold them."""
    if host_count() == 1:
        return [value]
    key = _next_key()
    _send(f"{key}/{host_index()}", value)
    return [_receive(f"{key}/{index}") for index in range(host_count())]


def on_all(make: Callable[[], Exchanged]) -> Exchanged:
    """Return what `make` returns here; it is called on all hosts.

    Raises
    ------
    ErrorOnAllHosts
        If one of them raises a UserError; one process raises that itself.
    """
    if host_count() == 1:
        return make()
    try:
        value = make()
    except console.UserError as error:
        values_of_all(str(error))
        raise ErrorOnAllHosts(str(error)) from None
    for index, error_there in enumerate(values_of_all("")):
        if error_there:
            raise ErrorOnAllHosts(f"host {index}: {error_there}")
    return value


def first_difference(value: dict[str, Any]) -> tuple[int, str, Any, Any] | None:
    """Return the first host one of whose named values differs from host 0's: its index, name, value, and host 0's."""
    first, *others = values_of_all(value)
    for index, other in enumerate(others, 1):
        for name in {**first, **other}:
            if first.get(name) != other.get(name):
                return index, name, other.get(name), first.get(name)
    return None


def stop_on_all(asked: Callable[[], bool]) -> Callable[[], bool]:
    """Return a function that tells, the same on all hosts, whether one of them was asked to stop, now or just before.

    All hosts have to call it equally often.
    """
    if host_count() == 1:
        return asked

    def asked_anywhere() -> bool:
        if asked() and not is_first():
            _client().key_value_set("birdclef-stop/asked", "", allow_overwrite=True)
        return from_first(lambda: asked() or bool(_client().key_value_dir_get("birdclef-stop")))

    return asked_anywhere


@contextmanager
def lock_by_host_0(folder: Path, stage: str) -> Iterator[None]:
    """Hold the lock of a stage on a folder: host 0 does, for all hosts.

    Raises
    ------
    UserError
        On all hosts, if another process does this stage.
    """
    with ExitStack() as stack:
        from_first(lambda: stack.enter_context(console.alone(folder, stage)))
        yield


def _client() -> Any:
    return distributed.global_state.client


def _next_key() -> str:
    """Return the key of the next message, and let host 0 remove one that all have read long ago."""
    index = next(_messages)
    if is_first() and index >= MESSAGES_KEPT:
        _client().key_value_delete(f"birdclef/{index - MESSAGES_KEPT}")
    return f"birdclef/{index}"


def _send(key: str, value: Any) -> None:
    _client().key_value_set(key, json.dumps(value))


def _receive(key: str) -> Any:
    """Return a message; waits for it as long as its sender is not lost."""
    while True:
        try:
            return json.loads(_client().blocking_key_value_get(key, CTRL_C_SECONDS * 1000))
        except jax.errors.JaxRuntimeError as error:
            if "DEADLINE_EXCEEDED" not in str(error):
                raise
