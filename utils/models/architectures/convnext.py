"""ConvNeXt, layer for layer as in timm, whose weights it takes.

Sources: Liu et al., arXiv:2201.03545; timm's convnext.py for names and for the members smaller than Tiny.
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import PRNGKeyArray

from config import Model
from utils.models.architectures.backbone_layers import (
    LayerNorm,
    conv,
    depthwise,
    drop_path,
    drop_path_rates,
    patches,
)
from utils.models.architectures.classifier import Classifier, FeatureVectors
from utils.models.architectures.layers import (
    HE,
    Dropout,
    FeatureMaps,
    as_input_dtype,
    in_turn,
    split_key,
)

PATCH = 4  # height and width of what the first layer makes one position of, pixels
SMALLEST = 32  # height and width of the image that one position of the last stage stands for, pixels


@dataclass(frozen=True)
class Design:
    """What tells the members of the family apart.

    Attributes
    ----------
    blocks, channels : of each stage
    conv_mlp : the layers inside a block are convolutions of 1×1, with kernels of four axes, not dense layers; they
        compute the same
    """

    blocks: tuple[int, ...]
    channels: tuple[int, ...]
    conv_mlp: bool


DESIGNS = {
    "ConvNeXtAtto": Design((2, 2, 6, 2), (40, 80, 160, 320), conv_mlp=True),
    "ConvNeXtPico": Design((2, 2, 6, 2), (64, 128, 256, 512), conv_mlp=True),
    "ConvNeXtNano": Design((2, 2, 8, 2), (80, 160, 320, 640), conv_mlp=True),
    "ConvNeXtTiny": Design((3, 3, 9, 3), (96, 192, 384, 768), conv_mlp=False),
}


class ConvNeXt(Classifier):
    """A stem of patches, stages of blocks, global mean, layer norm, one dense layer.

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
        self.frozen = settings.frozen_stages
        rates = iter(drop_path_rates(settings, sum(design.blocks)))
        width = design.channels[0]
        self.stem = nnx.List([patches(settings.channels, width, PATCH, rngs=rngs), LayerNorm(width, rngs=rngs)])
        stages = []
        for index, (blocks, channels) in enumerate(zip(design.blocks, design.channels, strict=True)):
            stage: nnx.Dict = nnx.Dict()
            if index:
                stage["downsample"] = nnx.List([LayerNorm(width, rngs=rngs), patches(width, channels, 2, rngs=rngs)])
            stage["blocks"] = nnx.List(
                [
                    ConvNeXtBlock(channels, conv_mlp=design.conv_mlp, drop_path=next(rates), rngs=rngs)
                    for _ in range(blocks)
                ]
            )
            stages.append(stage)
            width = channels
        self.stages = nnx.List(stages)
        self.head = nnx.Dict(norm=LayerNorm(width, rngs=rngs))
        super().__init__(settings, features=width, classes=classes, shape=shape, dtype=dtype, rngs=rngs)

    @classmethod
    def stage_of(cls, path: tuple[str | int, ...]) -> int | None:
        """Return the number of the stage that a parameter belongs to; see `Classifier`."""
        return 0 if path[0] == "stem" else int(path[1]) + 1 if path[0] == "stages" else None

    def features(self, x: FeatureMaps, *, train: bool, key: PRNGKeyArray | None) -> FeatureVectors:
        """Return the means of the last stage's channels after layer norm, with dropout while training."""
        *keys, last_key = split_key(key, sum(len(stage["blocks"]) for stage in self.stages) + 1)
        coming = iter(keys)
        x = _at_least(x, SMALLEST)
        for layer in self.stem:
            x = layer(x)
        for index, stage in enumerate(self.stages):
            for layer in stage.get("downsample", ()):
                x = layer(x)
            blocks = stage["blocks"]
            x = in_turn(blocks, x, train=train and index >= self.frozen, keys=[next(coming) for _ in blocks])
            x = jax.lax.stop_gradient(x) if train and index + 1 == self.frozen else x
        return self.dropout(self.head["norm"](self.pool(x)), train=train, key=last_key)


class ConvNeXtBlock(nnx.Module):
    """A depthwise convolution, layer norm and two layers on each position, times a weight per channel, added."""

    def __init__(self, channels: int, *, conv_mlp: bool, drop_path: float, rngs: nnx.Rngs) -> None:
        self.conv_dw = depthwise(channels, 7, bias=True, rngs=rngs)
        self.norm = LayerNorm(channels, rngs=rngs)
        self.mlp = Mlp(channels, 4 * channels, conv_mlp=conv_mlp, rngs=rngs)
        self.gamma = nnx.Param(jnp.full(channels, 1e-6, jnp.float32))
        self.drop_path = drop_path

    def __call__(self, x: FeatureMaps, *, train: bool, key: PRNGKeyArray | None) -> FeatureMaps:
        """Return feature maps of the same shape."""
        y = self.mlp(self.norm(self.conv_dw(x))) * self.gamma[...].astype(x.dtype)
        return x + drop_path(y, rate=self.drop_path, train=train, key=key)


class Mlp(nnx.Module):
    """Two layers on each position with GELU between them."""

    def __init__(self, channels: int, inner: int, *, conv_mlp: bool, rngs: nnx.Rngs) -> None:
        layer = partial(conv, bias=True) if conv_mlp else Dense
        self.fc1 = layer(channels, inner, rngs=rngs)
        self.fc2 = layer(inner, channels, rngs=rngs)

    def __call__(self, x: FeatureMaps) -> FeatureMaps:
        """Return feature maps of the same shape."""
        return self.fc2(jax.nn.gelu(self.fc1(x), approximate=False))


class Dense(nnx.Linear):
    """A dense layer on each position."""

    def __init__(self, channels_in: int, channels: int, *, rngs: nnx.Rngs) -> None:
        super().__init__(channels_in, channels, kernel_init=HE, promote_dtype=as_input_dtype, rngs=rngs)

    def __call__(self, x: FeatureMaps) -> FeatureMaps:  # type: ignore[override]
        """Return feature maps of the same height and width."""
        # with the positions in one axis, XLA takes its fast product on CPUs; with three axes it does not
        return super().__call__(x.reshape(-1, x.shape[-1])).reshape(*x.shape[:-1], self.out_features)


def _at_least(x: FeatureMaps, least: int) -> FeatureMaps:
    """Add zeros below and to the right of images that are too small for the last stage."""
    height, width = (max(least - length, 0) for length in x.shape[1:3])
    return jnp.pad(x, ((0, 0), (0, height), (0, width), (0, 0))) if height or width else x
