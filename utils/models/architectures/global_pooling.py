"""From feature maps to features: what `model.pool` chooses between the last layers of a backbone."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from config import Model
from utils.models.architectures.layers import FeatureMaps, global_mean

EXPONENT = 3.0  # of the generalised mean, before it learns
LEAST_VALUE = 1e-6  # of feature maps in a generalised mean; smaller ones count as this


class GlobalPool(nnx.Module):
    """One vector of features for each clip, or with `model.pool = attention` for each frame of it."""

    def __init__(self, settings: Model) -> None:
        self.by_frame = settings.pool == "attention"
        self.exponent = nnx.data(nnx.Param(jnp.full((), EXPONENT, jnp.float32)) if settings.pool == "gem" else None)

    def __call__(self, x: FeatureMaps) -> Float[Array, "batch *frames channels"]:
        """Return means over height and width, or generalised ones, or over height alone; computed in float32."""
        if self.by_frame:
            return x.mean(axis=1, dtype=jnp.float32)
        return global_mean(x) if self.exponent is None else generalized_mean(x, self.exponent[...])


def generalized_mean(x: FeatureMaps, exponent: Float[Array, ""]) -> Float[Array, "batch channels"]:
    """Return (mean of max(x, 1e-6)^p)^(1/p) of each channel over height and width, computed in float32.

    p is the exponent, at least 1: there it is the mean; the larger it is, the nearer to the maximum. Source: Radenović
    et al., arXiv:1711.02512.
    """
    values = jnp.maximum(x.astype(jnp.float32), LEAST_VALUE)
    # divided by the greatest value, no power is too large for a float32, and their mean is never 0
    greatest = jax.lax.stop_gradient(values.max(axis=(1, 2), keepdims=True))
    exponent = jnp.maximum(exponent, 1.0)
    means = ((values / greatest) ** exponent).mean(axis=(1, 2))
    return greatest[:, 0, 0] * means ** (1 / exponent)
