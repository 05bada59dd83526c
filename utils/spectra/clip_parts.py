"""The file that a worker leaves for one recording, a part: its spectrograms and tables, never all of them in memory."""

import heapq
import json
import math
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Int64, UInt8

from utils.spectra.pixel_sums import PixelSums, pixel_sums, total_of

PIXELS, METADATA = "pixels", "words.json"  # contents of a part; parts of earlier versions are still read
CLIP_DTYPES: Mapping[str, type] = MappingProxyType(  # of the fields of a clip, in their order
    {
        "index": np.int32,
        "start": np.float64,
        "event": np.int32,
        "strength": np.float32,
        "score": np.float32,
        "accepted": np.bool_,
    }
)


class Clip(NamedTuple):
    """What is known of a clip besides its spectrogram; see `Part`."""

    clip_index: int
    start: float
    event: int
    strength: float
    score: float
    accepted: bool


@dataclass(frozen=True)
class Part:
    """The clips of one recording that are in the store, in order of time.

    Attributes
    ----------
    index : index of the window in the recording, from 0
    start : seconds from the start of the recording
    event : index of the event that the clip was cut for; -1: none
    strength : strength of the peak that the clip was cut for, decibels; NaN: none
    score : signal score, 0 to 1
    accepted : False for clips that were rejected and stay as noise
    peaks : if clips are cut at peaks: time in seconds, decibels, and index of the window of all peaks
    seconds : length of the recording
    rejected : number of clips that the signal rule rejected
    histogram : number of clips by signal score (bins: `score_counts.EDGES`), if the signal rule applies to them
    warning : problems of the file; None: no problem
    sums : sums over the accepted clips; None: there are none, or an earlier version wrote the part
    """

    index: Int32[np.ndarray, " clips"]
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
    sums: PixelSums | None = None


class RecordingSummary(NamedTuple):
    """What is known of a recording besides its clips; see `Part`."""

    peaks: Sequence[tuple[float, float, int]]
    seconds: float
    rejected: int
    histogram: Int64[np.ndarray, " bins"]
    warning: str | None = None


class ClipReservoir:
    """A random sample of a stream of clips: at most `max_clips` accepted and `max_clips` rejected ones.

    The clips with the lowest ranks stay. Spectrograms wait in a scratch file, so that memory stays small.

    Parameters
    ----------
    max_clips : 0: all clips stay
    scratch : file for the spectrograms
    """

    def __init__(self, max_clips: int, scratch: IO[bytes]) -> None:
        self._max_clips = max_clips
        # heaps of (-rank, clip, slot in the scratch file), with the highest rank first: the next to be replaced
        self._heaps: dict[bool, list[tuple[float, Clip, int]]] = {True: [], False: []}
        self._scratch = scratch
        self._shape = (0, 0)

    def add(self, clip: Clip, pixels: UInt8[np.ndarray, "height width"], *, rank: float) -> None:
        """Add a clip if there is room, or if it replaces one of a higher rank."""
        heap = self._heaps[clip.accepted]
        slot = len(self._heaps[True]) + len(self._heaps[False])
        if self._max_clips and len(heap) >= self._max_clips:
            if heap[0] > (-rank, clip, 0):
                return
            slot = heapq.heappop(heap)[-1]
        heapq.heappush(heap, (-rank, clip, slot))
        self._shape = pixels.shape
        self._scratch.seek(slot * pixels.size)
        self._scratch.write(pixels.tobytes())

    def write(self, stream: IO[bytes], summary: RecordingSummary) -> None:
        """Write the clips that stayed as a part."""
        clips = sorted((clip, slot) for heap in self._heaps.values() for _, clip, slot in heap)
        metadata = {"clips": [clip for clip, _ in clips], **summary._asdict(), "histogram": summary.histogram.tolist()}
        sums = []
        with zipfile.ZipFile(stream, "w") as archive:
            with archive.open(PIXELS, "w", force_zip64=True) as entry:
                for clip, slot in clips:
                    pixels = self._read(slot)
                    entry.write(pixels.tobytes())
                    sums += [pixel_sums(pixels[None])] if clip.accepted else []
            if sums:
                total = total_of(sums, height=self._shape[0])
                metadata["sums"] = [total.pixels, total.sums.tolist(), total.squares.tolist()]
            archive.writestr(METADATA, json.dumps(metadata, default=float))

    def _read(self, slot: int) -> UInt8[np.ndarray, "height width"]:
        size = math.prod(self._shape)
        self._scratch.seek(slot * size)
        return np.frombuffer(self._scratch.read(size), np.uint8).reshape(self._shape)


def read_clip_part(path: Path) -> Part:
    """Read all of a part but its spectrograms."""
    with zipfile.ZipFile(path) as archive:
        metadata = json.loads(archive.read(METADATA))
    columns = zip(*metadata["clips"], strict=True) if metadata["clips"] else [()] * len(CLIP_DTYPES)
    return Part(
        **{name: np.array(column, dtype) for (name, dtype), column in zip(CLIP_DTYPES.items(), columns, strict=True)},
        peaks=np.array(metadata["peaks"], float).reshape(-1, 3),
        seconds=metadata["seconds"],
        rejected=metadata["rejected"],
        histogram=np.array(metadata["histogram"], np.int64),
        warning=metadata.get("warning"),  # missing in earlier versions
        sums=_sums_of_part(metadata),
    )


def _sums_of_part(metadata: Mapping[str, Any]) -> PixelSums | None:
    if "sums" not in metadata:
        return None
    pixels, sums, squares = metadata["sums"]
    return PixelSums(pixels, np.array(sums, np.int64), np.array(squares, np.int64))


def is_complete_part(path: Path) -> bool:
    """Tell whether a part has all its bytes. Parts are not synced to disk, so that a power cut may damage them."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile):
        return False


def copy_pixels(path: Path, stream: IO[bytes]) -> None:
    """Copy the spectrograms of a part, one after the other: uint8, lowest frequency in the last row."""
    with zipfile.ZipFile(path) as archive, archive.open(PIXELS) as entry:
        shutil.copyfileobj(entry, stream, 1 << 20)
