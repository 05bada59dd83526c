"""EfficientNet, EfficientNet-Lite and EfficientNetV2, layer for layer as in timm, whose weights they take.

Sources: Tan and Le, arXiv:1905.11946 and arXiv:2104.00298; timm's efficientnet.py for names and rounding.
"""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Literal

import jax
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import PRNGKeyArray

from config import Model
from utils.models.architectures.backbone_layers import (
    BatchNorm,
    SqueezeExcite,
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

BlockKind = Literal["conv", "separable", "inverted", "fused"]


@dataclass(frozen=True)
class Stage:
    """Blocks of one kind and width; the first has the stride.

    Attributes
    ----------
    expansion : channels inside a block, as a multiple of those of its input
    squeeze : channels between the two layers of squeeze-and-excitation, as a share of those of the block's input; 0:
        no such layers
    """

    kind: BlockKind
    blocks: int
    size: int
    stride: int
    expansion: int
    channels: int
    squeeze: float = 0.0


@dataclass(frozen=True)
class Design:
    """What tells the members of the family apart.

    Attributes
    ----------
    width, depth : factors of channels and of blocks per stage
    features : channels of the last convolution
    lite : ReLU6 instead of SiLU, no squeeze-and-excitation; the channels of stem and last convolution are not scaled,
        nor the depth of the first and the last stage
    """

    stages: tuple[Stage, ...]
    width: float = 1.0
    depth: float = 1.0
    stem: int = 32
    features: int = 1280
    lite: bool = False


FIRST_STAGES = (
    Stage("separable", 1, 3, 1, 1, 16, 0.25),
    Stage("inverted", 2, 3, 2, 6, 24, 0.25),
    Stage("inverted", 2, 5, 2, 6, 40, 0.25),
    Stage("inverted", 3, 3, 2, 6, 80, 0.25),
    Stage("inverted", 3, 5, 1, 6, 112, 0.25),
    Stage("inverted", 4, 5, 2, 6, 192, 0.25),
    Stage("inverted", 1, 3, 1, 6, 320, 0.25),
)
SECOND_STAGES_SMALL = (
    Stage("conv", 2, 3, 1, 1, 24),
    Stage("fused", 4, 3, 2, 4, 48),
    Stage("fused", 4, 3, 2, 4, 64),
    Stage("inverted", 6, 3, 2, 4, 128, 0.25),
    Stage("inverted", 9, 3, 1, 6, 160, 0.25),
    Stage("inverted", 15, 3, 2, 6, 256, 0.25),
)
DESIGNS = {
    "EfficientNetLite0": Design(FIRST_STAGES, lite=True),
    "EfficientNetLite1": Design(FIRST_STAGES, 1.0, 1.1, lite=True),
    "EfficientNetLite2": Design(FIRST_STAGES, 1.1, 1.2, lite=True),
    "EfficientNetB0": Design(FIRST_STAGES),
    "EfficientNetB1": Design(FIRST_STAGES, 1.0, 1.1),
    "EfficientNetB2": Design(FIRST_STAGES, 1.1, 1.2),
    "EfficientNetB3": Design(FIRST_STAGES, 1.2, 1.4),
    "EfficientNetV2S": Design(SECOND_STAGES_SMALL, stem=24),
}


def rounded(channels: int | float) -> int:
    """Return the nearest multiple of 8, or the next one if that is less than 90% of the channels."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest


class EfficientNet(Classifier):
    """A stem, stages of blocks, a last convolution, global mean, one dense layer.

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
        self.activation = jax.nn.relu6 if design.lite else jax.nn.silu
        self.dropout = Dropout(settings, flat=True)
        self.frozen = settings.frozen_stages
        width, features = (
            (design.stem, design.features)
            if design.lite
            else (rounded(design.stem * design.width), rounded(design.features * design.width))
        )
        features = settings.features or features
        self.conv_stem = conv(settings.channels, width, 3, stride=2, same=same, rngs=rngs)
        self.bn1 = batch_norm(width, same=same, rngs=rngs)
        depths = _depths(design)[: settings.stages or None]
        rates = iter(drop_path_rates(settings, sum(depths)))
        stages = []
        for stage, depth in zip(design.stages, depths, strict=False):
            channels, blocks = rounded(stage.channels * design.width), []
            for index in range(depth):
                layout = BlockLayout(stage, width, channels, first=index == 0, same=same, drop_path=next(rates))
                blocks.append(BLOCKS[stage.kind](layout, lite=design.lite, rngs=rngs))
                width = channels
            stages.append(nnx.List(blocks))
        self.blocks = nnx.List(stages)
        self.conv_head = conv(width, features, rngs=rngs)
        self.bn2 = batch_norm(features, same=same, rngs=rngs)
        super().__init__(settings, features=features, classes=classes, shape=shape, dtype=dtype, rngs=rngs)

    @classmethod
    def stage_of(cls, path: tuple[str | int, ...]) -> int | None:
        """Return the number of the stage that a parameter belongs to; see `Classifier`."""
        return stage_in_blocks(path)

    def features(self, x: FeatureMaps, *, train: bool, key: PRNGKeyArray | None) -> FeatureVectors:
        """Return the means of the last convolution's channels, with dropout while training."""
        *keys, last_key = split_key(key, sum(map(len, self.blocks)) + 1)
        x = self.activation(self.bn1(self.conv_stem(x), train=train and not self.frozen))
        x = in_stages(self.blocks, x, train=train, keys=keys, frozen=self.frozen)
        x = self.pool(self.activation(self.bn2(self.conv_head(x), train=train)))
        return self.dropout(x, train=train, key=last_key)


def _depths(design: Design) -> list[int]:
    """Return the number of blocks of each stage."""
    depths = [ceil(stage.blocks * design.depth) for stage in design.stages]
    if design.lite:
        depths[0], depths[-1] = design.stages[0].blocks, design.stages[-1].blocks
    return depths


def batch_norm(channels: int, *, same: bool, rngs: nnx.Rngs) -> BatchNorm:
    """Return a batch norm with the epsilon of TensorFlow's weights, or of timm's own."""
    return BatchNorm(channels, epsilon=1e-3 if same else 1e-5, rngs=rngs)


@dataclass(frozen=True)
class BlockLayout:
    """What a block needs to know to make its layers; `same`: pads as TensorFlow."""

    stage: Stage
    channels_in: int
    channels: int
    first: bool
    same: bool
    drop_path: float

    @property
    def stride(self) -> int:
        """Step of the block's convolution."""
        return self.stage.stride if self.first else 1

    @property
    def inner(self) -> int:
        """Channels inside the block."""
        return rounded(self.channels_in * self.stage.expansion)

    @property
    def reduced(self) -> int:
        """Channels between the layers of squeeze-and-excitation."""
        return round(self.channels_in * self.stage.squeeze)


class Block(nnx.Module):
    """A branch of layers, added to its input where both have the same shape."""

    def __init__(self, layout: BlockLayout, *, lite: bool) -> None:
        self.activation = jax.nn.relu6 if lite else jax.nn.silu
        self.skips = layout.stride == 1 and layout.channels_in == layout.channels
        self.drop_path = layout.drop_path

    @abstractmethod
    def branch(self, x: FeatureMaps, *, train: bool) -> FeatureMaps:
        """Return what is added to the input, or the output itself."""

    def __call__(self, x: FeatureMaps, *, train: bool, key: PRNGKeyArray | None) -> FeatureMaps:
        """Return feature maps of the stage's channels; the first block of a stage may halve height and width."""
        y = self.branch(x, train=train)
        return x + drop_path(y, rate=self.drop_path, train=train, key=key) if self.skips else y


def squeeze_excite(layout: BlockLayout, *, lite: bool, rngs: nnx.Rngs) -> SqueezeExcite | None:
    """Return the layers of squeeze-and-excitation of a block, if it has them."""
    if lite or not layout.stage.squeeze:
        return None
    return SqueezeExcite(layout.inner, layout.reduced, activation=jax.nn.silu, rngs=rngs)


class ConvBlock(Block):
    """One convolution."""

    def __init__(self, layout: BlockLayout, *, lite: bool, rngs: nnx.Rngs) -> None:
        super().__init__(layout, lite=lite)
        size, stride, same = layout.stage.size, layout.stride, layout.same
        self.conv = conv(layout.channels_in, layout.channels, size, stride=stride, same=same, rngs=rngs)
        self.bn1 = batch_norm(layout.channels, same=same, rngs=rngs)

    def branch(self, x: FeatureMaps, *, train: bool) -> FeatureMaps:
        """Return feature maps of the stage's channels."""
        return self.activation(self.bn1(self.conv(x), train=train))


class SeparableBlock(Block):
    """A depthwise convolution, then one of 1×1."""

    def __init__(self, layout: BlockLayout, *, lite: bool, rngs: nnx.Rngs) -> None:
        super().__init__(layout, lite=lite)
        size, stride, same = layout.stage.size, layout.stride, layout.same
        self.conv_dw = depthwise(layout.channels_in, size, stride=stride, same=same, rngs=rngs)
        self.bn1 = batch_norm(layout.channels_in, same=same, rngs=rngs)
        self.se = squeeze_excite(layout, lite=lite, rngs=rngs)
        self.conv_pw = conv(layout.channels_in, layout.channels, rngs=rngs)
        self.bn2 = batch_norm(layout.channels, same=same, rngs=rngs)

    def branch(self, x: FeatureMaps, *, train: bool) -> FeatureMaps:
        """Return feature maps of the stage's channels."""
        x = self.activation(self.bn1(self.conv_dw(x), train=train))
        x = x if self.se is None else self.se(x)
        return self.bn2(self.conv_pw(x), train=train)


class InvertedBlock(Block):
    """A convolution of 1×1 to more channels, a depthwise one, and one of 1×1 back to few."""

    def __init__(self, layout: BlockLayout, *, lite: bool, rngs: nnx.Rngs) -> None:
        super().__init__(layout, lite=lite)
        size, stride, same = layout.stage.size, layout.stride, layout.same
        self.conv_pw = conv(layout.channels_in, layout.inner, rngs=rngs)
        self.bn1 = batch_norm(layout.inner, same=same, rngs=rngs)
        self.conv_dw = depthwise(layout.inner, size, stride=stride, same=same, rngs=rngs)
        self.bn2 = batch_norm(layout.inner, same=same, rngs=rngs)
        self.se = squeeze_excite(layout, lite=lite, rngs=rngs)
        self.conv_pwl = conv(layout.inner, layout.channels, rngs=rngs)
        self.bn3 = batch_norm(layout.channels, same=same, rngs=rngs)

    def branch(self, x: FeatureMaps, *, train: bool) -> FeatureMaps:
        """Return feature maps of the stage's channels."""
        x = self.activation(self.bn1(self.conv_pw(x), train=train))
        x = self.activation(self.bn2(self.conv_dw(x), train=train))
        x = x if self.se is None else self.se(x)
        return self.bn3(self.conv_pwl(x), train=train)


class FusedBlock(Block):
    """A convolution to more channels, and one of 1×1 back to few."""

    def __init__(self, layout: BlockLayout, *, lite: bool, rngs: nnx.Rngs) -> None:
        super().__init__(layout, lite=lite)
        size, stride, same = layout.stage.size, layout.stride, layout.same
        self.conv_exp = conv(layout.channels_in, layout.inner, size, stride=stride, same=same, rngs=rngs)
        self.bn1 = batch_norm(layout.inner, same=same, rngs=rngs)
        self.se = squeeze_excite(layout, lite=lite, rngs=rngs)
        self.conv_pwl = conv(layout.inner, layout.channels, rngs=rngs)
        self.bn2 = batch_norm(layout.channels, same=same, rngs=rngs)

    def branch(self, x: FeatureMaps, *, train: bool) -> FeatureMaps:
        """Return feature maps of the stage's channels."""
        x = self.activation(self.bn1(self.conv_exp(x), train=train))
        x = x if self.se is None else self.se(x)
        return self.bn2(self.conv_pwl(x), train=train)


BLOCKS: dict[BlockKind, Callable[..., Block]] = {
    "conv": ConvBlock,
    "separable": SeparableBlock,
    "inverted": InvertedBlock,
    "fused": FusedBlock,
}
