"""What the net should answer to a clip, and how far it is from that."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Float32, Int, Int32

from config import Training

Logits = Float[Array, "batch classes"]
Targets = Float[Array, "batch classes"]


class Labels(NamedTuple):
    """What is known of clips, as numbers of classes.

    Attributes
    ----------
    own : the class of each clip
    others : the classes of what sings besides; −1 fills up
    weight : how much the loss of each counts
    """

    own: Int32[Any, " *clips"]  # of NumPy here, of JAX on the device
    others: Int32[Any, "*clips most"]
    weight: Float32[Any, " *clips"]


def targets_of(labels: Labels, classes: int, settings: Training) -> Targets:
    """Return what the net should answer to each clip.

    One label, all losses but `binary`: 1 for its own class, less what `label_smoothing` spreads over all classes.
    Many labels, `binary`: a value each for its own class, what sings besides, and all others (seed 001 took 0.995, 0.3 and 0.0025).
    """
    own = jax.nn.one_hot(labels.own, classes)
    if settings.loss != "binary":
        return optax.smooth_labels(own, settings.label_smoothing)
    others = jax.nn.one_hot(labels.others, classes).max(axis=1, initial=0.0)  # −1 is no class: a row of zeros
    besides = jnp.where(others > 0, settings.secondary_target, settings.absent_target)
    return jnp.where(own > 0, settings.primary_target, besides)


def losses(logits: Logits, targets: Targets, settings: Training) -> Float[Array, " batch"]:
    """Return the loss of each clip, by `training.loss`, with p the net's scores and t the targets.

    cross_entropy : −Σ t · log p,  p = softmax
    focal         : −Σ t · (1 − p)^γ · log p,  p = softmax; Lin et al., arXiv:1708.02002
    binary        : −mean over classes of t · log p + (1 − t) · log(1 − p),  p = sigmoid
    """
    match settings.loss:
        case "cross_entropy":
            return optax.softmax_cross_entropy(logits, targets)
        case "focal":
            log_scores = jax.nn.log_softmax(logits)
            # 1 − p is kept off 0, where its power has no gradient
            hard = jnp.maximum(-jnp.expm1(log_scores), 1e-7) ** settings.focal_gamma
            return -(targets * hard * log_scores).sum(axis=1)
        case "binary":
            return optax.sigmoid_binary_cross_entropy(logits, targets).mean(axis=1)


def mean_loss(logits: Logits, targets: Targets, weight: Float[Array, " batch"], settings: Training) -> Float[Array, ""]:
    """Return the mean of the clips' losses, each counted by its weight."""
    return (weight * losses(logits, targets, settings)).sum() / jnp.maximum(weight.sum(), 1e-12)


def class_weights(own: Int[np.ndarray, " clips"], classes: int, settings: Training) -> Float32[np.ndarray, " classes"]:
    """Return how much clips of each class count: all the same, or inversely to their number, so that the mean over all clips is 1.

    Source: scikit-learn's class_weight = "balanced".
    """
    if settings.class_weights == "none":
        return np.ones(classes, np.float32)
    count = np.bincount(own, minlength=classes)
    return (len(own) / (classes * np.maximum(count, 1))).astype(np.float32)
