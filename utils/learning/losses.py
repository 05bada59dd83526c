"""Losses, one value per clip, by the names of `training.loss`.

A new loss is one function here, an entry in `LOSSES`, and its name in `Training.loss` of config.py; a loss of several
labels per clip stands in `MULTI_LABEL_LOSSES` there, too. What `triplet_losses.py` adds for triplets needs more than
logits; here is what the output layer is judged by.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from config import Training
from utils.learning.targets import Targets

Logits = Float[Array, "batch classes"]
ClipLosses = Float[Array, " batch"]


def cross_entropy(logits: Logits, targets: Targets, settings: Training) -> ClipLosses:
    """−Σ t · log p,  with the targets t and the scores p = softmax(logits)."""
    return optax.softmax_cross_entropy(logits, targets)


def focal(logits: Logits, targets: Targets, settings: Training) -> ClipLosses:
    """−Σ t · (1 − p)^γ · log p,  p = softmax(logits), γ = `focal_gamma`; Source: Lin et al., arXiv:1708.02002."""
    log_scores = jax.nn.log_softmax(logits)
    # 1 − p is kept off 0, where its power has no gradient
    hard = jnp.maximum(-jnp.expm1(log_scores), 1e-7) ** settings.focal_gamma
    return -(targets * hard * log_scores).sum(axis=1)


def binary_cross_entropy(logits: Logits, targets: Targets, settings: Training) -> ClipLosses:
    """−mean over classes of t · log p + (1 − t) · log(1 − p),  p = sigmoid(logits)."""
    return optax.sigmoid_binary_cross_entropy(logits, targets).mean(axis=1)


LOSSES: dict[str, Callable[[Logits, Targets, Training], ClipLosses]] = {
    "cross_entropy": cross_entropy,
    "focal": focal,
    "binary": binary_cross_entropy,
    "triplet": cross_entropy,
}


def losses(logits: Logits, targets: Targets, settings: Training) -> ClipLosses:
    """Return the loss of each clip, by `training.loss`."""
    return LOSSES[settings.loss](logits, targets, settings)


def weighted_mean(values: ClipLosses, weight: Float[Array, " batch"]) -> Float[Array, ""]:
    """Return the mean of the clips' losses, weighted by `weight`."""
    return (weight * values).sum() / jnp.maximum(weight.sum(), 1e-12)
