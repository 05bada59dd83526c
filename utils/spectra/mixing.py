"""Mixing channels to one: their mean, the loudest, or one of them; and whether channels cancel each other."""

from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, Float32

from utils.sound.opening import AudioError
from utils.sound.reading import AudioReader

# to find the loudest channel: samples of all channels, and seconds, decoded at once
MAX_VALUES_AT_ONCE, SECONDS_AT_ONCE = 2**20, 30.0
# full scale is 1, or 2**31 for integers stored as floats; the energies of louder spectrograms would not be finite
MAX_AMPLITUDE = 1e10
FRAME_STEP = 7  # one frame of this many is enough to see whether channels cancel each other
# energy of the mean of channels, relative to that of uncorrelated channels, below which they cancel, or partly cancel
CANCELLED, CANCELLING = 0.001, 0.1

Channel = Literal["mean", "loudest"] | int


def check_samples(samples: Float32[np.ndarray, "frames channels"]) -> None:
    """Check that samples can be sound.

    Raises
    ------
    AudioError
        If samples are not finite, or implausibly loud.
    """
    loudest = max(-samples.min(initial=0.0), samples.max(initial=0.0))  # NaN where a sample is
    if not np.isfinite(loudest):
        raise AudioError("holds samples that are not finite (NaN or infinite)")
    if loudest > MAX_AMPLITUDE:
        raise AudioError(f"holds samples of {loudest:.1g}, but full scale is 1")


class OneChannel:
    """One channel of several.

    Parameters
    ----------
    index : index of the channel, from 0; without effect on mono
    """

    def __init__(self, index: int) -> None:
        self._index = index

    def mix(self, samples: Float32[np.ndarray, "frames channels"]) -> Float32[np.ndarray, " frames"]:
        """Return the channel.

        Raises
        ------
        AudioError
            If the recording does not have it.
        """
        channels = samples.shape[1]
        if 1 < channels <= self._index:
            raise AudioError(f"has {channels} channels, but spectrogram.channel is {self._index + 1}")
        return np.ascontiguousarray(samples[:, min(self._index, channels - 1)])

    def warnings(self) -> tuple[str, ...]:
        """Return no warnings."""
        return ()


class LoudestChannel:
    """The loudest channel over a whole recording, which is decoded once more for it unless it is mono."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._one: OneChannel | None = None

    def mix(self, samples: Float32[np.ndarray, "frames channels"]) -> Float32[np.ndarray, " frames"]:
        """Return the channel; of mono files, the only one."""
        if samples.shape[1] > 1 and self._one is None:
            self._one = OneChannel(loudest_of(self._file))
        return (self._one or OneChannel(0)).mix(samples)

    def warnings(self) -> tuple[str, ...]:
        """Return no warnings."""
        return ()


class MeanChannel:
    """The mean of all channels, which may cancel each other."""

    def __init__(self) -> None:
        self._energies, self._mixed, self._uncorrelated = np.zeros(0), 0.0, 0.0

    def mix(self, samples: Float32[np.ndarray, "frames channels"]) -> Float32[np.ndarray, " frames"]:
        """Return the mean."""
        channels = samples.shape[1]
        if channels == 1:
            return np.ascontiguousarray(samples[:, 0])
        mixed = _mean(samples)
        energies = energies_of(samples[::FRAME_STEP])
        self._energies = add_energies(self._energies, energies)
        self._mixed += float(energies_of(mixed[::FRAME_STEP, None])[0])
        self._uncorrelated += float(energies.sum()) / channels**2  # energy of the mean of uncorrelated channels
        return mixed

    def warnings(self) -> tuple[str, ...]:
        """Return a warning if the channels, as far as they were decoded, partly cancel each other.

        Raises
        ------
        AudioError
            If they cancel each other.
        """
        if self._mixed >= CANCELLING * self._uncorrelated:
            return ()
        loudest = int(self._energies.argmax())
        quieter = 10 * np.log10(self._energies[loudest] / max(self._mixed, 1e-20 * self._energies[loudest]))
        advice = (
            f"their mean is {quieter:.0f} dB quieter than channel {loudest + 1}; use spectrogram.channel = 'loudest'"
        )
        if self._mixed < CANCELLED * self._uncorrelated:
            raise AudioError(f"its channels cancel each other: {advice}")
        return (f"its channels partly cancel each other: {advice}",)


Mixer = OneChannel | LoudestChannel | MeanChannel


def mixer_for(file: Path, channel: Channel) -> Mixer:
    """Return a mixer for the channels of a recording."""
    if channel == "mean":
        return MeanChannel()
    return LoudestChannel(file) if channel == "loudest" else OneChannel(channel - 1)


def _mean(samples: Float32[np.ndarray, "frames channels"]) -> Float32[np.ndarray, " frames"]:
    if samples.shape[1] != 2:
        return samples.mean(axis=1)
    # the same bits as NumPy's mean, in a tenth of the time
    mixed: Float32[np.ndarray, " frames"] = samples[:, 0] + samples[:, 1]
    mixed *= np.float32(0.5)
    return mixed


def energies_of(samples: Float32[np.ndarray, "frames channels"]) -> Float[np.ndarray, " channels"]:
    """Return the sum of squares of each channel around its mean: a constant offset is not audible."""
    if len(samples) == 0:
        return np.zeros(samples.shape[1])
    # relative to the first sample, so that the energy of a constant channel is exactly 0
    shifted = np.subtract(samples.T, samples[0][:, None], dtype=np.float64, order="C")
    squares: Float[np.ndarray, " channels"] = np.einsum("ij,ij->i", shifted, shifted)
    return np.maximum(squares - shifted.sum(axis=1) ** 2 / len(samples), 0)


def add_energies(one: Float[np.ndarray, " _"], other: Float[np.ndarray, " _"]) -> Float[np.ndarray, " _"]:
    """Add the energies of channels of two blocks, which may have different numbers of channels."""
    total = np.zeros(max(len(one), len(other)))
    total[: len(one)] += one
    total[: len(other)] += other
    return total


def loudest_of(file: Path) -> int:
    """Return the index of the loudest channel of a recording.

    Of concatenated files, only channels that all of them have count; mono files are ignored.

    Raises
    ------
    AudioError
        If the recording cannot be read.
    """
    energies, fewest = np.zeros(0), 0
    with AudioReader(file) as sound:
        for samples, _, _ in sound.blocks(seconds=SECONDS_AT_ONCE, values=MAX_VALUES_AT_ONCE):
            check_samples(samples)
            channels = samples.shape[1]
            if channels > 1:
                energies = add_energies(energies, energies_of(samples))
                fewest = min(fewest or channels, channels)
    return int(energies[:fewest].argmax())
