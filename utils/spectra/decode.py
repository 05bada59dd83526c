"""From a file to its samples: one channel, at one rate, block by block, so that a day of sound needs no more memory than a minute."""

from collections.abc import Generator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soxr
from jaxtyping import Float, Float32

from utils.sound.opening import AudioError
from utils.sound.reading import Reading
from utils.spectra.mixing import Channel, Mixer, check_samples, mixer_for

__all__ = ["AudioError", "Channel", "Length", "decode"]

BLOCK = 30.0  # seconds decoded at once
BLOCK_VALUES = 2**22  # values of all channels decoded at once, at most: 16 MB
PIECE = 2.0  # seconds resampled and handed on at once: they stay in the cache, and their memory with the program
# samples per second; slower recordings hold no sound, and raising their rate takes hundreds of megabytes
LEAST_RATE = 100


class Length(NamedTuple):
    """How long a recording is, as it was decoded, at its own rate: its header may promise something else.

    Attributes
    ----------
    frames, rate : samples of one channel, and how many of them are a second; where recordings of several rates were
        joined, by the first one's
    warnings : what is odd about the file, and how much of it was read, a line each; none of a sound file
    """

    frames: int
    rate: int
    warnings: tuple[str, ...] = ()


def decode(
    file: Path, *, rate: int, channel: Channel = "mean", block: float = BLOCK, mixer: Mixer | None = None
) -> Generator[Float[np.ndarray, " _"], None, Length]:
    """Yield one channel of a recording in blocks, resampled to `rate`; all that can be read of a damaged one.

    Parameters
    ----------
    file : anything libsndfile reads
    rate : samples per second of what is yielded
    channel : "mean" of all channels; the "loudest" over the whole recording, which is decoded twice for it; or its
        number, from 1. Mono has but one
    block : seconds of sound read at once, fewer where there are many channels; it does not change the samples
    mixer : what makes one channel of several, where it shall be asked before the recording was heard to its end; else
        it is made here

    Yields
    ------
    float32 samples, nominally from -1 to 1; blocks may be empty, and have different lengths

    Returns
    -------
    The length that was found, with warnings; generators return it to `yield from`.

    Raises
    ------
    AudioError
        If the file is no sound, holds no samples, or samples that are not finite or absurdly loud; if there is no such
        channel, or if channels cancel.
    """
    with Reading(file) as sound:
        mixer = mixer or mixer_for(file, channel)
        resampler, link, frames = None, -1, 0.0
        for samples, at, number in sound.blocks(seconds=block, values=BLOCK_VALUES):
            if number != link:  # recordings that were joined are resampled each by itself
                if resampler:
                    yield _rest(resampler)
                resampler, link = _resampler(at, rate), number
            check_samples(samples)
            mixed = mixer.mix(samples)
            frames += len(mixed) * sound.rate / at
            piece = int(PIECE * at)
            for start in range(0, len(mixed), piece):
                part = mixed[start : start + piece]
                yield resampler.resample_chunk(part) if resampler else part
        odd = mixer.warnings()
        if resampler:
            yield _rest(resampler)
        return Length(round(frames), sound.rate, sound.warnings + odd)


def _resampler(given: int, wanted: int) -> soxr.ResampleStream | None:
    if given < LEAST_RATE:
        raise AudioError(f"is sampled at {given} Hz, sound at {LEAST_RATE} Hz or more")
    return soxr.ResampleStream(given, wanted, 1, dtype="float32") if given != wanted else None


def _rest(resampler: soxr.ResampleStream) -> Float32[np.ndarray, " _"]:
    rest: Float32[np.ndarray, " _"] = resampler.resample_chunk(np.zeros(0, np.float32), last=True)
    return rest
