"""Bringing a picture to the size that the net wants, where the Fourier transform gave another one."""

from typing import Literal

import cv2
import numpy as np
from jaxtyping import Float

Mode = Literal["squeeze", "crop", "crop_random", "fill"]


def resize(
    picture: Float[np.ndarray, "rows frames"], *, height: int, width: int, mode: Mode, seed: int
) -> Float[np.ndarray, "{height} {width}"]:
    """Return a picture from 0 to 1 in the size asked for.

    Parameters
    ----------
    mode :
        squeeze: both sides are stretched or shrunk, bicubic;
        crop, crop_random: of a side that is too long the middle is taken, or a part drawn at random; one that is too
        short is stretched; fill: a side that is too long is shrunk; where one is too short, the picture stands in the
        middle of noise of its own mean and spread
    seed : draws where to crop, and the noise

    Source: BASELINE, Image pipeline. The baseline keeps the ratio of the sides where it crops or fills; here a side
    that fits stays as it is.
    """
    rows, frames = picture.shape
    if (rows, frames) == (height, width):
        return picture
    if mode == "squeeze":
        return squeeze(picture, height=height, width=width)
    if mode == "fill":
        picture = squeeze(picture, height=min(rows, height), width=min(frames, width))
        filled = np.clip(
            np.random.default_rng(seed).normal(picture.mean(), picture.std(), (height, width)), 0, 1
        ).astype(np.float32)
        top, left = (height - picture.shape[0]) // 2, (width - picture.shape[1]) // 2
        filled[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
        return filled
    picture = squeeze(picture, height=max(rows, height), width=max(frames, width))
    spare = (picture.shape[0] - height, picture.shape[1] - width)
    top, left = (
        np.random.default_rng(seed).integers(0, spare, endpoint=True)
        if mode == "crop_random"
        else (spare[0] // 2, spare[1] // 2)
    )
    return picture[top : top + height, left : left + width]


def squeeze(
    picture: Float[np.ndarray, "rows frames"], *, height: int, width: int
) -> Float[np.ndarray, "{height} {width}"]:
    """Stretch or shrink both sides, by cubic interpolation between the nearest four pixels; what swings beyond 0 and 1 is cut off."""
    if picture.shape == (height, width):
        return picture
    return np.clip(cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)
