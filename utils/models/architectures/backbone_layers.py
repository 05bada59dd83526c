"""Layers of the backbones that start from public weights; their attributes have the names of timm's tensors.

Source: timm (https://github.com/huggingface/pytorch-image-models), by whose values the tests hold them.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from config import Model
from utils.models.architectures.layers import FeatureMaps, convolution, in_turn

Activation = Callable[[jax.Array], jax.Array]


def pads_like_tensorflow(settings: Model) -> bool:
    """Tell whether convolutions pad as TensorFlow's SAME, by `model.padding`; only the names of weights count."""
    if settings.padding != "auto":
        return settings.padding == "same"
    parts = (settings.weights or "").replace("\\", "/").split("/")
    return any(part.startswith("tf_") for part in parts[-2:])


class BatchNorm(nnx.BatchNorm):
    """Batch norm that computes in float32 and returns the dtype of its input."""

    def __init__(self, channels: int, *, epsilon: float = 1e-5, rngs: nnx.Rngs) -> None:
        super().__init__(channels, epsilon=epsilon, momentum=0.9, dtype=jnp.float32, rngs=rngs)

    def __call__(self, x: FeatureMaps, *, train: bool) -> FeatureMaps:  # type: ignore[override]
        """Return feature maps of the same shape."""
        return super().__call__(x, use_running_average=not train).astype(x.dtype)


class LayerNorm(nnx.LayerNorm):
    """Layer norm over the channels that computes in float32 and returns the dtype of its input."""

    def __init__(self, channels: int, *, rngs: nnx.Rngs) -> None:
        super().__init__(channels, epsilon=1e-6, dtype=jnp.float32, rngs=rngs)

    def __call__(  # type: ignore[override]
        self, x: Float[Array, "batch ... channels"]
    ) -> Float[Array, "batch ... channels"]:
        """Return an array of the same shape."""
        return super().__call__(x).astype(x.dtype)


def conv(
    channels_in: int,
    channels: int,
    size: int = 1,
    *,
    stride: int = 1,
    groups: int = 1,
    same: bool = False,
    bias: bool = False,
    rngs: nnx.Rngs,
) -> nnx.Conv:
    """Return a convolution, of single pixels and without bias unless wanted; `same`: it pads as TensorFlow."""
    padding: Literal["same", "symmetric"] = "same" if same else "symmetric"
    return convolution(channels_in, channels, size, stride=stride, groups=groups, padding=padding, bias=bias, rngs=rngs)


def depthwise(
    channels: int, size: int, *, stride: int = 1, same: bool = False, bias: bool = False, rngs: nnx.Rngs
) -> nnx.Conv:
    """Return a convolution of each channel with a kernel of its own."""
    return conv(channels, channels, size, stride=stride, groups=channels, same=same, bias=bias, rngs=rngs)


def patches(channels_in: int, channels: int, size: int, *, rngs: nnx.Rngs) -> nnx.Conv:
    """Return a convolution of patches that do not overlap, with bias; what is less than a patch is left out."""
    return convolution(channels_in, channels, size, stride=size, padding="none", bias=True, rngs=rngs)


class SqueezeExcite(nnx.Module):
    """Each channel times a weight from 0 to 1, which two dense layers find from the means of all channels."""

    def __init__(self, channels: int, reduced: int, *, activation: Activation, rngs: nnx.Rngs) -> None:
        self.conv_reduce = conv(channels, reduced, bias=True, rngs=rngs)
        self.conv_expand = conv(reduced, channels, bias=True, rngs=rngs)
        self.activation = activation

    def __call__(self, x: FeatureMaps) -> FeatureMaps:
        """Return feature maps of the same shape."""
        mean = x.mean(axis=(1, 2), keepdims=True, dtype=jnp.float32).astype(x.dtype)
        return x * jax.nn.sigmoid(self.conv_expand(self.activation(self.conv_reduce(mean))))


def in_stages(
    stages: Sequence[Sequence[Callable[..., FeatureMaps]]],
    x: FeatureMaps,
    *,
    train: bool,
    keys: Sequence[PRNGKeyArray | None],
    frozen: int,
) -> FeatureMaps:
    """Return the output of the last of several stages of blocks.

    Parameters
    ----------
    keys : of each block of all stages
    frozen : number of first stages that compute as in inference and get no gradient
    """
    coming = iter(keys)
    for stage, blocks in enumerate(stages, start=1):
        x = in_turn(blocks, x, train=train and stage > frozen, keys=[next(coming) for _ in blocks])
        x = jax.lax.stop_gradient(x) if train and stage == frozen else x
    return x


def stage_in_blocks(path: tuple[str | int, ...]) -> int | None:
    """Return the number of the stage that a parameter belongs to, where stages are in the list `blocks`."""
    return 0 if path[0] in ("conv_stem", "bn1") else int(path[1]) + 1 if path[0] == "blocks" else None


def drop_path(x: FeatureMaps, *, rate: float, train: bool, key: PRNGKeyArray | None) -> FeatureMaps:
    """Set the whole branch of a clip to 0 with probability `rate`, and scale the others up, while training."""
    return nnx.Dropout(rate, broadcast_dims=(1, 2, 3))(x, deterministic=not train, rngs=key)


def drop_path_rates(settings: Model, blocks: int) -> list[float]:
    """Return the rate of each block: from 0 of the first towards `model.drop_path`, which would be the one after."""
    return [settings.drop_path * index / blocks for index in range(blocks)]
