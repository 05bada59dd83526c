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
from utils.learning.devices import CLIP_AXIS, columns_of_this_host, replicate, replicated, split_over_devices
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

    Of several hosts, each reads the clips of its own devices.

    Attributes
    ----------
    capacity : largest number of steps in a chunk
    mesh : the devices that share each batch
    """

    def __init__(self, examples: Examples, *, batch_size: int, mesh: Mesh, loops: bool) -> None:
        self._examples = examples
        self.mesh, self._sharding, self._batch_size = mesh, split_over_devices(mesh), batch_size
        self._columns = columns_of_this_host(batch_size, mesh)
        size = batch_size * examples.clip_bytes
        self.capacity = min(max(CHUNK_BYTES // size, 1), LONGEST_CHUNK) if loops else 1

    def batch_at(self, source: Batch, index: Int[Array, ""]) -> Batch:
        """Return the batch of a step of a chunk; runs on the device."""
        return jax.tree.map(lambda leaf: leaf[index], source)

    def chunks(self, order: Order, chunk_size: Callable[[], int]) -> Iterator[ChunkInput]:
        """Yield the chunks of an epoch, each of up to `chunk_size()` steps."""
        coming: deque[Future[ChunkInput]] = deque()
        order = order[:, self._columns]
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
        return ChunkInput(self._on_devices(jax.tree.map(self._padded, batch)), len(order))

    def _padded(self, leaf: np.ndarray) -> np.ndarray:
        """Fill up to the capacity: another number of steps would have to be compiled again."""
        missing = self.capacity - len(leaf)
        return np.concatenate([leaf, np.zeros((missing, *leaf.shape[1:]), leaf.dtype)]) if missing else leaf

    def _on_devices(self, batch: Batch) -> Batch:
        """Divide batches among the devices of this host; together with those of the others they are whole ones."""
        if self._sharding.is_fully_addressable:
            return jax.device_put(batch, self._sharding)

        def whole(leaf: np.ndarray) -> jax.Array:
            def part(index: tuple[slice, ...] | None) -> np.ndarray:
                columns = np.arange(self._batch_size)[index[1] if index else slice(None)]
                return leaf[:, np.searchsorted(self._columns, columns)]

            return jax.make_array_from_callback((len(leaf), self._batch_size, *leaf.shape[2:]), self._sharding, part)

        return jax.tree.map(whole, batch)


class ResidentBatches:
    """Batches of clips that are kept on the device, all of them on each: steps gather theirs.

    Attributes
    ----------
    capacity : largest number of steps in a chunk
    mesh : the devices that share each batch
    """

    def __init__(self, examples: Examples, *, batch_size: int, mesh: Mesh, loops: bool) -> None:
        self.mesh = mesh
        self._order_sharding, self._batch_sharding = (
            split_over_devices(mesh),
            NamedSharding(mesh, PartitionSpec(CLIP_AXIS)),
        )
        soft_targets = examples.soft_targets and examples.soft_targets.of(examples.rows)
        clips = put_on_device(examples.clips, examples.rows, replicated(mesh.local_mesh))
        self._clips = replicate(
            Batch(clips, Labels(*examples.labels), soft_targets, examples.peaks(examples.rows)), mesh
        )
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
            on_devices = jax.make_array_from_callback(padded.shape, self._order_sharding, padded.__getitem__)
            yield ChunkInput((self._clips, on_devices), count)
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
