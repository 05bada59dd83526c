"""The default model: a pre-activation wide residual network (docs/baseline.md, Networks).

Source: Zagoruyko and Komodakis, arXiv:1605.07146.
"""

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
    in_turn,
    max_pool,
    split_key,
)


class ResidualBlock(nnx.Module):
    """Norm, nonlinearity, convolution, twice, added to a shortcut.

    The first block of a stack halves height and width, and its shortcut starts after the first nonlinearity; that of
    the others starts at the block's input.
    """

    def __init__(self, channels_in: int, index: int, settings: Model, *, first: bool, rngs: nnx.Rngs) -> None:
        width = settings.filters[index] * settings.resnet_k
        size, groups = settings.kernel_sizes[index], settings.groups[index]
        stride = 2 if first and not settings.max_pooling else 1
        self.first = first
        self.pooled = first and settings.max_pooling
        self.nonlinearity = NONLINEARITIES[settings.nonlinearity]
        self.norm_in = Norm(channels_in, settings, rngs)
        self.convolution_in = convolution(
            channels_in, width, size, stride=stride, groups=groups, bias=not settings.batch_norm, rngs=rngs
        )
        self.norm_out = Norm(width, settings, rngs)
        self.dropout = Dropout(settings)
        self.convolution_out = convolution(width, width, size, groups=groups, bias=True, rngs=rngs)
        reshapes = first or channels_in != width
        self.shortcut = nnx.data(
            convolution(channels_in, width, 1, stride=stride, bias=False, rngs=rngs) if reshapes else None
        )

    def __call__(self, x: FeatureMaps, *, train: bool, key: PRNGKeyArray | None) -> FeatureMaps:
        """Return (B, H, W, filters); the first block of a stack halves height and width."""
        active = self.nonlinearity(self.norm_in(x, train=train))
        shortcut = active if self.first else x
        inner = self.nonlinearity(self.norm_out(self.convolution_in(active), train=train))
        if self.pooled:
            inner, shortcut = max_pool(inner), max_pool(shortcut)
        inner = self.convolution_out(self.dropout(inner, train=train, key=key))
        return inner + (shortcut if self.shortcut is None else self.shortcut(shortcut))


class ResNet(Classifier):
    """A first convolution, one stack of blocks per entry of `model.filters`, global mean, one dense layer."""

    def __init__(
        self, settings: Model, *, classes: int, shape: tuple[int, int], dtype: DTypeLike, rngs: nnx.Rngs
    ) -> None:
        width = settings.filters[0]
        # no bias: the next batch norm removes it
        self.first = convolution(
            settings.channels, width, settings.kernel_sizes[0], bias=not settings.batch_norm, rngs=rngs
        )
        blocks = []
        for index, filters in enumerate(settings.filters):
            for block in range(settings.resnet_n):
                blocks.append(ResidualBlock(width, index, settings, first=block == 0, rngs=rngs))
                width = filters * settings.resnet_k
        self.blocks = nnx.List(blocks)
        self.norm = Norm(width, settings, rngs)
        self.nonlinearity = NONLINEARITIES[settings.nonlinearity]
        super().__init__(settings, features=width, classes=classes, shape=shape, dtype=dtype, rngs=rngs)

    def features(self, x: FeatureMaps, *, train: bool, key: PRNGKeyArray | None) -> FeatureVectors:
        """Return the means of the last stack's channels."""
        x = self.first(x)
        x = in_turn(self.blocks, x, train=train, keys=split_key(key, len(self.blocks)))
        return self.pool(self.nonlinearity(self.norm(x, train=train)))
