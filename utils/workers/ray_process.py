"""The script's side of a Ray cluster: items go to the process that talks to Ray, and their outcomes come back."""

import importlib.util
import multiprocessing
import os
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from config import Cluster
from utils.console import UserError, warning
from utils.workers.ray_messages import ItemInHand, Lost, Order, Room
from utils.workers.ray_tasks import RESUME, serve
from utils.workers.shared_disk import SEEN_SECONDS
from utils.workers.worker_processes import without_interrupts

STOP_SECONDS = 15.0  # that Ray gets to cancel what runs
REACH_SECONDS = 10.0  # in which the cluster's machine accepts a connection


def run_on_ray(
    function: Any,
    items: Sequence[Any],
    *,
    workers: int,
    ahead: int,
    name: Callable[[Any], str],
    time_limit: Callable[[Any], float],
    cluster: Cluster,
    gpus: int = 0,
) -> Iterator[tuple[Any, Any]]:
    """Yield each item with its result or a Failure.

    Parameters and errors are those of `utils.workers.fanout.fan_out`.
    """
    if not importlib.util.find_spec("ray"):
        raise UserError(
            f"cluster.address = {cluster.address}: needs Ray, which is not installed (pip install '.[cluster]')"
        )
    _check_cores(cluster)
    _check_reachable(cluster)
    order = Order(function, workers, ahead, cluster, str(Path.cwd()), len(items), gpus, SEEN_SECONDS)
    todo, running, room = deque(enumerate(items)), dict[int, Any](), 0
    with _ray_process(order) as connection:
        while todo or running:
            try:
                while todo and len(running) < room:
                    index, running[index] = todo.popleft()
                    connection.send(ItemInHand(index, running[index], time_limit(running[index])))
                message = connection.recv()
            except (EOFError, OSError):
                raise UserError(f"cluster.address = {cluster.address}: the cluster was lost; {RESUME}") from None
            if isinstance(message, Lost):
                raise UserError(message.reason)
            if isinstance(message, Room):
                room = message.in_hand
                if message.warning:
                    warning(message.warning)
                continue
            index, outcome = message
            if outcome.error:
                raise outcome.error
            item = running.pop(index)
            yield item, replace(outcome.failure, name=name(item)) if outcome.failure else outcome.result


def _check_cores(cluster: Cluster) -> None:
    """Refuse work on this machine that would wait forever for cores."""
    cores = os.cpu_count() or 1
    if cluster.address == "local" and cluster.cpus > cores:
        raise UserError(f"cluster.cpus = {cluster.cpus:g}: this machine has {cores}; set at most so many")


def _check_reachable(cluster: Cluster) -> None:
    """Refuse a cluster that is not at the address that the user gave: Ray itself would try for minutes.

    Without one, Ray looks for a cluster on this machine; that of the last `ray start` may have been another.
    """
    address = os.environ.get("RAY_ADDRESS", "") if cluster.address == "auto" else cluster.address
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdigit()):  # Ray itself looks for one, or tells what is wrong with it
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH_SECONDS).close()
    except (OSError, OverflowError) as error:  # a port has 16 bits
        raise UserError(
            f"cluster.address = {cluster.address}: no cluster runs at {host}:{port} ({error}); start one, as "
            "docs/cluster.md says"
        ) from None


@contextmanager
def _ray_process(order: Order) -> Iterator[Connection]:
    """Start the process that talks to Ray; it ends, and all that it runs, when the block does."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, order))
    with without_interrupts():
        process.start()
    theirs.close()
    try:
        yield ours
    finally:
        ours.close()
        process.join(STOP_SECONDS)
        if process.is_alive():
            process.kill()
        process.join()
        process.close()
