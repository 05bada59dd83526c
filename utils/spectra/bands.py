"""What the pictures of both engines are made with: the Fourier window, which of its bins are used, and how they add up to the picture's rows.

Source: BASELINE, Spectrograms; mel bands are librosa's (Slaney's scale, each of area one).
"""

import math
from functools import lru_cache
from typing import NamedTuple

import librosa.filters
import numpy as np
import scipy.signal
import scipy.sparse
from jaxtyping import Float

from config import Spectrogram

WINDOW_PER_BAND = 8  # samples of the Fourier window for each mel band


class Bands(NamedTuple):
    """What the rows of a picture are made of.

    Attributes
    ----------
    window : the Fourier transform's window, (n_fft,)
    first_bin, last_bin : the first of its bins that is used, and the one after the last
    weights : share of each of them in each mel band, sparse (bands, bins); none: a row is a bin
    """

    window: Float[np.ndarray, " n_fft"]
    first_bin: int
    last_bin: int
    weights: scipy.sparse.csr_array | None

    @property
    def rows(self) -> int:
        """How many rows they give."""
        return self.weights.shape[0] if self.weights is not None else self.last_bin - self.first_bin


@lru_cache(maxsize=8)
def bands_of(settings: Spectrogram) -> Bands:
    """Return window, bins and weights of a kind of picture."""
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
    heard = np.flatnonzero(bank.any(axis=0))
    first, last = (int(heard[0]), int(heard[-1]) + 1) if heard.size else (0, 1)
    return Bands(
        scipy.signal.get_window("hann", n_fft).astype(np.float32),
        first,
        last,
        scipy.sparse.csr_array(bank[:, first:last].astype(np.float32)),
    )


def bins_between(low: float, high: float, *, rate: int, n_fft: int) -> tuple[int, int]:
    """Return the first bin of a Fourier transform that lies from `low` to `high` (Hz), and the one after the last."""
    return math.ceil(low * n_fft / rate), math.floor(high * n_fft / rate) + 1


def linear_window(*, rate: int, fmin: float, fmax: float, height: int) -> int:
    """Return the shortest even length of window of which exactly `height` bins lie from fmin to fmax.

    There is one: the number of bins grows by at most one from one even length to the next, for fmax is at most half the
    rate. The 2018 baseline took half of the window for the number of samples, and so a band of half the frequencies.
    """
    # fewer than length · (fmax − fmin) / rate + 1 bins lie in the band
    length = max(2, int(rate * (height - 2) / (fmax - fmin)) // 2 * 2)
    while True:
        first, last = bins_between(fmin, fmax, rate=rate, n_fft=length)
        if last - first >= height:
            return length
        length += 2


def hop_of(settings: Spectrogram, *, samples: int) -> int:
    """Return the samples from one frame of a clip to the next.

    Where the settings leave it open, the width is exact and the hop is not; more frames than the width may come out, of
    which the first are taken.
    """
    return settings.hop or samples // (settings.width - 1)


def drawn_size(settings: Spectrogram, *, samples: int) -> tuple[int, int]:
    """Return rows and frames of a clip's picture before it is resized."""
    frames = 1 + samples // hop_of(settings, samples=samples)
    return bands_of(settings).rows, frames if settings.hop else min(frames, settings.width)
