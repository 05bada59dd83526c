"""How long recordings are, and which of them hold the same sound under two names, whatever their headers and formats."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from utils.console import Failure, progress
from utils.fanout import fan_out
from utils.sound.opening import AudioError
from utils.sound.reading import Reading

HEAD = 1 << 15  # frames that are compared first; most recordings differ there, and need not be decoded to their end
BLOCK = 30.0  # seconds read at once
BLOCK_VALUES = 1 << 20  # values of all channels read at once, at most
BATCH = 32  # files a worker looks at in one go


@dataclass(frozen=True)
class Sound:
    """What a file of sound is at a glance.

    Attributes
    ----------
    frames, channels, rate : as far as its begin and end tell; frames are None where they do not, or let one only guess
    head : fingerprint of the first samples
    """

    frames: int | None
    channels: int
    rate: int
    head: str

    @property
    def seconds(self) -> float | None:
        """Length; None where a glance does not tell it for sure, as of an MP3 without a header, or of FLACs that may have been joined."""
        return None if self.frames is None else self.frames / self.rate


def glance_all(files: Sequence[Path], *, workers: int) -> list[Sound | str]:
    """Look at every file, in parallel; of those that cannot be opened, return the reason."""
    sounds: dict[Path, Sound | str] = {}
    batches = [tuple(files[start : start + BATCH]) for start in range(0, len(files), BATCH)]
    with progress("looking at sounds", total=len(files), unit="files") as advance:
        alone: list[tuple[Path, ...]] = []
        # a file on which a worker dies takes its batch along, which is then looked at one by one
        for todo in (batches, alone):
            with closing(fan_out(_glance, list(todo), workers=workers, name=lambda batch: batch[0].name)) as outcomes:
                for batch, outcome in outcomes:
                    if isinstance(outcome, Failure) and len(batch) > 1:
                        alone += [(file,) for file in batch]
                        continue
                    sounds.update(
                        zip(batch, [outcome.reason] if isinstance(outcome, Failure) else outcome, strict=True)
                    )
                    advance(len(batch))
    return [sounds[file] for file in files]


def _glance(files: tuple[Path, ...]) -> list[Sound | str]:
    return [_glance_one(file) for file in files]


def _glance_one(file: Path) -> Sound | str:
    try:
        with Reading(file, quick=True) as sound:
            if sound.frames == 0:
                return "holds no samples"
            return Sound(sound.frames, sound.channels, sound.rate, _digest(sound, frames=HEAD))
    except AudioError as error:
        return str(error)
    except (OSError, ValueError) as error:
        return f"cannot be opened: {getattr(error, 'strerror', None) or error}"


def _digest(sound: Reading, *, frames: int | None = None) -> str:
    """Return a fingerprint of the samples that follow, of all or of so many frames, as float32; 16 and 24 bits are exact in it."""
    content, left = hashlib.sha256(), frames
    values = BLOCK_VALUES if frames is None else frames * sound.channels
    for samples, _, _ in sound.blocks(seconds=BLOCK, values=values):
        content.update((samples[:left] + np.float32(0)).tobytes())  # −0 and 0 are the same sound
        if left is not None:
            left -= len(samples)
            if left <= 0:
                break
    return content.hexdigest()


def measured(file: Path) -> float | None:
    """Return the length of a recording, seconds, by reading all of it; None where it cannot be read."""
    try:
        with Reading(file) as sound:
            return sum(len(samples) / rate for samples, rate, _ in sound.blocks(seconds=BLOCK, values=BLOCK_VALUES))
    except (AudioError, OSError):
        return None


def digest_whole(file: Path) -> str:
    """Return a fingerprint of all samples of a file, as far as they can be read.

    Raises
    ------
    AudioError
        If there are none.
    """
    with Reading(file) as sound:
        return _digest(sound)


def find_duplicates(files: Sequence[Path], sounds: Sequence[Sound], *, workers: int) -> list[list[int]]:
    """Return the numbers of the files that hold the same samples, in lists of two or more.

    Only files that are equal in channels and their first samples, and in length where that is known, are decoded whole.
    Rates do not count: a wrong one in a header is common.
    """
    alike: dict[tuple[int, str], list[int]] = {}
    for number, sound in enumerate(sounds):
        alike.setdefault((sound.channels, sound.head), []).append(number)
    suspects = [number for numbers in alike.values() for number in _may_be_alike(numbers, sounds)]
    if not suspects:
        return []
    same: dict[str, list[int]] = {}
    numbers = {files[number]: number for number in suspects}
    with (
        progress("comparing sounds", total=len(suspects), unit="files") as advance,
        closing(fan_out(digest_whole, [*numbers], workers=workers, name=lambda file: file.name)) as outcomes,
    ):
        for file, outcome in outcomes:
            if not isinstance(outcome, Failure):
                same.setdefault(outcome, []).append(numbers[file])
            advance()
    return sorted(sorted(found) for found in same.values() if len(found) > 1)


def _may_be_alike(numbers: Sequence[int], sounds: Sequence[Sound]) -> list[int]:
    """Return which of the files that begin alike may be of the same length as another of them."""
    lengths = Counter(sounds[number].frames for number in numbers)
    return [
        number for number in numbers if len(numbers) > 1 and (None in lengths or lengths[sounds[number].frames] > 1)
    ]
