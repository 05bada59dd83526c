"""What all models have in common: images of spectrograms in; features, and from them embedding and logits, out."""

from abc import abstractmethod

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from config import Model
from utils.models.architectures.layers import FeatureMaps, dense
from utils.models.input_scaling import EmbeddingScaling, Images, InputScaling

LEAST_SQUARE = 1e-12  # squared length of an embedding that can still be scaled to length 1


class Classifier(nnx.Module):
    """A network that ends in one dense layer, whose input is the embedding.

    The embedding is the features, or what `model.embedding` and `model.distance` make of them. Subclasses make
    their layers, then call this constructor, and implement `features`.

    Parameters
    ----------
    features, classes : number of features, and of outputs of the last layer
    shape : height and width of the spectrograms, pixels; see `Config.input_shape`
    dtype : what all but the last layer computes in, float32 or bfloat16
    """

    def __init__(
        self,
        settings: Model,
        *,
        features: int,
        classes: int,
        shape: tuple[int, int],
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ) -> None:
        self.scaling = self.make_scaling(settings, shape)
        self.dtype = jnp.dtype(dtype)
        self.embedding = nnx.data(dense(features, settings.embedding, rngs=rngs) if settings.embedding else None)
        self.unit_length = settings.distance == "cosine"
        self.output = dense(settings.embedding or features, classes, rngs=rngs)

    @classmethod
    def stage_of(cls, path: tuple[str | int, ...]) -> int | None:
        """Return the number of the stage, from 1, that a parameter belongs to by its path; 0: it is before the stages.

        None: it is after them, or there are none.
        """
        del path
        return None

    def make_scaling(self, settings: Model, shape: tuple[int, int]) -> InputScaling | EmbeddingScaling:
        """Return what scales its input."""
        return InputScaling(settings, height=shape[0])

    @abstractmethod
    def features(self, x: FeatureMaps, *, train: bool, key: PRNGKeyArray | None) -> Float[Array, "batch features"]:
        """Return the features of scaled spectrograms, which have the network's channels and dtype."""

    def embed(
        self, images: Images, *, train: bool = False, key: PRNGKeyArray | None = None
    ) -> Float[Array, "batch embedding"]:
        """Return the input of the last layer, float32, for images from 0 to 1."""
        x = self.features(self.scaling(images).astype(self.dtype), train=train, key=key).astype(jnp.float32)
        if self.embedding is not None:
            x = self.embedding(x)
        return to_unit_length(x) if self.unit_length else x

    def __call__(
        self, images: Images, *, train: bool = False, key: PRNGKeyArray | None = None
    ) -> Float[Array, "batch classes"]:
        """Return logits, float32, for images from 0 to 1."""
        return self.output(self.embed(images, train=train, key=key))


def to_unit_length(embeddings: Float[Array, "batch embedding"]) -> Float[Array, "batch embedding"]:
    """Return embeddings scaled to length 1."""
    squares = (embeddings**2).sum(axis=1, keepdims=True)
    return embeddings * jax.lax.rsqrt(jnp.maximum(squares, LEAST_SQUARE))
