"""From a file to its samples: one channel, at one rate, block by block, so that a day of sound needs no more memory than a minute."""

from collections.abc import Generator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import soxr
from jaxtyping import Float, Float32

from utils.sound.opening import AudioError
from utils.sound.reading import Reading

__all__ = ["AudioError", "Length", "decode"]

BLOCK = 30.0  # seconds decoded at once
BLOCK_VALUES = 2**22  # values of all channels decoded at once, at most: 16 MB
PIECE = 2.0  # seconds resampled and handed on at once: they stay in the cache, and their memory with the program
LEAST_RATE = 100  # samples per second; slower recordings hold no sound, and raising their rate takes hundreds of megabytes
LOUDEST = 1e10  # beyond it, the energies of a spectrogram are no numbers; full scale is 1, of integers stored as floats 2**31
EVERY = 7  # one frame of so many is enough to see whether channels cancel each other
CANCELLED, CANCELLING = 0.001, 0.1  # energy of the mean of channels, as a share of what it is where they have nothing in common

Channel = Literal["mean", "loudest"] | int


class Length(NamedTuple):
    """How long a recording is, as it was decoded, at its own rate: its header may promise something else.

    Attributes
    ----------
    frames, rate : samples of one channel, and how many of them are a second; where recordings of several rates were joined, by the first one's
    warnings : what is odd about the file, and how much of it was read, a line each; none of a sound file
    """

    frames: int
    rate: int
    warnings: tuple[str, ...] = ()


def decode(file: Path, *, rate: int, channel: Channel = "mean", block: float = BLOCK) -> Generator[Float[np.ndarray, " _"], None, Length]:
    """Yield one channel of a recording in blocks, resampled to `rate`; all that can be read of a damaged one.

    Parameters
    ----------
    file : anything libsndfile reads
    rate : samples per second of what is yielded
    channel : "mean" of all channels; the "loudest" over the whole recording, which is decoded twice for it; or its number, from 1. Mono has but one
    block : seconds of sound read at once, fewer where there are many channels; it does not change the samples

    Yields
    ------
    float32 samples, nominally from -1 to 1; blocks may be empty, and have different lengths

    Returns
    -------
    The length that was found, with warnings; generators return it to `yield from`.

    Raises
    ------
    AudioError
        If the file is no sound, holds no samples, or samples that are not finite or absurdly loud; if there is no such channel, or if channels cancel.
    """
    with Reading(file) as sound:
        mixer = _mixer(file, channel, channels=sound.channels)
        resampler, link, frames = None, -1, 0.0
        for samples, at, number in sound.blocks(seconds=block, values=BLOCK_VALUES):
            if number != link:  # recordings that were joined are resampled each by itself
                if resampler:
                    yield _rest(resampler)
                resampler, link = _resampler(at, rate), number
            _check(samples)
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


def _check(samples: Float32[np.ndarray, "frames channels"]) -> None:
    loudest = max(-samples.min(initial=0.0), samples.max(initial=0.0))  # NaN where a sample is
    if not np.isfinite(loudest):
        raise AudioError("holds samples that are not finite (NaN or infinite)")
    if loudest > LOUDEST:
        raise AudioError(f"holds samples of {loudest:.1g}, full scale is 1")


class _One:
    """One channel of several.

    Parameters
    ----------
    index : of the channel; of mono it does not matter
    """

    def __init__(self, index: int) -> None:
        self._index = index

    def mix(self, samples: Float32[np.ndarray, "frames channels"]) -> Float32[np.ndarray, " frames"]:
        """Return the channel.

        Raises
        ------
        AudioError
            If there is none.
        """
        channels = samples.shape[1]
        if 1 < channels <= self._index:
            raise AudioError(f"has {channels} channels, not the one that spectrogram.channel = {self._index + 1} asks for")
        return np.ascontiguousarray(samples[:, min(self._index, channels - 1)])

    def warnings(self) -> tuple[str, ...]:
        """Say nothing."""
        return ()


class _Mean:
    """The mean of all channels, which may cancel each other."""

    def __init__(self) -> None:
        self._energies, self._mixed, self._apart = np.zeros(0), 0.0, 0.0

    def mix(self, samples: Float32[np.ndarray, "frames channels"]) -> Float32[np.ndarray, " frames"]:
        """Return the mean."""
        channels = samples.shape[1]
        if channels == 1:
            return np.ascontiguousarray(samples[:, 0])
        mixed: Float32[np.ndarray, " frames"] = samples.mean(axis=1)
        some = np.ascontiguousarray(mixed[::EVERY])
        energies = energies_of(samples[::EVERY])
        self._energies = added(self._energies, energies)
        self._mixed += float(np.dot(some, some))
        self._apart += float(energies.sum()) / channels**2  # of the mean, if the channels have nothing in common
        return mixed

    def warnings(self) -> tuple[str, ...]:
        """Say that channels partly cancel each other.

        Raises
        ------
        AudioError
            If hardly anything is left of them.
        """
        if self._mixed >= CANCELLING * self._apart:
            return ()
        loudest = int(self._energies.argmax())
        quieter = 10 * np.log10(self._energies[loudest] / max(self._mixed, 1e-20 * self._energies[loudest]))
        said = f"their mean is {quieter:.0f} dB quieter than channel {loudest + 1}; set spectrogram.channel = loudest"
        if self._mixed < CANCELLED * self._apart:
            raise AudioError(f"its channels cancel each other: {said}")
        return (f"its channels partly cancel each other: {said}",)


def energies_of(samples: Float32[np.ndarray, "frames channels"]) -> Float[np.ndarray, " channels"]:
    """Return the sum of squares of each channel."""
    return np.einsum("ij,ij->j", samples, samples).astype(np.float64)


def added(one: Float[np.ndarray, " _"], other: Float[np.ndarray, " _"]) -> Float[np.ndarray, " _"]:
    """Add up energies of channels, of which one may have more than the other."""
    total = np.zeros(max(len(one), len(other)))
    total[: len(one)] += one
    total[: len(other)] += other
    return total


def _mixer(file: Path, channel: Channel, *, channels: int) -> _One | _Mean:
    """Return what makes one channel of several."""
    if channel == "mean":
        return _Mean()
    if channel != "loudest":
        return _One(channel - 1)
    if channels == 1:
        return _One(0)
    energies = np.zeros(0)
    with Reading(file) as sound:
        for samples, _, _ in sound.blocks(seconds=BLOCK, values=BLOCK_VALUES):
            _check(samples)
            energies = added(energies, energies_of(samples))
    return _One(int(energies.argmax()))
