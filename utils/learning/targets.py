"""Labels of clips, and the targets and class weights that follow from them."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Float32, Int, Int32

from config import Training

Targets = Float[Array, "batch classes"]


class Labels(NamedTuple):
    """Labels of clips, as indices of classes.

    Attributes
    ----------
    primary : the class of each clip; −1: unlabelled
    background : the background classes, padded with −1
    weight : weight of each clip's loss
    """

    primary: Int32[Any, " *clips"]  # NumPy on the host, JAX on the device
    background: Int32[Any, "*clips most"]
    weight: Float32[Any, " *clips"]


def targets_of(labels: Labels, classes: int, settings: Training) -> Targets:
    """Return the targets of each clip; those of unlabelled clips mean nothing.

    One label per clip: 1 for the primary label, minus what `label_smoothing` spreads over all classes.
    Several labels (`multi_label`): one value each for the primary label, background labels and all other classes
    (`primary_target`, `secondary_target`, `absent_target`).
    """
    primary = jax.nn.one_hot(labels.primary, classes)
    if not settings.multi_label:
        return optax.smooth_labels(primary, settings.label_smoothing)
    background = _background_of(labels, classes)
    others = jnp.where(background > 0, settings.secondary_target, settings.absent_target)
    return jnp.where(primary > 0, settings.primary_target, others)


def species_of(labels: Labels, classes: int) -> Targets:
    """Return 1 for each clip's class and its background classes, 0 for all others."""
    return jnp.maximum(jax.nn.one_hot(labels.primary, classes), _background_of(labels, classes))


def _background_of(labels: Labels, classes: int) -> Targets:
    return jax.nn.one_hot(labels.background, classes).max(axis=1, initial=0.0)  # −1 gives a row of zeros


def class_weights(
    primary: Int[np.ndarray, " clips"], classes: int, settings: Training
) -> Float32[np.ndarray, " classes"]:
    """Return the weight of each class in the loss: 1, or inversely to its number of clips.

    The mean weight of all clips is 1. Unlabelled clips are not counted. Source: scikit-learn's class_weight =
    "balanced".
    """
    primary = primary[primary >= 0]
    if settings.class_weights == "none":
        return np.ones(classes, np.float32)
    count = np.bincount(primary, minlength=classes)
    return (len(primary) / (classes * np.maximum(count, 1))).astype(np.float32)
