"""The transforms of augmentation: each a pure function of (images, keys, amount), with one key per image.

Images are (B, H, W) from 0 to 1, low frequencies at the bottom, and stay so. Source of what the amounts mean:
docs/baseline.md (Image pipeline).
"""

import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Float, Key, UInt8

from utils.models.input_scaling import Images as Images

Image = Float[Array, "height width"]
NoiseBank = UInt8[Array, "noise height width"]  # spectrograms of rejected clips
Keys = Key[Array, " batch"]
OneKey = Key[Array, ""]
Transform = Callable[..., Images]

FREQUENCY, TIME = 0, 1  # axes of an image
FLIPPED = {"time": (TIME,), "frequency": (FREQUENCY,), "both": (FREQUENCY, TIME)}


def each(one: Callable[..., Array]) -> Callable[..., Array]:
    """Turn a function of (image or sound, key, amount) into one of (images or sounds, keys, amount)."""

    @functools.wraps(one)
    def of_batch(clips: Float[Array, "batch *shape"], keys: Keys, **amounts: Any) -> Float[Array, "batch *shape"]:
        return jax.vmap(functools.partial(one, **amounts))(clips, keys)

    return of_batch


@each
def roll(image: Image, key: OneKey, *, amount: float, axes: tuple[int, ...]) -> Image:
    """Shift along each axis by a random part of up to `amount` of its length, wrapping around."""
    parts = jax.random.uniform(key, (len(axes),), minval=-amount, maxval=amount)
    for axis, part in zip(axes, parts, strict=True):
        image = jnp.roll(image, jnp.round(part * image.shape[axis]).astype(int), axis=axis)
    return image


@each
def flip(image: Image, key: OneKey, *, across: Literal["time", "frequency", "both"]) -> Image:
    """Mirror; nothing is random here but whether it is applied."""
    return jnp.flip(image, FLIPPED[across])


@each
def crop(image: Image, key: OneKey, *, amounts: tuple[float, float, float, float]) -> Image:
    """Crop up to these parts of top, left, bottom and right, and enlarge the rest to the original size."""
    top, left, bottom, right = jax.random.uniform(key, (4,)) * jnp.asarray(amounts)
    return _enlarge(image, top=top, left=left, bottom=bottom, right=right)


@each
def zoom(image: Image, key: OneKey, *, amount: float) -> Image:
    """Enlarge about the centre by a factor of 1 to 1 + `amount`."""
    rim = (1 - 1 / jax.random.uniform(key, minval=1, maxval=1 + amount)) / 2
    return _enlarge(image, top=rim, left=rim, bottom=rim, right=rim)


def _enlarge(image: Image, *, top: Array, left: Array, bottom: Array, right: Array) -> Image:
    """Enlarge what is left after cropping these parts, bicubic; values below 0 and above 1 are clipped."""
    shape = jnp.asarray(image.shape)
    scale = 1 / (1 - jnp.stack([top + bottom, left + right]))
    # JAX does this by two products with matrices, not by gathering 16 pixels for each
    enlarged = jax.image.scale_and_translate(
        image, image.shape, (0, 1), scale, -jnp.stack([top, left]) * shape * scale, "cubic", antialias=False
    )
    return jnp.clip(enlarged, 0, 1)


@each
def rotate(image: Image, key: OneKey, *, amount: float) -> Image:
    """Rotate about the centre by up to ± `amount` degrees, bilinear; uncovered corners become black."""
    angle = jnp.deg2rad(jax.random.uniform(key, minval=-amount, maxval=amount))
    centre = (jnp.asarray(image.shape)[:, None, None] - 1) / 2
    rows, columns = jnp.indices(image.shape) - centre
    rotated = jnp.stack(
        [rows * jnp.cos(angle) - columns * jnp.sin(angle), rows * jnp.sin(angle) + columns * jnp.cos(angle)]
    )
    return map_coordinates(image, list(rotated + centre), order=1)


@each
def contrast(image: Image, key: OneKey, *, exponents: tuple[float, float]) -> Image:
    """Raise the pixels to a power between these two: below 1 faint parts become brighter, above 1 darker."""
    return image ** jax.random.uniform(key, minval=min(exponents), maxval=max(exponents))


@each
def brightness(image: Image, key: OneKey, *, amount: float) -> Image:
    """Multiply all pixels by one random factor from 1 − `amount` to 1 + `amount`."""
    return jnp.clip(image * _about_one(key, amount), 0, 1)


@each
def multiply(image: Image, key: OneKey, *, amount: float) -> Image:
    """Multiply each pixel by another random factor from 1 − `amount` to 1 + `amount`."""
    return jnp.clip(image * _about_one(key, amount, image.shape), 0, 1)


@each
def lightness(image: Image, key: OneKey, *, amount: float) -> Image:
    """Multiply the lightness L* of CIELAB by a random factor from 1 − `amount` to 1 + `amount`.

    Pixels are taken for sRGB greys.

    Source: OpenCV's colour conversion, which the baseline used.
    """
    luminance = jnp.where(image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055) ** 2.4)
    light = jnp.where(luminance <= 0.008856, 903.3 * luminance, 116 * jnp.cbrt(luminance) - 16) * _about_one(
        key, amount
    )
    luminance = jnp.where(light <= 8, light / 903.3, ((light + 16) / 116) ** 3)
    return jnp.clip(jnp.where(luminance <= 0.0031308, luminance * 12.92, 1.055 * luminance ** (1 / 2.4) - 0.055), 0, 1)


def _about_one(key: OneKey, amount: float, shape: tuple[int, ...] = ()) -> Array:
    return jax.random.uniform(key, shape, minval=1 - amount, maxval=1 + amount)


@each
def subtract_mean(image: Image, key: OneKey) -> Image:
    """Subtract the mean, clip at 0, and scale the maximum to 1; an image of one grey becomes black."""
    above = jnp.maximum(image - image.mean(), 0)
    return above / jnp.maximum(above.max(), 1e-6)


@each
def box_blur(image: Image, key: OneKey, *, amount: int) -> Image:
    """Take the mean over boxes of `amount` × `amount` pixels; beyond its edges the image is mirrored."""
    before, after = amount // 2, (amount - 1) // 2
    for axis in (FREQUENCY, TIME):
        padded = jnp.pad(
            image, [(before, after) if axis == other else (0, 0) for other in (FREQUENCY, TIME)], mode="reflect"
        )
        window = tuple(amount if axis == other else 1 for other in (FREQUENCY, TIME))
        image = jax.lax.reduce_window(padded, 0.0, jax.lax.add, window, (1, 1), "VALID") / amount
    return image


@each
def gaussian_noise(image: Image, key: OneKey, *, amount: float) -> Image:
    """Add Gaussian noise with a standard deviation of up to √amount, drawn for each image."""
    key_deviation, key_noise = jax.random.split(key)
    deviation = jax.random.uniform(key_deviation, maxval=amount**0.5)
    return jnp.clip(image + deviation * jax.random.normal(key_noise, image.shape), 0, 1)


@each
def add_noise(image: Image, key: OneKey, *, noise: NoiseBank) -> Image:
    """Average with a random spectrogram of noise, weighted by two random numbers from 1 to 2."""
    key_choice, key_weights = jax.random.split(key)
    other = noise[jax.random.randint(key_choice, (), 0, len(noise))].astype(jnp.float32) / 255
    weight, other_weight = jax.random.uniform(key_weights, (2,), minval=1, maxval=2)
    return (weight * image + other_weight * other) / (weight + other_weight)


@each
def dropout(image: Image, key: OneKey, *, amount: float) -> Image:
    """Set each pixel to black with the probability `amount`."""
    return jnp.where(jax.random.uniform(key, image.shape) < amount, 0, image)


@each
def blackout(image: Image, key: OneKey, *, amount: float) -> Image:
    """Set a band of `amount` of the columns to black, at a random position."""
    width = image.shape[TIME]
    band = int(amount * width)
    columns = jnp.arange(width) - jax.random.randint(key, (), 0, width - band + 1)
    return jnp.where((columns >= 0) & (columns < band), 0, image)


@each
def mask(image: Image, key: OneKey, *, amount: float, stripes: int, axis: int) -> Image:
    """Set stripes across an axis to black, at random positions, each up to `amount` of its length wide.

    They may overlap.

    Source: SpecAugment (Park et al., arXiv:1904.08779).
    """
    key_width, key_start = jax.random.split(key)
    length = image.shape[axis]
    widths = jax.random.randint(key_width, (stripes, 1), 0, int(amount * length) + 1)
    starts = jnp.floor(jax.random.uniform(key_start, (stripes, 1)) * (length - widths + 1))
    offsets = jnp.arange(length) - starts
    covered = ((offsets >= 0) & (offsets < widths)).any(axis=0)
    return jnp.where(jnp.expand_dims(covered, 1 - axis), 0, image)
