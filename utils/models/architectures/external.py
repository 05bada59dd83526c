"""The head that learns on the embeddings of a bird model from a file, which is no part of it."""

from math import sqrt

import jax
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import PRNGKeyArray

from config import FILE_HEADS, Model
from utils.models.architectures.classifier import Classifier, FeatureVectors, to_unit_length
from utils.models.architectures.layers import Dropout, FeatureMaps, dense
from utils.models.input_scaling import EmbeddingScaling


class ExternalHead(Classifier):
    """Mean over windows, scaled to one length; dropout, and one dense layer; as `model.head` says with more before it.

    With `file` and `none`, the dense layer is that of the file, and nothing is scaled.
    """

    def __init__(
        self, settings: Model, *, classes: int, shape: tuple[int, int], dtype: DTypeLike, rngs: nnx.Rngs
    ) -> None:
        width = shape[1]
        self.scales = settings.head not in FILE_HEADS
        self.attention = nnx.data(dense(width, 1, rngs=rngs) if settings.head == "attention" else None)
        self.hidden = nnx.data(dense(width, settings.dense_units, rngs=rngs) if settings.head == "hidden" else None)
        self.dropout = Dropout(settings, flat=True)
        features = settings.dense_units if settings.head == "hidden" else width
        super().__init__(settings, features=features, classes=classes, shape=shape, dtype=dtype, rngs=rngs)

    def make_scaling(self, settings: Model, shape: tuple[int, int]) -> EmbeddingScaling:
        """Return what scales embeddings; see `Classifier`."""
        return EmbeddingScaling(shape[1])

    def features(self, x: FeatureMaps, *, train: bool, key: PRNGKeyArray | None) -> FeatureVectors:
        """Return the features of scaled embeddings (clips, windows, values, 1)."""
        windows = x[..., 0]
        if self.attention is None:
            found = windows.mean(axis=1)
        else:
            found = (jax.nn.softmax(self.attention(windows), axis=1) * windows).sum(axis=1)
        if self.scales:  # values of about 1: all clips have the same length, however loud they are
            found = to_unit_length(found) * sqrt(found.shape[1])
        if self.hidden is not None:
            found = jax.nn.relu(self.hidden(found))
        return self.dropout(found, train=train, key=key)
