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
ASYMMETRIC_GAMMA, ASYMMETRIC_MARGIN = 4, 0.05  # of absent classes


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


def asymmetric(logits: Logits, targets: Targets, settings: Training) -> ClipLosses:
    """−mean over classes of t · log p + (1 − t) · q^γ · log(1 − q),  p = sigmoid(logits), q = max(p − m, 0).

    Absent classes with a score below the margin m do not count, and others the less the easier they are. γ and m, and
    no exponent for classes that are present, as in the source: Ridnik et al., arXiv:2009.14119.
    """
    shifted = jnp.maximum(jax.nn.sigmoid(logits) - ASYMMETRIC_MARGIN, 0.0)
    absent = shifted**ASYMMETRIC_GAMMA * jnp.log1p(-shifted)
    return -(targets * jax.nn.log_sigmoid(logits) + (1 - targets) * absent).mean(axis=1)


@jax.checkpoint
def _pair_losses(logits: Logits, targets: Targets) -> ClipLosses:
    farther = logits[:, None] - logits[None]  # of the first clip from the second
    weights = targets[:, None] * (1 - targets)[None]
    return (weights * jax.nn.softplus(-farther)).sum(axis=(1, 2))


def soft_auc(logits: Logits, targets: Targets, settings: Training) -> ClipLosses:
    """Mean over pairs of clips and over classes of log(1 + exp(z⁻ − z⁺)), a smooth bound of 1 − AUC.

    z⁺ is the logit of a clip that has the class, z⁻ that of one of the batch that has not. Each pair counts by the
    targets of both, t⁺ · (1 − t⁻), and belongs to the clip that has the class; the mean over clips is that over pairs.
    Source: Gao and Zhou, arXiv:1208.0645, for one class and hard labels.
    """
    pairs = (targets.sum(axis=0) * (1 - targets).sum(axis=0)).sum()
    return _pair_losses(logits, targets) * len(logits) / jnp.maximum(pairs, 1e-6)


LOSSES: dict[str, Callable[[Logits, Targets, Training], ClipLosses]] = {
    "cross_entropy": cross_entropy,
    "focal": focal,
    "binary": binary_cross_entropy,
    "asymmetric": asymmetric,
    "soft_auc": soft_auc,
    "triplet": cross_entropy,
}


def losses(logits: Logits, targets: Targets, settings: Training) -> ClipLosses:
    """Return the loss of each clip, by `training.loss`."""
    return LOSSES[settings.loss](logits, targets, settings)


def weighted_mean(values: ClipLosses, weight: Float[Array, " batch"]) -> Float[Array, ""]:
    """Return the mean of the clips' losses, weighted by `weight`."""
    return (weight * values).sum() / jnp.maximum(weight.sum(), 1e-12)
