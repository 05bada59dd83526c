"""Soundscapes mixed from calls of recordings and noise without birds, with every onset known."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from utils.console import Failure, UserError
from utils.demo.call_excerpts import cut_call, load_source
from utils.demo.mix_settings import MixSettings
from utils.demo.singing import SoundArray
from utils.recordings.audio_files import check_readable, sounds_below
from utils.recordings.folders import read_folders
from utils.recordings.recording import NOISE
from utils.sound.opening import AudioError

_CALL_SECONDS = (2.5, 6.0)  # of the windows from which calls are cut
_NOISE_LEVEL = 0.02  # root mean square of each noise; full scale is 1
_NOISE_FADE = 0.5  # seconds in which one noise becomes the next
_LEAST_NOISE = 0.01  # of the noise's mean power: where it is quieter, calls are as loud as if it had this power
_MOST_PEAK = 0.95

Source = TypeVar("Source")


@dataclass(frozen=True)
class UsedSound:
    """A part of a recording that was mixed in: its path, `at` and `seconds`: where it starts and how long it is."""

    role: str  # "call" or "noise"
    recording: str
    at: float
    seconds: float


@dataclass(frozen=True)
class MixedCall:
    """A call in a soundscape: start and end in seconds, species, signal-to-noise ratio in decibels."""

    start: float
    end: float
    species: str
    snr: float
    recording: str


@dataclass
class Sources:
    """The recordings that are mixed.

    Attributes
    ----------
    calls : sound files of each class
    noises : sound files without birds
    top : folder of the calls; calls are named by their paths below it
    failures : what cannot be used, each file once
    """

    calls: Mapping[str, Sequence[Path]]
    noises: Sequence[Path]
    top: Path
    failures: list[Failure] = field(default_factory=list)
    _bad: set[Path] = field(default_factory=set)

    def name(self, file: Path) -> str:
        """Return the name of a call's recording, its path below the folder; that of a noise is its whole path."""
        return file.relative_to(self.top).as_posix() if file.is_relative_to(self.top) else file.as_posix()

    def load_call(self, *, rate: int, rng: np.random.Generator) -> tuple[str, Path, SoundArray]:
        """Draw a class, then one of its recordings; return the class, the file and its sound."""
        classes = list(self.calls)

        def draw() -> tuple[str, Path]:
            label = classes[int(rng.integers(len(classes)))]
            return label, self.calls[label][int(rng.integers(len(self.calls[label])))]

        files = {file for some in self.calls.values() for file in some}
        (label, file), sound = self._first_readable(draw, lambda drawn: drawn[1], files, rate=rate)
        return label, file, sound

    def load_noise(self, *, rate: int, rng: np.random.Generator) -> tuple[Path, SoundArray]:
        """Draw a noise; return the file and its sound, at the level of all noises."""
        file, sound = self._first_readable(
            lambda: self.noises[int(rng.integers(len(self.noises)))], lambda drawn: drawn, set(self.noises), rate=rate
        )
        return file, sound * np.float32(_NOISE_LEVEL / np.sqrt(np.mean(sound**2, dtype=np.float64)))

    def _first_readable(
        self, draw: Callable[[], Source], file_of: Callable[[Source], Path], files: set[Path], *, rate: int
    ) -> tuple[Source, SoundArray]:
        """Draw until a file can be read, so that what follows does not depend on which of the others was tried before.

        Raises
        ------
        UserError
            If none can be read.
        """
        while not files <= self._bad:
            drawn = draw()
            file = file_of(drawn)
            if file in self._bad:
                continue
            try:
                check_readable(file)
                return drawn, load_source(file, rate=rate)
            except (AudioError, OSError, ValueError) as error:
                self._bad.add(file)
                self.failures.append(Failure(self.name(file), str(error)))
        last = next(failure for failure in reversed(self.failures) if failure.name in set(map(self.name, files)))
        raise UserError(f"none of the recordings can be read, for example {last.name}: {last.reason}")


def find_sources(recordings: Path, noises: Sequence[Path]) -> Sources:
    """Find the recordings in class folders, and the noises in folders and their subfolders.

    Raises
    ------
    UserError
        If there are no recordings or no noises, or if the recordings are split.
    """
    for folder in (recordings, *noises):
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder")
    found = read_folders(recordings)
    if any(one.split for one in found.recordings):
        splits = sorted({str(one.split) for one in found.recordings})
        raise UserError(f"{recordings}: holds {', '.join(splits)}; choose one of them, such as {recordings / 'train'}")
    calls: dict[str, list[Path]] = {}
    for recording in sorted(found.recordings, key=lambda one: one.file):
        if recording.species != NOISE:
            calls.setdefault(recording.species, []).append(recording.file)
    without_birds = sorted({sound for folder in noises for sound in sounds_below(folder)})
    if not calls:
        raise UserError(f"{recordings}: has no recordings in folders named after species")
    if not without_birds:
        raise UserError(f"{', '.join(map(str, noises))}: no sound files")
    return Sources(dict(sorted(calls.items())), without_birds, recordings, list(found.failures))


def mix_soundscape(
    sources: Sources, settings: MixSettings, index: int
) -> tuple[SoundArray, list[MixedCall], list[UsedSound]]:
    """Mix the soundscape with this index; it depends on neither the others nor their number.

    Noise fills it. Calls start at random times and may overlap. A call's signal-to-noise ratio is the ratio of mean
    powers of the call and of the noise while it lasts. Of both, nothing below LOWEST_FREQUENCY is left.

    Returns
    -------
    float32 (samples,) below full scale; the calls in the order of time; what was used.
    """
    rng = np.random.default_rng((settings.seed, index))
    rate = settings.rate
    sound, used = _noise_bed(sources, round(settings.seconds * rate), rate=rate, rng=rng)
    power = sound.astype(np.float64) ** 2
    least = max(_LEAST_NOISE * float(power.mean()), 1e-12)
    calls = []
    for _ in range(round(settings.events * settings.seconds / 60.0)):
        label, file, source = sources.load_call(rate=rate, rng=rng)
        at, call = cut_call(source, seconds=min(rng.uniform(*_CALL_SECONDS), settings.seconds), rate=rate, rng=rng)
        first = int(rng.integers(len(sound) - len(call) + 1))
        span = slice(first, first + len(call))
        snr = float(rng.uniform(*settings.snr))
        noise = max(float(power[span].mean()), least)
        sound[span] += call * np.float32(np.sqrt(noise * 10 ** (snr / 10) / np.mean(call**2, dtype=np.float64)))
        name = sources.name(file)
        calls.append(MixedCall(first / rate, span.stop / rate, label, snr, name))
        used.append(UsedSound("call", name, at, len(call) / rate))
    calls.sort(key=lambda one: (one.start, one.end, one.species))
    return sound * np.float32(min(1.0, _MOST_PEAK / np.abs(sound).max())), calls, used


def _noise_bed(
    sources: Sources, count: int, *, rate: int, rng: np.random.Generator
) -> tuple[SoundArray, list[UsedSound]]:
    """Return noises, one after the other, that become each other."""
    bed = np.zeros(count, np.float32)
    used: list[UsedSound] = []
    position, overlap = 0, int(_NOISE_FADE * rate)
    while position < count:
        file, noise = sources.load_noise(rate=rate, rng=rng)
        fade = min(overlap, len(noise) // 2)
        first = max(0, position - fade)
        part = _crossfaded(noise, fade, rise=position > 0)[: count - first]
        bed[first : first + len(part)] += part
        used.append(UsedSound("noise", sources.name(file), 0.0, len(part) / rate))
        position = first + len(noise)
    return bed, used


def _crossfaded(noise: SoundArray, fade: int, *, rise: bool) -> SoundArray:
    """Fade a noise so that its power and that of the next one add up to a constant."""
    curve = np.sin(0.5 * np.pi * np.arange(fade, dtype=np.float32) / max(fade, 1))
    result = noise.copy()
    if rise:
        result[:fade] *= curve
    result[len(result) - fade :] *= curve[::-1]
    return result
