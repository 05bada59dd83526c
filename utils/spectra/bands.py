"""Fourier window, frequency bins and mel filter bank of a spectrogram, for the engines on the CPU and on the device.

Source: docs/baseline.md (Spectrograms); the mel filter bank is librosa's (Slaney's scale, filters of unit area).
"""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import scipy.ndimage
import scipy.sparse
from jaxtyping import Float

from config import Spectrogram
from utils.console import warning
from utils.spectra.mel import mel_filters, mel_frequencies
from utils.spectra.windows import hamming, hann

WINDOW_PER_BAND = 8  # samples of the Fourier window for each mel band


class Bands(NamedTuple):
    """How the bins of a Fourier transform become the rows of a spectrogram.

    Attributes
    ----------
    window : window of the Fourier transform, (n_fft,)
    first_bin, last_bin : first bin that is used, and the bin after the last one
    weights : weight of each of these bins in each mel band, sparse (bands, bins); None: each bin is a row, or, in kind
        reassigned, each bit of energy has a frequency of its own
    rows : number of rows before resizing
    """

    window: Float[np.ndarray, " n_fft"]
    first_bin: int
    last_bin: int
    weights: scipy.sparse.csr_array | None
    rows: int


@lru_cache(maxsize=8)
def bands_of(settings: Spectrogram) -> Bands:
    """Return the window, bins and weights for the given settings."""
    if settings.kind == "linear":
        n_fft = settings.n_fft or linear_window(
            rate=settings.rate, fmin=settings.fmin, fmax=settings.fmax, height=settings.height
        )
        first, last = bins_between(settings.fmin, settings.fmax, rate=settings.rate, n_fft=n_fft)
        return Bands(hamming(n_fft), first, last, None, last - first)
    n_fft = settings.n_fft or WINDOW_PER_BAND * settings.height
    window = hann(n_fft)
    if settings.kind == "reassigned":
        return Bands(window, 0, n_fft // 2 + 1, None, settings.height)
    bank = mel_filters(rate=settings.rate, n_fft=n_fft, bands=settings.height, fmin=settings.fmin, fmax=settings.fmax)
    used = np.flatnonzero(bank.any(axis=0))
    first, last = (int(used[0]), int(used[-1]) + 1) if used.size else (0, 1)
    weights = scipy.sparse.csr_array(bank[:, first:last])
    return Bands(window, first, last, weights, settings.height)


def warn_of_empty_bands(settings: Spectrogram) -> None:
    """Warn of mel bands that lie between two bins of the Fourier transform: their rows stay black."""
    weights = bands_of(settings).weights
    empty = 0 if weights is None else int((np.diff(weights.indptr) == 0).sum())
    if empty:
        step = settings.rate / len(bands_of(settings).window)
        warning(
            f"{empty} of {settings.height} mel bands are narrower than the steps of the Fourier transform "
            f"({step:.0f} Hz) and stay black; increase spectrogram.n_fft or fmin, or set spectrogram.kind = linear"
        )


def unit_area_heights(settings: Spectrogram) -> Float[np.ndarray, " bands"]:
    """Return the height of each triangular mel filter whose area is 1, 1 / Hz."""
    edges = mel_frequencies(settings.height + 2, fmin=settings.fmin, fmax=settings.fmax)
    return 2 / (edges[2:] - edges[:-2])


@lru_cache(maxsize=8)
def fixed_range(settings: Spectrogram) -> tuple[float, float]:
    """Return the levels that become black and white with scale = fixed, decibels relative to an amplitude of 1.

    `range_db` is relative to a sine at full scale in the band that shows it best, where it is in the middle of a bin
    (kind reassigned: in the middle of the band). Mel filters have unit area: in the wider bands of high frequencies,
    the same sine has a lower level.
    """
    offset = 20 * math.log10(max(_loudest_sine(settings), 1e-9))  # filters that lie between two bins are empty
    black, white = settings.range_db
    return black + offset, white + offset


def _loudest_sine(settings: Spectrogram) -> float:
    """Return the amplitude of a sine at full scale in the band that shows it best."""
    bands = bands_of(settings)
    if settings.kind == "reassigned":
        n_fft = len(bands.window)
        energy = n_fft * float((bands.window**2).sum()) / 4  # of all bins of a frame; all of it goes to one place
        return math.sqrt(energy * unit_area_heights(settings).max() * n_fft / settings.rate)
    middle, beside = (np.abs(np.fft.rfft(bands.window))[:2] / 2).tolist()
    if bands.weights is None:
        return float(middle)
    spread = [beside, middle, beside]
    return float(scipy.ndimage.convolve1d(bands.weights.toarray(), spread, axis=1, mode="constant").max())


def bins_between(low: float, high: float, *, rate: int, n_fft: int) -> tuple[int, int]:
    """Return the first bin of a Fourier transform between `low` and `high` (Hz), and the bin after the last one."""
    return math.ceil(low * n_fft / rate), math.floor(high * n_fft / rate) + 1


def linear_window(*, rate: int, fmin: float, fmax: float, height: int) -> int:
    """Return the shortest even window length that has exactly `height` bins between fmin and fmax.

    Such a length always exists: because fmax is at most half the sample rate, the number of bins grows by at most one
    from one even length to the next. The 2018 baseline computed bin numbers with half the window length, so that its
    linear spectrograms show half of the frequency band.
    """
    # the band has fewer than length · (fmax − fmin) / rate + 1 bins
    length = max(2, int(rate * (height - 2) / (fmax - fmin)) // 2 * 2)
    while True:
        first, last = bins_between(fmin, fmax, rate=rate, n_fft=length)
        if last - first >= height:
            return length
        length += 2


def hop_of(settings: Spectrogram, *, samples: int) -> int:
    """Return the hop length, samples.

    If `spectrogram.hop` is 0, the hop is chosen so that a clip has at least `width` frames; surplus frames at the end
    are dropped.
    """
    return settings.hop or samples // (settings.width - 1)


def size_before_resizing(settings: Spectrogram, *, samples: int) -> tuple[int, int]:
    """Return the number of rows and frames of a clip's spectrogram before it is resized."""
    frames = 1 + samples // hop_of(settings, samples=samples)
    return bands_of(settings).rows, frames if settings.hop else min(frames, settings.width)
