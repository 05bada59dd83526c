"""What a submission keeps of each recording that is done, so that after a kill only the others are heard again.

    submissions/<run>_soundscape.parts/<fingerprint of nets and settings>/<fingerprint of the recording>.part

A part is one line of JSON, filled up with spaces, and the pooled scores of its intervals, float32; then a checksum of
all that. Prior, calibration, whitelist and format come later: they may change, and the parts stay of use.
"""

import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float32

from utils.console import say, shown
from utils.files import remove_folder, whole_file
from utils.spectra.decode import Length

ALIGNED = 64  # bytes: the first score's place is a multiple of it
CHECKSUM = 4  # bytes
BLOCK = 2**20  # bytes read at once


@dataclass(frozen=True)
class Kept:
    """The pooled scores of one recording.

    Attributes
    ----------
    length : of the recording
    scores : a column a class of the ensemble, before prior and calibration; they stay in their file
    """

    length: Length
    scores: Float32[np.ndarray, "intervals classes"]


class Parts:
    """The parts of one submission.

    Attributes
    ----------
    folder : of all its parts, whatever nets and settings they are of

    Parameters
    ----------
    fingerprint : of `fingerprint_of_parts`
    root : folder of the recordings
    """

    def __init__(self, folder: Path, fingerprint: str, *, root: Path) -> None:
        self.folder, self._own, self._root = folder, folder / fingerprint, root

    def say_others(self) -> None:
        """Say, in one line, where there are parts of other nets or settings."""
        others = [file for file in self.folder.glob("*/[!.]*.part") if file.parent != self._own]
        if others:
            say(
                f"{len(others):,} recordings in {shown(self.folder)} were answered by other nets or settings; they are not used, and go when this is done"
            )

    def path_of(self, file: Path) -> Path:
        """Return where the part of a recording is, or will be; a recording that has changed has another."""
        try:
            stamp = file.stat().st_size, file.stat().st_mtime_ns
        except OSError:
            stamp = -1, -1
        name = json.dumps([file.relative_to(self._root).as_posix(), *stamp])
        return self._own / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.part"

    def remove(self) -> None:
        """Remove all parts of the submission."""
        remove_folder(self.folder)


def keep(path: Path, length: Length, rows: Iterable[Float[np.ndarray, "_ classes"]], *, shape: tuple[int, int]) -> None:
    """Write a recording's part; it appears whole or not at all, and is checked when it is read, for nobody waits until it is on the disk.

    Parameters
    ----------
    rows : tables of scores, one after the other
    shape : of all of them together: intervals, classes
    """
    warnings = {"warnings": length.warnings} if length.warnings else {}
    head = json.dumps({"frames": length.frames, "rate": length.rate, "shape": shape, **warnings}).encode()
    head += b" " * (-(len(head) + 1) % ALIGNED) + b"\n"
    with whole_file(path, lasting=False) as stream:
        stream.write(head)
        checksum = zlib.crc32(head)
        for table in rows:
            content = np.ascontiguousarray(table, "<f4").tobytes()
            stream.write(content)
            checksum = zlib.crc32(content, checksum)
        stream.write(checksum.to_bytes(CHECKSUM, "little"))


def is_whole(path: Path) -> bool:
    """Tell whether a part is there with all its bytes."""
    try:
        left, checksum = path.stat().st_size - CHECKSUM, 0
        with path.open("rb") as stream:
            while left > 0:
                content = stream.read(min(BLOCK, left))
                checksum, left = zlib.crc32(content, checksum), left - len(content) if content else 0
            return stream.read() == checksum.to_bytes(CHECKSUM, "little")
    except OSError:
        return False


def read_part(path: Path) -> Kept:
    """Read a whole part; its scores are not read before they are used."""
    with path.open("rb") as stream:
        line = stream.readline()
    head: Mapping[str, Any] = json.loads(line)
    # parts of earlier versions have none
    length = Length(head["frames"], head["rate"], tuple(head.get("warnings", ())))
    return Kept(length, np.memmap(path, "<f4", "r", offset=len(line), shape=tuple(head["shape"])))
