"""Augmentation of spectrograms during training: which transforms are active, which of them an image gets, and mixup.

    python -m utils.learning.augmentation augmentation.png experiments/birdclef2018.toml

draws every transform on clips of the experiment's store, for a look at them.

Images are (B, H, W) from 0 to 1. A new augmentation is a setting in config.py, a function in `transforms`, and an entry
in `active_transforms` (and in `EXAMPLE_AMOUNTS`, for the contact sheet; in `Chances` of config.py, for a probability of
its own).

Source of the rule: docs/baseline.md (Image pipeline).
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from config import Augmentation
from utils.augmentation_checks import chance_of, is_on
from utils.learning.augmentation import transforms
from utils.learning.augmentation.transforms import FREQUENCY, TIME, Images, NoiseBank, Transform
from utils.learning.targets import Targets

SOUND_AXES = 2  # of a batch of sounds; images have three
EXAMPLE_AMOUNTS = Augmentation(  # what the contact sheet shows of transforms that are off
    flip="time", roll=0.15, roll_h=0.5, crop=(0.2, 0.2, 0.2, 0.2), zoom=0.5, rotate=10.0, contrast=(0.5, 3.0),
    brightness=0.5, lightness=0.5, multiply=0.5, mean=True, blur=5, noise=0.05, dropout=0.25, blackout=0.2,
    time_mask=0.2, frequency_mask=0.2, stripes=2, mixup=1.0,
)  # fmt: skip
ClipWeights = Float[Array, " batch"]


def active_transforms(settings: Augmentation, noise: NoiseBank) -> dict[str, Transform]:
    """Return the active transforms by their settings' names, in order of application; `add` is off without noise."""
    every: dict[str, Transform] = {
        "flip": partial(transforms.flip, across=settings.flip),
        "roll": partial(transforms.roll, amount=settings.roll, axes=(FREQUENCY, TIME)),
        "roll_v": partial(transforms.roll, amount=settings.roll_v, axes=(FREQUENCY,)),
        "roll_h": partial(transforms.roll, amount=settings.roll_h, axes=(TIME,)),
        "crop": partial(transforms.crop, amounts=settings.crop),
        "zoom": partial(transforms.zoom, amount=settings.zoom),
        "rotate": partial(transforms.rotate, amount=settings.rotate),
        "contrast": partial(transforms.contrast, exponents=settings.contrast),
        "brightness": partial(transforms.brightness, amount=settings.brightness),
        "lightness": partial(transforms.lightness, amount=settings.lightness),
        "multiply": partial(transforms.multiply, amount=settings.multiply),
        "mean": transforms.subtract_mean,
        "blur": partial(transforms.box_blur, amount=settings.blur),
        "noise": partial(transforms.gaussian_noise, amount=settings.noise),
        "add": partial(transforms.add_noise, noise=noise),
        "dropout": partial(transforms.dropout, amount=settings.dropout),
        "blackout": partial(transforms.blackout, amount=settings.blackout),
        "time_mask": partial(transforms.mask, amount=settings.time_mask, stripes=settings.stripes, axis=TIME),
        "frequency_mask": partial(
            transforms.mask, amount=settings.frequency_mask, stripes=settings.stripes, axis=FREQUENCY
        ),
    }
    return {
        name: transform for name, transform in every.items() if is_on(settings, name) and (name != "add" or len(noise))
    }


def is_augmented(settings: Augmentation, noise: NoiseBank) -> bool:
    """Tell whether `augment` can change an image."""
    chances = [chance_of(settings, name) for name in active_transforms(settings, noise)]
    return any(chance if chance is not None else settings.count and settings.probability for chance in chances)


def augment(images: Images, key: PRNGKeyArray, settings: Augmentation, noise: NoiseBank) -> Images:
    """Augment a batch: each image gets up to `count` different transforms, each with the probability `probability`.

    Those that have a probability in `chances` are not among them: an image gets each with that probability.

    The baseline drew the order of the transforms too; here it is the same for all images, so that each transform is
    computed once for the whole batch.
    """
    if not is_augmented(settings, noise):
        return images
    active = active_transforms(settings, noise)
    key_choice, key_amounts = jax.random.split(key)
    chosen = _chosen_transforms(key_choice, len(images), list(active), settings)
    for index, (name, transform) in enumerate(active.items()):
        keys = jax.random.split(jax.random.fold_in(key_amounts, index), len(images))
        images = jnp.where(chosen[name][:, None, None], transform(images, keys), images)
    return images


def _chosen_transforms(
    key: PRNGKeyArray, images: int, names: list[str], settings: Augmentation
) -> dict[str, Bool[Array, " images"]]:
    """Draw which image gets which transforms, those with chances of their own apart from the others."""
    chances = {name: chance for name in names if (chance := chance_of(settings, name)) is not None}
    others = [name for name in names if name not in chances]
    chosen = choose_transforms(key, images, len(others), count=settings.count, probability=settings.probability)
    key_chances = jax.random.fold_in(key, 2)  # 0 and 1 are the keys into which the choice of the others splits it
    alone = jax.random.bernoulli(key_chances, jnp.array([*chances.values()]), (images, len(chances)))
    return {**dict(zip(others, chosen.T, strict=True)), **dict(zip(chances, alone.T, strict=True))}


def choose_transforms(key: PRNGKeyArray, clips: int, transforms: int, *, count: int, probability: float) -> Array:
    """Draw which clip gets which transforms: bool (clips, transforms).

    Each clip draws an order of the transforms; the first `count` of them are tried, each with the probability
    `probability`.
    """
    key_order, key_coin = jax.random.split(key)
    rank = jnp.argsort(jax.random.uniform(key_order, (clips, transforms)), axis=1)
    return (rank < count) & jax.random.bernoulli(key_coin, probability, (clips, transforms))


def mixup(
    clips: Float[Array, "batch *shape"],
    targets: Targets,
    weights: ClipWeights,
    key: PRNGKeyArray,
    *,
    amount: float,
    share: float = 1.0,
) -> tuple[Float[Array, "batch *shape"], Targets, ClipWeights]:
    """Mix each clip and its targets with the next one of the batch, a random one, as batches have a random order.

    Parameters
    ----------
    clips : images or sounds
    targets : of each class, as cross-entropies take them
    weights : weight of each clip in the loss
    amount : the part of the clip itself is drawn from Beta(amount, amount), for each clip anew: near 0 or 1 for small
        amounts, near a half for large ones
    share : probability that a clip is mixed at all

    Returns
    -------
    Mixed clips, targets and weights. Any cross-entropy of them, which is linear in its targets, is the sum of the two
    clips' losses in the parts of the mixture.

    Source: Zhang et al., arXiv:1710.09412; a solution of BirdCLEF 2021 mixed half or all of its clips, with amount 1.
    """
    key_part, key_share = jax.random.split(key)
    part = jax.random.beta(key_part, amount, amount, (len(clips),))
    part = jnp.where(jax.random.bernoulli(key_share, share, (len(clips),)), part, 1.0)
    weight, next_weight = part * weights, (1 - part) * jnp.roll(weights, -1)
    total = weight + next_weight
    divisor = jnp.where(total > 0, total, 1)[:, None]
    mixed = mix_clips(clips, jnp.roll(clips, -1, axis=0), part)
    mixed_targets = (weight[:, None] * targets + next_weight[:, None] * jnp.roll(targets, -1, axis=0)) / divisor
    return mixed, mixed_targets, total


def mix_clips(
    clips: Float[Array, "batch *shape"], others: Float[Array, "batch *shape"], part: Float[Array, " batch"]
) -> Float[Array, "batch *shape"]:
    """Return mixtures of clips in which each has its part, 0 to 1, and its other the rest."""
    of_clip = part.reshape(-1, *[1] * (clips.ndim - 1))
    return of_clip * clips + (1 - of_clip) * others


def at_power_of(sounds: Float[Array, "batch samples"], others: Float[Array, "batch samples"]) -> Array:
    """Return the other sounds, each scaled to the power of its sound; a silent one stays silent."""
    powers = [(one**2).mean(axis=1, keepdims=True) for one in (sounds, others)]
    return others * jnp.sqrt(powers[0] / jnp.where(powers[1] > 0, powers[1], 1))


def mix_with_unlabelled(
    clips: Float[Array, "batch *shape"],
    targets: Targets,
    labelled: Bool[Array, " batch"],
    key: PRNGKeyArray,
    *,
    share: float,
    multi_label: bool,
) -> tuple[Float[Array, "batch *shape"], Targets]:
    """Mix labelled clips, each half and half with an unlabelled one of the batch, if there is one.

    Parameters
    ----------
    clips : images, or sounds, which are mixed at equal power; in random order
    targets : of each class; those of unlabelled clips are pseudo labels
    share : probability that a labelled clip is mixed
    multi_label : whether a mixture has the species of both, the higher target of each class; else half of each

    Source: mixtures of labelled clips and soundscapes with pseudo labels are what leading solutions of BirdCLEF 2023 to
    2025 learned from.
    """
    unlabelled_first = jnp.argsort(labelled, stable=True)
    count = jnp.maximum((~labelled).sum(), 1)
    other = unlabelled_first[(jnp.cumsum(labelled) - 1) % count]  # of the n-th labelled clip, the n-th unlabelled one
    drawn = jax.random.bernoulli(key, share, (len(clips),))
    is_mixed = labelled & drawn & ~labelled.all()
    both = jnp.maximum(targets, targets[other]) if multi_label else (targets + targets[other]) / 2
    part = jnp.where(is_mixed, 0.5, 1.0)
    others = clips[other] if clips.ndim > SOUND_AXES else at_power_of(clips, clips[other])
    return mix_clips(clips, others, part), jnp.where(is_mixed[:, None], both, targets)
