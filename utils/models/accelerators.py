"""Whether models run on a CPU, which is known without JAX where no accelerator is installed for it."""

import os
import sys
from importlib.metadata import entry_points
from importlib.util import find_spec


def computes_on_cpu() -> bool:
    """Tell whether JAX computes on the CPU; it is imported for that only if it has plugins for accelerators."""
    if "jax" not in sys.modules and (os.environ.get("JAX_PLATFORMS", "").strip() == "cpu" or not _has_plugins()):
        return True
    import jax

    return jax.default_backend() == "cpu"


def _has_plugins() -> bool:
    """Tell whether JAX would find a plugin: in the package `jax_plugins`, as an entry point, or the library of TPUs."""
    return any(find_spec(name) for name in ("jax_plugins", "libtpu")) or bool(entry_points(group="jax_plugins"))
