"""Resizing a spectrogram to the input size of the network, if the Fourier transform gave another size."""

from typing import Literal

import cv2
import numpy as np
from jaxtyping import Float

Mode = Literal["squeeze", "crop", "crop_random", "fill"]


def resize(
    spectrogram: Float[np.ndarray, "rows frames"], *, height: int, width: int, mode: Mode, seed: int
) -> Float[np.ndarray, "{height} {width}"]:
    """Return a spectrogram with values from 0 to 1 in another size.

    Parameters
    ----------
    mode :
        squeeze: bicubic interpolation along both axes;
        crop, crop_random: an axis that is too long is cropped to its middle, or at random; one that is too short is
        stretched;
        fill: an axis that is too long is shrunk; one that is too short is padded on both sides with noise of the same
        mean and standard deviation
    seed : seed of the random crop, and of the noise

    Source: docs/baseline.md (Image pipeline). The baseline keeps the aspect ratio if it crops or fills; here an axis of
    the right size stays as it is.
    """
    rows, frames = spectrogram.shape
    if (rows, frames) == (height, width):
        return spectrogram
    if mode == "squeeze":
        return squeeze(spectrogram, height=height, width=width)
    if mode == "fill":
        spectrogram = squeeze(spectrogram, height=min(rows, height), width=min(frames, width))
        filled = np.clip(
            np.random.default_rng(seed).normal(spectrogram.mean(), spectrogram.std(), (height, width)), 0, 1
        ).astype(np.float32)
        top, left = (height - spectrogram.shape[0]) // 2, (width - spectrogram.shape[1]) // 2
        filled[top : top + spectrogram.shape[0], left : left + spectrogram.shape[1]] = spectrogram
        return filled
    spectrogram = squeeze(spectrogram, height=max(rows, height), width=max(frames, width))
    spare = (spectrogram.shape[0] - height, spectrogram.shape[1] - width)
    top, left = (
        np.random.default_rng(seed).integers(0, spare, endpoint=True)
        if mode == "crop_random"
        else (spare[0] // 2, spare[1] // 2)
    )
    return spectrogram[top : top + height, left : left + width]


def squeeze(
    spectrogram: Float[np.ndarray, "rows frames"], *, height: int, width: int
) -> Float[np.ndarray, "{height} {width}"]:
    """Stretch or shrink both axes by bicubic interpolation, clipped to 0 and 1."""
    if spectrogram.shape == (height, width):
        return spectrogram
    return np.clip(cv2.resize(spectrogram, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)
