"""The layers that the nets share, as the 2018 baseline had them (BASELINE, Nets).

Pictures are (B, H, W, C). Every layer is called with `train` (batch statistics of this batch or of all that were seen) and `key` (what dropout draws from).
"""

from collections.abc import Callable

import jax
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from config import Model

HE = nnx.initializers.he_normal()
Picture = Float[Array, "batch _ _ _"]  # batch, height, width, channels; layers change all but the first

NONLINEARITIES: dict[str, Callable[[jax.Array], jax.Array]] = {
    "relu": jax.nn.relu,
    "lrelu": lambda x: jax.nn.leaky_relu(x, 0.01),
    "vlrelu": lambda x: jax.nn.leaky_relu(x, 1 / 3),
    "elu": jax.nn.elu,
    "identity": lambda x: x,
}


def convolution(channels_in: int, channels: int, size: int, *, stride: int = 1, groups: int = 1, bias: bool, rngs: nnx.Rngs) -> nnx.Conv:
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
        rngs=rngs,
    )


class Norm(nnx.Module):
    """Batch norm with the baseline's epsilon and update, or nothing where `model.batch_norm` is off."""

    def __init__(self, channels: int, settings: Model, rngs: nnx.Rngs) -> None:
        # Flax's defaults, 1e-5 and an update of 0.01, ruin the validation of short runs
        self.norm = nnx.data(nnx.BatchNorm(channels, epsilon=1e-4, momentum=0.9, rngs=rngs) if settings.batch_norm else None)

    def __call__(self, x: Picture, *, train: bool) -> Picture:
        """Return a picture of the same shape."""
        return x if self.norm is None else self.norm(x, use_running_average=not train)


class Dropout(nnx.Module):
    """Dropout of single values, of all channels of a place, or of whole channels."""

    def __init__(self, settings: Model) -> None:
        together = {"random": (), "location": (3,), "channel": (1, 2)}[settings.dropout_kind]
        self.dropout = nnx.Dropout(settings.dropout, broadcast_dims=together)

    def __call__(self, x: Picture, *, train: bool, key: PRNGKeyArray | None) -> Picture:
        """Return a picture of the same shape."""
        if not train or self.dropout.rate == 0:
            return x
        return self.dropout(x, deterministic=False, rngs=key)


def halve(x: Picture) -> Picture:
    """Halve a picture's sides by 2×2 maxima."""
    return nnx.max_pool(x, window_shape=(2, 2), strides=(2, 2))


def keys_for(key: PRNGKeyArray | None, count: int) -> list[PRNGKeyArray | None]:
    """Split a key into one for each of `count` layers; no key stays no key."""
    return [None] * count if key is None else list(jax.random.split(key, count))
