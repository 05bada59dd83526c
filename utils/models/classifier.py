"""What all nets have in common: pictures go in, in channels and a dtype; the features found in them, and from these logits, come out."""

from abc import abstractmethod

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from config import Model
from utils.models.layers import Picture, dense


class Classifier(nnx.Module):
    """A net that ends in one dense layer; subclasses make their own layers, then call this constructor, and say what the features are.

    Parameters
    ----------
    features, classes : how many the last layer sees and answers
    dtype : what all but the last layer computes in, float32 or bfloat16
    """

    def __init__(self, settings: Model, *, features: int, classes: int, dtype: DTypeLike, rngs: nnx.Rngs) -> None:
        self.channels = settings.channels
        self.dtype = jnp.dtype(dtype)
        self.output = dense(features, classes, rngs=rngs)

    @abstractmethod
    def features(self, x: Picture, *, train: bool, key: PRNGKeyArray | None) -> Float[Array, "batch features"]:
        """Return what is found in pictures that have the net's channels and dtype."""

    def embed(
        self, pictures: Picture, *, train: bool = False, key: PRNGKeyArray | None = None
    ) -> Float[Array, "batch features"]:
        """Return what the last layer sees, float32; pictures of one channel are copied to all that the net takes."""
        x = jnp.broadcast_to(pictures.astype(self.dtype), (*pictures.shape[:-1], self.channels))
        return self.features(x, train=train, key=key).astype(jnp.float32)

    def __call__(
        self, pictures: Picture, *, train: bool = False, key: PRNGKeyArray | None = None
    ) -> Float[Array, "batch classes"]:
        """Return logits, float32."""
        return self.output(self.embed(pictures, train=train, key=key))
