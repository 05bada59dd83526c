"""Learning rate schedules by the names of `training.schedule`, and the warm-up.

A new schedule is a case of `schedule` here, and its name in `Training.schedule` of config.py.
"""

import numpy as np
import optax
from jaxtyping import Float32

from config import Training


def schedule(settings: Training) -> optax.Schedule:
    """Return the learning rate as a function of the number of finished epochs, by `training.schedule`.

    constant : the same in all epochs
    linear   : from `learning_rate` in the first epoch to `learning_rate_end` in the last, linearly
    cosine   : the same, along half a cosine
    step     : the same, in `steps` equal parts with a constant rate each, by equal factors
    root     : `learning_rate` / √epoch; has no end value

    Source: docs/baseline.md (Training); its cosine ended at 0 instead of at the end value.
    """
    start, end = settings.learning_rate, settings.learning_rate_end
    last = max(settings.epochs - 1, 1)
    match settings.schedule:
        case "constant":
            return optax.constant_schedule(start)
        case "linear":
            return optax.linear_schedule(start, end, last)
        case "cosine":
            return optax.cosine_decay_schedule(start, last, alpha=end / start)
        case "step":
            factor = (end / start) ** (1 / (settings.steps - 1))
            starts = {-(-settings.epochs * part // settings.steps): factor for part in range(1, settings.steps)}
            return optax.piecewise_constant_schedule(start, starts)
        case "root":
            return lambda finished: start / (finished + 1) ** 0.5


def rates(settings: Training, *, epoch: int, steps: int) -> Float32[np.ndarray, " steps"]:
    """Return the learning rate of every step of an epoch, counted from 1: of the schedule and the warm-up."""
    rate = float(schedule(settings)(epoch - 1))
    first = settings.freeze_epochs if epoch > settings.freeze_epochs else 0
    finished = (np.arange(1, steps + 1) + (epoch - 1 - first) * steps) / steps
    share = np.minimum(finished / settings.warm_up, 1.0) if settings.warm_up else np.ones(steps)
    return (rate * share).astype(np.float32)
