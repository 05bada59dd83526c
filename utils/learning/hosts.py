"""Several hosts that train one network together: one process on each, whose devices take a part of every batch.

All hosts run the same steps. Host 0 alone reads and writes the folder of the run, validates and reports; what depends
on that, on time or on Ctrl-C, it sends to the others (host_messages), and the first weights by a collective. With one
process all of this is free and changes nothing.
"""

import atexit
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import jax
from jax._src import distributed  # its client is the only way to a barrier without devices

from config import SettingsError
from utils import console
from utils.learning.host_flags import HostFlags, check_host_flags
from utils.learning.lost_hosts import AbortGuard, lost_host_message
from utils.messages import print_only_errors

MEETING_SECONDS = 300  # how long hosts wait for each other at the start
HEARTBEAT_SECONDS = 60  # a host that is silent for so long is lost
SHUTDOWN_SECONDS = 24 * 3600  # how long hosts wait at the end for one that still saves; heartbeats find lost ones
SHARED_ERROR_SECONDS = 60  # how long a host whose error all hosts have waits until they can print it
ERROR_SECONDS = 10  # the same with another error, which the others may have, too
NO_CLUSTER = "coordinator_address should be defined"  # in JAX's error


class ErrorOnAllHosts(console.UserError):
    """An error that was sent to all hosts, so that each of them raises it."""


@contextmanager
def connected(flags: HostFlags) -> Iterator[None]:
    """Train with other hosts, if `flags` ask for it. This must come before JAX is first used.

    Host 0 reports as usual; the others print one line, and errors. An error ends the process without waiting for the
    others to finish, with exit status 2 for wrong settings, else 1.

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
        status = 2 if isinstance(error, SettingsError) else 1
        atexit.register(_end_at_once, status)  # after JAX's function, so before it
        message = lost_host_message(error, index=host_index(), count=host_count())
        if message:
            guard.reports_itself()
            raise console.UserError(message) from None
        if isinstance(error, console.UserError | SettingsError):
            guard.expect_end(str(error), status=status)  # the wait may end by JAX's abort
            _wait_for_others(SHARED_ERROR_SECONDS if isinstance(error, ErrorOnAllHosts) else ERROR_SECONDS)
            guard.reports_itself()
        else:
            guard.show_held()
        raise
    guard.close()


def _meet(flags: HostFlags) -> None:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.config.update("jax_enable_preemption_service", False)  # it would take SIGTERM
    try:
        with _ctrl_c_in_native_code():
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


@contextmanager
def _ctrl_c_in_native_code() -> Iterator[None]:
    """Let Ctrl-C end the process while JAX waits in native code, where no handler of Python runs."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def disconnect() -> None:
    """Wait until all hosts are here, and leave them; without others, do nothing."""
    jax.distributed.shutdown()


def _wait_for_others(seconds: int) -> None:
    """Wait, at most so long, until all hosts have an error to print: the end of host 0 would look like another one."""
    client = distributed.global_state.client
    if client:
        with suppress(jax.errors.JaxRuntimeError), _ctrl_c_in_native_code():  # too late, or a host is lost
            client.wait_at_barrier("birdclef-error", seconds * 1000)


def _end_at_once(status: int) -> None:
    """End the process without JAX's shutdown, which would wait for the other hosts."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)


def host_count() -> int:
    """Return how many hosts train together."""
    return distributed.global_state.num_processes if jax.distributed.is_initialized() else 1


def host_index() -> int:
    """Return which of the hosts this is, from 0 on."""
    return distributed.global_state.process_id


def is_first() -> bool:
    """Tell whether this is host 0, which writes and reports."""
    return host_index() == 0
