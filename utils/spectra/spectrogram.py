"""The picture of a clip: a mel spectrogram in decibels, low frequencies at the bottom.

Source: BASELINE, Spectrograms; the formula is librosa's `melspectrogram(power=1)` and `amplitude_to_db(ref=max)`, written for many frames at once.
"""

from functools import lru_cache
from typing import NamedTuple

import librosa.filters
import numpy as np
import scipy.fft
import scipy.signal
from jaxtyping import Float, UInt8

from config import Spectrogram

FLOOR = 1e-5  # amplitudes below it count as this much
RANGE_DB = 80.0  # decibels below the clip's peak at which the picture is black
WINDOW_PER_BAND = 8  # samples of the Fourier window for each mel band


class MelBands(NamedTuple):
    """What a mel spectrogram is made with.

    Attributes
    ----------
    window : the Fourier transform's window, (n_fft,)
    weights : share of each Fourier bin in each mel band, (bins, bands); bins that no band hears are left away
    first_bin : the bin that weights[0] belongs to
    """

    window: Float[np.ndarray, " n_fft"]
    weights: Float[np.ndarray, "bins bands"]
    first_bin: int


@lru_cache(maxsize=8)
def mel_bands(settings: Spectrogram) -> MelBands:
    """Return window and mel filters (Slaney's scale, each of area one) of a kind of picture."""
    n_fft = WINDOW_PER_BAND * settings.height
    bank = librosa.filters.mel(sr=settings.rate, n_fft=n_fft, n_mels=settings.height, fmin=settings.fmin, fmax=settings.fmax)
    heard = np.flatnonzero(bank.any(axis=0))
    first, last = (int(heard[0]), int(heard[-1]) + 1) if heard.size else (0, 1)
    window = scipy.signal.get_window("hann", n_fft, fftbins=True).astype(np.float32)
    return MelBands(window, np.ascontiguousarray(bank[:, first:last].T, dtype=np.float32), first)


def mel_amplitudes(samples: Float[np.ndarray, " samples"], settings: Spectrogram) -> Float[np.ndarray, "frames bands"]:
    """Return a clip's amplitude in each mel band and frame, lowest band first."""
    bands = mel_bands(settings)
    n_fft = len(bands.window)
    hop = len(samples) // (settings.width - 1)  # the width is exact, the hop is not; one frame more than the width may come out
    padded = np.zeros(len(samples) + n_fft, np.float32)
    padded[n_fft // 2 : n_fft // 2 + len(samples)] = samples
    if settings.pre_emphasis:
        padded[n_fft // 2 + 1 : n_fft // 2 + len(samples)] -= np.float32(settings.pre_emphasis) * samples[:-1]
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop] * bands.window
    spectrum = scipy.fft.rfft(frames, axis=1)[:, bands.first_bin : bands.first_bin + len(bands.weights)]
    return np.abs(spectrum) @ bands.weights


def decibels(amplitudes: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Return levels in decibels above an amplitude of 1; amplitudes below FLOOR count as FLOOR."""
    return 20 * np.log10(np.maximum(amplitudes, np.float32(FLOOR)))


def mel_picture(samples: Float[np.ndarray, " samples"], settings: Spectrogram) -> Float[np.ndarray, "height width"]:
    """Return the picture of one clip.

    Parameters
    ----------
    samples : float32, at `settings.rate`
    settings : how sound becomes a picture

    Returns
    -------
    float32 from 0 (the clip's quietest point, at most 80 dB below its peak) to 1 (its peak), lowest frequency in the last row; silence is all 0.
    """
    levels = decibels(mel_amplitudes(samples, settings))
    levels = np.maximum(levels, levels.max() - RANGE_DB)[: settings.width].T[::-1]
    low, high = levels.min(), levels.max()
    if not high > low:
        return np.zeros((settings.height, settings.width), np.float32)
    return (levels - low) / (high - low)


def to_pixels(picture: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Round a picture from 0 to 1 to grey levels from 0 to 255."""
    return np.rint(picture * 255).astype(np.uint8)
