"""The variations of pictures that training draws from: each a pure function of (pictures, keys, amount), one key a picture.

Pictures are (B, H, W) from 0 to 1, low frequencies at the bottom, and stay so. Source of what the amounts mean:
BASELINE, Image pipeline.
"""

import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Float, Key, UInt8

Pictures = Float[Array, "batch height width"]
Picture = Float[Array, "height width"]
Noise = UInt8[Array, "pictures height width"]
Keys = Key[Array, " batch"]
OneKey = Key[Array, ""]
Variation = Callable[..., Pictures]

FREQUENCY, TIME = 0, 1  # axes of a picture
FLIPPED = {"time": (TIME,), "frequency": (FREQUENCY,), "both": (FREQUENCY, TIME)}


def each(one: Callable[..., Picture]) -> Variation:
    """Turn a function of (picture, key, amount) into one of (pictures, keys, amount), which varies each picture by a key of its own."""

    @functools.wraps(one)
    def all_of(pictures: Pictures, keys: Keys, **amounts: Any) -> Pictures:
        return jax.vmap(functools.partial(one, **amounts))(pictures, keys)

    return all_of


@each
def roll(picture: Picture, key: OneKey, *, amount: float, axes: tuple[int, ...]) -> Picture:
    """Shift along the axes by up to `amount` of the side, each by a number of its own, wrapping."""
    shares = jax.random.uniform(key, (len(axes),), minval=-amount, maxval=amount)
    for axis, share in zip(axes, shares, strict=True):
        picture = jnp.roll(picture, jnp.round(share * picture.shape[axis]).astype(int), axis=axis)
    return picture


@each
def flip(picture: Picture, key: OneKey, *, across: Literal["time", "frequency", "both"]) -> Picture:
    """Mirror; nothing is random in it but whether it is done."""
    return jnp.flip(picture, FLIPPED[across])


@each
def crop(picture: Picture, key: OneKey, *, amounts: tuple[float, float, float, float]) -> Picture:
    """Cut up to these shares off top, left, bottom and right, and stretch the rest to the size that it was."""
    top, left, bottom, right = jax.random.uniform(key, (4,)) * jnp.asarray(amounts)
    return _enlarge(picture, top=top, left=left, bottom=bottom, right=right)


@each
def zoom(picture: Picture, key: OneKey, *, amount: float) -> Picture:
    """Enlarge about the middle by 1 to 1 + `amount`."""
    rim = (1 - 1 / jax.random.uniform(key, minval=1, maxval=1 + amount)) / 2
    return _enlarge(picture, top=rim, left=rim, bottom=rim, right=rim)


def _enlarge(picture: Picture, *, top: Array, left: Array, bottom: Array, right: Array) -> Picture:
    """Stretch what lies within rims of these shares over the whole picture, bicubic; what swings beyond 0 and 1 is cut off."""
    side = jnp.asarray(picture.shape)
    scale = 1 / (1 - jnp.stack([top + bottom, left + right]))
    # JAX does this by two products with matrices, not by gathering 16 pixels for each
    enlarged = jax.image.scale_and_translate(
        picture, picture.shape, (0, 1), scale, -jnp.stack([top, left]) * side * scale, "cubic", antialias=False
    )
    return jnp.clip(enlarged, 0, 1)


@each
def rotate(picture: Picture, key: OneKey, *, amount: float) -> Picture:
    """Turn about the middle by up to `amount` degrees either way, bilinear; what comes in at the corners is black."""
    angle = jnp.deg2rad(jax.random.uniform(key, minval=-amount, maxval=amount))
    middle = (jnp.asarray(picture.shape)[:, None, None] - 1) / 2
    rows, columns = jnp.indices(picture.shape) - middle
    turned = jnp.stack(
        [rows * jnp.cos(angle) - columns * jnp.sin(angle), rows * jnp.sin(angle) + columns * jnp.cos(angle)]
    )
    return map_coordinates(picture, list(turned + middle), order=1)


@each
def contrast(picture: Picture, key: OneKey, *, exponents: tuple[float, float]) -> Picture:
    """Raise the pixels to a power between these two: below 1 what is faint comes out, above 1 it goes."""
    return picture ** jax.random.uniform(key, minval=min(exponents), maxval=max(exponents))


@each
def brightness(picture: Picture, key: OneKey, *, amount: float) -> Picture:
    """Multiply all pixels by one number from 1 − `amount` to 1 + `amount`."""
    return jnp.clip(picture * _about_one(key, amount), 0, 1)


@each
def multiply(picture: Picture, key: OneKey, *, amount: float) -> Picture:
    """Multiply each pixel by a number of its own from 1 − `amount` to 1 + `amount`."""
    return jnp.clip(picture * _about_one(key, amount, picture.shape), 0, 1)


@each
def lightness(picture: Picture, key: OneKey, *, amount: float) -> Picture:
    """Multiply the lightness L* of CIELAB, in which a grey of sRGB has no colour, by a number from 1 − `amount` to 1 + `amount`.

    Source: OpenCV's conversion of colours, which the baseline used.
    """
    luminance = jnp.where(picture <= 0.04045, picture / 12.92, ((picture + 0.055) / 1.055) ** 2.4)
    light = jnp.where(luminance <= 0.008856, 903.3 * luminance, 116 * jnp.cbrt(luminance) - 16) * _about_one(
        key, amount
    )
    luminance = jnp.where(light <= 8, light / 903.3, ((light + 16) / 116) ** 3)
    return jnp.clip(jnp.where(luminance <= 0.0031308, luminance * 12.92, 1.055 * luminance ** (1 / 2.4) - 0.055), 0, 1)


def _about_one(key: OneKey, amount: float, shape: tuple[int, ...] = ()) -> Array:
    return jax.random.uniform(key, shape, minval=1 - amount, maxval=1 + amount)


@each
def mean(picture: Picture, key: OneKey) -> Picture:
    """Subtract the mean, cut off what is below 0, and stretch the rest up to 1; a picture of one grey becomes black."""
    above = jnp.maximum(picture - picture.mean(), 0)
    return above / jnp.maximum(above.max(), 1e-6)


@each
def blur(picture: Picture, key: OneKey, *, amount: int) -> Picture:
    """Take the mean over boxes of `amount` × `amount` pixels; beyond its edges the picture is mirrored."""
    before, after = amount // 2, (amount - 1) // 2
    for axis in (FREQUENCY, TIME):
        padded = jnp.pad(
            picture, [(before, after) if axis == side else (0, 0) for side in (FREQUENCY, TIME)], mode="reflect"
        )
        window = tuple(amount if axis == side else 1 for side in (FREQUENCY, TIME))
        picture = jax.lax.reduce_window(padded, 0.0, jax.lax.add, window, (1, 1), "VALID") / amount
    return picture


@each
def gaussian(picture: Picture, key: OneKey, *, amount: float) -> Picture:
    """Add Gaussian noise with a deviation of up to √amount, another one for each picture."""
    key_deviation, key_noise = jax.random.split(key)
    deviation = jax.random.uniform(key_deviation, maxval=amount**0.5)
    return jnp.clip(picture + deviation * jax.random.normal(key_noise, picture.shape), 0, 1)


@each
def add_noise(picture: Picture, key: OneKey, *, noise: Noise) -> Picture:
    """Take the mean with a random picture of noise, weighted by two random numbers from 1 to 2."""
    key_choice, key_weights = jax.random.split(key)
    other = noise[jax.random.randint(key_choice, (), 0, len(noise))].astype(jnp.float32) / 255
    ours, theirs = jax.random.uniform(key_weights, (2,), minval=1, maxval=2)
    return (ours * picture + theirs * other) / (ours + theirs)


@each
def dropout(picture: Picture, key: OneKey, *, amount: float) -> Picture:
    """Blacken each pixel with the chance `amount`."""
    return jnp.where(jax.random.uniform(key, picture.shape) < amount, 0, picture)


@each
def blackout(picture: Picture, key: OneKey, *, amount: float) -> Picture:
    """Blacken a band of `amount` of the columns, somewhere."""
    width = picture.shape[TIME]
    band = int(amount * width)
    columns = jnp.arange(width) - jax.random.randint(key, (), 0, width - band + 1)
    return jnp.where((columns >= 0) & (columns < band), 0, picture)


@each
def mask(picture: Picture, key: OneKey, *, amount: float, stripes: int, axis: int) -> Picture:
    """Blacken stripes across an axis, each somewhere and up to `amount` of the side wide; they may overlap.

    Source: SpecAugment (Park et al., arXiv:1904.08779).
    """
    key_width, key_start = jax.random.split(key)
    side = picture.shape[axis]
    widths = jax.random.randint(key_width, (stripes, 1), 0, int(amount * side) + 1)
    starts = jnp.floor(jax.random.uniform(key_start, (stripes, 1)) * (side - widths + 1))
    places = jnp.arange(side) - starts
    covered = ((places >= 0) & (places < widths)).any(axis=0)
    return jnp.where(jnp.expand_dims(covered, 1 - axis), 0, picture)
