"""The layers of a network, with shapes, parameters and FLOPs, found without computing or storing any weight.

FLOPs are those of convolutions and dense layers for one clip, two per multiply-add, zeros at the borders included.
Biases, norms, nonlinearities, pooling and means are left out, as is usual. XLA's estimate, with all these but without
the zeros, is 1 to 5% lower for the three models' default settings.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from config import Model
from utils.models.networks import make_module

Outputs = dict[int, tuple[int, ...]]  # shapes for one clip


@dataclass(frozen=True)
class Layer:
    """One row of the table.

    Attributes
    ----------
    name : its path in the network, such as 'blocks/0/norm_in', the same as in snapshots
    kind : class of the layer, such as 'Conv'
    kernel : shape of its weights, inputs and outputs last; empty if it multiplies nothing
    output : shape of its output for one clip
    parameters : number of its trainable parameters
    flops : per clip
    whole : whether it is a layer of the network itself; the others are parts of such a layer, and counted there too
    """

    name: str
    kind: str
    kernel: tuple[int, ...]
    output: tuple[int, ...]
    parameters: int
    flops: int
    whole: bool


def layers(settings: Model, *, classes: int, shape: tuple[int, int]) -> list[Layer]:
    """List a network's layers in the order of computing: each block, and after it its layers, theirs, and so on.

    Parameters
    ----------
    shape : height and width of its spectrograms, pixels
    """
    found: list[Layer] = []

    def trace(images: jax.Array) -> None:
        network = make_module(settings, classes=classes, shape=shape, seed=0)
        with _recorded_outputs(network) as outputs:
            network(images)
        for name, part in _parts(network):
            found.extend(_rows(name, part, outputs, whole=True))

    jax.eval_shape(trace, jax.ShapeDtypeStruct((1, *shape), jnp.float32))
    return found


def totals(rows: list[Layer]) -> tuple[int, int]:
    """Return the number of parameters, and the FLOPs per clip."""
    whole = [row for row in rows if row.whole]
    return sum(row.parameters for row in whole), sum(row.flops for row in whole)


def flops(settings: Model, *, classes: int, shape: tuple[int, int]) -> int:
    """Count the FLOPs that a network needs for one clip; parameters are the same as of `layers`."""
    return totals(layers(settings, classes=classes, shape=shape))[1]


@contextmanager
def _recorded_outputs(network: nnx.Module) -> Iterator[Outputs]:
    """Yield a table that gets the shape of the output of every module that is called, by the module's id.

    Flax's `capture` misses modules whose class inherits `__call__`.
    """
    outputs: Outputs = {}
    kinds: set[Any] = {
        kind
        for kind in {type(module) for _, module in nnx.iter_modules(network)}
        if any("__call__" in vars(parent) for parent in kind.__mro__)
    }
    defined = {kind: vars(kind).get("__call__") for kind in kinds}

    def recording(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(module: nnx.Module, *arguments: Any, **options: Any) -> Any:
            output = call(module, *arguments, **options)
            outputs[id(module)] = output.shape[1:]
            return output

        return wrapper

    try:
        # all are looked up before the first changes: one may inherit from another
        for kind, call in [(kind, kind.__call__) for kind in kinds]:
            kind.__call__ = recording(call)
        yield outputs
    finally:
        for kind, call in defined.items():
            if call is None:
                del kind.__call__
            else:
                kind.__call__ = call


def _parts(network: nnx.Module) -> Iterator[tuple[str, nnx.Module]]:
    """Yield the parts of a module that have parameters, those of lists and dicts one by one, in order of computing."""
    entries = enumerate(network) if isinstance(network, nnx.List) else vars(network).items()
    for name, part in entries:
        if isinstance(part, nnx.List | nnx.Dict):
            for inner, entry in _parts(part):
                yield f"{name}/{inner}", entry
        elif isinstance(part, nnx.Module) and _parameters(part):
            yield str(name), part


def _parameters(part: nnx.Module) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(part, nnx.Param)))


def _rows(name: str, part: nnx.Module, outputs: Outputs, *, whole: bool) -> list[Layer]:
    """Return the row of a layer, then those of its parts."""
    below = [_rows(f"{name}/{key}", inner, outputs, whole=False) for key, inner in _parts(part)]
    output = outputs[id(part)]
    kernel = tuple(part.kernel.shape) if hasattr(part, "kernel") else ()
    # each value of the output is a sum over all but the last of the kernel's dimensions
    flops = 2 * prod(output) * prod(kernel[:-1]) if kernel else 0
    flops += sum(rows[0].flops for rows in below)
    row = Layer(name, type(part).__name__, kernel, output, _parameters(part), flops, whole)
    # the parts of a norm that is a part itself are of no interest
    return [row, *(inner for rows in below for inner in rows)] if whole or flops else [row]
