"""Sums over the pixels of each row of spectrograms, from which follow means and standard deviations.

They are whole numbers, so that they add up to the same in any order.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64, UInt8


@dataclass(frozen=True)
class PixelSums:
    """Sums over some spectrograms.

    Attributes
    ----------
    pixels : number of pixels in each row of all of them
    sums, squares : sum of the pixels (0 to 255) of each row, and of their squares
    """

    pixels: int
    sums: Int64[np.ndarray, " height"]
    squares: Int64[np.ndarray, " height"]

    def __add__(self, other: "PixelSums") -> "PixelSums":
        return PixelSums(self.pixels + other.pixels, self.sums + other.sums, self.squares + other.squares)


def pixel_sums(spectrograms: UInt8[np.ndarray, "clips height width"]) -> PixelSums:
    """Return the sums over some spectrograms."""
    clips, _, width = spectrograms.shape
    squares = np.einsum("chw,chw->h", spectrograms, spectrograms, dtype=np.int64)
    return PixelSums(clips * width, spectrograms.sum(axis=(0, 2), dtype=np.int64), squares)


def total_of(parts: Iterable[PixelSums], *, height: int) -> PixelSums:
    """Return the total of some sums over spectrograms of one height."""
    return sum(parts, PixelSums(0, np.zeros(height, np.int64), np.zeros(height, np.int64)))
