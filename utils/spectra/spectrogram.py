"""The picture of a clip: its spectrogram in decibels or evened out by PCEN, low frequencies at the bottom. `on_device.py` is the same for accelerators.

Source: BASELINE, Spectrograms; the formulas are librosa's `melspectrogram(power=1)`, `amplitude_to_db(ref=max)` and
`pcen`, written for many frames at once.
"""

import math
from dataclasses import replace

import numpy as np
import scipy.signal
from jaxtyping import Float, UInt8

from config import Spectrogram
from utils.spectra.bands import bands_of, hop_of
from utils.spectra.fourier import rfft
from utils.spectra.resizing import resize
from utils.spectra.waveform import prepare

FLOOR = 1e-5  # amplitudes below it count as this much
RANGE_DB = 80.0  # decibels below the clip's peak at which the picture is black
# samples of the frames transformed at a time: they stay in the cache, and their memory with the program
AT_ONCE = 98_304
PCEN_SCALE = 2.0**31  # librosa's PCEN is meant for samples of 32-bit integers
# librosa's defaults; the last but one is its time constant
PCEN_GAIN, PCEN_BIAS, PCEN_POWER, PCEN_SECONDS, PCEN_LEAST = 0.98, 2.0, 0.5, 0.4, 1e-6


def make_picture(
    samples: Float[np.ndarray, " samples"], settings: Spectrogram, *, seed: int = 0
) -> Float[np.ndarray, "height width"]:
    """Return the picture of one clip.

    Parameters
    ----------
    samples : float32, at `settings.rate`; at least width − 1, or hop where that is set
    settings : how sound becomes a picture
    seed : draws what `settings.resize` leaves to chance

    Returns
    -------
    float32 from 0 (the clip's quietest point, in decibels at most 80 below its peak) to 1 (its peak), lowest frequency
    in the last row; silence is all 0.
    """
    levels = amplitudes(prepare(samples, settings), settings)
    if settings.kind == "pcen":
        levels = pcen(levels, frames_per_second=settings.rate / hop_of(settings, samples=len(samples)))
    else:
        levels = decibels(levels)
        np.maximum(levels, levels.max() - np.float32(RANGE_DB), out=levels)
    if not settings.hop:
        levels = levels[:, : settings.width]
    low, high = levels.min(), levels.max()
    if not high > low:
        return np.zeros((settings.height, settings.width), np.float32)
    levels -= low
    levels /= high - low
    return resize(levels[::-1], height=settings.height, width=settings.width, mode=settings.resize, seed=seed)


def amplitudes(samples: Float[np.ndarray, " samples"], settings: Spectrogram) -> Float[np.ndarray, "rows frames"]:
    """Return a clip's amplitude in each band (or bin) and frame, lowest band first."""
    bands = bands_of(settings)
    n_fft, hop = len(bands.window), hop_of(settings, samples=len(samples))
    padded = np.zeros(len(samples) + n_fft, np.float32)
    sound = padded[n_fft // 2 : n_fft // 2 + len(samples)]
    sound[:] = samples
    if settings.pre_emphasis and settings.kind != "linear":
        sound[1:] -= np.float32(settings.pre_emphasis) * samples[:-1]
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop]
    bins = np.empty((bands.last_bin - bands.first_bin, len(frames)), np.float32)
    block = max(1, AT_ONCE // n_fft)
    for start in range(0, len(frames), block):
        spectrum = rfft(frames[start : start + block], bands.window)
        bins[:, start : start + block] = np.abs(spectrum[:, bands.first_bin : bands.last_bin]).T
    return bins if bands.weights is None else bands.weights @ bins


def mel_levels(samples: Float[np.ndarray, " samples"], settings: Spectrogram) -> Float[np.ndarray, " bands"]:
    """Return a clip's mean level in each mel band in decibels, lowest band first, whatever the kind of picture."""
    n_fft = 0 if settings.kind == "linear" else settings.n_fft
    return decibels(amplitudes(prepare(samples, settings), replace(settings, kind="mel", n_fft=n_fft))).mean(axis=1)


def decibels(amplitudes: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Return levels in decibels above an amplitude of 1; amplitudes below FLOOR count as FLOOR."""
    levels = np.maximum(amplitudes, np.float32(FLOOR))
    np.log10(levels, out=levels)
    levels *= 20
    return levels


def pcen(amplitudes: Float[np.ndarray, "rows frames"], *, frames_per_second: float) -> Float[np.ndarray, "rows frames"]:
    """Return amplitudes with each row's gain controlled by its own running mean, and their range compressed.

    Source: `librosa.pcen` and its defaults (Wang et al. 2017, arXiv:1607.05666).
    """
    scaled = amplitudes * np.float32(PCEN_SCALE)
    share = smoothing(frames_per_second)
    feed, back = np.array([share], np.float32), np.array([1, share - 1], np.float32)
    mean, _ = scipy.signal.lfilter(feed, back, scaled, axis=1, zi=np.full((len(scaled), 1), 1 - share, np.float32))
    gain = np.exp(np.float32(-PCEN_GAIN) * (np.float32(math.log(PCEN_LEAST)) + np.log1p(mean / np.float32(PCEN_LEAST))))
    return np.float32(PCEN_BIAS**PCEN_POWER) * np.expm1(
        np.float32(PCEN_POWER) * np.log1p(scaled * gain / np.float32(PCEN_BIAS))
    )


def smoothing(frames_per_second: float) -> float:
    """Return how much of each frame goes into PCEN's running mean."""
    frames = PCEN_SECONDS * frames_per_second
    return (math.sqrt(1 + 4 * frames**2) - 1) / (2 * frames**2)


def to_pixels(picture: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Round a picture from 0 to 1 to grey levels from 0 to 255."""
    return np.rint(picture * 255).astype(np.uint8)
