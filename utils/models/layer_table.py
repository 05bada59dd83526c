"""The layers of a network, with shapes, parameters and FLOPs, found without computing or storing any weight.

FLOPs are those of convolutions and dense layers for one clip, two per multiply-add, zeros at the borders included.
Biases, norms, nonlinearities, pooling and means are left out, as is usual. XLA's estimate, with all these but without
the zeros, is 1 to 5% lower for the three models' default settings.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from config import Model
from utils.models.networks import make_module


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
    """List a network's layers in the order of computing: each block, and after it its layers.

    Parameters
    ----------
    shape : height and width of its spectrograms, pixels
    """
    found: list[Layer] = []

    def trace(spectrograms: jax.Array) -> None:
        network = make_module(settings, classes=classes, shape=shape, seed=0)
        _, captured = nnx.capture(network, nnx.Intermediate, method_outputs=nnx.Intermediate)(spectrograms)
        outputs = nnx.to_pure_dict(captured)
        for name, part in _parts(network):
            found.append(_layer_row(name, part, outputs, whole=True))
            if name.split("/")[-1].isdigit():
                found.extend(_layer_row(f"{name}/{key}", inner, outputs, whole=False) for key, inner in _parts(part))

    jax.eval_shape(trace, jax.ShapeDtypeStruct((1, *shape, settings.channels), jnp.float32))
    return found


def totals(rows: list[Layer]) -> tuple[int, int]:
    """Return the number of parameters, and the FLOPs per clip."""
    whole = [row for row in rows if row.whole]
    return sum(row.parameters for row in whole), sum(row.flops for row in whole)


def flops(settings: Model, *, classes: int, shape: tuple[int, int]) -> int:
    """Count the FLOPs that a network needs for one clip; parameters are the same as of `layers`."""
    return totals(layers(settings, classes=classes, shape=shape))[1]


def _parts(network: nnx.Module) -> Iterator[tuple[str, nnx.Module]]:
    """Yield the parts of a module that have parameters, those of lists one by one, in the order of computing."""
    for name, part in vars(network).items():
        if isinstance(part, nnx.List):
            yield from ((f"{name}/{index}", entry) for index, entry in enumerate(part))
        elif isinstance(part, nnx.Module) and _parameters(part):
            yield name, part


def _parameters(part: nnx.Module) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(part, nnx.Param)))


def _layer_row(name: str, part: nnx.Module, outputs: dict[Any, Any], *, whole: bool) -> Layer:
    captured = outputs
    for key in name.split("/"):
        captured = captured[int(key) if key.isdigit() else key]
    output = captured["__call__"][0].shape[1:]
    kernel = tuple(part.kernel.shape) if hasattr(part, "kernel") else ()
    # each value of the output is a sum over all but the last of the kernel's dimensions
    flops = 2 * prod(output) * prod(kernel[:-1]) if kernel else 0
    inner = sum(_layer_row(f"{name}/{key}", layer, outputs, whole=False).flops for key, layer in _parts(part))
    return Layer(name, type(part).__name__, kernel, output, _parameters(part), flops + inner, whole)
