"""Several hosts that train one network together: one process on each, whose devices take a part of every batch.

All hosts run the same steps. Host 0 alone reads and writes the folder of the run, validates and reports; what depends
on that, on time or on Ctrl-C, it sends to the others through the key-value store of JAX's coordinator, and the first
weights by a collective. With one process all of this is free and changes nothing.
"""

import atexit
import itertools
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import jax
from jax._src import distributed  # its client is the only way to the key-value store

from config import SettingsError
from utils import console
from utils.learning.lost_hosts import AbortGuard, lost_host_message
from utils.messages import print_only_errors

MEETING_SECONDS = 300  # how long hosts wait for each other at the start
HEARTBEAT_SECONDS = 60  # a host that is silent for so long is lost
SHUTDOWN_SECONDS = 24 * 3600  # how long hosts wait at the end for one that still saves; heartbeats find lost ones
CTRL_C_SECONDS = 1  # how often a host that waits for a message looks for Ctrl-C
MESSAGES_KEPT = 1000  # by the coordinator; hosts are at most a few chunks of steps apart
NO_CLUSTER = "coordinator_address should be defined"  # in JAX's error

Exchanged = TypeVar("Exchanged")
_messages = itertools.count()  # of messages; the same on all hosts, as they exchange the same ones in the same order


@dataclass(frozen=True)
class HostFlags:
    """Flags of a call on one of several hosts; they differ by host and are never saved with the settings."""

    # train on several hosts: HOST:PORT of process 0, which all can reach; auto: ask Slurm, Open MPI or the TPU pod
    coordinator: str = ""
    # with --coordinator: how many processes train together, one on each host
    processes: int | None = None
    # with --coordinator: which of them this one is, from 0 on
    process: int | None = None


def check_host_flags(flags: HostFlags) -> None:
    """Refuse flags that do not fit together.

    Raises
    ------
    SettingsError
        That says what is missing.
    """
    given = [name for name in ("processes", "process") if getattr(flags, name) is not None]
    if flags.coordinator in ("", "auto"):
        if given:
            advice = "finds it by itself; remove this flag" if flags.coordinator else "is missing; set it to HOST:PORT"
            raise SettingsError(f"--coordinator {flags.coordinator}".strip() + f" {advice}", source=f"--{given[0]}")
        return
    _, colon, port = flags.coordinator.rpartition(":")
    if not colon or not re.fullmatch(r"\d{1,5}", port) or not 0 < int(port) < 2**16:
        raise SettingsError(
            f"{flags.coordinator!r} must be HOST:PORT of process 0, such as 10.0.0.1:1234, or auto",
            source="--coordinator",
        )
    if flags.processes is None or flags.process is None:
        missing = "--processes" if flags.processes is None else "--process"
        raise SettingsError(f"is missing; --coordinator {flags.coordinator} needs it", source=missing)
    if not 0 <= flags.process < flags.processes:
        raise SettingsError(
            f"{flags.process} must be from 0 to {flags.processes - 1}, because of --processes {flags.processes}"
            if flags.processes > 0
            else f"is {flags.process}, but --processes {flags.processes} must be at least 1",
            source="--process",
        )


@contextmanager
def connected(flags: HostFlags) -> Iterator[None]:
    """Train with other hosts, if `flags` ask for it. This must come before JAX is first used.

    Host 0 reports as usual; the others print one line, and errors.

    Raises
    ------
    SettingsError
        If the flags do not fit together.
    UserError
        If the hosts cannot connect, or one of them is lost.
    """
    check_host_flags(flags)
    if not flags.coordinator:
        yield
        return
    guard = AbortGuard(MEETING_SECONDS, flags.coordinator)
    try:
        _meet(flags)
        guard.connected(index=host_index())
        console.info(f"host {host_index()} of {host_count()}" + ("" if is_first() else ", host 0 reports"))
        if not is_first():
            print_only_errors()
        yield
        disconnect()
    except Exception as error:
        atexit.register(_end_at_once)  # after JAX's function, so before it
        message = lost_host_message(error, index=host_index(), count=host_count())
        if message:
            guard.reports_itself()
            raise console.UserError(message) from None
        if not isinstance(error, console.UserError):
            guard.show_held()
        raise
    guard.close()


def _meet(flags: HostFlags) -> None:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.config.update("jax_enable_preemption_service", False)  # it would take SIGTERM
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)  # JAX waits in native code, where no handler of Python runs
    try:
        jax.distributed.initialize(
            None if flags.coordinator == "auto" else flags.coordinator,
            num_processes=flags.processes,
            process_id=flags.process,
            initialization_timeout=MEETING_SECONDS,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=SHUTDOWN_SECONDS,
        )
    except ValueError as error:
        if NO_CLUSTER not in str(error):
            raise
        raise console.UserError(
            "--coordinator auto: found neither Slurm nor Open MPI nor a TPU pod; set --coordinator HOST:PORT, "
            "--processes and --process"
        ) from None
    except RuntimeError as error:  # of the coordinator itself, on host 0
        reason = str(error).partition("\n")[0]
        raise console.UserError(f"--coordinator {flags.coordinator}: {reason}; choose another port") from None
    finally:
        signal.signal(signal.SIGINT, before)


def disconnect() -> None:
    """Wait until all hosts are here, and leave them; without others, do nothing."""
    jax.distributed.shutdown()


def _end_at_once() -> None:
    """End the process without JAX's shutdown, which would wait for the other hosts."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(1)


def host_count() -> int:
    """Return how many hosts train together."""
    return distributed.global_state.num_processes if jax.distributed.is_initialized() else 1


def host_index() -> int:
    """Return which of the hosts this is, from 0 on."""
    return distributed.global_state.process_id


def is_first() -> bool:
    """Tell whether this is host 0, which writes and reports."""
    return host_index() == 0


def from_first(make: Callable[[], Exchanged]) -> Exchanged:
    """Return what `make` returns on host 0, on all hosts; it is called there alone, and JSON can hold the value.

    Raises
    ------
    UserError
        On all hosts, if host 0 raises one.
    """
    if host_count() == 1:
        return make()
    key = _next_key()
    if is_first():
        try:
            _send(key, {"value": make()})
        except console.UserError as error:
            _send(key, {"error": str(error)})
            raise
    message = _receive(key)
    if "error" in message:
        raise console.UserError(message["error"])
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
    UserError
        On all hosts, if one of them raises one.
    """
    try:
        value = make()
    except console.UserError as error:
        values_of_all(str(error))
        raise
    for index, error_there in enumerate(values_of_all("")):
        if error_there:
            raise console.UserError(f"host {index}: {error_there}")
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
def first_alone(folder: Path, stage: str) -> Iterator[None]:
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
