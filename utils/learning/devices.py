"""The devices that training runs on: how many, in which precision, and what fits into their memory."""

import os
from collections.abc import Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Int

from config import Training
from utils.console import UserError, warning
from utils.learning.host_messages import values_of_all
from utils.learning.hosts import host_count

DETERMINISTIC = "--xla_gpu_deterministic_ops=true"
SHARE_FOR_CLIPS = 0.6  # of an accelerator's memory, at most; the rest is for the network
CLIP_AXIS = "clips"  # axis of the mesh: every device takes a part of the batch

ArrayTree = TypeVar("ArrayTree")


def request_determinism(settings: Training) -> None:
    """Ask XLA for deterministic operations if `training.deterministic` is set.

    This must come before JAX is first used, when XLA reads its flags.
    """
    if settings.deterministic and DETERMINISTIC not in os.environ.get("XLA_FLAGS", ""):
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {DETERMINISTIC}".strip()


def on_accelerator() -> bool:
    """Tell whether JAX found more than a CPU."""
    return jax.default_backend() != "cpu"


def compute_dtype(settings: Training) -> jnp.dtype:
    """Return the dtype of computations by `training.precision`; `auto` is bfloat16 on accelerators."""
    name = settings.precision if settings.precision != "auto" else "bfloat16" if on_accelerator() else "float32"
    return jnp.dtype(name)


def device_mesh(batch_size: int) -> Mesh:
    """Return the devices that share each batch: all of them, or as many as divide its clips evenly.

    Raises
    ------
    UserError
        If the devices of several hosts do not: all of them have to take part.
    """
    devices = jax.devices()
    if host_count() > 1 and batch_size % len(devices):
        raise UserError(
            f"training.batch_size = {batch_size} cannot be divided among the {len(devices)} devices of all hosts; set "
            f"it to a multiple of {len(devices)}"
        )
    count = max(used for used in range(1, len(devices) + 1) if batch_size % used == 0)
    if count < len(devices):
        warning(
            f"training.batch_size = {batch_size} uses {count} of {len(devices)} devices; a multiple of {len(devices)} "
            "would use all"
        )
    return jax.make_mesh((count,), (CLIP_AXIS,), axis_types=(AxisType.Auto,), devices=devices[:count])


def replicated(mesh: Mesh) -> NamedSharding:
    """Return the sharding of arrays that each device holds as a whole."""
    return NamedSharding(mesh, PartitionSpec())


def split_over_devices(mesh: Mesh) -> NamedSharding:
    """Return the sharding of arrays (steps, batch, …), whose batch is divided among the devices."""
    return NamedSharding(mesh, PartitionSpec(None, CLIP_AXIS))


def replicate(arrays: ArrayTree, mesh: Mesh) -> ArrayTree:
    """Copy a tree of arrays to each device; all hosts have the same tree."""
    here = jax.device_put(arrays, replicated(mesh.local_mesh))
    return jax.tree.map(lambda leaf: _with_sharding(leaf, mesh), here) if mesh.is_multi_process else here


def replicate_from_host_0(arrays: ArrayTree, mesh: Mesh) -> ArrayTree:
    """Copy host 0's arrays to each device of all hosts, whose trees have the same shapes."""
    if not mesh.is_multi_process:
        return replicate(arrays, mesh)
    source = [device.process_index for device in mesh.devices.flat].index(0)

    def by_device(leaf: jax.Array) -> jax.Array:
        """Stack the leaf of one device of host 0, and zeros of all others."""
        values = np.asarray(leaf)[None]

        def part(index: tuple[slice, ...] | None) -> np.ndarray:
            return values if index and index[0].start == source else np.zeros_like(values)

        stacked = (mesh.devices.size, *leaf.shape)
        return jax.make_array_from_callback(stacked, NamedSharding(mesh, PartitionSpec(CLIP_AXIS)), part)

    parts = jax.tree.map(by_device, arrays)
    total = jax.jit(
        lambda tree: jax.tree.map(lambda leaf: leaf.sum(axis=0, dtype=leaf.dtype), tree), out_shardings=replicated(mesh)
    )
    compiled = total.lower(parts).compile()
    values_of_all(None)  # Gloo connects in the first collective, and gives up if a host is half a minute late
    return compiled(parts)


def as_local_arrays(arrays: ArrayTree) -> ArrayTree:
    """Return replicated arrays as arrays of this host's devices alone, so that it can compute with them by itself."""
    return jax.tree.map(
        lambda leaf: leaf if leaf.is_fully_addressable else _with_sharding(leaf, leaf.sharding.mesh.local_mesh), arrays
    )


def _with_sharding(leaf: jax.Array, mesh: Mesh) -> jax.Array:
    """Return an array, which each device of this host holds as a whole, as one that is replicated over a mesh."""
    parts = [shard.data for shard in leaf.addressable_shards]
    return jax.make_array_from_single_device_arrays(leaf.shape, replicated(mesh), parts)


def columns_of_this_host(batch_size: int, mesh: Mesh) -> Int[np.ndarray, " columns"]:
    """Return which clips of each batch this host's devices take, in ascending order."""
    parts = split_over_devices(mesh).addressable_devices_indices_map((1, batch_size)).values()
    return np.unique(np.concatenate([np.arange(batch_size)[index[1]] for index in parts if index]))


def device_memory() -> int | None:
    """Return the bytes that JAX may use of an accelerator's memory; None if they are not known."""
    stats = jax.local_devices()[0].memory_stats() or {}
    return stats.get("bytes_limit")


def clips_fit_on_device(size: int, settings: Training) -> bool:
    """Tell whether clips of so many bytes are kept on the device, by `training.clips_on`.

    Raises
    ------
    UserError
        If they should be, but are larger than its memory.
    """
    limit = device_memory()
    if settings.clips_on == "device" and limit and size > limit:
        raise UserError(
            f"training.clips_on = device: {size / 1e9:.1f} GB of clips are more than the device's "
            f"{limit / 1e9:.1f} GB; set it to host"
        )
    if settings.clips_on != "auto":
        return settings.clips_on == "device"
    return on_accelerator() and limit is not None and size <= SHARE_FOR_CLIPS * limit


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether XLA failed because memory did not suffice."""
    return "RESOURCE_EXHAUSTED" in str(error) or "out of memory" in str(error).lower()


def memory_needed(function: Any, shapes: Sequence[Any]) -> tuple[int, int] | None:
    """Return the bytes of a function's arguments and of its temporary arrays; None if XLA cannot compile it."""
    try:
        analysis = function.lower(*shapes).compile().memory_analysis()
    except jax.errors.JaxRuntimeError:
        return None
    return analysis.argument_size_in_bytes, analysis.temp_size_in_bytes


def fitting_batch_size(batch_size: int, *, memory: int | None, needed: tuple[int, int] | None) -> int:
    """Return the largest power of two that should fit as a batch size, if `batch_size` does not.

    Parameters
    ----------
    memory : bytes available
    needed : bytes that do not depend on the batch, and bytes that the batch needs; None: half the batch is the guess
    """
    fitting = batch_size // 2
    if memory and needed:
        fixed, growing = needed
        fitting = min(fitting, batch_size * max(memory - fixed, 0) // max(growing, 1))
    return 1 << max(fitting.bit_length() - 1, 0)
