"""One epoch: chunks of steps go to the device, and what they tell is looked at a little later."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32

from config import Config
from utils import console
from utils.learning.augmentation import Noise
from utils.learning.batches import Order, Supply
from utils.learning.devices import batch_that_fits, is_out_of_memory, memory, memory_needed
from utils.learning.examples import Examples
from utils.learning.runs import Progress
from utils.learning.sampling import epoch_order
from utils.learning.schedules import rates
from utils.learning.steps import Chunk, StepMetrics, TrainState, epoch_key
from utils.models.networks import Network
from utils.tables import write_csv

LOOK_EVERY = 0.5  # seconds that the device goes on without being looked at, about
IN_FLIGHT = 2  # chunks that may be under way before the oldest one's losses are looked at
NAMED = 3  # clips that are named in a message, at most


class Pace:
    """How many steps make a chunk: as many as take about LOOK_EVERY seconds, as far as one knows."""

    def __init__(self) -> None:
        self.steps = 1
        self._passed = console.stopwatch()

    def begin(self) -> None:
        """Begin to measure: an epoch begins."""
        self._passed = console.stopwatch()

    def note(self, steps: int) -> None:
        """Note that so many more steps are done."""
        fitting = round(LOOK_EVERY * steps / max(self._passed(), 1e-6))
        # grows slowly: the first chunk's time holds XLA's compilation
        self.steps = min(max(fitting, 1), 4 * self.steps)
        self._passed = console.stopwatch()


@dataclass(frozen=True)
class Course:
    """What stays the same from epoch to epoch; `nets` are those of the teachers, where they answer in each step."""

    examples: Examples
    config: Config
    supply: Supply
    chunk: Chunk
    noise: Noise
    pace: Pace
    nets: tuple[Network, ...] = ()


def run_epoch(
    state: TrainState, progress: Progress, course: Course, advance: Callable[..., None], asked: Callable[[], bool]
) -> TrainState:
    """Do the steps that are missing of the epoch under way, or fewer where the user asked to stop; returns the state after them and notes them in `progress`.

    Raises
    ------
    UserError
        If a loss is no number any more, or memory does not suffice.
    """
    settings = course.config.training
    epoch, first = progress.epoch, progress.steps
    begun, passed = first, console.stopwatch()
    order = epoch_order(
        course.examples.labels.own, settings, epoch=epoch, unlabelled_ratio=course.config.distillation.unlabelled_ratio
    )
    rate, key = rates(settings, epoch=epoch, steps=len(order)), epoch_key(seed=settings.seed, epoch=epoch)
    course.pace.begin()
    in_flight: deque[tuple[int, StepMetrics]] = deque()

    def look(count: int, metrics: StepMetrics) -> None:
        seen = jax.device_get(metrics)
        if not seen.alive[:count].all():
            raise _diverged(
                course, order, rate, epoch=epoch, number=progress.steps + int(np.argmin(seen.alive[:count]))
            )
        # one by one: sums must not depend on chunks
        for values in zip(seen.loss[:count].tolist(), seen.accuracy[:count].tolist(), strict=True):
            progress.sums = tuple(
                total + value for total, value in zip(progress.sums or (0.0, 0.0), values, strict=True)
            )
        progress.steps += count
        course.pace.note(count)
        speed = (progress.steps - begun) * settings.batch_size / passed()
        advance(count, note=f"epoch {epoch}, {speed:,.0f} clips/s, loss {progress.sums[0] / progress.steps:.3f}")

    shapes: list[Any] = []
    with _memory_explained(course, shapes):
        for given in course.supply.chunks(order[first:], lambda: course.pace.steps):
            places = jnp.asarray(np.resize(rate[first : first + given.count], course.supply.places))
            arguments = (
                state,
                given.source,
                course.noise,
                places,
                key,
                jnp.int32(first),
                jnp.int32(given.count),
                course.nets,
            )
            shapes[:] = shapes or jax.tree.map(
                lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), arguments
            )
            state, metrics = course.chunk(*arguments)
            first += given.count
            in_flight.append((given.count, metrics))
            if len(in_flight) > IN_FLIGHT:
                look(*in_flight.popleft())
            if asked():
                break
        while in_flight:
            look(*in_flight.popleft())
    return state


def _diverged(
    course: Course, order: Order, rate: Float32[np.ndarray, " steps"], *, epoch: int, number: int
) -> console.UserError:
    """Write down which clips the net saw when its loss was no number, and say so."""
    rows = course.examples.rows[order[number]]
    clips = course.examples.store.clips[rows].select("recording", "start", "class")
    path = course.config.run_folder / "diverged.csv"
    write_csv(path, clips)
    some = ", ".join(f"{recording} at {start:g} s" for recording, start, _ in clips.head(NAMED).iter_rows())
    return console.UserError(
        f"the loss is no number any more in epoch {epoch}, step {number + 1}, at learning rate {rate[number]:g}; lower training.learning_rate, or look at "
        f"the clips of that step ({some}, …; all in {console.shown(path)}). Earlier snapshots are whole"
    )


@contextmanager
def _memory_explained(course: Course, shapes: list[Any]) -> Iterator[None]:
    """Turn XLA's message about memory into one that says which batch would fit."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if not is_out_of_memory(error):
            raise
        size = course.config.training.batch_size
        fitting = batch_that_fits(size, memory=memory(), needed=memory_needed(course.chunk, shapes))
        raise console.UserError(
            f"the device's memory does not hold batches of {size} clips of this net; training.batch_size {fitting} should fit"
        ) from None
