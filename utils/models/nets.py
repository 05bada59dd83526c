"""Nets by name, as a graph and its pure state."""

from typing import NamedTuple

import jax
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray, UInt8

from config import Model
from utils.models.baseline import Baseline
from utils.models.layers import Picture
from utils.models.resnet import ResNet

NETS: dict[str, type[Baseline | ResNet]] = {"Baseline": Baseline, "ResNet": ResNet}
CHANNELS = 1


class Net(NamedTuple):
    """A net's variables: what is trained, and what is only kept (running means and variances)."""

    params: nnx.State
    rest: nnx.State


def build(settings: Model, *, classes: int, seed: int) -> tuple[nnx.GraphDef, Net]:
    """Build a net with first weights drawn from `seed`; its graph is what `apply` needs to run it."""
    model = NETS[settings.name](settings, channels=CHANNELS, classes=classes, rngs=nnx.Rngs(seed))
    graph, params, rest = nnx.split(model, nnx.Param, ...)  # type: ignore[misc]
    return graph, Net(params, rest)


def apply(
    graph: nnx.GraphDef, net: Net, pictures: Picture, *, train: bool = False, key: PRNGKeyArray | None = None
) -> tuple[Float[Array, "batch classes"], nnx.State]:
    """Return a net's logits for pictures with pixels from −1 to 1, and its statistics after them (changed only if `train`)."""
    model = nnx.merge(graph, net.params, net.rest, copy=True)
    logits = model(pictures, train=train, key=key)
    _, _, rest = nnx.split(model, nnx.Param, ...)  # type: ignore[misc]
    return logits, rest


def stretch(pictures: Float[Array, "batch height width"]) -> Picture:
    """Stretch each picture to the whole range from −1 to 1, and give it a channel; a picture of one grey becomes all −1.

    Source: BASELINE, Image pipeline. Unlike there, pictures whose minimum is 0 already are stretched, too: one rule for all.
    """
    low = pictures.min(axis=(1, 2), keepdims=True)
    high = pictures.max(axis=(1, 2), keepdims=True)
    unit = (pictures - low) / jax.numpy.maximum(high - low, 1e-6)
    return (2 * unit - 1)[..., None]


def from_pixels(pixels: UInt8[Array, "batch height width"]) -> Float[Array, "batch height width"]:
    """Turn grey levels into pixels from 0 to 1."""
    return pixels.astype(jax.numpy.float32) / 255


def parameters(net: Net) -> int:
    """Count the trainable parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(net.params))
