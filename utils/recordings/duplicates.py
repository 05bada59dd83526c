"""The lengths of recordings, and which of them hold the same samples under two names, whatever their formats."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from config import Cluster, Location
from utils.console import Failure, progress
from utils.sound.opening import AudioError
from utils.sound.reading import AudioReader
from utils.sound.remote import header_copy, local_copy, name_of_file
from utils.workers.fanout import THIS_MACHINE, fan_out

COMPARED_FRAMES = 1 << 15  # frames compared first; most recordings differ there and need not be decoded further
BLOCK_SECONDS = 30.0  # decoded at once
MAX_BLOCK_VALUES = 1 << 20  # values of all channels decoded at once
SCAN_BATCH = 32  # files per job of a worker


@dataclass(frozen=True)
class ScannedFile:
    """Properties of an audio file that a quick scan finds.

    Attributes
    ----------
    frames, channels, rate : from the start and the end of the file; frames are None if not known for certain
    first_digest : hash of the first samples
    """

    frames: int | None
    channels: int
    rate: int
    first_digest: str

    @property
    def seconds(self) -> float | None:
        """Length; None if not known for certain, as for an MP3 without a header or FLACs that may be concatenated."""
        return None if self.frames is None else self.frames / self.rate


def scan_files(files: Sequence[Location], *, workers: int, cluster: Cluster = THIS_MACHINE) -> list[ScannedFile | str]:
    """Scan every file, in parallel; return the reason for those that cannot be opened."""
    scans: dict[Location, ScannedFile | str] = {}
    batches = [tuple(files[start : start + SCAN_BATCH]) for start in range(0, len(files), SCAN_BATCH)]
    with progress("scanning audio files", total=len(files), unit="files") as advance:
        alone: list[tuple[Location, ...]] = []
        # if a worker dies on a file, the files of its batch are scanned one by one
        for todo in (batches, alone):
            with closing(
                fan_out(
                    _scan_batch, list(todo), workers=workers, name=lambda batch: name_of_file(batch[0]), cluster=cluster
                )
            ) as outcomes:
                for batch, outcome in outcomes:
                    if isinstance(outcome, Failure) and len(batch) > 1:
                        alone += [(file,) for file in batch]
                        continue
                    scans.update(zip(batch, [outcome.reason] if isinstance(outcome, Failure) else outcome, strict=True))
                    advance(len(batch))
    return [scans[file] for file in files]


def _scan_batch(files: tuple[Location, ...]) -> list[ScannedFile | str]:
    return [_scan_file(file) for file in files]


def _scan_file(file: Location) -> ScannedFile | str:
    try:
        if isinstance(file, Path):
            return _scan(file)
        with header_copy(file) as path:
            found = _scan(path)
        if isinstance(found, ScannedFile):
            return found
        with local_copy(file) as path:  # there may be more before its samples than in most files
            return _scan(path)
    except (AudioError, ConnectionError) as error:
        return str(error)


def _scan(file: Path) -> ScannedFile | str:
    try:
        with AudioReader(file, quick=True) as sound:
            if sound.frames == 0:
                return "holds no samples"
            return ScannedFile(sound.frames, sound.channels, sound.rate, _sample_digest(sound, frames=COMPARED_FRAMES))
    except AudioError as error:
        return str(error)
    except (OSError, ValueError) as error:
        return f"cannot be opened: {getattr(error, 'strerror', None) or error}"


def _sample_digest(sound: AudioReader, *, frames: int | None = None) -> str:
    """Return a hash of the samples as float32, which represents 16 and 24 bits exactly.

    Parameters
    ----------
    frames : how many; None: all
    """
    content, left = hashlib.sha256(), frames
    values = MAX_BLOCK_VALUES if frames is None else frames * sound.channels
    for samples, _, _ in sound.blocks(seconds=BLOCK_SECONDS, values=values):
        content.update((samples[:left] + np.float32(0)).tobytes())  # −0 and 0 are the same sound
        if left is not None:
            left -= len(samples)
            if left <= 0:
                break
    return content.hexdigest()


def scan_length(file: Path) -> float | None:
    """Return the length of a recording, seconds, from its start and end; None if not known, or it cannot be opened."""
    scan = _scan_file(file)
    return scan.seconds if isinstance(scan, ScannedFile) else None


def measure_length(file: Location) -> float | None:
    """Return the length of a recording, seconds, by decoding all of it; None if it cannot be decoded."""
    try:
        with local_copy(file) as path, AudioReader(path) as sound:
            return sum(
                len(samples) / rate for samples, rate, _ in sound.blocks(seconds=BLOCK_SECONDS, values=MAX_BLOCK_VALUES)
            )
    except (AudioError, OSError):
        return None


def digest_of_file(file: Location) -> str:
    """Return a hash of all samples of a file, as far as they can be decoded.

    Raises
    ------
    AudioError
        If there are no samples.
    """
    with local_copy(file) as path, AudioReader(path) as sound:
        return _sample_digest(sound)


def find_same_sound(
    files: Sequence[Location], scans: Sequence[ScannedFile], *, workers: int, cluster: Cluster = THIS_MACHINE
) -> list[list[int]]:
    """Return the indices of files that hold the same samples, in lists of two or more.

    Only files with the same number of channels, the same first samples and (if known) the same length are decoded
    completely. Sample rates are not compared, because headers with a wrong rate are common.
    """
    alike: dict[tuple[int, str], list[int]] = {}
    for index, scan in enumerate(scans):
        alike.setdefault((scan.channels, scan.first_digest), []).append(index)
    suspects = [index for indices in alike.values() for index in _may_be_alike(indices, scans)]
    if not suspects:
        return []
    same: dict[str, list[int]] = {}
    indices = {files[index]: index for index in suspects}
    with (
        progress("comparing audio files", total=len(suspects), unit="files") as advance,
        closing(fan_out(digest_of_file, [*indices], workers=workers, name=name_of_file, cluster=cluster)) as outcomes,
    ):
        for file, outcome in outcomes:
            if not isinstance(outcome, Failure):
                same.setdefault(outcome, []).append(indices[file])
            advance()
    return sorted(sorted(found) for found in same.values() if len(found) > 1)


def _may_be_alike(indices: Sequence[int], scans: Sequence[ScannedFile]) -> list[int]:
    """Return which of the files with the same start may have the same length as another of them."""
    lengths = Counter(scans[index].frames for index in indices)
    return [index for index in indices if len(indices) > 1 and (None in lengths or lengths[scans[index].frames] > 1)]
