"""Nets by name, as a graph and its pure state."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray, UInt8

from config import Model
from utils.models.baseline import Baseline
from utils.models.classifier import Classifier
from utils.models.layers import Picture
from utils.models.pi import Pi
from utils.models.resnet import ResNet

NETWORKS: dict[str, type[Baseline | ResNet | Pi]] = {"Baseline": Baseline, "ResNet": ResNet, "Pi": Pi}


class Network(NamedTuple):
    """A net's variables: what is trained, and what is only kept (running means and variances)."""

    params: nnx.State
    rest: nnx.State


def module(
    settings: Model, *, classes: int, shape: tuple[int, int], seed: int, dtype: DTypeLike = jnp.float32
) -> Classifier:
    """Make a net's Flax module; parameters as of `build`."""
    return NETWORKS[settings.name](settings, classes=classes, shape=shape, dtype=dtype, rngs=nnx.Rngs(seed))


def build(
    settings: Model, *, classes: int, shape: tuple[int, int], seed: int, dtype: DTypeLike = jnp.float32
) -> tuple[nnx.GraphDef, Network]:
    """Build a net; its graph is what `apply` needs to run it.

    Parameters
    ----------
    classes : how many it answers
    shape : height and width of its pictures, pixels; a Pi takes no others
    seed : draws the first weights
    dtype : what it computes in, float32 or bfloat16; its variables, embeddings and logits are float32 always
    """
    return _split(module(settings, classes=classes, shape=shape, seed=seed, dtype=dtype))


def outline(
    settings: Model, *, classes: int, shape: tuple[int, int], dtype: DTypeLike = jnp.float32
) -> tuple[nnx.GraphDef, Network]:
    """Return what `build` does with shapes in place of numbers: for a net whose weights are on disk, for drawing first ones takes seconds."""
    return _split(nnx.eval_shape(lambda: module(settings, classes=classes, shape=shape, seed=0, dtype=dtype)))


def _split(model: Classifier) -> tuple[nnx.GraphDef, Network]:
    graph, params, rest = nnx.split(model, nnx.Param, ...)  # type: ignore[misc]
    return graph, Network(params, rest)


def apply(
    graph: nnx.GraphDef, net: Network, pictures: Picture, *, train: bool = False, key: PRNGKeyArray | None = None
) -> tuple[Float[Array, "batch classes"], nnx.State]:
    """Return a net's logits for pictures with pixels from −1 to 1, and its statistics after them (changed only if `train`)."""
    model = _merged(graph, net)
    logits = model(pictures, train=train, key=key)
    return logits, _rest_of(model)


def embed(
    graph: nnx.GraphDef, net: Network, pictures: Picture, *, train: bool = False, key: PRNGKeyArray | None = None
) -> tuple[Float[Array, "batch features"], nnx.State]:
    """Return what a net's last layer sees of pictures, and its statistics; all as of `apply`."""
    model = _merged(graph, net)
    embeddings = model.embed(pictures, train=train, key=key)
    return embeddings, _rest_of(model)


def _merged(graph: nnx.GraphDef, net: Network) -> Classifier:
    return nnx.merge(graph, net.params, net.rest, copy=True)


def _rest_of(model: Classifier) -> nnx.State:
    return _split(model)[1].rest


def stretch(pictures: Float[Array, "batch height width"]) -> Picture:
    """Stretch each picture to the whole range from −1 to 1, and give it a channel; a picture of one grey becomes all −1.

    Source: BASELINE, Image pipeline. Unlike there, pictures whose minimum is 0 already are stretched, too: one rule for
    all.
    """
    low = pictures.min(axis=(1, 2), keepdims=True)
    high = pictures.max(axis=(1, 2), keepdims=True)
    # compiled and fused, x − x need not be 0: divided by 1e-6, that was up to 0.1
    spread = jnp.where(high > low, jnp.maximum(high - low, 1e-6), jnp.inf)
    unit = (pictures - low) / spread
    return (2 * unit - 1)[..., None]


def from_pixels(pixels: UInt8[Array, "batch height width"]) -> Float[Array, "batch height width"]:
    """Turn grey levels into pixels from 0 to 1."""
    return pixels.astype(jnp.float32) / 255


def parameters(net: Network) -> int:
    """Count the trainable parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(net.params))
