"""The 2018 baseline: plain convolutions that halve their input, and a global mean (docs/baseline.md, Networks)."""

from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import PRNGKeyArray

from config import Model
from utils.models.architectures.classifier import Classifier, FeatureVectors
from utils.models.architectures.layers import (
    NONLINEARITIES,
    Dropout,
    FeatureMaps,
    Norm,
    convolution,
    max_pool,
    split_key,
)


class ConvolutionBlock(nnx.Module):
    """Convolution, batch norm, nonlinearity, dropout; height and width are halved."""

    def __init__(self, channels_in: int, index: int, settings: Model, rngs: nnx.Rngs) -> None:
        self.max_pooling = settings.max_pooling
        self.nonlinearity = NONLINEARITIES[settings.nonlinearity]
        self.convolution = convolution(
            channels_in,
            settings.filters[index],
            settings.kernel_sizes[index],
            stride=1 if settings.max_pooling else 2,
            groups=settings.groups[index] if index else 1,
            bias=not settings.batch_norm,
            rngs=rngs,
        )
        self.norm = Norm(settings.filters[index], settings, rngs)
        self.dropout = Dropout(settings)

    def __call__(self, x: FeatureMaps, *, train: bool, key: PRNGKeyArray | None) -> FeatureMaps:
        """Return (B, H / 2, W / 2, filters)."""
        x = self.nonlinearity(self.norm(self.convolution(x), train=train))
        return self.dropout(max_pool(x) if self.max_pooling else x, train=train, key=key)


class Baseline(Classifier):
    """Blocks of one convolution each, a 1×1 convolution to twice the last filters, global mean, one dense layer."""

    def __init__(
        self, settings: Model, *, classes: int, shape: tuple[int, int], dtype: DTypeLike, rngs: nnx.Rngs
    ) -> None:
        widths = [settings.channels, *settings.filters]
        self.groups = nnx.List(
            [ConvolutionBlock(widths[index], index, settings, rngs) for index in range(len(settings.filters))]
        )
        width = 2 * settings.filters[-1]
        self.last = convolution(settings.filters[-1], width, 1, bias=not settings.batch_norm, rngs=rngs)
        self.last_norm = Norm(width, settings, rngs)
        super().__init__(settings, features=width, classes=classes, shape=shape, dtype=dtype, rngs=rngs)

    def features(self, x: FeatureMaps, *, train: bool, key: PRNGKeyArray | None) -> FeatureVectors:
        """Return the means of the last convolution's channels."""
        for group, group_key in zip(self.groups, split_key(key, len(self.groups)), strict=True):
            x = group(x, train=train, key=group_key)
        return self.pool(self.last_norm(self.last(x), train=train))
