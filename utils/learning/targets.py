"""What the net should answer to a clip, and how far it is from that."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Float32, Int, Int32

from config import Distillation, Training

Logits = Float[Array, "batch classes"]
Targets = Float[Array, "batch classes"]


class Labels(NamedTuple):
    """What is known of clips, as numbers of classes.

    Attributes
    ----------
    own : the class of each clip; −1 where nobody knows, so that only teachers' answers are learned
    others : the classes of what sings besides; −1 fills up
    weight : how much the loss of each counts
    """

    own: Int32[Any, " *clips"]  # of NumPy here, of JAX on the device
    others: Int32[Any, "*clips most"]
    weight: Float32[Any, " *clips"]


def targets_of(labels: Labels, classes: int, settings: Training) -> Targets:
    """Return what the net should answer to each clip.

    One label, all losses but `binary`: 1 for its own class, less what `label_smoothing` spreads over all classes.
    Many labels, `binary`: a value each for its own class, what sings besides, and all others (seed 001 took 0.995, 0.3
    and 0.0025). What stands for clips of no known class means nothing.
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


def taught_losses(logits: Logits, answers: Targets, settings: Distillation) -> Float[Array, " batch"]:
    """Return how far each clip's logits are from its teachers' answers, by `distillation.loss` at the temperature T, with p the student's cooled scores.

    cross_entropy    : −T² Σ a · log p,  p = softmax(logits / T)
    kullback_leibler : T² Σ a · (log a − log p): the same gradient, but 0 where the student answers what the teachers do
    binary           : −T² mean over classes of a · log p + (1 − a) · log(1 − p),  p = sigmoid(logits / T)

    T² keeps gradients as long as those of the true labels. Source: Hinton et al., arXiv:1503.02531.
    """
    cooled = logits / settings.temperature
    match settings.loss:
        case "cross_entropy":
            found = optax.softmax_cross_entropy(cooled, answers)
        case "kullback_leibler":
            found = optax.softmax_cross_entropy(cooled, answers) + jax.scipy.special.xlogy(answers, answers).sum(axis=1)
        case "binary":
            found = optax.sigmoid_binary_cross_entropy(cooled, answers).mean(axis=1)
    return settings.temperature**2 * found


def weighted_mean(values: Float[Array, " batch"], weight: Float[Array, " batch"]) -> Float[Array, ""]:
    """Return the mean of the clips' losses, each counted by its weight."""
    return (weight * values).sum() / jnp.maximum(weight.sum(), 1e-12)


def class_weights(own: Int[np.ndarray, " clips"], classes: int, settings: Training) -> Float32[np.ndarray, " classes"]:
    """Return how much clips of each class count: all the same, or inversely to their number, so that the mean over all clips is 1.

    Clips of no known class do not count here. Source: scikit-learn's class_weight = "balanced".
    """
    own = own[own >= 0]
    if settings.class_weights == "none":
        return np.ones(classes, np.float32)
    count = np.bincount(own, minlength=classes)
    return (len(own) / (classes * np.maximum(count, 1))).astype(np.float32)
