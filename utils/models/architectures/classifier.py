"""What all models have in common: images of spectrograms in; features, and from them embedding and logits, out."""

from abc import abstractmethod
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from config import Model
from utils.models.architectures.global_pooling import GlobalPool
from utils.models.architectures.layers import FeatureMaps, dense
from utils.models.input_scaling import EmbeddingScaling, Images, InputScaling

LEAST_SQUARE = 1e-12  # squared length of an embedding that can still be scaled to length 1
FeatureVectors = Float[Array, "batch *frames features"]  # one of each clip; with model.pool = attention of each frame


class NetworkOutput(NamedTuple):
    """What a network makes of clips, float32.

    Attributes
    ----------
    embeddings : with `model.pool = attention`, the means of those of all frames
    frames : logits of each frame; None without `model.pool = attention`
    """

    logits: Float[Array, "batch classes"]
    embeddings: Float[Array, "batch embedding"]
    frames: Float[Array, "batch frames classes"] | None = None


class Classifier(nnx.Module):
    """A network that ends in one dense layer, whose input is the embedding.

    The embedding is the features, or what `model.embedding` and `model.distance` make of them. Subclasses make
    their layers, then call this constructor, and implement `features`, with `pool` between feature maps and features.

    With `model.pool = attention`, features are those of frames, parts of a clip along time. The dense layer gives each
    frame its logits; a clip has their means, weighted in each class by a second dense layer: the softmax over time of
    its tanh. Source: Kong et al., arXiv:1912.10211, who weight scores; means of logits suit softmax and sigmoid alike.

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
        self.pool = GlobalPool(settings)
        self.output = dense(settings.embedding or features, classes, rngs=rngs)
        # made last: so all other initial weights are those of a model without it
        attention = dense(settings.embedding or features, classes, rngs=rngs) if self.pool.by_frame else None
        self.frame_attention = nnx.data(attention)

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
    def features(self, x: FeatureMaps, *, train: bool, key: PRNGKeyArray | None) -> FeatureVectors:
        """Return the features of scaled spectrograms, which have the network's channels and dtype."""

    def before_output(self, images: Images, *, train: bool = False, key: PRNGKeyArray | None = None) -> FeatureVectors:
        """Return the input of the last layer, float32, of each clip or frame, for images from 0 to 1."""
        x = self.features(self.scaling(images).astype(self.dtype), train=train, key=key).astype(jnp.float32)
        if self.embedding is not None:
            x = self.embedding(x)
        return to_unit_length(x) if self.unit_length else x

    def of_clips(self, x: FeatureVectors) -> Float[Array, "batch embedding"]:
        """Return the embedding of each clip from the input of the last layer."""
        if not self.pool.by_frame:
            return x
        return to_unit_length(x.mean(axis=1)) if self.unit_length else x.mean(axis=1)

    def classify(self, x: FeatureVectors) -> NetworkOutput:
        """Return what the network makes of clips from the input of its last layer."""
        logits, embeddings = self.output(x), self.of_clips(x)
        if self.frame_attention is None:
            return NetworkOutput(logits, embeddings)
        weights = jax.nn.softmax(jnp.tanh(self.frame_attention(x)), axis=1)
        return NetworkOutput((weights * logits).sum(axis=1), embeddings, frames=logits)

    def embed(
        self, images: Images, *, train: bool = False, key: PRNGKeyArray | None = None
    ) -> Float[Array, "batch embedding"]:
        """Return the embeddings of clips, float32, for images from 0 to 1."""
        return self.of_clips(self.before_output(images, train=train, key=key))

    def __call__(
        self, images: Images, *, train: bool = False, key: PRNGKeyArray | None = None
    ) -> Float[Array, "batch classes"]:
        """Return logits, float32, for images from 0 to 1."""
        return self.classify(self.before_output(images, train=train, key=key)).logits


def to_unit_length(embeddings: FeatureVectors) -> FeatureVectors:
    """Return embeddings scaled to length 1."""
    squares = (embeddings**2).sum(axis=-1, keepdims=True)
    return embeddings * jax.lax.rsqrt(jnp.maximum(squares, LEAST_SQUARE))
