"""MobileNetV4 of convolutions, layer for layer as in timm, whose weights it takes.

Sources: Qin et al., arXiv:2404.10518; timm's mobilenetv3.py for names.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import PRNGKeyArray

from config import Model
from utils.models.architectures.backbone_layers import (
    BatchNorm,
    conv,
    depthwise,
    drop_path,
    drop_path_rates,
    in_stages,
    pads_like_tensorflow,
    stage_in_blocks,
)
from utils.models.architectures.classifier import Classifier, FeatureVectors
from utils.models.architectures.layers import Dropout, FeatureMaps, split_key


@dataclass(frozen=True)
class Conv:
    """One convolution of size × size."""

    channels: int
    size: int
    stride: int = 1


@dataclass(frozen=True)
class Inverted:
    """A convolution of 1×1 to more channels and one back, with depthwise ones before and between them.

    Attributes
    ----------
    before, between : sizes of the depthwise convolutions; 0: there is none. The last one has the stride
    expansion : channels inside the block, as a multiple of those of its input
    """

    channels: int
    before: int
    between: int
    expansion: int
    stride: int = 1


@dataclass(frozen=True)
class Design:
    """What tells the members of the family apart.

    Attributes
    ----------
    stem : channels of the first convolution
    features : channels of the layer between global mean and last layer
    """

    stages: tuple[tuple[Conv | Inverted, ...], ...]
    stem: int = 32
    features: int = 1280


DESIGNS = {
    "MobileNetV4Small": Design(
        (
            (Conv(32, 3, 2), Conv(32, 1)),
            (Conv(96, 3, 2), Conv(64, 1)),
            (Inverted(96, 5, 5, 3, 2), *[Inverted(96, 0, 3, 2)] * 4, Inverted(96, 3, 0, 4)),
            (
                Inverted(128, 3, 3, 6, 2),
                Inverted(128, 5, 5, 4),
                Inverted(128, 0, 5, 4),
                Inverted(128, 0, 5, 3),
                *[Inverted(128, 0, 3, 4)] * 2,
            ),
            (Conv(960, 1),),
        )
    )
}


class MobileNet(Classifier):
    """A stem, stages of blocks, global mean, a dense layer with batch norm, and the last dense layer.

    Parameters
    ----------
    design : None: that of `model.name`
    """

    def __init__(
        self,
        settings: Model,
        *,
        classes: int,
        shape: tuple[int, int],
        dtype: DTypeLike,
        rngs: nnx.Rngs,
        design: Design | None = None,
    ) -> None:
        design = design or DESIGNS[settings.name]
        same = pads_like_tensorflow(settings)
        self.dropout = Dropout(settings, flat=True)
        self.frozen = settings.frozen_stages
        width = design.stem
        self.conv_stem = conv(settings.channels, width, 3, stride=2, same=same, rngs=rngs)
        self.bn1 = BatchNorm(width, rngs=rngs)
        rates = iter(drop_path_rates(settings, sum(map(len, design.stages))))
        stages = []
        for layouts in design.stages:
            blocks: list[ConvLayer | UniversalBlock] = []
            for layout in layouts:
                rate = next(rates)
                if isinstance(layout, Conv):
                    blocks.append(ConvLayer(width, layout, same=same, rngs=rngs))
                else:
                    blocks.append(UniversalBlock(width, layout, same=same, drop_path=rate, rngs=rngs))
                width = layout.channels
            stages.append(nnx.List(blocks))
        self.blocks = nnx.List(stages)
        self.conv_head = conv(width, design.features, rngs=rngs)
        self.norm_head = BatchNorm(design.features, rngs=rngs)
        super().__init__(settings, features=design.features, classes=classes, shape=shape, dtype=dtype, rngs=rngs)

    @classmethod
    def stage_of(cls, path: tuple[str | int, ...]) -> int | None:
        """Return the number of the stage that a parameter belongs to; see `Classifier`."""
        return stage_in_blocks(path)

    def features(self, x: FeatureMaps, *, train: bool, key: PRNGKeyArray | None) -> FeatureVectors:
        """Return the output of the layer before the last, with dropout while training."""
        *keys, last_key = split_key(key, sum(map(len, self.blocks)) + 1)
        x = jax.nn.relu(self.bn1(self.conv_stem(x), train=train and not self.frozen))
        x = in_stages(self.blocks, x, train=train, keys=keys, frozen=self.frozen)
        pooled = self.pool(x).astype(x.dtype)
        by_frame = pooled.ndim == len(("batch", "frames", "channels"))
        maps = pooled[:, None] if by_frame else pooled[:, None, None]  # the layer is a convolution of 1×1
        x = jax.nn.relu(self.norm_head(self.conv_head(maps), train=train))
        return self.dropout(x[:, 0] if by_frame else x[:, 0, 0], train=train, key=last_key)


class ConvLayer(nnx.Module):
    """One convolution, batch norm, ReLU."""

    def __init__(self, channels_in: int, layout: Conv, *, same: bool, rngs: nnx.Rngs) -> None:
        self.conv = conv(channels_in, layout.channels, layout.size, stride=layout.stride, same=same, rngs=rngs)
        self.bn1 = BatchNorm(layout.channels, rngs=rngs)

    def __call__(self, x: FeatureMaps, *, train: bool, key: PRNGKeyArray | None) -> FeatureMaps:
        """Return feature maps of the block's channels."""
        return jax.nn.relu(self.bn1(self.conv(x), train=train))


class NormedConv(nnx.Module):
    """A convolution of any kind, then batch norm."""

    def __init__(self, layer: Callable[[FeatureMaps], FeatureMaps], channels: int, *, rngs: nnx.Rngs) -> None:
        self.conv = layer
        self.bn = BatchNorm(channels, rngs=rngs)

    def __call__(self, x: FeatureMaps, *, train: bool) -> FeatureMaps:
        """Return feature maps of the convolution's channels."""
        return self.bn(self.conv(x), train=train)


class UniversalBlock(nnx.Module):
    """The layers of `Inverted`, added to their input where both have the same shape."""

    def __init__(self, channels_in: int, layout: Inverted, *, same: bool, drop_path: float, rngs: nnx.Rngs) -> None:
        inner, stride = channels_in * layout.expansion, layout.stride
        strides = (1, stride) if layout.between else (stride, 1)
        self.dw_start = normed_depthwise(channels_in, layout.before, stride=strides[0], same=same, rngs=rngs)
        self.pw_exp = NormedConv(conv(channels_in, inner, rngs=rngs), inner, rngs=rngs)
        self.dw_mid = normed_depthwise(inner, layout.between, stride=strides[1], same=same, rngs=rngs)
        self.pw_proj = NormedConv(conv(inner, layout.channels, rngs=rngs), layout.channels, rngs=rngs)
        self.skips = stride == 1 and channels_in == layout.channels
        self.drop_path = drop_path

    def __call__(self, x: FeatureMaps, *, train: bool, key: PRNGKeyArray | None) -> FeatureMaps:
        """Return feature maps of the block's channels."""
        y = x if self.dw_start is None else self.dw_start(x, train=train)
        y = jax.nn.relu(self.pw_exp(y, train=train))
        y = y if self.dw_mid is None else jax.nn.relu(self.dw_mid(y, train=train))
        y = self.pw_proj(y, train=train)
        return x + drop_path(y, rate=self.drop_path, train=train, key=key) if self.skips else y


def normed_depthwise(channels: int, size: int, *, stride: int, same: bool, rngs: nnx.Rngs) -> NormedConv | None:
    """Return a depthwise convolution with batch norm; none of size 0."""
    if not size:
        return None
    layer = depthwise(channels, size, stride=stride, same=same, rngs=rngs)
    return NormedConv(layer, channels, rngs=rngs)
