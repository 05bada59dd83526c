"""Every variation does what its amount says, to some pictures and not to others, the same for the same key."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from config import Augmentation
from utils.learning.augmentation import add_noise, augment, choose, gaussian, roll

PICTURES = jax.random.uniform(jax.random.key(0), (64, 20, 30))
KEYS = jax.random.split(jax.random.key(1), 64)
NOISE = jax.random.randint(jax.random.key(2), (5, 20, 30), 0, 256).astype(jnp.uint8)
OFF = Augmentation(roll_v=0.0, add=False)


@pytest.mark.parametrize(("axis", "most"), [(0, 3), (1, 4)])
def test_roll_wraps_by_up_to_its_amount(axis: int, most: int) -> None:
    rolled = np.asarray(roll(PICTURES, KEYS, amount=0.15, axis=axis))
    shifts = []
    for before, after in zip(np.asarray(PICTURES), rolled, strict=True):
        shifts += [shift for shift in range(-most - 2, most + 3) if np.array_equal(np.roll(before, shift, axis=axis), after)]
    assert len(shifts) == 64
    assert {-most, 0, most} <= set(shifts) <= set(range(-most - 1, most + 2))


def test_noise_has_another_strength_on_each_picture() -> None:
    grey = jnp.full((64, 20, 30), 0.5)
    deviations = np.asarray(gaussian(grey, KEYS, amount=0.01)).std(axis=(1, 2))
    assert deviations.max() < 0.1 * 1.15
    assert deviations.max() > 0.08
    assert deviations.min() < 0.02
    loud = gaussian(PICTURES, KEYS, amount=1.0)
    assert loud.min() >= 0
    assert loud.max() <= 1


def test_add_is_a_mean_with_a_picture_of_noise() -> None:
    black = jnp.zeros((64, 20, 30))
    shares = np.asarray(add_noise(black, KEYS, noise=NOISE)).max(axis=(1, 2)) / (np.asarray(NOISE).max() / 255)
    assert shares.min() > 1 / 3 - 0.03
    assert shares.max() < 2 / 3 + 0.03
    assert shares.std() > 0.03


def test_choice_follows_count_and_probability() -> None:
    chosen = np.asarray(choose(jax.random.key(3), 20_000, 5, count=2, probability=0.5))
    assert chosen.sum(axis=1).max() == 2
    np.testing.assert_allclose(chosen.mean(axis=0), 0.2, atol=0.02)  # 2 of 5, each at a half
    np.testing.assert_allclose(np.bincount(chosen.sum(axis=1)) / 20_000, [0.25, 0.5, 0.25], atol=0.02)
    assert choose(jax.random.key(3), 100, 2, count=2, probability=1.0).all()
    assert not choose(jax.random.key(3), 100, 2, count=2, probability=0.0).any()


def test_nothing_on_changes_nothing() -> None:
    for settings in (OFF, Augmentation(count=0), Augmentation(probability=0.0), Augmentation(roll_v=0.0)):
        noise = NOISE[:0] if settings == Augmentation(roll_v=0.0) else NOISE
        assert jnp.array_equal(augment(PICTURES, jax.random.key(4), settings, noise), PICTURES)


def test_the_key_decides() -> None:
    vary = jax.jit(lambda key: augment(PICTURES, key, Augmentation(roll_h=0.1, noise=0.1), NOISE))
    one, same, other = (vary(jax.random.key(seed)) for seed in (5, 5, 6))
    assert jnp.array_equal(one, same)
    assert not jnp.array_equal(one, other)
    untouched = (one == PICTURES).all(axis=(1, 2)).mean()
    assert 0.1 < untouched < 0.5
