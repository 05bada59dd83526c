"""The signal score: how much of a spectrogram looks like a bird, by fixed rules.

Source: docs/baseline.md (Signal score; `signal2noise` of the 2018 baseline).
"""

import cv2
import numpy as np
from jaxtyping import Float

ABOVE_ROW = 1.25  # a pixel stands out if it is this many times its row's median, unlike a steady tone,
ABOVE_COLUMN = 1.15  # and this many times its column's median, unlike a click
_DARKEST = np.finfo(np.float32).smallest_subnormal  # a pixel of 0 never stands out
_BOX = np.ones((3, 3), np.uint8)


def signal_score(spectrogram: Float[np.ndarray, "height width"]) -> float:
    """Return the fraction of pixels that stand out in time and frequency, after isolated pixels are removed.

    Parameters
    ----------
    spectrogram : float from 0 to 1, before it is rounded to uint8

    Returns
    -------
    0 (no signal, or silence) to 1.
    """
    row = np.maximum(ABOVE_ROW * medians(spectrogram), _DARKEST)[:, None]
    column = ABOVE_COLUMN * medians(np.ascontiguousarray(spectrogram.T))
    on = spectrogram >= np.maximum(row, column)
    patches = cv2.medianBlur(on.view(np.uint8), 3)
    return cv2.countNonZero(cv2.morphologyEx(patches, cv2.MORPH_CLOSE, _BOX)) / on.size


def medians(rows: Float[np.ndarray, "rows values"]) -> Float[np.ndarray, " rows"]:
    """Return the median of each row, ten times as fast as `np.median`: NumPy sorts short rows by SIMD."""
    ordered = np.sort(rows, axis=1)
    count = rows.shape[1]
    return (ordered[:, (count - 1) // 2] + ordered[:, count // 2]) / 2
