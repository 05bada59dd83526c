"""The batches of an epoch on their way to the device: they wait there already, or are read from disk ahead of the steps by threads.

Either way the same clips come in the same order, in chunks of some steps, which `utils.learning.steps.make_chunk` does
at once.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Int, Int64, UInt8

from utils.learning.devices import CLIPS, divided, everywhere
from utils.learning.examples import Examples
from utils.learning.steps import Batch
from utils.learning.targets import Labels

AHEAD = 3  # chunks that are read before they are needed
CHUNK_BYTES = 64_000_000  # of pictures that are sent to the device together
LONGEST_CHUNK = 256  # steps
PLACED_AT_ONCE = 256_000_000  # bytes that are copied to the device together

Order = Int64[np.ndarray, "steps batch"]


@dataclass(frozen=True)
class Given:
    """What a chunk of steps is given: where it takes its batches from, and how many there are."""

    source: Any
    count: int


class Streamed:
    """Batches that are read from disk: chunks of a few megabytes, single steps on a CPU.

    Attributes
    ----------
    places : steps that a chunk has room for
    """

    def __init__(self, examples: Examples, *, batch_size: int, mesh: Mesh, loops: bool) -> None:
        self._examples = examples
        self._sharding = divided(mesh)
        size = batch_size * examples.picture_bytes
        self.places = min(max(CHUNK_BYTES // size, 1), LONGEST_CHUNK) if loops else 1

    def batch_at(self, source: Batch, number: Int[Array, ""]) -> Batch:
        """Return the batch of a step of a chunk; runs on the device."""
        return jax.tree.map(lambda leaf: leaf[number], source)

    def chunks(self, order: Order, room: Callable[[], int]) -> Iterator[Given]:
        """Yield the chunks of an epoch, each of up to `room()` steps."""
        coming: deque[Future[Given]] = deque()
        with ThreadPoolExecutor(max_workers=2, thread_name_prefix="batches") as threads:
            try:
                while len(order) or coming:
                    while len(order) and len(coming) < AHEAD:
                        count = min(room(), self.places)
                        coming.append(threads.submit(self._read, order[:count]))
                        order = order[count:]
                    yield coming.popleft().result()
            finally:
                for future in coming:
                    future.cancel()

    def _read(self, order: Order) -> Given:
        pixels = self._examples.store.pictures(self._examples.rows[order.ravel()])
        labels = jax.tree.map(lambda leaf: leaf[order], self._examples.labels)
        answers = self._examples.answers and self._examples.answers.of(self._examples.rows[order])
        batch = jax.tree.map(self._filled, Batch(pixels.reshape(*order.shape, *pixels.shape[1:]), labels, answers))
        return Given(jax.device_put(batch, self._sharding), len(order))

    def _filled(self, leaf: np.ndarray) -> np.ndarray:
        """Fill up the places that are no steps: what is compiled for one number of places would have to be compiled again for another."""
        missing = self.places - len(leaf)
        return np.concatenate([leaf, np.zeros((missing, *leaf.shape[1:]), leaf.dtype)]) if missing else leaf


class Resident:
    """Batches of clips that wait on the device, all of them on each: steps gather their own.

    Attributes
    ----------
    places : steps that a chunk has room for
    """

    def __init__(self, examples: Examples, *, batch_size: int, mesh: Mesh, loops: bool) -> None:
        self._order_sharding, self._batch_sharding = divided(mesh), NamedSharding(mesh, PartitionSpec(CLIPS))
        labels = jax.device_put(Labels(*examples.labels), everywhere(mesh))
        answers = examples.answers and jax.device_put(examples.answers.of(examples.rows), everywhere(mesh))
        self._clips = Batch(place_on(examples, examples.rows, everywhere(mesh)), labels, answers)
        self.places = LONGEST_CHUNK if loops else 1

    def batch_at(self, source: tuple[Batch, Int[Array, "places batch"]], number: Int[Array, ""]) -> Batch:
        """Return the batch of a step of a chunk; runs on the device."""
        clips, order = source
        return jax.tree.map(
            lambda leaf: jax.lax.with_sharding_constraint(leaf[order[number]], self._batch_sharding), clips
        )

    def chunks(self, order: Order, room: Callable[[], int]) -> Iterator[Given]:
        """Yield the chunks of an epoch, each of up to `room()` steps."""
        while len(order):
            count = min(room(), self.places, len(order))
            places = np.zeros((self.places, order.shape[1]), np.int32)
            places[:count] = order[:count]
            yield Given((self._clips, jax.device_put(places, self._order_sharding)), count)
            order = order[count:]


Supply = Streamed | Resident


def place_on(
    examples: Examples, rows: Int64[np.ndarray, " clips"], sharding: NamedSharding
) -> UInt8[Array, "clips height width"]:
    """Copy the pictures of rows of the store to the device, a part at a time: the host never holds them all."""
    shape = examples.store.pictures(rows[:1]).shape[1:]
    pixels = jax.device_put(jnp.zeros((len(rows), *shape), jnp.uint8), sharding)
    put = jax.jit(
        lambda pixels, part, start: jax.lax.dynamic_update_slice_in_dim(pixels, part, start, 0),
        donate_argnums=0,
        out_shardings=sharding,
    )
    at_once = max(PLACED_AT_ONCE // examples.picture_bytes, 1)
    for start in range(0, len(rows), at_once):
        pixels = put(pixels, examples.store.pictures(rows[start : start + at_once]), start)
    return pixels
