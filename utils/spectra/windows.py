"""Windows of Fourier transforms, by NumPy alone: they equal those of scipy.signal, which is slow to import.

Source: `scipy.signal.get_window`, whose windows are periodic.
"""

import numpy as np
from jaxtyping import Float32

HANN = 0.5  # mean of a Hann window
HAMMING = 0.54  # of a Hamming window


def hann(length: int) -> Float32[np.ndarray, " length"]:
    """Return a periodic Hann window of so many samples."""
    return _cosine(length, mean=HANN)


def hamming(length: int) -> Float32[np.ndarray, " length"]:
    """Return a periodic Hamming window of so many samples."""
    return _cosine(length, mean=HAMMING)


def _cosine(length: int, *, mean: float) -> Float32[np.ndarray, " length"]:
    angles = np.linspace(-np.pi, np.pi, length + 1)[:-1]
    return (mean + (1 - mean) * np.cos(angles)).astype(np.float32)
