"""Augmentation of spectrograms during training: which transforms are active, which of them an image gets, and mixup.

    python -m utils.learning.augmentation augmentation.png experiments/birdclef2018.toml

draws every transform on clips of the experiment's store, for a look at them.

Images are (B, H, W) from 0 to 1. A new augmentation is a setting in config.py, a function in `transforms`, and an entry
in `active_transforms` (and in `EXAMPLE_AMOUNTS`, for the contact sheet).

Source of the rule: docs/baseline.md (Image pipeline).
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from config import Augmentation
from utils.learning.augmentation import transforms
from utils.learning.augmentation.transforms import FREQUENCY, TIME, Images, NoiseBank, Transform
from utils.learning.targets import Targets

EXAMPLE_AMOUNTS = Augmentation(  # what the contact sheet shows of transforms that are off
    flip="time", roll=0.15, roll_h=0.5, crop=(0.2, 0.2, 0.2, 0.2), zoom=0.5, rotate=10.0, contrast=(0.5, 3.0),
    brightness=0.5, lightness=0.5, multiply=0.5, mean=True, blur=5, noise=0.05, dropout=0.25, blackout=0.2,
    time_mask=0.2, frequency_mask=0.2, stripes=2, mixup=1.0,
)  # fmt: skip
ClipWeights = Float[Array, " batch"]


def active_transforms(settings: Augmentation, noise: NoiseBank) -> dict[str, Transform]:
    """Return the active transforms by their settings' names, in order of application; `add` is off without noise."""
    every: dict[str, tuple[Any, Transform]] = {
        "flip": (settings.flip != "off", partial(transforms.flip, across=settings.flip)),
        "roll": (settings.roll, partial(transforms.roll, amount=settings.roll, axes=(FREQUENCY, TIME))),
        "roll_v": (settings.roll_v, partial(transforms.roll, amount=settings.roll_v, axes=(FREQUENCY,))),
        "roll_h": (settings.roll_h, partial(transforms.roll, amount=settings.roll_h, axes=(TIME,))),
        "crop": (any(settings.crop), partial(transforms.crop, amounts=settings.crop)),
        "zoom": (settings.zoom, partial(transforms.zoom, amount=settings.zoom)),
        "rotate": (settings.rotate, partial(transforms.rotate, amount=settings.rotate)),
        "contrast": (settings.contrast != (1, 1), partial(transforms.contrast, exponents=settings.contrast)),
        "brightness": (settings.brightness, partial(transforms.brightness, amount=settings.brightness)),
        "lightness": (settings.lightness, partial(transforms.lightness, amount=settings.lightness)),
        "multiply": (settings.multiply, partial(transforms.multiply, amount=settings.multiply)),
        "mean": (settings.mean, transforms.subtract_mean),
        "blur": (settings.blur > 1, partial(transforms.box_blur, amount=settings.blur)),
        "noise": (settings.noise, partial(transforms.gaussian_noise, amount=settings.noise)),
        "add": (settings.add and len(noise), partial(transforms.add_noise, noise=noise)),
        "dropout": (settings.dropout, partial(transforms.dropout, amount=settings.dropout)),
        "blackout": (settings.blackout, partial(transforms.blackout, amount=settings.blackout)),
        "time_mask": (
            settings.time_mask,
            partial(transforms.mask, amount=settings.time_mask, stripes=settings.stripes, axis=TIME),
        ),
        "frequency_mask": (
            settings.frequency_mask,
            partial(transforms.mask, amount=settings.frequency_mask, stripes=settings.stripes, axis=FREQUENCY),
        ),
    }
    return {name: transform for name, (on, transform) in every.items() if on}


def augment(images: Images, key: PRNGKeyArray, settings: Augmentation, noise: NoiseBank) -> Images:
    """Augment a batch: each image gets up to `count` different transforms, each with the probability `probability`.

    The baseline drew the order of the transforms too; here it is the same for all images, so that each transform is
    computed once for the whole batch.
    """
    active = active_transforms(settings, noise)
    if not active or not settings.count:
        return images
    key_choice, key_amounts = jax.random.split(key)
    chosen = choose_transforms(
        key_choice, len(images), len(active), count=settings.count, probability=settings.probability
    )
    for index, transform in enumerate(active.values()):
        keys = jax.random.split(jax.random.fold_in(key_amounts, index), len(images))
        images = jnp.where(chosen[:, index, None, None], transform(images, keys), images)
    return images


def choose_transforms(key: PRNGKeyArray, images: int, transforms: int, *, count: int, probability: float) -> Array:
    """Draw which image gets which transforms: bool (images, transforms).

    Each image draws an order of the transforms; the first `count` of them are tried, each with the probability
    `probability`.
    """
    key_order, key_coin = jax.random.split(key)
    rank = jnp.argsort(jax.random.uniform(key_order, (images, transforms)), axis=1)
    return (rank < count) & jax.random.bernoulli(key_coin, probability, (images, transforms))


def mixup(
    images: Images, targets: Targets, weights: ClipWeights, key: PRNGKeyArray, *, amount: float, share: float = 1.0
) -> tuple[Images, Targets, ClipWeights]:
    """Mix each image and its targets with the next one of the batch, a random one, as batches have a random order.

    Parameters
    ----------
    targets : of each class, as cross-entropies take them
    weights : weight of each clip in the loss
    amount : the part of the image itself is drawn from Beta(amount, amount), for each image anew: near 0 or 1 for small
        amounts, near a half for large ones
    share : probability that an image is mixed at all

    Returns
    -------
    Mixed images, targets and weights. Any cross-entropy of them, which is linear in its targets, is the sum of the two
    clips' losses in the parts of the mixture.

    Source: Zhang et al., arXiv:1710.09412; a solution of BirdCLEF 2021 mixed half or all of its clips, with amount 1.
    """
    key_part, key_share = jax.random.split(key)
    part = jax.random.beta(key_part, amount, amount, (len(images),))
    part = jnp.where(jax.random.bernoulli(key_share, share, (len(images),)), part, 1.0)
    weight, next_weight = part * weights, (1 - part) * jnp.roll(weights, -1)
    total = weight + next_weight
    divisor = jnp.where(total > 0, total, 1)[:, None]
    mixed = part[:, None, None] * images + (1 - part)[:, None, None] * jnp.roll(images, -1, axis=0)
    mixed_targets = (weight[:, None] * targets + next_weight[:, None] * jnp.roll(targets, -1, axis=0)) / divisor
    return mixed, mixed_targets, total
