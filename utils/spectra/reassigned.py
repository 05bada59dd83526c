"""Reassigned spectrograms: each cell of a short-time Fourier transform moves to where its energy is.

Two more Fourier transforms, with the window's derivative and with window × time, tell how far the energy of a cell is
from the middle of its frame and of its bin. Its power goes to the two nearest mel bands and the two nearest frames, by
distance, so that a small difference in place makes a small one in the spectrogram. In JAX: `on_device_reassigned.py`.

Source: Auger and Flandrin 1995 (doi:10.1109/78.382394). `librosa.reassigned_spectrogram` gives the same places, but
times that are half a sample later.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from config import Spectrogram
from utils.spectra.bands import unit_area_heights
from utils.spectra.fourier import blocks_of, rfft

LEAST_POWER = 1e-20  # far below what is visible; the place of weaker cells is not defined
# Slaney's mel scale: linear up to 1 kHz, then logarithmic
HZ_PER_MEL, KNEE, LOG_STEP = 200 / 3, 1000.0, math.log(6.4) / 27
BEFORE, AFTER = 1, 2  # bands and frames around the spectrogram that take the cells beyond it


class Cells(NamedTuple):
    """Cells of a short-time Fourier transform, and where their energy is; float32 (frames, bins) each.

    Attributes
    ----------
    power : squared magnitude
    delays : how much later than the middle of its frame, samples
    frequencies : Hz
    """

    power: Float[np.ndarray, "frames bins"]
    delays: Float[np.ndarray, "frames bins"]
    frequencies: Float[np.ndarray, "frames bins"]


@lru_cache(maxsize=8)
def windows_of(n_fft: int) -> Float[np.ndarray, "3 {n_fft}"]:
    """Return a Hann window, its derivative (per sample), and the window × time (in samples, 0 in the middle)."""
    phase = 2 * math.pi / n_fft * np.arange(n_fft)
    window = 0.5 - 0.5 * np.cos(phase)
    derivative = math.pi / n_fft * np.sin(phase)
    return np.stack([window, derivative, window * (np.arange(n_fft) - n_fft // 2)]).astype(np.float32)


def reassigned_cells(frames: Float[np.ndarray, "frames n_fft"], *, rate: int) -> Cells:
    """Return the cells of overlapping frames of sound, at `rate` Hz."""
    n_fft = frames.shape[1]
    plain, derived, timed = (rfft(frames, window) for window in windows_of(n_fft))
    power = plain.real**2
    power += plain.imag**2
    least = np.maximum(power, np.float32(LEAST_POWER))
    delays = timed.real * plain.real
    delays += timed.imag * plain.imag
    delays /= least
    frequencies = derived.real * plain.imag
    frequencies -= derived.imag * plain.real
    frequencies /= least  # radians per sample above the middle of the bin
    frequencies *= np.float32(rate / (2 * math.pi))
    frequencies += np.arange(n_fft // 2 + 1, dtype=np.float32) * np.float32(rate / n_fft)
    return Cells(power, delays, frequencies)


def reassigned_amplitudes(
    frames: Float[np.ndarray, "frames n_fft"], settings: Spectrogram, *, hop: int
) -> Float[np.ndarray, "bands frames"]:
    """Return the amplitude in each mel band and frame, lowest band first, in the unit of kind mel.

    The power in a band is multiplied by its filter of unit area: white noise has the same mean power in every band, as
    in kind mel, and a sine in a band twice as wide is 3 dB weaker (kind mel: up to 6 dB). Energy that moves beyond the
    clip is lost, and so is that beyond fmin and fmax, to which the outer bands fade as in kind mel.

    Parameters
    ----------
    frames : overlapping frames of sound; the middle of the first is where the clip starts
    hop : step from frame to frame, samples
    """
    bands, count = settings.height, len(frames)
    grid = np.zeros((count + BEFORE + AFTER, bands + BEFORE + AFTER), np.float32)
    for block in blocks_of(count, n_fft=2 * frames.shape[1]):  # three transforms of each frame: smaller blocks
        cells = reassigned_cells(frames[block], rate=settings.rate)
        times = cells.delays / np.float32(hop)
        times += np.arange(block.start, block.start + len(times), dtype=np.float32)[:, None]
        _add_power(grid, cells.power, times=times, positions=positions_of(cells.frequencies, settings))
    inside = grid[BEFORE:-AFTER, BEFORE:-AFTER].T
    return np.sqrt(inside * gains_of(settings, n_fft=frames.shape[1])[:, None])


def positions_of(frequencies: Float[np.ndarray, "*shape"], settings: Spectrogram) -> Float[np.ndarray, "*shape"]:
    """Return where frequencies (Hz) lie among the mel bands: 0 at the middle of the lowest, 1 at that of the next."""
    lowest, step = mel_steps(settings)
    mels = np.maximum(frequencies, np.float32(KNEE))
    mels *= np.float32(1 / KNEE)
    np.log(mels, out=mels)
    mels *= np.float32(1 / LOG_STEP)
    mels += np.minimum(frequencies, np.float32(KNEE)) * np.float32(1 / HZ_PER_MEL)
    mels -= np.float32(lowest)
    mels *= np.float32(1 / step)
    return mels


def mel_steps(settings: Spectrogram) -> tuple[float, float]:
    """Return the middle of the lowest band, and the step from band to band, mel."""
    low, high = (
        min(frequency, KNEE) / HZ_PER_MEL + math.log(max(frequency, KNEE) / KNEE) / LOG_STEP
        for frequency in (settings.fmin, settings.fmax)
    )
    step = (high - low) / (settings.height + 1)
    return low + step, step


def gains_of(settings: Spectrogram, *, n_fft: int) -> Float[np.ndarray, " bands"]:
    """Return by what the power in each band is multiplied, such that its root has the unit of kind mel, 1 / Hz."""
    return (unit_area_heights(settings) * (n_fft / settings.rate)).astype(np.float32)


def _add_power(
    grid: Float[np.ndarray, "times positions"],
    power: Float[np.ndarray, "frames bins"],
    *,
    times: Float[np.ndarray, "frames bins"],
    positions: Float[np.ndarray, "frames bins"],
) -> None:
    """Add the power of cells to the nearest elements of a grid, by distance."""
    columns = grid.shape[1]
    # beyond the edges it all goes to the outermost rows and columns
    np.clip(times, -BEFORE, len(grid) - BEFORE - AFTER, out=times)
    np.clip(positions, -BEFORE, columns - BEFORE - AFTER, out=positions)
    time, position = np.floor(times), np.floor(positions)
    times -= time
    positions -= position
    index = (time + BEFORE).astype(np.intp)
    index *= columns
    index += (position + BEFORE).astype(np.intp)
    index = index.ravel()
    later = power * times
    earlier = power - later
    flat = grid.reshape(-1)
    for part, offset in ((earlier, 0), (later, columns)):
        upper = part * positions
        np.add.at(flat[offset + 1 :], index, upper.ravel())
        part -= upper
        np.add.at(flat[offset:], index, part.ravel())
