"""Clips as a sound store keeps them: 16-bit samples scaled by each clip's own peak, with margins on both sides.

Other stores keep the spectrogram of a clip instead, or its embeddings; `row_format` says which, and of which size.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float16, Float32, Int16, Int64, UInt8

from config import Clips, External, Spectrogram, windows_in
from utils.spectra.clips import clip_samples, margin_samples
from utils.spectra.spectrogram import make_spectrogram, to_pixels

# what models take: spectrograms, or the embeddings of a bird model
ModelInput = UInt8[np.ndarray, "clips height width"] | Float16[np.ndarray, "clips windows values"]

FULL_SCALE = 32_767  # the peak of a clip, in its 16-bit samples
MOST_THREADS = 8  # more wait for each other in Python
CLIPS_PER_TASK = 16  # whose spectrograms a thread computes at once


class RowFormat(NamedTuple):
    """What a store keeps of each clip: an array of this shape and type."""

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def bytes(self) -> int:
        """Size of a row."""
        return int(np.prod(self.shape)) * self.dtype.itemsize


def row_format(clips: Clips, spectrogram: Spectrogram, external: External) -> RowFormat:
    """Return what a store with these settings keeps of each clip."""
    if clips.keep == "embeddings":
        return RowFormat((windows_in(clips, external), external.width), np.dtype("<f2"))
    if clips.keep == "spectrograms":
        return RowFormat(spectrogram.shape, np.dtype(np.uint8))
    length, _, _ = clip_samples(clips, rate=spectrogram.rate)
    return RowFormat((length + 2 * margin_samples(clips, rate=spectrogram.rate),), np.dtype("<i2"))


def to_16_bit(samples: Float[np.ndarray, " samples"]) -> tuple[Int16[np.ndarray, " samples"], float]:
    """Return samples scaled such that the largest has full scale, and how large it was; silence has the peak 0."""
    peak = np.abs(samples).max(initial=np.float32(0))
    scale = np.float32(FULL_SCALE) / peak if peak > 0 else np.float32(0)
    return np.rint(samples * scale).astype("<i2"), float(peak)


def from_16_bit(
    rows: Int16[np.ndarray, "clips samples"], peaks: Float32[np.ndarray, " clips"]
) -> Float32[np.ndarray, "clips samples"]:
    """Return the samples of clips as they were, up to rounding."""
    return rows.astype(np.float32) * (peaks / np.float32(FULL_SCALE))[:, None]


def spectrograms_of_rows(
    rows: Int16[np.ndarray, "clips samples"],
    peaks: Float32[np.ndarray, " clips"],
    seeds: Int64[np.ndarray, " clips"],
    *,
    settings: Spectrogram,
    margin: int,
) -> UInt8[np.ndarray, "clips height width"]:
    """Return the spectrograms of clips without their margins, computed in several threads.

    Parameters
    ----------
    peaks : the largest sample of each clip
    seeds : random seed of each clip, for some values of `settings.resize`
    margin : samples on each side of a clip
    """
    spectrograms = np.empty((len(rows), *settings.shape), np.uint8)

    def compute(start: int) -> None:
        some = slice(start, start + CLIPS_PER_TASK)
        sounds = from_16_bit(rows[some, margin : rows.shape[1] - margin], peaks[some])
        for index, (samples, seed) in enumerate(zip(sounds, seeds[some].tolist(), strict=True), start):
            spectrograms[index] = to_pixels(make_spectrogram(samples, settings, seed=seed))

    starts = range(0, len(rows), CLIPS_PER_TASK)
    if len(starts) == 1:
        compute(0)
        return spectrograms
    most = min(os.cpu_count() or 1, len(starts), MOST_THREADS)
    with ThreadPoolExecutor(max_workers=most, thread_name_prefix="spectrograms") as threads:
        list(threads.map(compute, starts))
    return spectrograms
