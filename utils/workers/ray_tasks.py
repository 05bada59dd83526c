"""The process that hands items to a Ray cluster, and knows which of them run, are late or are lost.

It is one of its own, because Ray prints to the terminal, takes over signals, and ends the process that loses a cluster.
"""

import logging
import math
import os
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from utils.commands import code
from utils.console import Failure
from utils.workers.ray_groups import GroupSize
from utils.workers.ray_messages import ItemInHand, Lost, Order, Room
from utils.workers.ray_worker import Outcome, StartNotes, TaskOutcome, attempt, files_of
from utils.workers.shared_disk import is_seen
from utils.workers.worker_processes import ONE_THREAD, THREADS_OF_MODELS, die_with_parent, late_failure

CONNECT_SECONDS = 120.0  # for which a cluster may not respond; Ray would try for longer
POLL_SECONDS = 0.1  # between looks at what the parent sends
LOOK_SECONDS = 1.0  # between looks at what was started
COUNT_SECONDS = 5.0  # between looks at the cluster's size, which may grow
RESUME = "see that it runs, and the same command resumes here"
# of Ray on this machine; by default, everything else has precedence over its workers, which then may starve
SETTINGS_OF_RAY = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}


def serve(connection: Connection, order: Order) -> None:
    """Take items from the parent until it closes the connection, and send their outcomes."""
    threading.Thread(target=die_with_parent, daemon=True).start()
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
        os.dup2(silence, stream)
    os.environ |= SETTINGS_OF_RAY
    import ray

    address = order.cluster.address

    def refuse(reason: str) -> None:
        why = f"cluster.address = {address}: the cluster cannot be used ({reason}); see docs/cluster.md"
        connection.send(Lost(why))
        os._exit(1)

    patience = threading.Timer(CONNECT_SECONDS, refuse, [f"it did not respond for {CONNECT_SECONDS:.0f} s"])
    patience.start()
    try:
        _connect(order)
    except Exception as error:  # noqa: BLE001 — Ray raises many kinds
        refuse(_first_line(error))
    patience.cancel()
    try:
        RayTasks(connection, order).work_until_closed()
    except Exception as error:  # noqa: BLE001 — it would be lost with this process
        with suppress(OSError):  # the parent has ended
            connection.send(Lost(f"cluster.address = {address}: {reason_of_end(error)}"))
    finally:
        ray.shutdown()


def reason_of_end(error: Exception) -> str:
    """Return what the user is told of an error that ends the stage, in one line."""
    import ray

    if isinstance(error, ray.exceptions.RayError | ConnectionError):
        return f"the cluster was lost; {RESUME}"
    return f"{type(error).__name__}: {_first_line(error)}"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _connect(order: Order) -> None:
    """Connect to the cluster, or start Ray on this machine; workers get this toolkit's code."""
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if order.cluster.address == "local":
        variables = {**_variables(order), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        ray.init(
            "local",
            num_cpus=math.ceil(order.workers * order.cluster.cpus) or None,
            include_dashboard=False,
            runtime_env={"env_vars": variables},
            **quiet,
        )
    else:
        modules = [str(path) for path in code()]
        ray.init(order.cluster.address, runtime_env={"env_vars": _variables(order), "py_modules": modules}, **quiet)


def _variables(order: Order) -> dict[str, str]:
    """Return the environment variables of workers: models use no more cores than are reserved."""
    # whoever has a GPU before, as the script itself, leaves it little memory
    threads = str(max(1, int(order.cluster.cpus)))
    return {**ONE_THREAD, THREADS_OF_MODELS: threads, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


class RayTask(NamedTuple):
    """Items that a worker works on one by one; `key`: the task's number, from 1 on."""

    key: int
    items: list[ItemInHand]

    @property
    def time_limit(self) -> float:
        """Seconds after which it is stopped; its items are tried again alone then."""
        return min(one.time_limit for one in self.items)


class RayTasks:
    """The items in hand: those that wait, and those that Ray has, whose tasks may run or wait for a core.

    If a task of several items is lost or late, nobody knows which of them it was: each is tried again alone.

    Ray's own retries are off, because it would retry without limit what runs out of memory.
    """

    def __init__(self, connection: Connection, order: Order) -> None:
        import ray

        self._ray, self._connection, self._order = ray, connection, order
        self._received: queue.SimpleQueue[ItemInHand | Exception | None] = queue.SimpleQueue()
        self._waiting: deque[ItemInHand] = deque()
        self._running: dict[Any, RayTask] = {}
        self._submitted, self._slots = 0, 1
        self._sizes = GroupSize(order.items, most=order.ahead // 2)
        self._alone: set[int] = set()  # items that are tried again
        self._losses: dict[int, int] = {}
        self._deadlines: dict[int, float] = {}
        self._counted = self._looked = -COUNT_SECONDS
        self._room = Room(0)
        cluster = order.cluster
        self._memory = cluster.memory * 2**20
        self._gpus = order.gpus if ray.cluster_resources().get("GPU") else 0
        # without GPUs here: else each worker would end after one task; `attempt` ends those that get another GPU
        work: Any = attempt
        self._task = ray.remote(work).options(
            num_cpus=cluster.cpus, num_gpus=self._gpus, memory=self._memory or None, max_retries=0
        )
        notes: Any = ray.remote(StartNotes)
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=True
        )
        self._notes = notes.options(num_cpus=0, max_restarts=-1, scheduling_strategy=here).remote()
        self._asked: Any = None  # a call of `StartNotes.take_started` that has not returned yet

    def work_until_closed(self) -> None:
        """Work until the parent wants no more; then cancel what runs."""
        threading.Thread(target=self._receive_items, daemon=True).start()
        try:
            while True:
                self._count_machines()
                idle = not (self._waiting or self._running)
                while idle or not self._received.empty():
                    idle, item = False, self._received.get()
                    if item is None:
                        return
                    if isinstance(item, Exception):
                        raise item
                    self._waiting.append(item)
                self._submit()
                self._collect()
                self._stop_late_ones()
        finally:
            for task in self._running:
                self._ray.cancel(task, force=True)

    def _receive_items(self) -> None:
        """Take what the parent sends at once, so that it never waits while this process waits for it."""
        try:
            while True:
                self._received.put(self._connection.recv())
        except (EOFError, OSError):
            self._received.put(None)
        except Exception as error:  # noqa: BLE001 — an item that cannot be unpickled
            self._received.put(error)

    def _count_machines(self) -> None:
        """Tell the parent how many items may be in hand, which grows with the cluster."""
        if time.monotonic() < self._counted + COUNT_SECONDS:
            return
        self._counted = time.monotonic()
        machines = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        slots = sum(self._slots_of(machine) for machine in machines)
        self._slots = self._order.workers or max(1, slots)
        cluster, warning = self._order.cluster, ""
        if not slots:
            memory = f" and {cluster.memory:,} MB" if cluster.memory else ""
            gpu = " and a GPU" if self._gpus else ""
            needed = f"{cluster.cpus:g} CPUs{memory}{gpu}"
            warning = f"no machine of the cluster has {needed} for a recording; waiting for one"
        room = Room(self._order.ahead * self._slots, warning)
        if room != self._room:
            self._room = room
            self._connection.send(room)

    def _slots_of(self, machine: dict[str, float]) -> int:
        """Return how many items a machine can work on at a time."""
        slots = int(machine.get("CPU", 0) // self._order.cluster.cpus)
        slots = min(slots, int(machine.get("GPU", 0) // self._gpus)) if self._gpus else slots
        return min(slots, int(machine.get("memory", 0) // self._memory)) if self._memory else slots

    def _submit(self) -> None:
        """Give Ray tasks: at most `workers`, or two per slot, so that Ray has one at hand when a slot becomes free."""
        most = self._order.workers or 2 * self._slots
        while self._waiting and len(self._running) < most:
            size = self._sizes.next_size(self._slots)
            if len(self._waiting) < size and len(self._running) >= self._slots:  # no slot is free: more items will come
                return
            items = self._next_items(size)
            seen = {file for one in items for file in files_of(one.item) if is_seen(file)}
            self._submitted += 1
            task = self._task.remote(
                self._order.function,
                [one.item for one in items],
                seen,
                task=self._submitted,
                notes=self._notes,
                folder=self._order.folder,
                patience=self._order.patience,
            )
            self._running[task] = RayTask(self._submitted, items)

    def _next_items(self, size: int) -> list[ItemInHand]:
        """Return the next items for a task; one that is tried again goes alone."""
        items = [self._waiting.popleft()]
        if items[0].position in self._alone:
            return items
        while self._waiting and len(items) < size and self._waiting[0].position not in self._alone:
            items.append(self._waiting.popleft())
        self._sizes.taken(len(items))
        return items

    def _collect(self) -> None:
        """Send the outcomes of all tasks that have ended."""
        ended, _ = self._ray.wait(list(self._running), timeout=POLL_SECONDS)
        if ended:
            ended, _ = self._ray.wait(list(self._running), num_returns=len(self._running), timeout=0)
        for ref in ended:
            task = self._running.pop(ref)
            self._deadlines.pop(task.key, None)
            for one, outcome in zip(task.items, self._outcomes_of(ref, task), strict=True):
                if outcome is None:
                    self._alone.add(one.position)
                    self._waiting.appendleft(one)
                else:
                    self._connection.send(outcome if isinstance(outcome, Lost) else (one.position, outcome))

    def _outcomes_of(self, ref: Any, task: RayTask) -> Sequence[Outcome | Lost | None]:
        """Return what became of each item of a task that has ended; None: it is to be tried again."""
        errors = self._ray.exceptions
        try:
            found: TaskOutcome = self._ray.get(ref)
        except (
            errors.RayTaskError,
            errors.RuntimeEnvSetupError,
        ) as error:  # not of the function: `attempt` catches them
            reason = str(error).strip().splitlines()[-1]
            lost = Lost(
                f"the machines of the cluster cannot run the toolkit ({reason}); install the same version there"
            )
            return [lost] * len(task.items)
        except errors.RayError as error:
            if len(task.items) > 1 or self._had_other_gpu(task):
                return [None] * len(task.items)
            return [self._outcome_of_loss(task.items[0].position, error)]
        self._sizes.measured(len(task.items), found.seconds)
        return [self._unless_missing(outcome) for outcome in found.outcomes]

    def _had_other_gpu(self, task: RayTask) -> bool:
        """Tell whether the worker ended itself, which is no loss."""
        with suppress(self._ray.exceptions.RayError):  # nobody can tell: the machine of the notes was lost
            return bool(self._gpus) and self._ray.get(self._notes.had_other_gpu.remote(task.key), timeout=LOOK_SECONDS)
        return False

    def _outcome_of_loss(self, index: int, error: Exception) -> Outcome | None:
        """Return the failure of an item that lost its worker or machine; None: it is to be tried again."""
        self._losses[index] = self._losses.get(index, 0) + 1
        if self._losses[index] <= self._order.cluster.retries:
            return None
        return Outcome(failure=Failure("", self._loss_text(error), transient=True))

    @staticmethod
    def _unless_missing(outcome: Outcome) -> Outcome | Lost | None:
        """Return an outcome if the machine had the item's files; None: it is to be tried again."""
        if not outcome.missing:
            return outcome
        unseen = next((file for file in outcome.missing if is_seen(file)), None)
        if unseen is None:  # removed meanwhile
            return None
        return Lost(f"{unseen}: {outcome.machine}, a machine of the cluster, does not have it; all need the same disk")

    def _loss_text(self, error: Exception) -> str:
        errors = self._ray.exceptions
        if isinstance(error, errors.OutOfMemoryError):
            return "the worker process was stopped, because its machine was out of memory; raise cluster.memory"
        return "its machine was lost" if isinstance(error, errors.NodeDiedError) else "the worker process died"

    def _stop_late_ones(self) -> None:
        """Cancel what has run for longer than the time limit."""
        now = time.monotonic()
        if self._asked is not None and self._ray.wait([self._asked], timeout=0)[0]:
            with suppress(self._ray.exceptions.RayError):  # its machine was lost; it is started again elsewhere
                started = set(self._ray.get(self._asked))
                running = [task for task in self._running.values() if task.key in started]
                self._deadlines |= {task.key: now + task.time_limit for task in running}
            self._asked = None
        if self._asked is None and now > self._looked + LOOK_SECONDS:
            self._looked, self._asked = now, self._notes.take_started.remote()
        for ref, task in list(self._running.items()):
            if now > self._deadlines.get(task.key, now):
                self._ray.cancel(ref, force=True)
                del self._deadlines[task.key]
                if len(task.items) == 1:  # others are collected as lost
                    del self._running[ref]
                    late = Outcome(failure=late_failure("", task.time_limit))
                    self._connection.send((task.items[0].position, late))
