"""ResNeSt, layer for layer as in timm, whose weights it takes.

Sources: Zhang et al., arXiv:2004.08955; timm's resnest.py for names. Unlike in timm, drop path skips the branch of a
block, not its shortcut.
"""

from dataclasses import dataclass
from typing import Any

import jax
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import PRNGKeyArray

from config import Model
from utils.models.architectures.backbone_layers import BatchNorm, conv, drop_path, drop_path_rates, in_stages
from utils.models.architectures.classifier import Classifier, FeatureVectors
from utils.models.architectures.layers import Dropout, FeatureMaps, global_mean, split_key
from utils.models.architectures.pooling import mean_of_four, mean_of_nine, window_maxima

RADIX = 2  # parts of the channels among which split attention chooses
EXPANSION = 4  # channels of a block's output, as a multiple of those inside


@dataclass(frozen=True)
class Design:
    """What tells the members of the family apart.

    Attributes
    ----------
    blocks, channels : of each of the four stages; channels inside the blocks
    stem : channels of the first two convolutions; the third has twice as many
    """

    blocks: tuple[int, int, int, int]
    channels: tuple[int, int, int, int] = (64, 128, 256, 512)
    stem: int = 32


DESIGNS = {"ResNeSt50": Design((3, 4, 6, 3))}


class ResNeSt(Classifier):
    """A stem of three convolutions and a maximum, four stages of blocks, global mean, one dense layer.

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
        self.dropout = Dropout(settings, flat=True)
        stem, width = design.stem, 2 * design.stem
        self.conv1: nnx.Dict[Any] = nnx.Dict(
            {
                "0": conv(settings.channels, stem, 3, stride=2, rngs=rngs),
                "1": BatchNorm(stem, rngs=rngs),
                "3": conv(stem, stem, 3, rngs=rngs),
                "4": BatchNorm(stem, rngs=rngs),
                "6": conv(stem, width, 3, rngs=rngs),
            }
        )
        self.bn1 = BatchNorm(width, rngs=rngs)
        rates = iter(drop_path_rates(settings, sum(design.blocks)))
        stages = []
        for index, (count, channels) in enumerate(zip(design.blocks, design.channels, strict=True)):
            blocks = []
            for block in range(count):
                stride = 2 if index and not block else 1
                blocks.append(ResNeStBlock(width, channels, stride=stride, drop_path=next(rates), rngs=rngs))
                width = EXPANSION * channels
            stages.append(nnx.List(blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.frozen = settings.frozen_stages
        super().__init__(settings, features=width, classes=classes, shape=shape, dtype=dtype, rngs=rngs)

    @classmethod
    def stage_of(cls, path: tuple[str | int, ...]) -> int | None:
        """Return the number of the stage that a parameter belongs to; see `Classifier`."""
        first = str(path[0])
        return 0 if first in ("conv1", "bn1") else int(first[-1]) if first.startswith("layer") else None

    def features(self, x: FeatureMaps, *, train: bool, key: PRNGKeyArray | None) -> FeatureVectors:
        """Return the means of the last stage's channels, with dropout while training."""
        stages = (self.layer1, self.layer2, self.layer3, self.layer4)
        *keys, last_key = split_key(key, sum(map(len, stages)) + 1)
        x = self.stem(x, train=train and not self.frozen)
        x = in_stages(stages, x, train=train, keys=keys, frozen=self.frozen)
        return self.dropout(self.pool(x), train=train, key=last_key)

    def stem(self, x: FeatureMaps, *, train: bool) -> FeatureMaps:
        """Return feature maps of a quarter of the height and width."""
        x = jax.nn.relu(self.conv1["1"](self.conv1["0"](x), train=train))
        x = jax.nn.relu(self.conv1["4"](self.conv1["3"](x), train=train))
        x = jax.nn.relu(self.bn1(self.conv1["6"](x), train=train))
        return window_maxima(x, 3, 2, ((1, 1), (1, 1)))


class ResNeStBlock(nnx.Module):
    """A convolution of 1×1 to few channels, split attention, one of 1×1 to many, added to a shortcut; then ReLU."""

    def __init__(self, channels_in: int, channels: int, *, stride: int, drop_path: float, rngs: nnx.Rngs) -> None:
        width = EXPANSION * channels
        self.conv1 = conv(channels_in, channels, rngs=rngs)
        self.bn1 = BatchNorm(channels, rngs=rngs)
        self.conv2 = SplitAttention(channels, rngs=rngs)
        self.conv3 = conv(channels, width, rngs=rngs)
        self.bn3 = BatchNorm(width, rngs=rngs)
        reshapes = stride > 1 or channels_in != width
        layers = {"1": conv(channels_in, width, rngs=rngs), "2": BatchNorm(width, rngs=rngs)} if reshapes else None
        self.downsample: Any = nnx.data(None if layers is None else nnx.Dict(layers))
        self.stride = stride
        self.drop_path = drop_path

    def __call__(self, x: FeatureMaps, *, train: bool, key: PRNGKeyArray | None) -> FeatureMaps:
        """Return feature maps of the block's channels, at stride 2 of half the height and width, rounded up."""
        y = jax.nn.relu(self.bn1(self.conv1(x), train=train))
        y = self.conv2(y, train=train)
        y = mean_of_nine(y, stride=2) if self.stride == 2 else y
        y = self.bn3(self.conv3(y), train=train)
        y = drop_path(y, rate=self.drop_path, train=train, key=key)
        return jax.nn.relu(y + self.shortcut(x, train=train))

    def shortcut(self, x: FeatureMaps, *, train: bool) -> FeatureMaps:
        """Return what the branch is added to."""
        if self.downsample is None:
            return x
        x = mean_of_four(x) if self.stride == 2 else x
        return self.downsample["2"](self.downsample["1"](x), train=train)


class SplitAttention(nnx.Module):
    """Two convolutions of 3×3, each of half the channels, and their mean with weights that sum to 1 in each channel.

    The weights are found from the means of the channels by two dense layers.
    """

    def __init__(self, channels: int, *, rngs: nnx.Rngs) -> None:
        parts, reduced = RADIX * channels, max(32, RADIX * channels // 4)
        self.conv = conv(channels, parts, 3, groups=RADIX, rngs=rngs)
        self.bn0 = BatchNorm(parts, rngs=rngs)
        self.fc1 = conv(channels, reduced, bias=True, rngs=rngs)
        self.bn1 = BatchNorm(reduced, rngs=rngs)
        self.fc2 = conv(reduced, parts, bias=True, rngs=rngs)

    def __call__(self, x: FeatureMaps, *, train: bool) -> FeatureMaps:
        """Return feature maps of the same shape."""
        channels = x.shape[-1]
        x = jax.nn.relu(self.bn0(self.conv(x), train=train))
        first, second = x[..., :channels], x[..., channels:]
        mean = global_mean(first + second)[:, None, None].astype(x.dtype)
        scores = self.fc2(jax.nn.relu(self.bn1(self.fc1(mean), train=train)))
        # of two parts, softmax is the sigmoid of their difference
        share = jax.nn.sigmoid(scores[..., :channels] - scores[..., channels:])
        return first * share + second * (1 - share)
