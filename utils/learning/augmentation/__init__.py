"""How pictures are varied while training: which variations are on, which of them a picture gets, and pictures mixed with their targets.

    python -m utils.learning.augmentation sheet.png experiments/birdclef2018.toml

draws every variation on clips of the experiment's store, to look at.

Pictures are (B, H, W) from 0 to 1. Source of the rule: BASELINE, Image pipeline.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from config import Augmentation
from utils.learning.augmentation import transforms as vary
from utils.learning.augmentation.transforms import FREQUENCY, TIME, Pictures, Variation
from utils.learning.augmentation.transforms import Noise as Noise  # the step takes it, too

Targets = Float[Array, "batch classes"]
Weights = Float[Array, " batch"]


def variations(settings: Augmentation, noise: Noise) -> dict[str, Variation]:
    """Return the variations that are on by their settings' names, in the order in which a picture gets them; `add` is off without pictures of noise."""
    every: dict[str, tuple[Any, Variation]] = {
        "flip": (settings.flip != "off", partial(vary.flip, across=settings.flip)),
        "roll": (settings.roll, partial(vary.roll, amount=settings.roll, axes=(FREQUENCY, TIME))),
        "roll_v": (settings.roll_v, partial(vary.roll, amount=settings.roll_v, axes=(FREQUENCY,))),
        "roll_h": (settings.roll_h, partial(vary.roll, amount=settings.roll_h, axes=(TIME,))),
        "crop": (any(settings.crop), partial(vary.crop, amounts=settings.crop)),
        "zoom": (settings.zoom, partial(vary.zoom, amount=settings.zoom)),
        "rotate": (settings.rotate, partial(vary.rotate, amount=settings.rotate)),
        "contrast": (settings.contrast != (1, 1), partial(vary.contrast, exponents=settings.contrast)),
        "brightness": (settings.brightness, partial(vary.brightness, amount=settings.brightness)),
        "lightness": (settings.lightness, partial(vary.lightness, amount=settings.lightness)),
        "multiply": (settings.multiply, partial(vary.multiply, amount=settings.multiply)),
        "mean": (settings.mean, vary.mean),
        "blur": (settings.blur > 1, partial(vary.blur, amount=settings.blur)),
        "noise": (settings.noise, partial(vary.gaussian, amount=settings.noise)),
        "add": (settings.add and len(noise), partial(vary.add_noise, noise=noise)),
        "dropout": (settings.dropout, partial(vary.dropout, amount=settings.dropout)),
        "blackout": (settings.blackout, partial(vary.blackout, amount=settings.blackout)),
        "time_mask": (
            settings.time_mask,
            partial(vary.mask, amount=settings.time_mask, stripes=settings.stripes, axis=TIME),
        ),
        "frequency_mask": (
            settings.frequency_mask,
            partial(vary.mask, amount=settings.frequency_mask, stripes=settings.stripes, axis=FREQUENCY),
        ),
    }
    return {name: variation for name, (on, variation) in every.items() if on}


def augment(pictures: Pictures, key: PRNGKeyArray, settings: Augmentation, noise: Noise) -> Pictures:
    """Vary a batch: each picture gets up to `count` different variations, each of them with the chance `probability`.

    The baseline drew the order of the variations, too; here it is the same for all, so that each is computed once for
    the whole batch.
    """
    on = variations(settings, noise)
    if not on or not settings.count:
        return pictures
    key_choice, key_amounts = jax.random.split(key)
    chosen = choose(key_choice, len(pictures), len(on), count=settings.count, probability=settings.probability)
    for number, variation in enumerate(on.values()):
        keys = jax.random.split(jax.random.fold_in(key_amounts, number), len(pictures))
        pictures = jnp.where(chosen[:, number, None, None], variation(pictures, keys), pictures)
    return pictures


def choose(key: PRNGKeyArray, pictures: int, kinds: int, *, count: int, probability: float) -> Array:
    """Draw which picture gets which kinds of variation: bool (pictures, kinds).

    Each picture draws an order of the kinds; the first `count` of them are tried, each with the chance `probability`.
    """
    key_order, key_coin = jax.random.split(key)
    place = jnp.argsort(jax.random.uniform(key_order, (pictures, kinds)), axis=1)
    return (place < count) & jax.random.bernoulli(key_coin, probability, (pictures, kinds))


def mixup(
    pictures: Pictures, targets: Targets, weights: Weights, key: PRNGKeyArray, *, amount: float, share: float = 1.0
) -> tuple[Pictures, Targets, Weights]:
    """Mix each picture with the next one of the batch (a random one, for batches are drawn in random order), and their targets alike.

    Parameters
    ----------
    targets : how much each class is in a picture, as cross-entropies take them
    weights : how much each picture counts in the loss
    amount : the part of the picture itself is drawn from Beta(amount, amount), for each one anew: near 0 or 1 for small
        amounts, near a half for large ones
    share : chance that a picture is mixed at all

    Returns
    -------
    Mixed pictures, targets and weights. Any cross-entropy of them, which is linear in its targets, is the two clips'
    losses in the mixture's parts.

    Source: Zhang et al., arXiv:1710.09412; a solution of BirdCLEF 2021 mixed half or all of its clips, with amount 1.
    """
    key_part, key_share = jax.random.split(key)
    part = jax.random.beta(key_part, amount, amount, (len(pictures),))
    part = jnp.where(jax.random.bernoulli(key_share, share, (len(pictures),)), part, 1.0)
    ours, theirs = part * weights, (1 - part) * jnp.roll(weights, -1)
    whole = ours + theirs
    safe = jnp.where(whole > 0, whole, 1)[:, None]
    mixed = part[:, None, None] * pictures + (1 - part)[:, None, None] * jnp.roll(pictures, -1, axis=0)
    return mixed, (ours[:, None] * targets + theirs[:, None] * jnp.roll(targets, -1, axis=0)) / safe, whole
