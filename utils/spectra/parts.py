"""What a worker leaves of one recording: its pictures and what is known of them, in one file; the pictures are never all in memory."""

import heapq
import json
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Int64, UInt8

PIXELS, WORDS = "pixels", "words.json"  # what a part holds
KINDS: Mapping[str, type] = MappingProxyType(  # of a clip's fields, in their order
    {
        "number": np.int32,
        "start": np.float64,
        "event": np.int32,
        "strength": np.float32,
        "score": np.float32,
        "accepted": np.bool_,
    }
)


class Clip(NamedTuple):
    """What is known of a clip, besides its picture; see `Part`."""

    number: int
    start: float
    event: int
    strength: float
    score: float
    accepted: bool


@dataclass(frozen=True)
class Part:
    """The clips of one recording that are kept, in the order of time.

    Attributes
    ----------
    number : which of the recording's windows each one is, from 0
    start : seconds from the recording's begin
    event : number of the event that it was cut for; -1: none
    strength : of the peak that it was cut for, decibels; NaN: none
    score : signal score, 0 to 1
    accepted : False for clips that were rejected and are kept as noise
    peaks : where peaks were looked for, all that were found: seconds, decibels, and the number of the window
    seconds : length of the recording
    rejected : how many clips the signal rule rejected
    histogram : how many of all clips on which the signal rule decides have which score (`thresholds.EDGES`)
    warning : what is odd about the file; None: nothing
    """

    number: Int32[np.ndarray, " clips"]
    start: Float64[np.ndarray, " clips"]
    event: Int32[np.ndarray, " clips"]
    strength: Float32[np.ndarray, " clips"]
    score: Float32[np.ndarray, " clips"]
    accepted: Bool[np.ndarray, " clips"]
    peaks: Float64[np.ndarray, "peaks 3"]
    seconds: float
    rejected: int
    histogram: Int64[np.ndarray, " bins"]
    warning: str | None = None


class Found(NamedTuple):
    """What is known of a recording besides its clips; see `Part`."""

    peaks: Sequence[tuple[float, float, int]]
    seconds: float
    rejected: int
    histogram: Int64[np.ndarray, " bins"]
    warning: str | None = None


class Draw:
    """Clips of which at most `cap` accepted ones and `cap` rejected ones stay: those with the smallest lots. However many stay, they need little memory.

    Parameters
    ----------
    cap : 0: all stay
    scratch : file in which the pictures stand meanwhile
    """

    def __init__(self, cap: int, scratch: IO[bytes]) -> None:
        self._cap = cap
        # heaps, the highest lot first: the next to leave
        self._staying: dict[bool, list[tuple[float, Clip, int]]] = {True: [], False: []}
        self._scratch = scratch
        self._size = 0

    def offer(self, clip: Clip, pixels: UInt8[np.ndarray, "height width"], *, lot: float) -> None:
        """Take a clip in, where one with a higher lot leaves or there is still room."""
        heap = self._staying[clip.accepted]
        place = len(self._staying[True]) + len(self._staying[False])
        if self._cap and len(heap) >= self._cap:
            if heap[0] > (-lot, clip, 0):
                return
            place = heapq.heappop(heap)[-1]
        heapq.heappush(heap, (-lot, clip, place))
        self._size = pixels.size
        self._scratch.seek(place * self._size)
        self._scratch.write(pixels.tobytes())

    def write(self, stream: IO[bytes], found: Found) -> None:
        """Write what stayed as one part."""
        staying = sorted((clip, place) for heap in self._staying.values() for _, clip, place in heap)
        words = {"clips": [clip for clip, _ in staying], **found._asdict(), "histogram": found.histogram.tolist()}
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr(WORDS, json.dumps(words, default=float))
            with archive.open(PIXELS, "w", force_zip64=True) as entry:
                for _, place in staying:
                    self._scratch.seek(place * self._size)
                    entry.write(self._scratch.read(self._size))


def read_part(path: Path) -> Part:
    """Read what is known of the clips of a part."""
    with zipfile.ZipFile(path) as archive:
        words = json.loads(archive.read(WORDS))
    columns = zip(*words["clips"], strict=True) if words["clips"] else [()] * len(KINDS)
    return Part(
        **{name: np.array(column, kind) for (name, kind), column in zip(KINDS.items(), columns, strict=True)},
        peaks=np.array(words["peaks"], float).reshape(-1, 3),
        seconds=words["seconds"],
        rejected=words["rejected"],
        histogram=np.array(words["histogram"], np.int64),
        warning=words.get("warning"),  # earlier versions wrote none
    )


def is_whole(path: Path) -> bool:
    """Tell whether a part is there with all its bytes: parts are not waited for, so that a power cut may have left less."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile):
        return False


def copy_pixels(path: Path, stream: IO[bytes]) -> None:
    """Copy the pictures of a part, one after the other: uint8, low frequencies in the last row."""
    with zipfile.ZipFile(path) as archive, archive.open(PIXELS) as entry:
        shutil.copyfileobj(entry, stream, 1 << 20)
