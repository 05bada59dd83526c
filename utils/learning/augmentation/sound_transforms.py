"""The transforms of sound: each a pure function of (sounds, keys, amount), with one key per clip.

Sounds are (B, samples), float32. Shift and speed only choose where samples are read: `draw_shifts` and `draw_speeds`
draw how, `read_clips` reads once for both. Filters and coloured noise are one product with the spectrum of a whole
clip. No result depends on the other clips of a batch.
"""

import math
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import scipy.fft
from jaxtyping import Array, Float, Int, Shaped

from utils.learning.augmentation.transforms import Keys, OneKey, each

Sounds = Float[Array, "batch samples"]
Sound = Float[Array, " samples"]
Range = tuple[float, float]

# speeds differ from 1 by multiples of 1 / SPEED_STEPS: positions are then exact integers and fractions
SPEED_STEPS = 2**16
BLOCK_BITS = 10  # of an index in a block of samples; index × speed would not fit into 32 bits
TAPS = 16  # samples that an interpolated one is computed from
SILENCE = 1e-20  # sounds with a lower mean square are silence
LOWEST_NOISE = 20.0  # Hz; most of brown noise would lie below, where no spectrogram shows it
NOISE_SLOPES = {"white": 0.0, "pink": 1.0, "brown": 2.0}  # power falls with frequency to the power of this
SETTLED_SECONDS = 0.05  # after which the response of air has decayed


def draw_shifts(keys: Keys, *, amount: float, samples: int) -> Int[Array, " batch"]:
    """Draw by how many samples later each clip starts, up to ± `amount` of its length."""
    return jnp.rint(_uniform(keys, -amount, amount) * samples).astype(jnp.int32)


def draw_speeds(keys: Keys, *, amount: float) -> Int[Array, " batch"]:
    """Draw by how much faster each clip is played, up to ± `amount`, in units of 1 / SPEED_STEPS."""
    return jnp.rint(_uniform(keys, -amount, amount) * SPEED_STEPS).astype(jnp.int32)


def draw_pitches(keys: Keys, *, amount: float) -> Float[Array, " batch"]:
    """Draw the factor by which the frequencies of each clip are raised: up to ± `amount` semitones."""
    return 2 ** (_uniform(keys, -amount, amount) / 12)


def _uniform(keys: Keys, low: float, high: float) -> Float[Array, " batch"]:
    return jax.vmap(lambda key: jax.random.uniform(key, minval=low, maxval=high))(keys)


def read_clips(
    sounds: Float[Array, "batch padded"],
    starts: Int[Array, " batch"],
    speeds: Int[Array, " batch"] | None = None,
    *,
    samples: int,
) -> Sounds:
    """Read a clip out of each sound; beyond its ends are zeros.

    Parameters
    ----------
    starts : where the clip starts if it is not played faster or slower
    speeds : how much faster it is played, in units of 1 / SPEED_STEPS; its sample samples // 2 stays where it is. None:
        no clip is, and nothing is interpolated
    samples : length of the clip

    Returns
    -------
    Exact samples where the speed is 0; else band-limited interpolation with a Hann window of TAPS samples, flat within
    0.05 dB up to 0.4 times the sample rate. Where a clip is played faster, what would exceed half the sample rate is
    low-passed (half the amplitude at that frequency). Slopes are as wide as TAPS allow, so that some of it is left,
    folded into the highest tenth of the frequencies.

    Source: Smith, "Digital Audio Resampling", ccrma.stanford.edu/~jos/resample.
    """
    if speeds is None:
        return jax.vmap(lambda sound, start: _samples_at(sound, start + jnp.arange(samples), reach=1)[0])(
            sounds, starts
        )
    return jax.vmap(lambda *one: _interpolated(*one, samples=samples))(sounds, starts, speeds)


def _interpolated(
    sound: Float[Array, " padded"], start: Int[Array, ""], speed: Int[Array, ""], *, samples: int
) -> Sound:
    whole, part = stretched_positions(jnp.arange(samples) - samples // 2, speed)
    around = _samples_at(sound, start + samples // 2 + whole - (TAPS // 2 - 1), reach=TAPS)
    weights = _weights(part, jnp.minimum(1, 1 / (1 + speed / SPEED_STEPS)))
    return sum((weight * value for weight, value in zip(weights, around, strict=True)), jnp.zeros(samples))


def stretched_positions(
    offsets: Int[Array, " samples"], speed: Int[Array, ""]
) -> tuple[Int[Array, " samples"], Float[Array, " samples"]]:
    """Return where the samples at these offsets from the middle are read: offset × (1 + speed), whole and fraction.

    In float32, a position after a few seconds would be rounded to a hundredth of a sample, which is audible as noise.
    """
    block, inside = offsets >> BLOCK_BITS, offsets & (2**BLOCK_BITS - 1)
    blocks_in_one = SPEED_STEPS >> BLOCK_BITS
    rest = ((block * speed) % blocks_in_one << BLOCK_BITS) + inside * speed
    whole = offsets + (block * speed) // blocks_in_one + rest // SPEED_STEPS
    return whole, (rest % SPEED_STEPS) / SPEED_STEPS


def _samples_at(
    sound: Float[Array, " padded"], indices: Int[Array, " samples"], *, reach: int
) -> list[Float[Array, " samples"]]:
    """Return the samples at some indices, and those at the next ones: `reach` arrays."""
    surrounded = jnp.pad(sound, reach)
    first = jnp.clip(indices + reach, 0, len(sound) + reach)
    # one gather a tap, which are compiled into one loop: ten times as fast as gathering rows of taps
    return [surrounded[first + step] for step in range(reach)]


def _weights(part: Float[Array, " samples"], cutoff: Float[Array, ""]) -> list[Float[Array, " samples"]]:
    """Return the weight of each tap: cutoff × sinc(cutoff × distance), in a Hann window.

    Sines and cosines of all distances follow from those of the fractions.
    """
    sine, cosine = jnp.sin(math.pi * cutoff * part), jnp.cos(math.pi * cutoff * part)
    window_sine, window_cosine = jnp.sin(2 * math.pi / TAPS * part), jnp.cos(2 * math.pi / TAPS * part)
    weights = []
    for tap in range(1 - TAPS // 2, 1 + TAPS // 2):
        angle, window_angle = math.pi * cutoff * tap, 2 * math.pi / TAPS * tap
        window = 0.5 + 0.5 * (window_cosine * math.cos(window_angle) + window_sine * math.sin(window_angle))
        distance = part - tap
        sinc = (sine * jnp.cos(angle) - cosine * jnp.sin(angle)) / (math.pi * jnp.where(distance == 0, 1, distance))
        exact = (part == 0) & (cutoff == 1)  # rounded sines would add a little of the other samples
        weights.append(jnp.where(exact, float(tap == 0), jnp.where(distance == 0, cutoff, sinc) * window))
    return weights


@each
def gain(sound: Sound, key: OneKey, *, amount: float) -> Sound:
    """Make louder or softer by up to ± `amount` decibels."""
    return sound * 10 ** (jax.random.uniform(key, minval=-amount, maxval=amount) / 20)


@each
def add_colour(
    sound: Sound, key: OneKey, *, colour: Literal["white", "pink", "brown"], ratios: Range, rate: int
) -> Sound:
    """Add noise at a signal-to-noise ratio between these two, decibels.

    Its power is the same at all frequencies (white), or falls by 3 dB (pink) or 6 dB (brown) per octave from
    LOWEST_NOISE on, below which pink and brown have none.
    """
    key_noise, key_ratio = jax.random.split(key)
    noise = (
        jax.random.normal(key_noise, sound.shape)
        if colour == "white"
        else coloured_noise(key_noise, slope=NOISE_SLOPES[colour], samples=len(sound), rate=rate)
    )
    return add_at_ratio(sound, noise, key_ratio, ratios)


def coloured_noise(key: OneKey, *, slope: float, samples: int, rate: int) -> Sound:
    """Return Gaussian noise whose power falls with frequency to the power of `slope`, drawn as its spectrum."""
    length = scipy.fft.next_fast_len(samples, real=True)
    frequencies = np.fft.rfftfreq(length, 1 / rate)
    audible = frequencies >= LOWEST_NOISE
    amplitudes = np.where(audible, (np.maximum(frequencies, LOWEST_NOISE) / LOWEST_NOISE) ** (-slope / 2), 0)
    real, imaginary = jax.random.normal(key, (2, len(frequencies)))
    spectrum = jnp.asarray(amplitudes, jnp.float32) * jax.lax.complex(real, imaginary)
    return jnp.fft.irfft(spectrum, length, norm="forward")[:samples]


@each
def add_background(
    sound: Sound, key: OneKey, *, ratios: Range, background: Shaped[Array, "bank padded_or_samples"]
) -> Sound:
    """Add the middle of a random row of a bank at a signal-to-noise ratio between these two, decibels.

    Silent rows change nothing; the scale of rows does not matter.
    """
    key_row, key_ratio = jax.random.split(key)
    row = background[jax.random.randint(key_row, (), 0, len(background))]
    margin = (len(row) - len(sound)) // 2
    return add_at_ratio(sound, row[margin : margin + len(sound)].astype(jnp.float32), key_ratio, ratios)


def add_at_ratio(sound: Sound, other: Sound, key: OneKey, ratios: Range) -> Sound:
    """Add another sound at a random signal-to-noise ratio between these two, decibels, of the mean squares.

    Silence stays silence: no noise has a finite ratio to it.
    """
    ratio = jax.random.uniform(key, minval=min(ratios), maxval=max(ratios))
    power, other_power = jnp.mean(sound**2), jnp.mean(other**2)
    audible = (power > SILENCE) & (other_power > SILENCE)
    # the inner `where` keeps gradients finite
    factor = jnp.sqrt(jnp.where(audible, power, 1) / jnp.where(audible, other_power, 1)) * 10 ** (-ratio / 20)
    return sound + jnp.where(audible, factor, 0) * other


@each
def attenuate_by_distance(sound: Sound, key: OneKey, *, amount: float, rate: int) -> Sound:
    """Attenuate each frequency as air does over up to `amount` metres, without delay.

    The same loss at all frequencies, as the sound spreads, is left to `gain`.
    """
    metres = jax.random.uniform(key, maxval=amount)
    length = scipy.fft.next_fast_len(len(sound) + math.ceil(SETTLED_SECONDS * rate), real=True)
    loss = air_absorption(np.fft.rfftfreq(length, 1 / rate)).astype(np.float32)
    spectrum = jnp.fft.rfft(sound, length) * 10 ** (-loss * metres / 20)
    return jnp.fft.irfft(spectrum, length)[: len(sound)]


def air_absorption(frequencies: Float[np.ndarray, " bins"]) -> Float[np.ndarray, " bins"]:
    """Return how much air at 20 °C, 70% relative humidity and 1 atm attenuates, decibels per metre.

    Source: ISO 9613-1, equations 3 to 5; terms that are 1 at 20 °C are left out.
    """
    kelvin, humidity = 293.15, 70 * 10 ** (4.6151 - 6.8346 * (273.16 / 293.15) ** 1.261)  # water in the air, percent
    oxygen = 24 + 40_400 * humidity * (0.02 + humidity) / (0.391 + humidity)  # relaxation frequencies, Hz
    nitrogen = 9 + 280 * humidity
    relaxation = 0.01275 * math.exp(-2239.1 / kelvin) / (oxygen + frequencies**2 / oxygen)
    relaxation += 0.1068 * math.exp(-3352 / kelvin) / (nitrogen + frequencies**2 / nitrogen)
    return 20 / math.log(10) * frequencies**2 * (1.84e-11 + relaxation)
