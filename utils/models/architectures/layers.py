"""The layers that the models share, the same as in the 2018 baseline (docs/baseline.md, Networks).

Feature maps are (B, H, W, C). Every layer is called with `train` (statistics of this batch, or running ones) and `key`
(for dropout). Every layer computes and returns the dtype of its input; weights are float32, and batch norm computes in
float32.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, TypeVar, cast

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from config import Model
from utils.models.architectures.convolutions import FeatureMaps as FeatureMaps
from utils.models.architectures.convolutions import convolve

Arrays = TypeVar("Arrays", bound=tuple[Any, ...])
HE = nnx.initializers.he_normal()

NONLINEARITIES: dict[str, Callable[[jax.Array], jax.Array]] = {
    "relu": jax.nn.relu,
    "lrelu": lambda x: jax.nn.leaky_relu(x, 0.01),
    "vlrelu": lambda x: jax.nn.leaky_relu(x, 1 / 3),
    "elu": jax.nn.elu,
    "identity": lambda x: x,
}


def convolution(
    channels_in: int,
    channels: int,
    size: int,
    *,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    padding: Literal["symmetric", "same", "none"] = "symmetric",
    bias: bool,
    rngs: nnx.Rngs,
) -> nnx.Conv:
    """Return a convolution.

    Parameters
    ----------
    dilation : along time, frames between what neighbouring weights of the kernel see
    padding : symmetric: (size − 1) / 2 zeros on each side, in time times the dilation; same: as TensorFlow, at stride 2
        perhaps on one alone
    """
    zeros = (size - 1) // 2
    symmetric = ((zeros, zeros), (dilation * zeros, dilation * zeros))
    paddings: dict[str, Any] = {"symmetric": symmetric, "same": "SAME", "none": "VALID"}
    return nnx.Conv(
        channels_in,
        channels,
        kernel_size=(size, size),
        strides=stride,
        kernel_dilation=(1, dilation),
        padding=paddings[padding],
        feature_group_count=groups,
        use_bias=bias,
        kernel_init=HE,
        conv_general_dilated=convolve,
        promote_dtype=as_input_dtype,
        rngs=rngs,
    )


def dense(features_in: int, features: int, *, rngs: nnx.Rngs) -> nnx.Linear:
    """Return a dense layer."""
    return nnx.Linear(features_in, features, kernel_init=HE, promote_dtype=as_input_dtype, rngs=rngs)


def as_input_dtype(arrays: Arrays, /, *, dtype: Any = None, inexact: bool = True) -> Arrays:
    """Return a layer's input and its weights, all in the input's dtype; Flax would take the widest of all, float32."""
    return cast(Arrays, tuple(None if array is None else jnp.asarray(array, arrays[0].dtype) for array in arrays))


class Norm(nnx.Module):
    """Batch norm with the baseline's epsilon and update, or nothing if `model.batch_norm` is off."""

    def __init__(self, channels: int, settings: Model, rngs: nnx.Rngs) -> None:
        # Flax's defaults, 1e-5 and an update of 0.01, ruin the validation of short runs. With a dtype of bfloat16 it
        # would round the running averages when it uses them
        norm = (
            nnx.BatchNorm(channels, epsilon=1e-4, momentum=0.9, dtype=jnp.float32, rngs=rngs)
            if settings.batch_norm
            else None
        )
        self.norm = nnx.data(norm)

    def __call__(self, x: FeatureMaps, *, train: bool) -> FeatureMaps:
        """Return feature maps of the same shape."""
        return x if self.norm is None else self.norm(x, use_running_average=not train).astype(x.dtype)


class Dropout(nnx.Module):
    """Dropout of single values, of all channels at a position, or of whole channels; `flat`: of features (B, F)."""

    def __init__(self, settings: Model, *, flat: bool = False) -> None:
        together = {"random": (), "location": (3,), "channel": (1, 2)}[settings.dropout_kind]
        self.dropout = nnx.Dropout(settings.dropout, broadcast_dims=() if flat else together)

    def __call__(
        self, x: Float[Array, "batch ..."], *, train: bool, key: PRNGKeyArray | None
    ) -> Float[Array, "batch ..."]:
        """Return an array of the same shape."""
        if not train or self.dropout.rate == 0:
            return x
        return self.dropout(x, deterministic=False, rngs=key)


def max_pool(x: FeatureMaps) -> FeatureMaps:
    """Halve height and width by 2×2 max pooling."""
    return nnx.max_pool(x, window_shape=(2, 2), strides=(2, 2))


def global_mean(x: FeatureMaps) -> Float[Array, "batch channels"]:
    """Return each channel's mean over height and width, computed in float32."""
    return x.mean(axis=(1, 2), dtype=jnp.float32)


def in_turn(
    blocks: Iterable[Callable[..., FeatureMaps]],
    x: FeatureMaps,
    *,
    train: bool,
    keys: Sequence[PRNGKeyArray | None],
) -> FeatureMaps:
    """Return the output of the last of several blocks, each of which gets the output of the one before and its key."""
    for block, key in zip(blocks, keys, strict=True):
        x = block(x, train=train, key=key)
    return x


def split_key(key: PRNGKeyArray | None, count: int) -> list[PRNGKeyArray | None]:
    """Split a key into one for each of `count` layers; None stays None."""
    return [None] * count if key is None else list(jax.random.split(key, count))
