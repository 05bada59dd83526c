"""One channel made of several: their mean, the loudest, or one by its number; and whether channels cancel each other."""

from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, Float32

from utils.sound.opening import AudioError
from utils.sound.reading import Reading

VALUES = 2**20  # values of all channels decoded at once to find the loudest one
SECONDS = 30.0  # decoded at once for that
# beyond it, the energies of a spectrogram are no numbers; full scale is 1, of integers stored as floats 2**31
LOUDEST = 1e10
EVERY = 7  # one frame of so many is enough to see whether channels cancel each other
# energy of the mean of channels, as a share of what it is where they have nothing in common
CANCELLED, CANCELLING = 0.001, 0.1

Channel = Literal["mean", "loudest"] | int


def check_samples(samples: Float32[np.ndarray, "frames channels"]) -> None:
    """Refuse what is no sound.

    Raises
    ------
    AudioError
        If samples are not finite, or absurdly loud.
    """
    loudest = max(-samples.min(initial=0.0), samples.max(initial=0.0))  # NaN where a sample is
    if not np.isfinite(loudest):
        raise AudioError("holds samples that are not finite (NaN or infinite)")
    if loudest > LOUDEST:
        raise AudioError(f"holds samples of {loudest:.1g}, full scale is 1")


class One:
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
            raise AudioError(
                f"has {channels} channels, not the one that spectrogram.channel = {self._index + 1} asks for"
            )
        return np.ascontiguousarray(samples[:, min(self._index, channels - 1)])

    def warnings(self) -> tuple[str, ...]:
        """Say nothing."""
        return ()


class Loudest:
    """The channel that is the loudest over a whole recording, which is decoded once more for that as soon as there is a choice."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._one: One | None = None

    def mix(self, samples: Float32[np.ndarray, "frames channels"]) -> Float32[np.ndarray, " frames"]:
        """Return the channel; of mono, there is but one."""
        if samples.shape[1] > 1 and self._one is None:
            self._one = One(loudest_of(self._file))
        return (self._one or One(0)).mix(samples)

    def warnings(self) -> tuple[str, ...]:
        """Say nothing."""
        return ()


class Mean:
    """The mean of all channels, which may cancel each other."""

    def __init__(self) -> None:
        self._energies, self._mixed, self._apart = np.zeros(0), 0.0, 0.0

    def mix(self, samples: Float32[np.ndarray, "frames channels"]) -> Float32[np.ndarray, " frames"]:
        """Return the mean."""
        channels = samples.shape[1]
        if channels == 1:
            return np.ascontiguousarray(samples[:, 0])
        mixed = _mean(samples)
        energies = energies_of(samples[::EVERY])
        self._energies = added(self._energies, energies)
        self._mixed += float(energies_of(mixed[::EVERY, None])[0])
        self._apart += float(energies.sum()) / channels**2  # of the mean, if the channels have nothing in common
        return mixed

    def warnings(self) -> tuple[str, ...]:
        """Say that channels partly cancel each other, as far as they were heard.

        Raises
        ------
        AudioError
            If hardly anything is left of them.
        """
        if self._mixed >= CANCELLING * self._apart:
            return ()
        loudest = int(self._energies.argmax())
        quieter = 10 * np.log10(self._energies[loudest] / max(self._mixed, 1e-20 * self._energies[loudest]))
        said = f"their mean is {quieter:.0f} dB quieter than channel {loudest + 1}; spectrogram.channel = 'loudest' takes one of them"
        if self._mixed < CANCELLED * self._apart:
            raise AudioError(f"its channels cancel each other: {said}")
        return (f"its channels partly cancel each other: {said}",)


Mixer = One | Loudest | Mean


def mixer_for(file: Path, channel: Channel) -> Mixer:
    """Return what makes one channel of those of a recording."""
    if channel == "mean":
        return Mean()
    return Loudest(file) if channel == "loudest" else One(channel - 1)


def _mean(samples: Float32[np.ndarray, "frames channels"]) -> Float32[np.ndarray, " frames"]:
    if samples.shape[1] != 2:
        return samples.mean(axis=1)
    # the same bits as NumPy's mean, in a tenth of the time
    mixed: Float32[np.ndarray, " frames"] = samples[:, 0] + samples[:, 1]
    mixed *= np.float32(0.5)
    return mixed


def energies_of(samples: Float32[np.ndarray, "frames channels"]) -> Float[np.ndarray, " channels"]:
    """Return the sum of squares of each channel, without its mean, for what does not move is not heard."""
    if len(samples) == 0:
        return np.zeros(samples.shape[1])
    # so that what never moves has exactly no energy
    moved = np.subtract(samples.T, samples[0][:, None], dtype=np.float64, order="C")
    energies: Float[np.ndarray, " channels"] = np.einsum("ij,ij->i", moved, moved) - moved.sum(axis=1) ** 2 / len(
        samples
    )
    return np.maximum(energies, 0)


def added(one: Float[np.ndarray, " _"], other: Float[np.ndarray, " _"]) -> Float[np.ndarray, " _"]:
    """Add up energies of channels, of which one may have more than the other."""
    total = np.zeros(max(len(one), len(other)))
    total[: len(one)] += one
    total[: len(other)] += other
    return total


def loudest_of(file: Path) -> int:
    """Return the number, from 0, of the loudest of the channels that all parts of a recording have but for those in mono.

    Raises
    ------
    AudioError
        If it cannot be read.
    """
    energies, fewest = np.zeros(0), 0
    with Reading(file) as sound:
        for samples, _, _ in sound.blocks(seconds=SECONDS, values=VALUES):
            check_samples(samples)
            channels = samples.shape[1]
            if channels > 1:
                energies = added(energies, energies_of(samples))
                fewest = min(fewest or channels, channels)
    return int(energies[:fewest].argmax())
