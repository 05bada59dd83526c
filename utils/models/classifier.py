"""What all models have in common: spectrograms in; features, and from them logits, out."""

from abc import abstractmethod

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from config import Model
from utils.models.layers import FeatureMaps, dense


class Classifier(nnx.Module):
    """A network that ends in one dense layer.

    Subclasses make their layers, then call this constructor, and implement `features`.

    Parameters
    ----------
    features, classes : inputs and outputs of the last layer
    dtype : what all but the last layer computes in, float32 or bfloat16
    """

    def __init__(self, settings: Model, *, features: int, classes: int, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        self.channels = settings.channels
        self.dtype = jnp.dtype(dtype)
        self.output = dense(features, classes, rngs=rngs)

    @abstractmethod
    def features(self, x: FeatureMaps, *, train: bool, key: PRNGKeyArray | None) -> Float[Array, "batch features"]:
        """Return the features of spectrograms that have the network's channels and dtype."""

    def embed(
        self, spectrograms: FeatureMaps, *, train: bool = False, key: PRNGKeyArray | None = None
    ) -> Float[Array, "batch features"]:
        """Return the input of the last layer, float32; one channel is copied to all channels of the network."""
        x = jnp.broadcast_to(spectrograms.astype(self.dtype), (*spectrograms.shape[:-1], self.channels))
        return self.features(x, train=train, key=key).astype(jnp.float32)

    def __call__(
        self, spectrograms: FeatureMaps, *, train: bool = False, key: PRNGKeyArray | None = None
    ) -> Float[Array, "batch classes"]:
        """Return logits, float32."""
        return self.output(self.embed(spectrograms, train=train, key=key))
