"""What a net is made of: its layers with their outputs' shapes, parameters and FLOPs, found without computing or keeping a single weight.

FLOPs are those of convolutions and dense layers for one clip, two for each multiply-add, zeros at the borders included.
Biases, norms, nonlinearities, maxima and means are left out, as is usual. XLA's own estimate, with all these but
without the zeros, is 1 to 5% lower for the three nets' default settings.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from config import Model
from utils.models.networks import module


@dataclass(frozen=True)
class Layer:
    """One row of the table.

    Attributes
    ----------
    name : its way in the net, such as 'blocks/0/norm_in', as weights are named in snapshots
    kind : class of the layer, such as 'Conv'
    kernel : shape of its weights, inputs and outputs last; none where it multiplies nothing
    output : shape of its output for one clip
    parameters : numbers in it that are learned
    flops : per clip
    whole : whether it is a layer of the net itself; the others are parts of such a one, and counted there, too
    """

    name: str
    kind: str
    kernel: tuple[int, ...]
    output: tuple[int, ...]
    parameters: int
    flops: int
    whole: bool


def layers(settings: Model, *, classes: int, shape: tuple[int, int]) -> list[Layer]:
    """List a net's layers in the order of computing: each group or block, after it the layers that it is made of.

    Parameters
    ----------
    shape : height and width of its pictures, pixels
    """
    found: list[Layer] = []

    def trace(picture: jax.Array) -> None:
        net = module(settings, classes=classes, shape=shape, seed=0)
        _, captured = nnx.capture(net, nnx.Intermediate, method_outputs=nnx.Intermediate)(picture)
        outputs = nnx.to_pure_dict(captured)
        for name, part in _parts(net):
            found.append(_layer(name, part, outputs, whole=True))
            if name.split("/")[-1].isdigit():
                found.extend(_layer(f"{name}/{key}", inner, outputs, whole=False) for key, inner in _parts(part))

    jax.eval_shape(trace, jax.ShapeDtypeStruct((1, *shape, settings.channels), jnp.float32))
    return found


def totals(rows: list[Layer]) -> tuple[int, int]:
    """Return all parameters, and all FLOPs per clip."""
    whole = [row for row in rows if row.whole]
    return sum(row.parameters for row in whole), sum(row.flops for row in whole)


def flops(settings: Model, *, classes: int, shape: tuple[int, int]) -> int:
    """Count the FLOPs by which a net answers one clip; parameters as of `layers`."""
    return totals(layers(settings, classes=classes, shape=shape))[1]


def _parts(net: nnx.Module) -> Iterator[tuple[str, nnx.Module]]:
    """Yield the modules in a module that learn, those of lists one by one, as they were made, which is the order of computing."""
    for name, part in vars(net).items():
        if isinstance(part, nnx.List):
            yield from ((f"{name}/{number}", entry) for number, entry in enumerate(part))
        elif isinstance(part, nnx.Module) and _parameters(part):
            yield name, part


def _parameters(part: nnx.Module) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(part, nnx.Param)))


def _layer(name: str, part: nnx.Module, outputs: dict[Any, Any], *, whole: bool) -> Layer:
    mine = outputs
    for key in name.split("/"):
        mine = mine[int(key) if key.isdigit() else key]
    output = mine["__call__"][0].shape[1:]
    kernel = tuple(part.kernel.shape) if hasattr(part, "kernel") else ()
    # each value of the output is a sum over all but the last of the kernel's dimensions
    own = 2 * prod(output) * prod(kernel[:-1]) if kernel else 0
    inner = sum(_layer(f"{name}/{key}", layer, outputs, whole=False).flops for key, layer in _parts(part))
    return Layer(name, type(part).__name__, kernel, output, _parameters(part), own + inner, whole)
