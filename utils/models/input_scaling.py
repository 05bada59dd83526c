"""What a model sees: images with values from 0 to 1, scaled by `model.normalize`; a part of the network.

The mean and standard deviation travel with the weights: in snapshots, teachers and ONNX files.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Float16, Float32, UInt8

from config import Model

Images = Float[Array, "batch height width"]


class InputStatistic(nnx.Variable):
    """A mean or a standard deviation of images; training does not change it."""


class Statistics(NamedTuple):
    """Mean and standard deviation of values from 0 to 1: one number, or one of each row or channel."""

    mean: Float32[np.ndarray, "..."]
    deviation: Float32[np.ndarray, "..."]


class InputScaling(nnx.Module):
    """Scales images by `model.normalize`, and gives them a channel axis.

    With `spectrogram`, it has no variables. Otherwise mean and deviation are 0 and 1 until `with_statistics` sets them.

    Parameters
    ----------
    height : of the images, pixels
    """

    def __init__(self, settings: Model, *, height: int) -> None:
        shapes = {"dataset": (), "bands": (height,), "weights": (settings.channels,)}
        self.channels = settings.channels
        self.kind = settings.normalize
        shape = shapes.get(settings.normalize)
        self.mean = nnx.data(None if shape is None else InputStatistic(jnp.zeros(shape)))
        self.deviation = nnx.data(None if shape is None else InputStatistic(jnp.ones(shape)))

    def __call__(self, images: Images) -> Float[Array, "batch height width channels"]:
        """Return the network's input, float32."""
        shape = (*images.shape, self.channels)
        if self.mean is None or self.deviation is None:
            return jnp.broadcast_to(stretch(images), shape)
        # of each row: (height, 1, 1); of each channel: (channels,)
        axes = (..., None, None) if self.kind == "bands" else ...
        mean, deviation = self.mean[...][axes], self.deviation[...][axes]
        return jnp.broadcast_to((images[..., None] - mean) / deviation, shape)


class EmbeddingScaling(nnx.Module):
    """Scales each value of embeddings by its mean and deviation over the training clips, and adds a channel axis."""

    def __init__(self, width: int) -> None:
        self.mean, self.deviation = InputStatistic(jnp.zeros(width)), InputStatistic(jnp.ones(width))

    def __call__(self, images: Images) -> Float[Array, "batch height width 1"]:
        """Return embeddings (clips, windows, values) as the head takes them."""
        return ((images - self.mean[...]) / self.deviation[...])[..., None]


def stretch(images: Images) -> Float[Array, "batch height width 1"]:
    """Rescale each spectrogram to the range from −1 to 1, and add a channel axis; a constant one becomes all −1.

    Source: docs/baseline.md (Image pipeline). Unlike there, spectrograms whose minimum is 0 already are rescaled too:
    one rule for all.
    """
    low = images.min(axis=(1, 2), keepdims=True)
    high = images.max(axis=(1, 2), keepdims=True)
    # compiled and fused, x − x need not be 0: divided by 1e-6, that was up to 0.1
    spread = jnp.where(high > low, jnp.maximum(high - low, 1e-6), jnp.inf)
    unit = (images - low) / spread
    return (2 * unit - 1)[..., None]


def from_pixels(pixels: UInt8[Array, "batch height width"] | Float16[Array, "batch windows values"]) -> Images:
    """Turn grey levels into values from 0 to 1; embeddings stay as they are."""
    images = pixels.astype(jnp.float32)
    return images / 255 if pixels.dtype == jnp.uint8 else images


def with_statistics(rest: nnx.State, statistics: Statistics) -> nnx.State:
    """Return the variables of a network with this mean and deviation of its images."""
    values = {"mean": statistics.mean, "deviation": statistics.deviation}

    def replaced(path: tuple[object, ...], leaf: jax.Array) -> jax.Array:
        names = [str(getattr(part, "key", getattr(part, "name", part))) for part in path]
        return jnp.asarray(values[names[1]]) if names[0] == "scaling" else leaf

    return jax.tree_util.tree_map_with_path(replaced, rest)
