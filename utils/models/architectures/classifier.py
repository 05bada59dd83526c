"""What all models have in common: images of spectrograms in; features, and from them logits, out."""

from abc import abstractmethod

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from config import Model
from utils.models.architectures.layers import FeatureMaps, dense
from utils.models.input_scaling import Images, InputScaling


class Classifier(nnx.Module):
    """A network that ends in one dense layer.

    Subclasses make their layers, then call this constructor, and implement `features`.

    Parameters
    ----------
    features, classes : inputs and outputs of the last layer
    height : of the spectrograms, pixels
    dtype : what all but the last layer computes in, float32 or bfloat16
    """

    def __init__(
        self, settings: Model, *, features: int, classes: int, height: int, dtype: DTypeLike, rngs: nnx.Rngs
    ) -> None:
        self.scaling = InputScaling(settings, height=height)
        self.dtype = jnp.dtype(dtype)
        self.output = dense(features, classes, rngs=rngs)

    @abstractmethod
    def features(self, x: FeatureMaps, *, train: bool, key: PRNGKeyArray | None) -> Float[Array, "batch features"]:
        """Return the features of scaled spectrograms, which have the network's channels and dtype."""

    def embed(
        self, images: Images, *, train: bool = False, key: PRNGKeyArray | None = None
    ) -> Float[Array, "batch features"]:
        """Return the input of the last layer, float32, for images from 0 to 1."""
        return self.features(self.scaling(images).astype(self.dtype), train=train, key=key).astype(jnp.float32)

    def __call__(
        self, images: Images, *, train: bool = False, key: PRNGKeyArray | None = None
    ) -> Float[Array, "batch classes"]:
        """Return logits, float32, for images from 0 to 1."""
        return self.output(self.embed(images, train=train, key=key))
