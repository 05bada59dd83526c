"""The mel scale and its filter bank, by NumPy alone: they equal librosa's, which takes a second to import.

Every worker process and every prediction of a short recording would wait for that second.

Source: `librosa.filters.mel` and `librosa.hz_to_mel` with their defaults, after Slaney's Auditory Toolbox (1998).
"""

import math

import numpy as np
from jaxtyping import Float, Float32

LINEAR = 200.0 / 3  # Hz in a mel below LINEAR_END; above, mels are steps of a logarithmic scale
LINEAR_END = 1000.0  # Hz
LOG_STEP = math.log(6.4) / 27.0  # 27 mels are a factor of 6.4

Hertz = float | int


def hertz_to_mel(frequency: Hertz) -> float:
    """Return a frequency (Hz) on the mel scale."""
    if frequency < LINEAR_END:
        return frequency / LINEAR
    return LINEAR_END / LINEAR + float(np.log(frequency / LINEAR_END)) / LOG_STEP


def mel_to_hertz(mel: float) -> float:
    """Return the frequency (Hz) of a value on the mel scale."""
    if mel < LINEAR_END / LINEAR:
        return mel * LINEAR
    return LINEAR_END * math.exp(LOG_STEP * (mel - LINEAR_END / LINEAR))


def mel_frequencies(count: int, *, fmin: Hertz, fmax: Hertz) -> Float[np.ndarray, " frequencies"]:
    """Return so many frequencies (Hz) from fmin to fmax, which divide the mel scale between them evenly."""
    mels = np.linspace(hertz_to_mel(fmin), hertz_to_mel(fmax), count)
    is_log = mels >= LINEAR_END / LINEAR
    frequencies = LINEAR * mels
    frequencies[is_log] = LINEAR_END * np.exp(LOG_STEP * (mels[is_log] - LINEAR_END / LINEAR))
    return frequencies


def mel_filters(*, rate: int, n_fft: int, bands: int, fmin: Hertz, fmax: Hertz) -> Float32[np.ndarray, "bands bins"]:
    """Return the weight of each Fourier bin in each mel band: triangles of unit area (1 / Hz).

    A band that lies between two bins is empty.

    Parameters
    ----------
    rate : samples per second
    n_fft : length of the Fourier transform, samples
    """
    edges = mel_frequencies(bands + 2, fmin=fmin, fmax=fmax)
    widths = np.diff(edges)
    distances = edges[:, None] - np.fft.rfftfreq(n_fft, 1 / rate)
    rising, falling = -distances[:-2] / widths[:-1, None], distances[2:] / widths[1:, None]
    triangles = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
    triangles *= (2.0 / (edges[2:] - edges[:-2]))[:, None]
    return triangles
