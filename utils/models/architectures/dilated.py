"""A stacked dilated network: residual blocks whose convolutions see further in time from block to block.

The repository birdclef-2021 (docs/systems.md), which learned from triplets, says no more than that it "started with a
stacked dilated CNN": the name alone is from there. What the network looks like is ours, after the stacks of Yu and
Koltun, arXiv:1511.07122, and van den Oord et al., arXiv:1609.03499: dilations that double, so that a few layers of
small kernels see a long time at full resolution.
"""

from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import PRNGKeyArray

from config import Model
from utils.models.architectures.baseline import ConvolutionBlock
from utils.models.architectures.classifier import Classifier, FeatureVectors
from utils.models.architectures.layers import (
    NONLINEARITIES,
    Dropout,
    FeatureMaps,
    Norm,
    convolution,
    in_turn,
    split_key,
)


class DilatedBlock(nnx.Module):
    """Norm, nonlinearity, dilated convolution, the same with single pixels, added to the input."""

    def __init__(self, index: int, dilation: int, settings: Model, rngs: nnx.Rngs) -> None:
        width = settings.filters[index]
        self.nonlinearity = NONLINEARITIES[settings.nonlinearity]
        self.norm_in = Norm(width, settings, rngs)
        self.convolution_in = convolution(
            width,
            width,
            settings.kernel_sizes[index],
            dilation=dilation,
            groups=settings.groups[index],
            bias=not settings.batch_norm,
            rngs=rngs,
        )
        self.norm_out = Norm(width, settings, rngs)
        self.dropout = Dropout(settings)
        self.convolution_out = convolution(width, width, 1, bias=True, rngs=rngs)

    def __call__(self, x: FeatureMaps, *, train: bool, key: PRNGKeyArray | None) -> FeatureMaps:
        """Return feature maps of the same shape."""
        inner = self.convolution_in(self.nonlinearity(self.norm_in(x, train=train)))
        inner = self.nonlinearity(self.norm_out(inner, train=train))
        return x + self.convolution_out(self.dropout(inner, train=train, key=key))


class Dilated(Classifier):
    """For each of `model.filters` a convolution that halves both sides, and `model.stacks` stacks; global mean, dense.

    A stack is one block for each of `model.dilations`.
    """

    def __init__(
        self, settings: Model, *, classes: int, shape: tuple[int, int], dtype: DTypeLike, rngs: nnx.Rngs
    ) -> None:
        blocks: list[ConvolutionBlock | DilatedBlock] = []
        widths, dilations = [settings.channels, *settings.filters], settings.dilations * settings.stacks
        for index in range(len(settings.filters)):
            blocks.append(ConvolutionBlock(widths[index], index, settings, rngs))
            blocks += [DilatedBlock(index, dilation, settings, rngs) for dilation in dilations]
        width = widths[-1]
        self.blocks = nnx.List(blocks)
        self.norm = Norm(width, settings, rngs)
        self.nonlinearity = NONLINEARITIES[settings.nonlinearity]
        super().__init__(settings, features=width, classes=classes, shape=shape, dtype=dtype, rngs=rngs)

    def features(self, x: FeatureMaps, *, train: bool, key: PRNGKeyArray | None) -> FeatureVectors:
        """Return the means of the last stack's channels."""
        x = in_turn(self.blocks, x, train=train, keys=split_key(key, len(self.blocks)))
        return self.pool(self.nonlinearity(self.norm(x, train=train)))
