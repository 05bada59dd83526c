"""Which bytes of a file the decoder gets: where the sound is, and which header precedes it."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

LENGTH_TOLERANCE = 0.01  # seconds; smaller differences between header and file are not reported
MAX_OFFSET = 1 << 43  # bytes; no audio file is so long, and not every system can seek further
UNKNOWN_FRAMES = 1 << 48  # libsndfile reports at least so many frames if it does not know the length
SIZE_UNKNOWN = 0xFFFFFFFF  # as the 32-bit size of a chunk: up to the end of the file


@dataclass(frozen=True)
class Segment:
    """A part of a file that is decoded by itself; most files have one, concatenated files several.

    Attributes
    ----------
    start, stop : positions of its first byte and behind its last
    header : bytes that the decoder gets before them, in place of a wrong header
    hide_end : whether to hide from the decoder where the bytes end, so that it counts frames instead of estimating
        their number from the size
    declared : length by the header, frames; None: as the decoder reports
    frames : length as far as it is known without decoding; None: as the decoder reports
    tolerance : seconds that may be missing without a warning
    incomplete : whether the container shows that a part is missing, but not how much
    may_continue : whether more sound may follow where the decoder stops (MP3)
    unsearched : whether it was not searched yet for other files that follow in it, because that is rare (FLAC)
    """

    start: int
    stop: int
    header: bytes = b""
    hide_end: bool = False
    declared: int | None = None
    frames: int | None = None
    tolerance: float = LENGTH_TOLERANCE
    incomplete: bool = False
    may_continue: bool = False
    unsearched: bool = False


@dataclass(frozen=True)
class Layout:
    """How to decode a file.

    Attributes
    ----------
    segments : in the order of the sound
    as_is : whether the decoder can read the file as it is; then there is one segment
    notes : other oddities, for a warning
    exact : whether the length is known; not if a quick look may have missed a part, or the decoder only estimates
    """

    segments: tuple[Segment, ...]
    as_is: bool = True
    notes: tuple[str, ...] = ()
    exact: bool = True


class SegmentStream(io.RawIOBase):
    """A segment as a file of its own; the stream that it is part of stays open."""

    mode = "rb"

    def __init__(self, stream: BinaryIO, segment: Segment) -> None:
        self._stream = stream
        self._segment, self._at = segment, 0
        self._size = len(segment.header) + segment.stop - segment.start

    @property
    def position(self) -> int:
        """Position in the underlying stream up to which was read."""
        return self._segment.start + max(0, self._at - len(self._segment.header))

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position that is read next."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position; the end cannot be reached if it is hidden."""
        if whence == io.SEEK_SET:
            self._at = offset
        elif whence == io.SEEK_CUR:
            self._at += offset
        elif not self._segment.hide_end:
            self._at = self._size + offset
        self._at = min(max(0, self._at), MAX_OFFSET)
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read the next bytes into a buffer."""
        view, header = memoryview(buffer), self._segment.header
        if self._at < len(header):
            piece = header[self._at : self._at + len(view)]
            view[: len(piece)] = piece
        else:
            self._stream.seek(self._segment.start + self._at - len(header))
            piece = self._stream.read(max(0, min(len(view), self._size - self._at)))
            view[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)


class SegmentFile(SegmentStream):
    """A segment of a file, for libsndfile."""

    def __init__(self, file: Path, segment: Segment) -> None:
        super().__init__(file.open("rb", buffering=0), segment)

    def close(self) -> None:
        """Close the file as well."""
        self._stream.close()
        super().close()
