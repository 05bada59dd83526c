"""Optimizers by the names of `training.optimizer`, without the learning rate, which is an argument of each step.

A new optimizer is a case of `optimizer` here, and its name in `Training.optimizer` of config.py.
"""

import jax
import optax

from config import Training

MOMENTUM = 0.9  # of the optimizer nesterov


def optimizer(settings: Training) -> optax.GradientTransformation:
    """Return the transformation from gradients to updates.

    A step multiplies the updates by the learning rate, and subtracts them from the parameters.

    The gradient of `l2` is added first, for every kernel (in the 2018 baseline only for the output layer); then the
    whole is clipped to `gradient_clip`. Neither `l2` nor `weight_decay` applies to norms' scales and biases.
    """
    parts = []
    if settings.l2:
        parts.append(optax.add_decayed_weights(2 * settings.l2, mask=kernels))
    if settings.gradient_clip:
        parts.append(optax.clip_by_global_norm(settings.gradient_clip))
    match settings.optimizer:
        case "adam":
            parts.append(optax.scale_by_adam())
        case "adamw":
            parts += [optax.scale_by_adam(), optax.add_decayed_weights(settings.weight_decay, mask=kernels)]
        case "nesterov":
            parts.append(optax.trace(MOMENTUM, nesterov=True))
        case "sgd":
            parts.append(optax.identity())
    return optax.chain(*parts)


def kernels(params: optax.Params) -> optax.Params:
    """Tell which parameters are kernels of convolutions and dense layers."""
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)
