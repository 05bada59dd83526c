"""How pictures are varied while training: pure functions of (pictures, keys, amount), one key a picture.

Pictures are (B, H, W) from 0 to 1. Source of rule and amounts: BASELINE, Image pipeline.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PRNGKeyArray, UInt8

from config import Augmentation

Pictures = Float[Array, "batch height width"]
Noise = UInt8[Array, "pictures height width"]
Keys = Key[Array, " batch"]
Variation = Callable[[Pictures, Keys], Pictures]


def roll(pictures: Pictures, keys: Keys, *, amount: float, axis: int) -> Pictures:
    """Shift each picture along an axis (0: frequency, 1: time) by up to `amount` of its side, wrapping."""

    def one(picture: jax.Array, key: jax.Array) -> jax.Array:
        share = jax.random.uniform(key, minval=-amount, maxval=amount)
        return jnp.roll(picture, jnp.round(share * picture.shape[axis]).astype(int), axis=axis)

    return jax.vmap(one)(pictures, keys)


def gaussian(pictures: Pictures, keys: Keys, *, amount: float) -> Pictures:
    """Add Gaussian noise with a deviation of up to √amount, another one for each picture."""

    def one(picture: jax.Array, key: jax.Array) -> jax.Array:
        key_deviation, key_noise = jax.random.split(key)
        deviation = jax.random.uniform(key_deviation, maxval=amount**0.5)
        return jnp.clip(picture + deviation * jax.random.normal(key_noise, picture.shape), 0, 1)

    return jax.vmap(one)(pictures, keys)


def add_noise(pictures: Pictures, keys: Keys, *, noise: Noise) -> Pictures:
    """Take the mean with a random picture of noise, weighted by two random numbers from 1 to 2."""

    def one(picture: jax.Array, key: jax.Array) -> jax.Array:
        key_choice, key_weights = jax.random.split(key)
        other = noise[jax.random.randint(key_choice, (), 0, len(noise))].astype(jnp.float32) / 255
        ours, theirs = jax.random.uniform(key_weights, (2,), minval=1, maxval=2)
        return (ours * picture + theirs * other) / (ours + theirs)

    return jax.vmap(one)(pictures, keys)


def variations(settings: Augmentation, noise: Noise) -> list[Variation]:
    """Return the variations that are on; `add` is off where there is no picture of noise."""
    on: list[Variation] = []
    if settings.roll_v:
        on.append(lambda pictures, keys: roll(pictures, keys, amount=settings.roll_v, axis=0))
    if settings.roll_h:
        on.append(lambda pictures, keys: roll(pictures, keys, amount=settings.roll_h, axis=1))
    if settings.noise:
        on.append(lambda pictures, keys: gaussian(pictures, keys, amount=settings.noise))
    if settings.add and len(noise):
        on.append(lambda pictures, keys: add_noise(pictures, keys, noise=noise))
    return on


def augment(pictures: Pictures, key: PRNGKeyArray, settings: Augmentation, noise: Noise) -> Pictures:
    """Vary a batch: each picture gets up to `count` different variations, each of them with the chance `probability`."""
    on = variations(settings, noise)
    if not on or not settings.count:
        return pictures
    key_choice, key_amounts = jax.random.split(key)
    chosen = choose(key_choice, len(pictures), len(on), count=settings.count, probability=settings.probability)
    for number, vary in enumerate(on):
        keys = jax.random.split(jax.random.fold_in(key_amounts, number), len(pictures))
        pictures = jnp.where(chosen[:, number, None, None], vary(pictures, keys), pictures)
    return pictures


def choose(key: PRNGKeyArray, pictures: int, kinds: int, *, count: int, probability: float) -> Array:
    """Draw which picture gets which kinds of variation: bool (pictures, kinds).

    Each picture draws an order of the kinds; the first `count` of them are tried, each with the chance `probability`.
    """
    key_order, key_coin = jax.random.split(key)
    place = jnp.argsort(jax.random.uniform(key_order, (pictures, kinds)), axis=1)
    return (place < count) & jax.random.bernoulli(key_coin, probability, (pictures, kinds))
