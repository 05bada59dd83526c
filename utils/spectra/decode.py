"""From a file to its samples: mono, at one rate, block by block, so that a day of sound needs no more memory than a minute."""

import re
from collections.abc import Generator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr
from jaxtyping import Float

from utils.console import Trouble

BLOCK = 30.0  # seconds decoded at once
BLOCK_VALUES = 2**22  # values of all channels decoded at once, at most: 16 MB
PIECE = 2.0  # seconds resampled and handed on at once: they stay in the cache, and their memory with the program
LEAST_RATE = 100  # samples per second; slower recordings hold no sound, and raising their rate takes hundreds of megabytes
LOUDEST = 1e10  # beyond it, the energies of a spectrogram are no numbers; full scale is 1, of integers stored as floats 2**31
STREAMED = 0x7FFFFFFF  # a size from here on was written by a program that could not know it
SHORT_OF = 0.99  # a file that decodes to less than this share of what its header says was cut off; some MP3 headers only estimate


class AudioError(Trouble):
    """A recording that cannot be used; the text says why, without naming it."""


class Length(NamedTuple):
    """How long a recording is, as it was decoded, at its own rate: its header may promise something else."""

    frames: int
    rate: int


class Forwards(soundfile.SoundFile):  # type: ignore[misc]  # it comes without types
    """A file that is read once, from its begin to its end.

    After each block, soundfile seeks the place it has come to; in an MP3, what follows then differs in its last bits from what is decoded without a break.
    """

    def seekable(self) -> bool:
        """Say that it cannot be sought in, so that nobody does."""
        return False


def decode(file: Path, *, rate: int, block: float = BLOCK) -> Generator[Float[np.ndarray, " _"], None, Length]:
    """Yield a recording's samples in blocks, resampled to `rate` and mixed down to one channel by the mean.

    Parameters
    ----------
    file : anything libsndfile reads
    rate : samples per second of what is yielded
    block : seconds of sound read at once, fewer where there are many channels; it does not change the samples

    Yields
    ------
    float32 samples, nominally from -1 to 1; blocks may be empty, and have different lengths

    Returns
    -------
    The length that was found; generators return it to `yield from`.

    Raises
    ------
    AudioError
        If the file is no sound, is cut off, holds no samples, or samples that are no numbers or absurdly loud.
    """
    with _open(file) as sound:
        _check_whole(sound)
        if sound.samplerate < LEAST_RATE:
            raise AudioError(f"is sampled at {sound.samplerate} Hz, sound at {LEAST_RATE} Hz or more")
        at_once = max(1, min(int(block * sound.samplerate), BLOCK_VALUES // sound.channels))
        piece = int(PIECE * sound.samplerate)
        resampler = soxr.ResampleStream(sound.samplerate, rate, 1, dtype="float32") if sound.samplerate != rate else None
        frames = 0
        while frames < sound.frames:  # libsndfile gives no more than it says
            samples = _read(sound, at_once)
            if samples.size == 0:
                break
            frames += samples.size
            for start in range(0, samples.size, piece):
                part = samples[start : start + piece]
                yield resampler.resample_chunk(part) if resampler else part
        if frames == 0:
            raise AudioError("holds no samples")
        if frames < SHORT_OF * sound.frames:
            raise AudioError(f"is cut off: {frames / sound.samplerate:.1f} of {sound.frames / sound.samplerate:.1f} s are there")
        if resampler:
            yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)
        return Length(frames, sound.samplerate)


def _open(file: Path) -> Forwards:
    try:
        if file.stat().st_size == 0:
            raise AudioError("is empty (0 bytes)")
        return Forwards(file)
    except FileNotFoundError:
        raise AudioError("no such file") from None
    except OSError as error:
        raise AudioError(f"cannot be opened: {error.strerror}") from None
    except soundfile.LibsndfileError as error:
        raise AudioError(f"is no sound that can be read: {error.error_string}") from None


def _read(sound: Forwards, frames: int) -> Float[np.ndarray, " samples"]:
    try:
        samples = sound.read(frames, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise AudioError(f"is damaged or cut off: {error.error_string}") from None
    loudest = max(-samples.min(initial=0.0), samples.max(initial=0.0))  # NaN where a sample is
    if not np.isfinite(loudest):
        raise AudioError("holds samples that are no numbers (NaN or infinite)")
    if loudest > LOUDEST:
        raise AudioError(f"holds samples of {loudest:.1g}, full scale is 1")
    return np.ascontiguousarray(samples[:, 0]) if samples.shape[1] == 1 else samples.mean(axis=1)


def _check_whole(sound: Forwards) -> None:
    """Refuse a file that ends before its header says; libsndfile reads on silently and only mentions it in its log."""
    log = sound.extra_info
    for promised, there in re.findall(r"^\s*(?:data|SSND)\s*:\s*(\d+) \(should be (\d+)\)", log, flags=re.MULTILINE):
        if int(there) < int(promised) < STREAMED:
            raise AudioError(f"is cut off: {int(there) / 1e6:.2f} of the {int(promised) / 1e6:.2f} MB that its header promises are there")
    if "without an End-Of-Stream" in log or "Last page lacks an end-of-stream bit" in log:
        raise AudioError("is cut off: its last page is missing")
