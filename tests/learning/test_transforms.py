"""Every transform does what its amount says, and nothing else."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from numpy.lib.stride_tricks import sliding_window_view

from config import Augmentation
from utils.learning.augmentation import transforms
from utils.learning.augmentation.images import active_transforms

SIZE = (64, 20, 31)
HEIGHT, WIDTH = SIZE[1:]
IMAGES = jax.random.uniform(jax.random.key(0), SIZE)
KEYS = jax.random.split(jax.random.key(1), SIZE[0])
NOISE = jax.random.randint(jax.random.key(2), (5, HEIGHT, WIDTH), 0, 256).astype(jnp.uint8)
GREY = jnp.full(SIZE, 0.5)
DOWN = jnp.broadcast_to(jnp.arange(HEIGHT)[:, None] / HEIGHT, SIZE)  # pixels that tell their row
ACROSS = jnp.broadcast_to(jnp.arange(WIDTH) / WIDTH, SIZE)  # and their column
EVERY = Augmentation(
    flip="both", roll=0.2, roll_h=0.2, crop=(0.2, 0.1, 0.3, 0.4), zoom=1.0, rotate=90.0, contrast=(0.5, 3.0),
    brightness=1.0, lightness=1.0, multiply=1.0,
    mean=True, blur=4, noise=1.0, dropout=0.2, blackout=0.2, time_mask=0.5, frequency_mask=0.5, stripes=3, mixup=1.0,
)  # fmt: skip
ALL = active_transforms(EVERY, NOISE)


@pytest.mark.parametrize("name", ALL)
def test_pixels_stay_in_range(name: str) -> None:
    augmented = jax.jit(ALL[name])
    for images in (IMAGES, GREY * 0, GREY * 2, GREY, jnp.round(IMAGES)):
        after = augmented(images, KEYS)
        assert after.shape == images.shape
        assert after.dtype == jnp.float32
        assert jnp.isfinite(after).all()
        assert after.min() >= 0
        assert after.max() <= 1 + 1e-6
    assert jnp.array_equal(augmented(IMAGES, KEYS), augmented(IMAGES, KEYS))
    other = augmented(IMAGES, jax.random.split(jax.random.key(9), SIZE[0]))
    assert jnp.array_equal(augmented(IMAGES, KEYS), other) == (name in {"flip", "mean", "blur"})  # these draw nothing
    assert not jnp.array_equal(augmented(IMAGES, KEYS), IMAGES)


def test_one_small_image_of_odd_sides() -> None:
    for transform in active_transforms(EVERY, NOISE[:0]).values():
        after = jax.jit(transform)(IMAGES[:1, :9, :13], KEYS[:1])
        assert after.shape == (1, 9, 13)
        assert jnp.isfinite(after).all()


@pytest.mark.parametrize(("axis", "most"), [(0, 3), (1, 4)])
def test_roll_wraps_by_up_to_its_amount(axis: int, most: int) -> None:
    rolled = np.asarray(transforms.roll(IMAGES, KEYS, amount=0.15, axes=(axis,)))
    shifts = []
    for before, after in zip(np.asarray(IMAGES), rolled, strict=True):
        shifts += [
            shift for shift in range(-most - 2, most + 3) if np.array_equal(np.roll(before, shift, axis=axis), after)
        ]
    assert len(shifts) == 64
    assert {-most, 0, most} <= set(shifts) <= set(range(-most - 1, most + 2))


def test_roll_of_both_sides_draws_two_shifts() -> None:
    shifts = set()
    for before, after in zip(
        np.asarray(IMAGES), np.asarray(transforms.roll(IMAGES, KEYS, amount=0.1, axes=(0, 1))), strict=True
    ):
        found = [
            (down, right)
            for down in range(-2, 3)
            for right in range(-3, 4)
            if np.array_equal(np.roll(before, (down, right), axis=(0, 1)), after)
        ]
        shifts.add(*found)
    assert len(shifts) > 15
    assert {-2, 2} <= {down for down, _ in shifts}
    assert {-3, 3} <= {right for _, right in shifts}


def test_flip_mirrors() -> None:
    one, key = jnp.array([[[0.1, 0.2], [0.3, 0.4]]]), KEYS[:1]
    np.testing.assert_array_equal(transforms.flip(one, key, across="time")[0], np.float32([[0.2, 0.1], [0.4, 0.3]]))
    np.testing.assert_array_equal(
        transforms.flip(one, key, across="frequency")[0], np.float32([[0.3, 0.4], [0.1, 0.2]])
    )
    np.testing.assert_array_equal(transforms.flip(one, key, across="both")[0], np.float32([[0.4, 0.3], [0.2, 0.1]]))


def rims(augmented: jax.Array, axis: int) -> np.ndarray:
    """Return which shares were cut off before and after, from pixels that told their place."""
    # far from the edges, where interpolation takes what is inside
    lines = np.asarray(augmented).mean(axis=2 - axis)[:, 5:-5]
    side = augmented.shape[1 + axis]
    slope, start = np.polyfit(np.arange(5, side - 5), lines.T, 1)
    first = start + 0.5 / side - slope / 2  # pixels are cells, whose middles are told
    return np.stack([first, 1 - first - slope * side])


@pytest.mark.parametrize("side", range(4))
def test_crop_cuts_up_to_each_amount(side: int) -> None:
    amounts = tuple(0.4 * (number == side) for number in range(4))  # top, left, bottom, right
    (top, bottom), (left, right) = (
        rims(transforms.crop(images, KEYS, amounts=amounts), axis) for axis, images in enumerate([DOWN, ACROSS])
    )
    for number, cut in enumerate((top, left, bottom, right)):
        if number == side:
            assert -0.002 < cut.min() < 0.05
            assert 0.35 < cut.max() < 0.402
        else:
            np.testing.assert_allclose(cut, 0, atol=0.002)


def test_crop_of_nothing_is_the_image() -> None:
    np.testing.assert_allclose(transforms.crop(IMAGES, KEYS, amounts=(0.0, 0.0, 0.0, 0.0)), IMAGES, atol=1e-6)


def test_zoom_enlarges_about_the_middle() -> None:
    (top, bottom), (left, right) = (
        rims(transforms.zoom(images, KEYS, amount=1.0), axis) for axis, images in enumerate([DOWN, ACROSS])
    )
    for rim in (bottom, left, right):
        np.testing.assert_allclose(rim, top, atol=0.003)
    sizes = 1 / (1 - 2 * top)
    assert 0.99 < sizes.min() < 1.1
    assert 1.85 < sizes.max() < 2.02
    assert abs(np.median(sizes) - 1.5) < 0.15
    np.testing.assert_allclose(transforms.zoom(IMAGES, KEYS, amount=0.0), IMAGES, atol=1e-6)


def test_rotate_turns_about_the_middle() -> None:
    middle = (np.array([HEIGHT, WIDTH]) - 1) / 2
    down, across = (
        np.asarray(transforms.rotate(images, KEYS, amount=20.0))[:, 9:11, 15]
        for images in (DOWN * HEIGHT, ACROSS * WIDTH)
    )
    angles = np.arctan2(across[:, 1] - across[:, 0], down[:, 1] - down[:, 0])
    turned = np.asarray(transforms.rotate(IMAGES, KEYS, amount=20.0))
    for before, after, angle in zip(np.asarray(IMAGES), turned, angles, strict=True):
        matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        right = scipy.ndimage.affine_transform(before, matrix, middle - matrix @ middle, order=1, mode="grid-constant")
        np.testing.assert_allclose(after, right, atol=1e-4)
    assert -20.01 < np.degrees(angles).min() < -17
    assert 17 < np.degrees(angles).max() < 20.01
    np.testing.assert_allclose(transforms.rotate(IMAGES, KEYS, amount=0.0), IMAGES, atol=1e-6)


@pytest.mark.parametrize("exponents", [(0.5, 3.0), (3.0, 0.5)])
def test_contrast_is_a_power(exponents: tuple[float, float]) -> None:
    drawn = np.log(np.asarray(transforms.contrast(GREY, KEYS, exponents=exponents))[:, 0, 0]) / np.log(0.5)
    assert 0.5 - 1e-5 <= drawn.min() < 0.75
    assert 2.7 < drawn.max() <= 3 + 1e-5
    np.testing.assert_allclose(
        transforms.contrast(IMAGES, KEYS, exponents=exponents), IMAGES ** drawn[:, None, None], atol=1e-5
    )
    np.testing.assert_allclose(transforms.contrast(IMAGES, KEYS, exponents=(1.0, 1.0)), IMAGES, rtol=1e-6)


def test_brightness_is_one_factor_an_image() -> None:
    factors = np.asarray(transforms.brightness(GREY, KEYS, amount=0.5)) / 0.5
    assert (np.ptp(factors, axis=(1, 2)) == 0).all()
    assert 0.5 <= factors.min() < 0.55
    assert 1.45 < factors.max() <= 1.5
    np.testing.assert_allclose(
        transforms.brightness(IMAGES, KEYS, amount=0.5), np.minimum(IMAGES * factors, 1), rtol=1e-6
    )
    np.testing.assert_array_equal(transforms.brightness(IMAGES, KEYS, amount=0.0), IMAGES)


def test_multiply_is_a_factor_a_pixel() -> None:
    factors = np.asarray(transforms.multiply(GREY, KEYS, amount=0.5)) / 0.5
    assert 0.5 <= factors.min() < 0.501
    assert 1.499 < factors.max() <= 1.5
    assert abs(factors.mean() - 1) < 0.01
    np.testing.assert_allclose(factors.std(axis=(1, 2)), 1 / 12**0.5, rtol=0.1)  # of a uniform number
    np.testing.assert_allclose(
        transforms.multiply(IMAGES, KEYS, amount=0.5), np.minimum(IMAGES * factors, 1), rtol=1e-5
    )


def test_lightness_is_that_of_opencv() -> None:
    def light(image: np.ndarray) -> np.ndarray:
        return cv2.cvtColor(np.repeat(np.asarray(image)[:, :, None], 3, axis=2), cv2.COLOR_BGR2LAB)

    after = transforms.lightness(IMAGES, KEYS, amount=0.5)
    factors = []
    for image, augmented in zip(IMAGES, after, strict=True):
        lab = light(image)
        inside = (np.asarray(augmented) < 0.99) & (lab[:, :, 0] > 5)
        factor = float(np.median(light(augmented)[inside, 0] / lab[inside, 0]))
        factors.append(factor)
        lab[:, :, 0] = np.minimum(lab[:, :, 0] * factor, 100)
        # OpenCV interpolates in tables
        np.testing.assert_allclose(augmented, np.clip(cv2.cvtColor(lab, cv2.COLOR_LAB2BGR)[:, :, 0], 0, 1), atol=0.01)
    assert 0.49 < min(factors) < 0.57
    assert 1.43 < max(factors) < 1.51
    np.testing.assert_allclose(transforms.lightness(IMAGES, KEYS, amount=0.0), IMAGES, atol=1e-4)


def test_mean_leaves_what_is_above_it() -> None:
    one = jnp.array([[[0.0, 0.2], [0.4, 0.6]]])  # mean 0.3
    np.testing.assert_allclose(transforms.subtract_mean(one, KEYS[:1])[0], [[0, 0], [1 / 3, 1]], rtol=1e-6)
    assert not transforms.subtract_mean(GREY, KEYS).any()


@pytest.mark.parametrize("amount", [1, 2, 3, 4, 7])
def test_blur_is_that_of_opencv(amount: int) -> None:
    blurred = transforms.box_blur(IMAGES, KEYS, amount=amount)
    for image, after in zip(np.asarray(IMAGES)[:8], blurred, strict=False):
        np.testing.assert_allclose(after, cv2.blur(image, (amount, amount)), atol=1e-6)
    inside = sliding_window_view(np.asarray(IMAGES[0]), (amount, amount)).mean(axis=(2, 3))
    before = amount // 2
    np.testing.assert_allclose(
        blurred[0, before : before + inside.shape[0], before : before + inside.shape[1]], inside, atol=1e-6
    )


def test_noise_has_another_strength_on_each_image() -> None:
    deviations = np.asarray(transforms.gaussian_noise(GREY, KEYS, amount=0.01)).std(axis=(1, 2))
    assert deviations.max() < 0.1 * 1.15
    assert deviations.max() > 0.08
    assert deviations.min() < 0.02


def test_add_is_a_mean_with_an_image_of_noise() -> None:
    shares = np.asarray(transforms.add_noise(GREY * 0, KEYS, noise=NOISE)).max(axis=(1, 2)) / (
        np.asarray(NOISE).max() / 255
    )
    assert shares.min() > 1 / 3 - 0.03
    assert shares.max() < 2 / 3 + 0.03
    assert shares.std() > 0.03


@pytest.mark.parametrize("amount", [0.0, 0.25, 1.0])
def test_dropout_blackens_a_share_of_the_pixels(amount: float) -> None:
    after = np.asarray(transforms.dropout(IMAGES + 0.01, KEYS, amount=amount))
    np.testing.assert_allclose((after == 0).mean(), amount, atol=0.01)
    np.testing.assert_array_equal(after[after > 0], np.asarray(IMAGES + 0.01)[after > 0])
    assert len(np.unique((after == 0).reshape(64, -1), axis=0)) == (64 if amount == 0.25 else 1)


@pytest.mark.parametrize(("amount", "band"), [(0.0, 0), (0.2, 6), (0.9, 27), (1.0, 31)])
def test_blackout_is_one_band_of_its_amount(amount: float, band: int) -> None:
    dark = np.asarray(transforms.blackout(IMAGES + 0.01, KEYS, amount=amount)) == 0
    assert (dark == dark[:, :1]).all()
    columns = dark[:, 0]
    assert (columns.sum(axis=1) == band).all()
    # it begins once and ends once
    assert (np.abs(np.diff(columns, axis=1, prepend=0, append=0)).sum(axis=1) == 2 * (band > 0)).all()
    if 0 < band < WIDTH:
        starts = columns.argmax(axis=1)
        assert starts.min() < 3
        assert WIDTH - band - 3 < starts.max() <= WIDTH - band


@pytest.mark.parametrize("axis", [0, 1])
def test_masks_are_stripes_of_up_to_their_amount(axis: int) -> None:
    side = SIZE[1 + axis]
    keys = jax.random.split(jax.random.key(4), 512)
    dark = np.asarray(transforms.mask(jnp.ones((512, HEIGHT, WIDTH)), keys, amount=0.25, stripes=1, axis=axis)) == 0
    lines = dark.any(axis=2 - axis)
    assert (lines == dark.all(axis=2 - axis)).all()  # across the whole image
    assert set(lines.sum(axis=1)) == set(range(side // 4 + 1))
    assert (np.abs(np.diff(lines, axis=1, prepend=0, append=0)).sum(axis=1) <= 2).all()
    assert lines.mean(axis=0).min() > 0.02  # every place may be hidden
    several = np.asarray(transforms.mask(jnp.ones((512, HEIGHT, WIDTH)), keys, amount=0.25, stripes=3, axis=axis)) == 0
    begins = np.diff(several.any(axis=2 - axis), axis=1, prepend=0) == 1
    assert begins.sum(axis=1).max() == 3
    wide = np.asarray(transforms.mask(jnp.ones((512, HEIGHT, WIDTH)), keys, amount=1.0, stripes=1, axis=axis)) == 0
    assert abs(wide.mean() - 0.5) < 0.04  # stripes are whole, none is cut off by the edge
    assert not (np.asarray(transforms.mask(IMAGES + 0.01, KEYS, amount=0.0, stripes=3, axis=axis)) == 0).any()
