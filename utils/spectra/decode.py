"""Decode an audio file to one channel at one sample rate, in blocks, so that memory does not grow with the length."""

from collections.abc import Generator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soxr
from jaxtyping import Float, Float32

from utils.sound.opening import AudioError
from utils.sound.reading import AudioReader
from utils.spectra.mixing import Channel, Mixer, check_samples, mixer_for

__all__ = ["AudioError", "Channel", "Length", "decode"]

DECODED_SECONDS = 30.0  # decoded at once
MAX_DECODED_VALUES = 2**22  # samples of all channels decoded at once, at most: 16 MB
PIECE_SECONDS = 2.0  # resampled and yielded at once: small enough for the processor's cache and for reuse of memory
MIN_RATE = 100  # Hz; files with lower rates hold no sound, and resampling them would take hundreds of megabytes


class Length(NamedTuple):
    """Length of a recording as it was decoded; its header may say something else.

    Attributes
    ----------
    frames, rate : samples per channel, and samples per second; for a concatenation of files with several rates, the
        rate of the first
    warnings : problems of the file, and how much of it was read, one line each; empty for sound files
    """

    frames: int
    rate: int
    warnings: tuple[str, ...] = ()


def decode(
    file: Path,
    *,
    rate: int | None,
    channel: Channel = "mean",
    block: float = DECODED_SECONDS,
    mixer: Mixer | None = None,
) -> Generator[Float[np.ndarray, " _"], None, Length]:
    """Yield one channel of a recording in blocks, resampled to `rate`; of damaged files, all that can be read.

    Parameters
    ----------
    file : any format that libsndfile reads
    rate : sample rate of the blocks, Hz; None: that of the file
    channel : "mean" of all channels; the "loudest" over the whole recording, which is then decoded twice; or the number
        of a channel, from 1. Mono files have one channel, whatever is asked for
    block : seconds decoded at once, fewer for files with many channels; the samples do not depend on it
    mixer : mixes the channels; pass one to ask it for warnings before the end of the recording. None: a new one

    Yields
    ------
    float32 samples, usually between -1 and 1; blocks may be empty and have different lengths

    Returns
    -------
    The decoded length, with warnings, as the value of `yield from`.

    Raises
    ------
    AudioError
        If the file is not audio, holds no samples, or samples that are not finite or implausibly loud; if it lacks the
        channel, or if its channels cancel each other.
    """
    with AudioReader(file) as sound:
        mixer = mixer or mixer_for(file, channel)
        resampler, current, frames = None, -1, 0.0
        for samples, file_rate, segment in sound.blocks(seconds=block, values=MAX_DECODED_VALUES):
            if segment != current:  # concatenated recordings are resampled one by one
                if resampler:
                    yield _rest(resampler)
                resampler, current = _resampler(file_rate, rate or sound.rate), segment
            check_samples(samples)
            mixed = mixer.mix(samples)
            frames += len(mixed) * sound.rate / file_rate
            piece = int(PIECE_SECONDS * file_rate)
            for start in range(0, len(mixed), piece):
                part = mixed[start : start + piece]
                yield resampler.resample_chunk(part) if resampler else part
        mixer_warnings = mixer.warnings()
        if resampler:
            yield _rest(resampler)
        return Length(round(frames), sound.rate, sound.warnings + mixer_warnings)


def _resampler(file_rate: int, rate: int) -> soxr.ResampleStream | None:
    if file_rate < MIN_RATE:
        raise AudioError(f"has a sample rate of {file_rate} Hz, which is below {MIN_RATE} Hz")
    return soxr.ResampleStream(file_rate, rate, 1, dtype="float32") if file_rate != rate else None


def _rest(resampler: soxr.ResampleStream) -> Float32[np.ndarray, " _"]:
    rest: Float32[np.ndarray, " _"] = resampler.resample_chunk(np.zeros(0, np.float32), last=True)
    return rest
