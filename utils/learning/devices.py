"""The devices that training runs on: how many, in which precision, and what fits into their memory."""

import os
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from config import Training
from utils.console import UserError, warning

DETERMINISTIC = "--xla_gpu_deterministic_ops=true"
SHARE_FOR_CLIPS = 0.6  # of an accelerator's memory, at most; the rest is for the network
CLIP_AXIS = "clips"  # axis of the mesh: every device takes a part of the batch


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
    """Return the devices that share each batch: all local ones, or as many as divide its clips evenly."""
    devices = jax.local_devices()
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
