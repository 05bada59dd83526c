"""What training runs on: which devices, in which arithmetic, and what their memory holds."""

import os
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from config import Training
from utils.console import UserError, warn

DETERMINISTIC = "--xla_gpu_deterministic_ops=true"
SHARE_FOR_CLIPS = 0.6  # of an accelerator's memory, at most; the rest is for the net
CLIPS = "clips"  # the axis of the mesh: every device takes a part of the batch


def ask_for_same_bits(settings: Training) -> None:
    """Ask XLA for operations that give the same bits each time, where `training.deterministic`; it listens until JAX is first used."""
    if settings.deterministic and DETERMINISTIC not in os.environ.get("XLA_FLAGS", ""):
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {DETERMINISTIC}".strip()


def on_accelerator() -> bool:
    """Tell whether JAX found more than a CPU."""
    return jax.default_backend() != "cpu"


def arithmetic(settings: Training) -> jnp.dtype:
    """Return what the net computes in: bfloat16 on accelerators, unless `training.precision` says otherwise."""
    name = settings.precision if settings.precision != "auto" else "bfloat16" if on_accelerator() else "float32"
    return jnp.dtype(name)


def mesh_for(batch_size: int) -> Mesh:
    """Return the devices that share each batch: all local ones, or so many that its clips divide evenly among them."""
    devices = jax.local_devices()
    count = max(number for number in range(1, len(devices) + 1) if batch_size % number == 0)
    if count < len(devices):
        warn(
            f"training.batch_size = {batch_size} occupies {count} of {len(devices)} devices; a multiple of {len(devices)} would occupy all"
        )
    return jax.make_mesh((count,), (CLIPS,), axis_types=(AxisType.Auto,), devices=devices[:count])


def everywhere(mesh: Mesh) -> NamedSharding:
    """Say that each device holds the whole of an array."""
    return NamedSharding(mesh, PartitionSpec())


def divided(mesh: Mesh) -> NamedSharding:
    """Say that the devices divide an array's second axis among them: the batch, behind the steps."""
    return NamedSharding(mesh, PartitionSpec(None, CLIPS))


def memory() -> int | None:
    """Return the bytes that JAX may use of an accelerator's memory; None where nobody says."""
    stats = jax.local_devices()[0].memory_stats() or {}
    return stats.get("bytes_limit")


def clips_fit(size: int, settings: Training) -> bool:
    """Tell whether pictures of so many bytes wait on the device, by `training.clips_on`.

    Raises
    ------
    UserError
        If they should, but are larger than its memory.
    """
    limit = memory()
    if settings.clips_on == "device" and limit and size > limit:
        raise UserError(
            f"training.clips_on = device: {size / 1e9:.1f} GB of pictures are more than the device's {limit / 1e9:.1f} GB; set it to host"
        )
    if settings.clips_on != "auto":
        return settings.clips_on == "device"
    return on_accelerator() and limit is not None and size <= SHARE_FOR_CLIPS * limit


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether XLA failed for want of memory."""
    return "RESOURCE_EXHAUSTED" in str(error) or "out of memory" in str(error).lower()


def memory_needed(function: Any, shapes: Sequence[Any]) -> tuple[int, int] | None:
    """Return the bytes of a compiled function's arguments, and those of what lies between them and its results; None where XLA cannot even compile it."""
    try:
        analysis = function.lower(*shapes).compile().memory_analysis()
    except jax.errors.JaxRuntimeError:
        return None
    return analysis.argument_size_in_bytes, analysis.temp_size_in_bytes


def batch_that_fits(batch_size: int, *, memory: int | None, needed: tuple[int, int] | None) -> int:
    """Return the largest batch size, a power of two, that should fit into the memory that `batch_size` does not fit into.

    Parameters
    ----------
    memory : bytes that there are
    needed : bytes that do not depend on the batch, and bytes that it needs; where one does not know, half the batch is
        the guess
    """
    fitting = batch_size // 2
    if memory and needed:
        fixed, growing = needed
        fitting = min(fitting, batch_size * max(memory - fixed, 0) // max(growing, 1))
    return 1 << max(fitting.bit_length() - 1, 0)
