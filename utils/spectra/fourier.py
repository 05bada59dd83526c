"""Fourier transforms of many short frames at once, by the fastest available library."""

from collections.abc import Iterator

import cv2
import numpy as np
import scipy.fft
from jaxtyping import Complex64, Float32

# with Intel's library, OpenCV takes 0.4 of SciPy's time; without it (on ARM), OpenCV is slower than SciPy
_FAST_IN_OPENCV = bool(cv2.ipp.useIPP())
CACHE_LINE = 16  # float32 values
SAMPLES_AT_ONCE = 98_304  # of frames transformed at once: small enough for the processor's cache


def blocks_of(frames: int, *, n_fft: int) -> Iterator[slice]:
    """Yield which of so many frames to transform at once, in order."""
    block = max(1, SAMPLES_AT_ONCE // n_fft)
    return (slice(start, start + block) for start in range(0, frames, block))


def rfft(
    frames: Float32[np.ndarray, "frames n_fft"], window: Float32[np.ndarray, " n_fft"]
) -> Complex64[np.ndarray, "frames bins"]:
    """Return the Fourier transform of each row times `window`, as `numpy.fft.rfft`; n_fft must be even."""
    count, n_fft = frames.shape
    windowed = np.multiply(frames, window, out=_aligned(count, n_fft))
    if not _FAST_IN_OPENCV:
        return scipy.fft.rfft(windowed, axis=1)
    values = _aligned(count, n_fft + 2)
    # OpenCV's order is Re 0, Re 1, Im 1, Re 2, Im 2, …, Re n_fft / 2, without the two imaginary parts that are 0
    cv2.dft(windowed, values[:, 1:-1], flags=cv2.DFT_ROWS)
    values[:, 0] = values[:, 1]
    values[:, 1] = values[:, -1] = 0
    return values.view(np.complex64)


def _aligned(rows: int, columns: int) -> Float32[np.ndarray, "{rows} {columns}"]:
    """Return an empty array whose rows are aligned to cache lines: the last bits of a transform depend on alignment."""
    pitch = -(-columns // CACHE_LINE) * CACHE_LINE
    memory = np.empty(rows * pitch + CACHE_LINE, np.float32)
    first = -(memory.ctypes.data // memory.itemsize) % CACHE_LINE
    return memory[first : first + rows * pitch].reshape(rows, pitch)[:, :columns]
