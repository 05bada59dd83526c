"""Fourier window, frequency bins and mel filter bank of a spectrogram, for the engines on the CPU and on the device.

Source: docs/baseline.md (Spectrograms); the mel filter bank is librosa's (Slaney's scale, filters of unit area).
"""

import math
from functools import lru_cache
from typing import NamedTuple

import librosa.filters
import numpy as np
import scipy.ndimage
import scipy.signal
import scipy.sparse
from jaxtyping import Float

from config import Spectrogram

WINDOW_PER_BAND = 8  # samples of the Fourier window for each mel band


class Bands(NamedTuple):
    """How the bins of a Fourier transform become the rows of a spectrogram.

    Attributes
    ----------
    window : window of the Fourier transform, (n_fft,)
    first_bin, last_bin : first bin that is used, and the bin after the last one
    weights : weight of each of these bins in each mel band, sparse (bands, bins); None: each bin is a row
    """

    window: Float[np.ndarray, " n_fft"]
    first_bin: int
    last_bin: int
    weights: scipy.sparse.csr_array | None

    @property
    def rows(self) -> int:
        """Number of rows before resizing."""
        return self.weights.shape[0] if self.weights is not None else self.last_bin - self.first_bin


@lru_cache(maxsize=8)
def bands_of(settings: Spectrogram) -> Bands:
    """Return the window, bins and weights for the given settings."""
    if settings.kind == "linear":
        n_fft = settings.n_fft or linear_window(
            rate=settings.rate, fmin=settings.fmin, fmax=settings.fmax, height=settings.height
        )
        first, last = bins_between(settings.fmin, settings.fmax, rate=settings.rate, n_fft=n_fft)
        return Bands(scipy.signal.get_window("hamming", n_fft).astype(np.float32), first, last, None)
    n_fft = settings.n_fft or WINDOW_PER_BAND * settings.height
    bank = librosa.filters.mel(
        sr=settings.rate, n_fft=n_fft, n_mels=settings.height, fmin=settings.fmin, fmax=settings.fmax
    )
    used = np.flatnonzero(bank.any(axis=0))
    first, last = (int(used[0]), int(used[-1]) + 1) if used.size else (0, 1)
    return Bands(
        scipy.signal.get_window("hann", n_fft).astype(np.float32),
        first,
        last,
        scipy.sparse.csr_array(bank[:, first:last].astype(np.float32)),
    )


@lru_cache(maxsize=8)
def fixed_range(settings: Spectrogram) -> tuple[float, float]:
    """Return the levels that become black and white with scale = fixed, decibels relative to an amplitude of 1.

    `range_db` is relative to a sine at full scale in the band that shows it best, where it is in the middle of a bin.
    Mel filters have unit area: in the wider bands of high frequencies, the same sine has a lower level.
    """
    bands = bands_of(settings)
    middle, beside = (np.abs(np.fft.rfft(bands.window))[:2] / 2).tolist()
    loudest = middle
    if bands.weights is not None:
        spread = [beside, middle, beside]
        loudest = scipy.ndimage.convolve1d(bands.weights.toarray(), spread, axis=1, mode="constant").max()
    offset = 20 * math.log10(max(loudest, 1e-9))  # filters that lie between two bins are empty
    black, white = settings.range_db
    return black + offset, white + offset


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
