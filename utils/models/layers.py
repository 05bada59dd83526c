"""The layers that the nets share, as the 2018 baseline had them (BASELINE, Nets).

Pictures are (B, H, W, C). Every layer is called with `train` (batch statistics of this batch or of all that were seen)
and `key` (what dropout draws from). Every layer computes in the dtype of what it is given, and answers in it; weights
are float32, and so is what batch norm reckons.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from config import Model

Arrays = TypeVar("Arrays", bound=tuple[Any, ...])
HE = nnx.initializers.he_normal()
Picture = Float[Array, "batch _ _ _"]  # batch, height, width, channels; layers change all but the first

NONLINEARITIES: dict[str, Callable[[jax.Array], jax.Array]] = {
    "relu": jax.nn.relu,
    "lrelu": lambda x: jax.nn.leaky_relu(x, 0.01),
    "vlrelu": lambda x: jax.nn.leaky_relu(x, 1 / 3),
    "elu": jax.nn.elu,
    "identity": lambda x: x,
}


def convolution(
    channels_in: int, channels: int, size: int, *, stride: int = 1, groups: int = 1, bias: bool, rngs: nnx.Rngs
) -> nnx.Conv:
    """Return a convolution with (size − 1) / 2 zeros on each side, also at stride 2 (where JAX's SAME would pad one side only)."""
    side = (size - 1) // 2
    return nnx.Conv(
        channels_in,
        channels,
        kernel_size=(size, size),
        strides=stride,
        padding=((side, side), (side, side)),
        feature_group_count=groups,
        use_bias=bias,
        kernel_init=HE,
        promote_dtype=like_the_input,
        rngs=rngs,
    )


def dense(features_in: int, features: int, *, rngs: nnx.Rngs) -> nnx.Linear:
    """Return a dense layer."""
    return nnx.Linear(features_in, features, kernel_init=HE, promote_dtype=like_the_input, rngs=rngs)


def like_the_input(arrays: Arrays, /, *, dtype: Any = None, inexact: bool = True) -> Arrays:
    """Return a layer's input and its weights, all in the input's dtype (where Flax would take the widest of all, float32)."""
    return cast(Arrays, tuple(None if array is None else jnp.asarray(array, arrays[0].dtype) for array in arrays))


class Norm(nnx.Module):
    """Batch norm with the baseline's epsilon and update, or nothing where `model.batch_norm` is off."""

    def __init__(self, channels: int, settings: Model, rngs: nnx.Rngs) -> None:
        # Flax's defaults, 1e-5 and an update of 0.01, ruin the validation of short runs. With a dtype of bfloat16 it
        # would round the running averages when used
        norm = (
            nnx.BatchNorm(channels, epsilon=1e-4, momentum=0.9, dtype=jnp.float32, rngs=rngs)
            if settings.batch_norm
            else None
        )
        self.norm = nnx.data(norm)

    def __call__(self, x: Picture, *, train: bool) -> Picture:
        """Return a picture of the same shape."""
        return x if self.norm is None else self.norm(x, use_running_average=not train).astype(x.dtype)


class Dropout(nnx.Module):
    """Dropout of single values, of all channels of a place, or of whole channels; `flat`: of features (B, F), which have no places."""

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


def halve(x: Picture) -> Picture:
    """Halve a picture's sides by 2×2 maxima."""
    return nnx.max_pool(x, window_shape=(2, 2), strides=(2, 2))


def mean_of_places(x: Picture) -> Float[Array, "batch channels"]:
    """Return each channel's mean over a picture, summed up and answered in float32."""
    return x.mean(axis=(1, 2), dtype=jnp.float32)


def keys_for(key: PRNGKeyArray | None, count: int) -> list[PRNGKeyArray | None]:
    """Split a key into one for each of `count` layers; no key stays no key."""
    return [None] * count if key is None else list(jax.random.split(key, count))
