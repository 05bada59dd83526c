"""The file that a worker leaves for one recording, a part: its clips and tables, never all of them in memory."""

import heapq
import json
import math
import shutil
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float16, Float32, Float64, Int16, Int32, Int64, UInt8

from utils.spectra.pixel_sums import PixelSums, pixel_sums, total_of

ROWS, METADATA = "pixels", "words.json"  # contents of a part; parts of earlier versions are still read
CLIP_DTYPES: Mapping[str, type] = MappingProxyType(  # of the fields of a clip, in their order
    {
        "index": np.int32,
        "start": np.float64,
        "event": np.int32,
        "strength": np.float32,
        "score": np.float32,
        "accepted": np.bool_,
        "peak": np.float32,
    }
)
NOT_KEPT = math.nan  # peak of a clip whose sound is not kept
Row = UInt8[np.ndarray, "height width"] | Int16[np.ndarray, " samples"] | Float16[np.ndarray, "windows values"]


class Clip(NamedTuple):
    """What is known of a clip besides its spectrogram or sound; see `Part`."""

    clip_index: int
    start: float
    event: int
    strength: float
    score: float
    accepted: bool
    peak: float = NOT_KEPT


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
    peak : if its sound is kept, the largest sample of a clip and its margins; NaN: not kept
    peaks : if clips are cut at peaks: time in seconds, decibels, and index of the window of all peaks
    seconds : length of the recording
    rejected : number of clips that were rejected, by the signal rule or because they have no event
    histogram : number of clips by signal score (bins: `score_counts.EDGES`), if the signal rule applies to them
    warning : problems of the file; None: no problem
    sums : sums over the accepted clips; None: there are none, or an earlier version wrote the part
    without_event : number of rejected clips that have no event where one is needed; None: an earlier version wrote the
        part
    """

    index: Int32[np.ndarray, " clips"]
    start: Float64[np.ndarray, " clips"]
    event: Int32[np.ndarray, " clips"]
    strength: Float32[np.ndarray, " clips"]
    score: Float32[np.ndarray, " clips"]
    accepted: Bool[np.ndarray, " clips"]
    peak: Float32[np.ndarray, " clips"]
    peaks: Float64[np.ndarray, "peaks 3"]
    seconds: float
    rejected: int
    histogram: Int64[np.ndarray, " bins"]
    warning: str | None = None
    sums: PixelSums | None = None
    without_event: int | None = None


class RecordingSummary(NamedTuple):
    """What is known of a recording besides its clips; see `Part`."""

    peaks: Sequence[tuple[float, float, int]]
    seconds: float
    rejected: int
    histogram: Int64[np.ndarray, " bins"]
    warning: str | None = None
    without_event: int | None = None


class ClipReservoir:
    """A random sample of a stream of clips: at most `max_clips` accepted and `max_clips` rejected ones.

    The clips with the lowest ranks stay. Their spectrograms, or samples, wait in a scratch file, so that memory stays
    small.

    Parameters
    ----------
    max_clips : 0: all clips stay
    scratch : file for the spectrograms or samples
    """

    def __init__(self, max_clips: int, scratch: IO[bytes]) -> None:
        self._max_clips = max_clips
        # heaps of (-rank, clip, slot in the scratch file), with the highest rank first: the next to be replaced
        self._heaps: dict[bool, list[tuple[float, Clip, int]]] = {True: [], False: []}
        self._scratch = scratch
        self._format: tuple[tuple[int, ...], np.dtype] = ((0, 0), np.dtype(np.uint8))

    def add(self, clip: Clip, row: Row, *, rank: float) -> None:
        """Add a clip if there is room, or if it replaces one of a higher rank."""
        heap = self._heaps[clip.accepted]
        slot = len(self._heaps[True]) + len(self._heaps[False])
        if self._max_clips and len(heap) >= self._max_clips:
            if heap[0] > (-rank, clip, 0):
                return
            slot = heapq.heappop(heap)[-1]
        heapq.heappush(heap, (-rank, clip, slot))
        self._format = row.shape, row.dtype
        self._scratch.seek(slot * row.nbytes)
        self._scratch.write(row.tobytes())

    def write(self, stream: IO[bytes], summary: RecordingSummary) -> None:
        """Write the clips that stayed as a part."""
        clips = sorted((clip, slot) for heap in self._heaps.values() for _, clip, slot in heap)
        write_clip_part(stream, [clip for clip, _ in clips], (self._read(slot) for _, slot in clips), summary)

    def _read(self, slot: int) -> Row:
        shape, dtype = self._format
        size = math.prod(shape) * dtype.itemsize
        self._scratch.seek(slot * size)
        return np.frombuffer(self._scratch.read(size), dtype).reshape(shape)


def write_clip_part(stream: IO[bytes], clips: Sequence[Clip], rows: Iterable[Row], summary: RecordingSummary) -> None:
    """Write a part.

    Parameters
    ----------
    rows : the spectrogram or the samples of each clip
    """
    metadata = {"clips": clips, **summary._asdict(), "histogram": summary.histogram.tolist()}
    sums = []
    with zipfile.ZipFile(stream, "w") as archive:
        with archive.open(ROWS, "w", force_zip64=True) as entry:
            for clip, row in zip(clips, rows, strict=True):
                entry.write(row.tobytes())
                sums += [pixel_sums(row[None])] if clip.accepted and row.dtype == np.uint8 else []
        if sums:
            total = total_of(sums, height=len(sums[0].sums))
            metadata["sums"] = [total.pixels, total.sums.tolist(), total.squares.tolist()]
        archive.writestr(METADATA, json.dumps(metadata, default=float))


def read_part_metadata(path: Path) -> dict[str, Any]:
    """Return what a part says of its clips and its recording, as it was written."""
    with zipfile.ZipFile(path) as archive:
        found: dict[str, Any] = json.loads(archive.read(METADATA))
    return found


def read_clip_part(path: Path) -> Part:
    """Read all of a part but its spectrograms or samples."""
    metadata = read_part_metadata(path)
    clips = [Clip(*fields) for fields in metadata["clips"]]  # without a peak in earlier versions
    columns = zip(*clips, strict=True) if clips else [()] * len(CLIP_DTYPES)
    return Part(
        **{name: np.array(column, dtype) for (name, dtype), column in zip(CLIP_DTYPES.items(), columns, strict=True)},
        peaks=np.array(metadata["peaks"], float).reshape(-1, 3),
        seconds=metadata["seconds"],
        rejected=metadata["rejected"],
        histogram=np.array(metadata["histogram"], np.int64),
        warning=metadata.get("warning"),  # missing in earlier versions
        sums=_sums_of_part(metadata),
        without_event=metadata.get("without_event"),  # likewise
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


def copy_rows(path: Path, stream: IO[bytes]) -> None:
    """Copy the clips of a part, one after the other: spectrograms (lowest frequency in the last row), or samples."""
    with zipfile.ZipFile(path) as archive, archive.open(ROWS) as entry:
        shutil.copyfileobj(entry, stream, 1 << 20)
