"""The batches of an epoch on their way to the device: kept there, or read from disk ahead of the steps by threads.

Both give the same clips in the same order, in chunks of some steps, which `utils.learning.steps.make_chunk` runs at
once.
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

from utils.learning.devices import CLIP_AXIS, replicated, split_over_devices
from utils.learning.examples import Examples
from utils.learning.steps import Batch
from utils.learning.targets import Labels

CHUNKS_AHEAD = 3  # chunks that are read before they are needed
CHUNK_BYTES = 64_000_000  # spectrograms that are sent to the device together
LONGEST_CHUNK = 256  # steps
BYTES_PER_COPY = 256_000_000  # copied to the device together

Order = Int64[np.ndarray, "steps batch"]


@dataclass(frozen=True)
class ChunkInput:
    """Input of a chunk of steps: where it takes its batches from, and the number of steps."""

    source: Any
    count: int


class StreamedBatches:
    """Batches that are read from disk: chunks of a few megabytes; single steps on a CPU.

    Attributes
    ----------
    capacity : largest number of steps in a chunk
    """

    def __init__(self, examples: Examples, *, batch_size: int, mesh: Mesh, loops: bool) -> None:
        self._examples = examples
        self._sharding = split_over_devices(mesh)
        size = batch_size * examples.spectrogram_bytes
        self.capacity = min(max(CHUNK_BYTES // size, 1), LONGEST_CHUNK) if loops else 1

    def batch_at(self, source: Batch, index: Int[Array, ""]) -> Batch:
        """Return the batch of a step of a chunk; runs on the device."""
        return jax.tree.map(lambda leaf: leaf[index], source)

    def chunks(self, order: Order, chunk_size: Callable[[], int]) -> Iterator[ChunkInput]:
        """Yield the chunks of an epoch, each of up to `chunk_size()` steps."""
        coming: deque[Future[ChunkInput]] = deque()
        with ThreadPoolExecutor(max_workers=2, thread_name_prefix="batches") as threads:
            try:
                while len(order) or coming:
                    while len(order) and len(coming) < CHUNKS_AHEAD:
                        count = min(chunk_size(), self.capacity)
                        coming.append(threads.submit(self._read, order[:count]))
                        order = order[count:]
                    yield coming.popleft().result()
            finally:
                for future in coming:
                    future.cancel()

    def _read(self, order: Order) -> ChunkInput:
        examples = self._examples
        pixels = examples.store.spectrograms(examples.rows[order.ravel()])
        labels = jax.tree.map(lambda leaf: leaf[order], examples.labels)
        soft_targets = examples.soft_targets and examples.soft_targets.of(examples.rows[order])
        batch = Batch(pixels.reshape(*order.shape, *pixels.shape[1:]), labels, soft_targets)
        return ChunkInput(jax.device_put(jax.tree.map(self._padded, batch), self._sharding), len(order))

    def _padded(self, leaf: np.ndarray) -> np.ndarray:
        """Fill up to the capacity: another number of steps would have to be compiled again."""
        missing = self.capacity - len(leaf)
        return np.concatenate([leaf, np.zeros((missing, *leaf.shape[1:]), leaf.dtype)]) if missing else leaf


class ResidentBatches:
    """Batches of clips that are kept on the device, all of them on each: steps gather theirs.

    Attributes
    ----------
    capacity : largest number of steps in a chunk
    """

    def __init__(self, examples: Examples, *, batch_size: int, mesh: Mesh, loops: bool) -> None:
        self._order_sharding, self._batch_sharding = (
            split_over_devices(mesh),
            NamedSharding(mesh, PartitionSpec(CLIP_AXIS)),
        )
        labels = jax.device_put(Labels(*examples.labels), replicated(mesh))
        soft_targets = examples.soft_targets and jax.device_put(
            examples.soft_targets.of(examples.rows), replicated(mesh)
        )
        self._clips = Batch(put_on_device(examples, examples.rows, replicated(mesh)), labels, soft_targets)
        self.capacity = LONGEST_CHUNK if loops else 1

    def batch_at(self, source: tuple[Batch, Int[Array, "capacity batch"]], index: Int[Array, ""]) -> Batch:
        """Return the batch of a step of a chunk; runs on the device."""
        clips, order = source
        return jax.tree.map(
            lambda leaf: jax.lax.with_sharding_constraint(leaf[order[index]], self._batch_sharding), clips
        )

    def chunks(self, order: Order, chunk_size: Callable[[], int]) -> Iterator[ChunkInput]:
        """Yield the chunks of an epoch, each of up to `chunk_size()` steps."""
        while len(order):
            count = min(chunk_size(), self.capacity, len(order))
            padded = np.zeros((self.capacity, order.shape[1]), np.int32)
            padded[:count] = order[:count]
            yield ChunkInput((self._clips, jax.device_put(padded, self._order_sharding)), count)
            order = order[count:]


BatchSupply = StreamedBatches | ResidentBatches


def put_on_device(
    examples: Examples, rows: Int64[np.ndarray, " clips"], sharding: NamedSharding
) -> UInt8[Array, "clips height width"]:
    """Copy the spectrograms of rows of the store to the device, a part at a time: the host never holds them all."""
    shape = examples.store.spectrograms(rows[:1]).shape[1:]
    pixels = jax.device_put(jnp.zeros((len(rows), *shape), jnp.uint8), sharding)
    put = jax.jit(
        lambda pixels, part, start: jax.lax.dynamic_update_slice_in_dim(pixels, part, start, 0),
        donate_argnums=0,
        out_shardings=sharding,
    )
    at_once = max(BYTES_PER_COPY // examples.spectrogram_bytes, 1)
    for start in range(0, len(rows), at_once):
        pixels = put(pixels, examples.store.spectrograms(rows[start : start + at_once]), start)
    return pixels
