"""One epoch: chunks of steps are sent to the device, and their metrics are read a little later."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32

from config import Config
from utils import console
from utils.learning.batches import BatchSupply, ChunkInput, Order
from utils.learning.devices import (
    as_local_arrays,
    device_memory,
    fitting_batch_size,
    is_out_of_memory,
    memory_needed,
    replicate,
)
from utils.learning.examples import Examples
from utils.learning.hard_negatives import Mining
from utils.learning.host_messages import from_first
from utils.learning.hosts import is_first
from utils.learning.noise import Noise
from utils.learning.runs import Progress
from utils.learning.sampling import epoch_order, packed_order
from utils.learning.schedules import rates
from utils.learning.steps import StepChunk, StepMetrics, TrainState, epoch_key, initial_optimizer
from utils.learning.triplets import DrawnTriplets, draw_triplets, write_triplets
from utils.models.networks import Network
from utils.spectra.pack import Pack
from utils.tables import write_csv

CHUNK_SECONDS = 0.5  # how long a chunk of steps should take, about
CHUNKS_ON_DEVICE = 2  # chunks that may be running before the metrics of the oldest one are read
NAMED_CLIPS = 3  # clips that are named in a message, at most


class TrainingFailed(console.UserError):
    """Training cannot continue with these settings: a loss is NaN or infinite, or memory does not suffice."""


class ChunkSizer:
    """How many steps make a chunk: as many as take about CHUNK_SECONDS, by the chunks so far."""

    def __init__(self) -> None:
        self.steps = 1
        self._passed = console.stopwatch()

    def restart(self) -> None:
        """Measure from now on: an epoch starts."""
        self._passed = console.stopwatch()

    def record(self, steps: int) -> None:
        """Record that so many more steps are done."""
        fitting = round(CHUNK_SECONDS * steps / max(self._passed(), 1e-6))
        # grows slowly: the first chunk's time includes XLA's compilation
        self.steps = min(max(fitting, 1), 4 * self.steps)
        self._passed = console.stopwatch()


@dataclass(frozen=True)
class TrainingSetup:
    """What stays the same from epoch to epoch.

    Attributes
    ----------
    noise : clips without birds, on the device
    frozen : networks of the objective, on the device
    last_layer_chunk : steps that train only the last layer, for the first `training.freeze_epochs`; None if there are
        no such epochs
    fill_output : what ends each epoch if no loss reaches the output layer; else None
    mine : what starts each epoch with `training.hard_negatives`; else None
    """

    examples: Examples
    config: Config
    supply: BatchSupply
    chunk: StepChunk
    noise: Noise
    sizer: ChunkSizer
    frozen: tuple[Network, ...] = ()
    last_layer_chunk: StepChunk | None = None
    fill_output: Callable[[TrainState], TrainState] | None = None
    mine: Mining | None = None

    def chunk_of(self, epoch: int) -> StepChunk:
        """Return the steps of an epoch."""
        freezes = epoch <= self.config.training.freeze_epochs
        return self.last_layer_chunk if freezes and self.last_layer_chunk else self.chunk


@dataclass(frozen=True)
class EpochPlan:
    """What an epoch does: the clips and learning rate of each step, its random key, and its triplets if it has any."""

    epoch: int
    order: Order
    rates: Float32[np.ndarray, " steps"]
    key: jax.Array
    triplets: DrawnTriplets | None = None


def plan_epoch(epoch: int, setup: TrainingSetup, hard: Sequence[int] = ()) -> EpochPlan:
    """Return what an epoch (counted from 1) does; it follows from the settings, the epoch and its hard negatives."""
    settings, examples = setup.config.training, setup.examples
    if isinstance(examples.store, Pack) and not settings.compares_clips:
        order = packed_order(examples.store.file_of(examples.rows), settings, epoch=epoch)
    else:
        ratio = examples.drawn_ratio
        order = epoch_order(examples.sampled_classes, settings, epoch=epoch, drawn_ratio=ratio, first=hard)
    triplets = draw_triplets(examples, settings, epoch=epoch) if settings.compares_clips else None
    order = order if triplets is None else triplets.beside(order)
    key = epoch_key(seed=settings.seed, epoch=epoch)
    return EpochPlan(epoch, order, rates(settings, epoch=epoch, steps=len(order)), key, triplets)


def run_epoch(
    state: TrainState,
    progress: Progress,
    setup: TrainingSetup,
    advance: Callable[..., None],
    stop_requested: Callable[[], bool],
) -> TrainState:
    """Run the remaining steps of the current epoch, fewer if the user asked to stop; record them in `progress`.

    Raises
    ------
    TrainingFailed
        If a loss becomes NaN or infinite, or memory does not suffice.
    """
    first = progress.steps
    if setup.mine and not first:
        progress.hard_negatives = setup.mine(state.best_network, progress.epoch)
    plan = plan_epoch(progress.epoch, setup, progress.hard_negatives)
    if plan.triplets and is_first():
        write_triplets(setup.config.run_folder / "triplets.parquet", plan.triplets, setup.examples.classes)
    chunk = setup.chunk_of(plan.epoch)
    if setup.last_layer_chunk and plan.epoch == setup.config.training.freeze_epochs + 1 and not first:
        state = _with_new_moments(state, setup)
    setup.sizer.restart()
    collect = _collector(progress, plan, setup, advance)
    running: deque[tuple[int, StepMetrics]] = deque()
    shapes: tuple[Any, ...] = ()
    try:
        for given in setup.supply.chunks(plan.order[first:], lambda: from_first(lambda: setup.sizer.steps)):
            arguments = _chunk_arguments(state, given, first, plan, setup)
            shapes = shapes or _shapes_of(arguments)  # before the chunk takes the memory of the state
            state, metrics = chunk(*arguments)
            first += given.count
            running.append((given.count, metrics))
            if len(running) > CHUNKS_ON_DEVICE:
                collect(*running.popleft())
            if stop_requested():
                break
        while running:
            collect(*running.popleft())
    except jax.errors.JaxRuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise _out_of_memory(setup, chunk, shapes) from None
    return state


def _with_new_moments(state: TrainState, setup: TrainingSetup) -> TrainState:
    """Start the optimizer anew, since all layers learn from now on.

    The moments of layers without gradients are 0, and Adam's first steps with them would be several times too long.
    """
    moments = initial_optimizer(as_local_arrays(state.network), setup.config.training)
    return state._replace(optimizer=replicate(moments, setup.supply.mesh))


def _chunk_arguments(
    state: TrainState, given: ChunkInput, first: int, plan: EpochPlan, setup: TrainingSetup
) -> tuple[Any, ...]:
    """Return the arguments of `make_chunk`'s function."""
    chunk_rates = jnp.asarray(np.resize(plan.rates[first : first + given.count], setup.supply.capacity))
    steps = (jnp.int32(first), jnp.int32(given.count))
    return (state, given.source, setup.noise, chunk_rates, plan.key, *steps, setup.frozen)


def _shapes_of(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), arguments)


def _collector(
    progress: Progress, plan: EpochPlan, setup: TrainingSetup, advance: Callable[..., None]
) -> Callable[[int, StepMetrics], None]:
    """Return a function that reads the metrics of a chunk, adds them to `progress`, and shows how far the epoch is."""
    before, passed = progress.steps, console.stopwatch()

    def collect(count: int, metrics: StepMetrics) -> None:
        found = jax.device_get(metrics)
        if not found.finite[:count].all():
            raise _not_finite(plan, progress.steps + int(np.argmin(found.finite[:count])), setup)
        # one by one: sums must not depend on the size of chunks
        for values in zip(found.loss[:count].tolist(), found.accuracy[:count].tolist(), strict=True):
            progress.sums = tuple(
                total + value for total, value in zip(progress.sums or (0.0, 0.0), values, strict=True)
            )
        progress.steps += count
        setup.sizer.record(count)
        speed = (progress.steps - before) * setup.config.training.clips_per_step / passed()
        mean_loss = progress.sums[0] / progress.steps
        advance(count, note=f"epoch {plan.epoch}, {speed:,.0f} clips/s, loss {mean_loss:.3f}")

    return collect


def _not_finite(plan: EpochPlan, step: int, setup: TrainingSetup) -> TrainingFailed:
    """Write a table of the clips of the step whose loss became NaN or infinite, and return the error."""
    rows = setup.examples.rows[plan.order[step]]
    clips = setup.examples.store.clips[rows].select("recording", "start", "class")
    path = setup.config.run_folder / "diverged.csv"
    if is_first():
        write_csv(path, clips)
    some = ", ".join(f"{recording} at {start:g} s" for recording, start, _ in clips.head(NAMED_CLIPS).iter_rows())
    return TrainingFailed(
        f"The loss became NaN or infinite in epoch {plan.epoch}, step {step + 1}, at learning rate "
        f"{plan.rates[step]:g}. Parameters were not updated after that step, and earlier snapshots are usable. Lower "
        f"training.learning_rate, or check the clips of that step ({some}, …; all are in {console.printable(path)})"
    )


def _out_of_memory(setup: TrainingSetup, chunk: StepChunk, shapes: tuple[Any, ...]) -> TrainingFailed:
    """Return the error that says which batch size would fit."""
    size = setup.config.training.batch_size
    fitting = fitting_batch_size(size, memory=device_memory(), needed=memory_needed(chunk, shapes))
    return TrainingFailed(
        f"the device's memory does not hold batches of {size} clips of this model; set training.batch_size to {fitting}"
    )
