"""The model for a Raspberry Pi: strided convolutions, then two dense layers (docs/baseline.md, Networks)."""

from dataclasses import replace

from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import PRNGKeyArray

from config import Model
from utils.models.architectures.baseline import ConvolutionBlock
from utils.models.architectures.classifier import Classifier, FeatureVectors
from utils.models.architectures.layers import NONLINEARITIES, Dropout, FeatureMaps, dense, split_key

DENSE = 2  # dense layers before the last one


class Pi(Classifier):
    """The Baseline's blocks without dropout, then dense layer, nonlinearity, dropout, twice, and the last layer.

    The first dense layer has weights for every position of the blocks' output, so the network takes spectrograms of one
    shape only.
    """

    def __init__(
        self, settings: Model, *, classes: int, shape: tuple[int, int], dtype: DTypeLike, rngs: nnx.Rngs
    ) -> None:
        widths = [settings.channels, *settings.filters]
        plain = replace(settings, dropout=0.0)
        self.groups = nnx.List(
            [ConvolutionBlock(widths[index], index, plain, rngs) for index in range(len(settings.filters))]
        )
        height, width = remaining_shape(shape, settings)
        sizes = [height * width * settings.filters[-1], *[settings.dense_units] * DENSE]
        self.dense = nnx.List([dense(sizes[index], sizes[index + 1], rngs=rngs) for index in range(DENSE)])
        self.nonlinearity = NONLINEARITIES[settings.nonlinearity]
        self.dropout = Dropout(settings, flat=True)
        super().__init__(settings, features=settings.dense_units, classes=classes, shape=shape, dtype=dtype, rngs=rngs)

    def features(self, x: FeatureMaps, *, train: bool, key: PRNGKeyArray | None) -> FeatureVectors:
        """Return the output of the second dense layer, after nonlinearity and dropout."""
        for group in self.groups:
            x = group(x, train=train, key=None)
        flat = x.reshape(x.shape[0], -1)  # (B, H · W · C); the batch may be symbolic, which len() refuses
        for layer, layer_key in zip(self.dense, split_key(key, DENSE), strict=True):
            flat = self.dropout(self.nonlinearity(layer(flat)), train=train, key=layer_key)
        return flat


def remaining_shape(shape: tuple[int, int], settings: Model) -> tuple[int, int]:
    """Return height and width after all blocks.

    Max pooling drops an odd last row or column, strided convolutions keep it.
    """
    height, width = shape
    for _ in settings.filters:
        height, width = (height // 2, width // 2) if settings.max_pooling else (-(-height // 2), -(-width // 2))
    return height, width
