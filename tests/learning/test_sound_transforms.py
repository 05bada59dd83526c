"""Every transform of sound does what its formula says, to each clip by itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

from config import Waveform
from utils.learning.augmentation import sound_transforms as transforms
from utils.learning.augmentation.sound_transforms import SPEED_STEPS, add_background, add_colour, read_clips
from utils.learning.augmentation.sounds import active_sound_transforms

RATE = 8000
SAMPLES, MARGIN = 8001, 3200
KEYS = jax.random.split(jax.random.key(1), 32)
SOUNDS = 0.1 * jax.random.normal(jax.random.key(0), (32, SAMPLES))
PADDED = 0.1 * jax.random.normal(jax.random.key(2), (32, SAMPLES + 2 * MARGIN))
BANK = jax.random.randint(jax.random.key(3), (5, SAMPLES), -30_000, 30_000).astype(jnp.int16)

read = jax.jit(read_clips, static_argnames="samples")


def decibels(ratio: np.ndarray) -> np.ndarray:
    return 10 * np.log10(ratio)


def power(sounds: jax.Array) -> np.ndarray:
    return (np.asarray(sounds, np.float64) ** 2).mean(axis=1)


def clicks(place: int, *, length: int = SAMPLES + 2 * MARGIN) -> jax.Array:
    return jnp.zeros((32, length)).at[:, place].set(1.0)


def tones(frequency: float, *, length: int = SAMPLES + 2 * MARGIN, rate: int = RATE) -> jax.Array:
    time = np.arange(length) / rate
    return jnp.asarray(np.tile(np.sin(2 * np.pi * frequency * time), (32, 1)), jnp.float32)


def test_gain_is_in_decibels() -> None:
    louder = decibels(power(transforms.gain(SOUNDS, KEYS, amount=12.0)) / power(SOUNDS))
    assert -12 < louder.min() < -8
    assert 8 < louder.max() < 12
    keys = jax.random.split(jax.random.key(9), 4000)
    drawn = 20 * np.log10(np.asarray(transforms.gain(jnp.ones((4000, 1)), keys, amount=12.0))[:, 0])
    np.testing.assert_allclose(np.quantile(drawn, [0.25, 0.5, 0.75]), [-6, 0, 6], atol=0.7)  # uniform in decibels


@pytest.mark.parametrize(("colour", "slope"), [("white", 0.0), ("pink", -3.01), ("brown", -6.02)])
def test_colours_fall_by_so_many_decibels_per_octave(colour: str, slope: float) -> None:
    sounds = tones(3000.0, length=24_001) * 1e-3
    noise = np.asarray(add_colour(sounds, KEYS, colour=colour, ratios=(-60.0, -60.0), rate=RATE) - sounds)
    frequencies, density = scipy.signal.welch(noise, RATE, nperseg=2048)
    used = (frequencies > 40) & (frequencies < 3500)
    fitted, _ = np.polyfit(np.log2(frequencies[used]), decibels(density.mean(axis=0)[used]), 1)
    assert abs(fitted - slope) < 0.1
    if colour != "white":
        below = (frequencies > 0) & (frequencies < 12)
        assert density.mean(axis=0)[below].max() < density.mean(axis=0)[used].max() / 10  # none below 20 Hz


@pytest.mark.parametrize("name", ["white", "pink", "brown", "background"])
def test_noise_has_the_ratio_that_was_drawn(name: str) -> None:
    def add(ratios: tuple[float, float]) -> np.ndarray:
        transform = active_sound_transforms(Waveform(**{name: ratios}), rate=RATE, background=BANK)[name]
        noise = np.asarray(transform(SOUNDS, KEYS), np.float64) - np.asarray(SOUNDS, np.float64)
        return decibels(power(SOUNDS) / power(noise))

    for ratio in (-20.0, 0.0, 20.0):
        np.testing.assert_allclose(add((ratio, ratio)), ratio, atol=0.1)
    drawn = add((20.0, 5.0))  # in whatever order
    assert 5 <= drawn.min() < 8
    assert 17 < drawn.max() <= 20


def test_background_is_the_middle_of_a_random_row() -> None:
    steps = jnp.arange(1, 5)[:, None] * jnp.pad(jnp.ones((4, 100)), ((0, 0), (7, 7))).astype(jnp.int16)
    added = np.asarray(add_background(jnp.ones((32, 100)), KEYS, ratios=(0.0, 0.0), background=steps)) - 1
    np.testing.assert_allclose(added, 1, rtol=1e-6)  # whatever the scale of the row
    ramps = jnp.arange(4)[:, None] * 1000 + jnp.arange(1, 101)
    added = np.asarray(add_background(jnp.ones((32, 100)), KEYS, ratios=(0.0, 0.0), background=ramps)) - 1
    assert len({round(float(row[-1] / row[0]), 3) for row in added}) == 4
    silent = jnp.zeros((3, 100), jnp.int16)
    assert jnp.array_equal(add_background(SOUNDS[:, :100], KEYS, ratios=(0.0, 0.0), background=silent), SOUNDS[:, :100])


def test_air_absorbs_as_the_standard_says() -> None:
    octaves = 1000 * 10 ** (0.3 * np.arange(-4, 4))  # exact middles of the bands from 63 Hz to 8 kHz
    # ISO 9613-2, table 2: decibels per kilometre at 20 °C and 70% humidity
    table = [0.1, 0.3, 1.1, 2.8, 5.0, 9.0, 22.9, 76.6]
    np.testing.assert_allclose(1000 * transforms.air_absorption(octaves), table, atol=0.06)


def test_distance_attenuates_tones_as_air() -> None:
    losses = []
    for frequency in (250.0, 1000.0, 3000.0):
        sounds = tones(frequency, length=SAMPLES)
        after = transforms.attenuate_by_distance(sounds, KEYS, amount=500.0, rate=RATE)
        inside = slice(1000, -1000)
        losses.append(-decibels(power(after[:, inside]) / power(sounds[:, inside])))
        cosine = (np.asarray(after)[:, inside] * np.asarray(sounds)[:, inside]).mean(axis=1)
        np.testing.assert_allclose(cosine / np.sqrt(power(after[:, inside]) / 2), 1, atol=1e-3)  # no delay
    metres = losses[2] / transforms.air_absorption(np.array([3000.0]))
    assert 0 <= metres.min() < 60
    assert 440 < metres.max() <= 501
    for loss, frequency in zip(losses, (250.0, 1000.0), strict=False):
        np.testing.assert_allclose(loss, metres * transforms.air_absorption(np.array([frequency])), atol=0.02)


@pytest.mark.parametrize("speed", [-0.2, -0.01, 0.01, 0.2, 0.45])
def test_speed_moves_tone_and_click(speed: float) -> None:
    speeds = jnp.full(32, round(speed * SPEED_STEPS))
    starts = jnp.full(32, MARGIN)
    exact = 1 + round(speed * SPEED_STEPS) / SPEED_STEPS
    after = np.asarray(read(tones(1000.0), starts, speeds, samples=SAMPLES))[0]
    middle = MARGIN + SAMPLES // 2
    places = middle + (np.arange(SAMPLES) - SAMPLES // 2) * exact
    np.testing.assert_allclose(after, np.sin(2 * np.pi * 1000 / RATE * places), atol=0.005)
    for offset in (-2000, 0, 1234):
        clip = np.asarray(read(clicks(middle + offset), starts, speeds, samples=SAMPLES))[0]
        assert abs(clip.argmax() - (SAMPLES // 2 + offset / exact)) <= 1
        assert np.abs(clip).max() > 0.4


def test_beyond_the_sound_is_nothing() -> None:
    for start in (-(2**20), -300, -100, 120, 2**20):
        assert not read(jnp.ones((32, 101)), jnp.full(32, start), jnp.full(32, 1000), samples=80).any()


def test_places_are_exact_in_long_clips() -> None:
    """In float32, places in clips of a minute would be wrong by an eighth of a sample."""
    offsets = np.array([-(2**22), -12_345_67, -1024, -1, 0, 1, 1023, 1024, 3_000_001, 2**22])
    for speed in (-32_000, -777, 0, 1, 32_767):
        whole, part = transforms.stretched_positions(jnp.asarray(offsets), jnp.asarray(speed))
        exact = offsets * (SPEED_STEPS + speed)  # in 64 bits
        np.testing.assert_array_equal(np.asarray(whole), exact // SPEED_STEPS)
        np.testing.assert_array_equal(np.asarray(part, np.float64) * SPEED_STEPS, exact % SPEED_STEPS)


def test_what_is_too_high_for_the_speed_is_low_passed() -> None:
    starts, faster = jnp.full(32, MARGIN), jnp.full(32, round(0.4 * SPEED_STEPS))

    def level(frequency: float) -> float:
        clip = np.asarray(read(tones(frequency), starts, faster, samples=SAMPLES))[0]
        return float(decibels(2 * np.mean(clip**2)))

    assert abs(level(2000)) < 0.1  # becomes 2800 Hz
    assert -5 < level(2650) < -2  # becomes 3710 Hz, on the slope
    assert level(3600) < -30  # would become 5040 Hz, folded to 2960 Hz
    slower = np.asarray(read(tones(3200), starts, -faster // 2, samples=SAMPLES))[0]
    assert abs(decibels(2 * np.mean(slower**2))) < 0.2


def test_clips_that_are_not_faster_stay_exact_beside_others() -> None:
    speeds = jnp.where(jnp.arange(32) % 2 == 0, 0, 6000)
    after = read(PADDED, jnp.full(32, MARGIN + 5), speeds, samples=SAMPLES)
    middle = PADDED[:, MARGIN + 5 : MARGIN + 5 + SAMPLES]
    assert jnp.array_equal(after[::2], middle[::2])
    assert not jnp.array_equal(after[1], middle[1])
