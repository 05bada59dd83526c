"""What a decoder is shown of a file: where in it the sound lies, and what stands in front of it."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

SHORT = 0.01  # seconds; what a header promises beyond the end of the sound counts only from here on
FARTHEST = 1 << 43  # bytes; no file of sound is so long, and not every system lets one seek a place beyond
UNKNOWN = 1 << 48  # more frames than any file has: libsndfile's length of sound whose length is not known


@dataclass(frozen=True)
class Link:
    """A stretch of a file that is decoded by itself; most files have one, joined files several.

    Attributes
    ----------
    start, stop : its bytes
    head : bytes that the decoder sees before them, in place of a wrong header
    endless : hide from the decoder where the bytes end, so that it counts frames instead of estimating their number by
        the size
    promised : length by the header, frames; None: as the decoder says
    frames : length as far as it can be known without decoding; None: as the decoder says
    tolerance : seconds that may be missing without a warning
    incomplete : whether the container shows that a part is missing, not how much
    open_end : whether more may follow where the decoder gives up (MP3)
    unsearched : whether other files may follow in it, which nobody has looked for yet, for hardly any has them (FLAC)
    """

    start: int
    stop: int
    head: bytes = b""
    endless: bool = False
    promised: int | None = None
    frames: int | None = None
    tolerance: float = SHORT
    incomplete: bool = False
    open_end: bool = False
    unsearched: bool = False


@dataclass(frozen=True)
class Layout:
    """How a file is to be decoded.

    Attributes
    ----------
    links : one after the other
    plain : whether the decoder can be given the file as it is; then there is one link
    notes : what is odd besides, for a warning
    sure : whether the length is known; not, where a quick look may have missed a part, or the decoder only estimates
    """

    links: tuple[Link, ...]
    plain: bool = True
    notes: tuple[str, ...] = ()
    sure: bool = True


class Stretch(io.RawIOBase):
    """A link as a file of its own; the stream that it lies in stays open."""

    mode = "rb"

    def __init__(self, stream: BinaryIO, link: Link) -> None:
        self._stream = stream
        self._link, self._at = link, 0
        self._size = len(link.head) + link.stop - link.start

    @property
    def place(self) -> int:
        """Where in the stream the reader has come to."""
        return self._link.start + max(0, self._at - len(self._link.head))

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seekable(self) -> bool:
        """Say that it can be sought in."""
        return True

    def tell(self) -> int:
        """Return the place that is read next."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place; there is no way to the end of what is endless."""
        if whence == io.SEEK_SET:
            self._at = offset
        elif whence == io.SEEK_CUR:
            self._at += offset
        elif not self._link.endless:
            self._at = self._size + offset
        self._at = min(max(0, self._at), FARTHEST)
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read on."""
        view, head = memoryview(buffer), self._link.head
        if self._at < len(head):
            piece = head[self._at : self._at + len(view)]
            view[: len(piece)] = piece
        else:
            self._stream.seek(self._link.start + self._at - len(head))
            piece = self._stream.read(max(0, min(len(view), self._size - self._at)))
            view[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)


class Shown(Stretch):
    """A link of a file, for libsndfile."""

    def __init__(self, file: Path, link: Link) -> None:
        super().__init__(file.open("rb", buffering=0), link)

    def close(self) -> None:
        """Close the file, too."""
        self._stream.close()
        super().close()
