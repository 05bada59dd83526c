"""The batches of an epoch on their way to the device: kept there, or read from disk ahead of the steps by threads.

Both give the same clips in the same order, in chunks of some steps, which `utils.learning.steps.make_chunk` runs at
once.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Int, Int64, Shaped

from utils.learning.batch_images import Batch
from utils.learning.devices import CLIP_AXIS, replicated, split_over_devices
from utils.learning.examples import Examples
from utils.learning.targets import Labels

CHUNKS_AHEAD = 3  # chunks that are read before they are needed
CHUNK_BYTES = 64_000_000  # clips that are sent to the device together
LONGEST_CHUNK = 256  # steps
BYTES_PER_COPY = 256_000_000  # copied to the device together

Order = Int64[np.ndarray, "steps batch"]
ClipReader = Callable[[Int64[np.ndarray, " n"]], Shaped[np.ndarray, "n ..."]]  # from rows of the store to their clips


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
        size = batch_size * examples.clip_bytes
        self.capacity = min(max(CHUNK_BYTES // size, 1), LONGEST_CHUNK) if loops else 1

    def batch_at(self, source: Batch, index: Int[Array, ""]) -> Batch:
        """Return the batch of a step of a chunk; runs on the device."""
        return jax.tree.map(lambda leaf: leaf[index], source)

    def chunks(self, order: Order, chunk_size: Callable[[], int]) -> Iterator[ChunkInput]:
        """Yield the chunks of an epoch, each of up to `chunk_size()` steps."""
        coming: deque[Future[ChunkInput]] = deque()
        with (
            self._clip_reader(self._examples.rows[order]) as read,
            ThreadPoolExecutor(max_workers=2, thread_name_prefix="batches") as threads,
        ):
            try:
                while len(order) or coming:
                    while len(order) and len(coming) < CHUNKS_AHEAD:
                        count = min(chunk_size(), self.capacity)
                        coming.append(threads.submit(self._read, order[:count], read))
                        order = order[count:]
                    yield coming.popleft().result()
            finally:
                for future in coming:
                    future.cancel()

    @contextmanager
    def _clip_reader(self, rows: Int64[np.ndarray, "steps batch"]) -> Iterator[ClipReader]:
        """Yield what reads the clips of an epoch, whose steps see these rows of the store; safe in several threads."""
        yield self._examples.clips

    def _read(self, order: Order, read: ClipReader) -> ChunkInput:
        examples, rows = self._examples, self._examples.rows[order]
        clips = read(rows.ravel())
        labels = jax.tree.map(lambda leaf: leaf[order], examples.labels)
        soft_targets = examples.soft_targets and examples.soft_targets.of(rows)
        batch = Batch(clips.reshape(*order.shape, *clips.shape[1:]), labels, soft_targets, examples.peaks(rows))
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
        clips = put_on_device(examples.clips, examples.rows, replicated(mesh))
        peaks = examples.peaks(examples.rows)
        peaks = None if peaks is None else jax.device_put(peaks, replicated(mesh))
        self._clips = Batch(clips, labels, soft_targets, peaks)
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
    read: Callable[[Int64[np.ndarray, " n"]], Shaped[np.ndarray, "n ..."]],
    rows: Int64[np.ndarray, " clips"],
    sharding: NamedSharding,
) -> Shaped[Array, "clips ..."]:
    """Copy what `read` returns of some rows to the device, a part at a time: the host never holds all of it."""
    first = read(rows[:1])
    clips = jax.device_put(jnp.zeros((len(rows), *first.shape[1:]), first.dtype), sharding)
    put = jax.jit(
        lambda clips, part, start: jax.lax.dynamic_update_slice_in_dim(clips, part, start, 0),
        donate_argnums=0,
        out_shardings=sharding,
    )
    at_once = max(BYTES_PER_COPY // first.nbytes, 1)
    for start in range(0, len(rows), at_once):
        clips = put(clips, read(rows[start : start + at_once]), start)
    return clips
