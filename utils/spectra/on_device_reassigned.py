"""Reassigned spectrograms of many clips in JAX: each function is the JAX version of one in `reassigned.py`."""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from config import Spectrogram
from utils.spectra.reassigned import (
    AFTER,
    BEFORE,
    HZ_PER_MEL,
    KNEE,
    LEAST_POWER,
    LOG_STEP,
    gains_of,
    mel_steps,
    windows_of,
)


class DeviceCells(NamedTuple):
    """`reassigned.Cells` of many clips: power, delays (samples) and frequencies (Hz)."""

    power: Float[Array, "clips frames bins"]
    delays: Float[Array, "clips frames bins"]
    frequencies: Float[Array, "clips frames bins"]


def reassigned_on_device(
    frames: Float[Array, "clips frames n_fft"],
    settings: Spectrogram,
    *,
    hop: int,
    pitch: Float[Array, " clips"] | None = None,
) -> Float[Array, "clips bands frames"]:
    """JAX version of `reassigned.reassigned_amplitudes`; `pitch` multiplies the frequencies of each clip."""
    count, n_fft = frames.shape[1:]
    cells = cells_on_device(frames, rate=settings.rate)
    frequencies = cells.frequencies if pitch is None else cells.frequencies * pitch[:, None, None]
    power = add_power_on_device(
        cells.power,
        times=cells.delays / hop + jnp.arange(count)[:, None],
        positions=positions_on_device(frequencies, settings),
        shape=(count, settings.height),
    )
    return jnp.sqrt(power * gains_of(settings, n_fft=n_fft)).swapaxes(1, 2)


def cells_on_device(frames: Float[Array, "clips frames n_fft"], *, rate: int) -> DeviceCells:
    """JAX version of `reassigned.reassigned_cells`."""
    n_fft = frames.shape[2]
    plain, derived, timed = (jnp.fft.rfft(frames * window) for window in windows_of(n_fft))
    power = plain.real**2 + plain.imag**2
    least = jnp.maximum(power, LEAST_POWER)
    delays = (timed.real * plain.real + timed.imag * plain.imag) / least
    shifts = (derived.real * plain.imag - derived.imag * plain.real) / least
    middles = np.arange(n_fft // 2 + 1, dtype=np.float32) * np.float32(rate / n_fft)
    return DeviceCells(power, delays, shifts * (rate / (2 * math.pi)) + middles)


def positions_on_device(frequencies: Float[Array, "*shape"], settings: Spectrogram) -> Float[Array, "*shape"]:
    """JAX version of `reassigned.positions_of`."""
    lowest, step = mel_steps(settings)
    mels = jnp.log(jnp.maximum(frequencies, KNEE) / KNEE) / LOG_STEP + jnp.minimum(frequencies, KNEE) / HZ_PER_MEL
    return (mels - lowest) / step


def add_power_on_device(
    power: Float[Array, "clips frames bins"],
    *,
    times: Float[Array, "clips frames bins"],
    positions: Float[Array, "clips frames bins"],
    shape: tuple[int, int],
) -> Float[Array, "clips {shape[0]} {shape[1]}"]:
    """Return the power of cells summed into the nearest elements of one grid of this shape per clip, by distance."""
    clips, (count, bands) = len(power), shape
    rows, columns = count + BEFORE + AFTER, bands + BEFORE + AFTER
    times, positions = jnp.clip(times, -BEFORE, count), jnp.clip(positions, -BEFORE, bands)
    time, position = jnp.floor(times), jnp.floor(positions)
    later, upper = times - time, positions - position
    shares = [(1 - later) * (1 - upper), (1 - later) * upper, later * (1 - upper), later * upper]
    index = (time + BEFORE).astype(jnp.int32) * columns + (position + BEFORE).astype(jnp.int32)
    index += jnp.arange(clips)[:, None, None] * (rows * columns)
    # one scatter of rows of four: half the time of four scatters
    parts = (power[..., None] * jnp.stack(shares, axis=-1)).reshape(-1, 4)
    sums = jnp.zeros((clips * rows * columns, 4)).at[index.reshape(-1)].add(parts)
    corners = sums.reshape(clips, rows, columns, 4)
    summed = jnp.zeros((clips, count, bands))
    for part, (down, right) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        top, left = BEFORE - down, BEFORE - right
        summed += corners[:, top : top + count, left : left + bands, part]
    return summed
