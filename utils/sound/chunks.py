"""Containers that are a sequence of chunks, each with a name and a size.

These are RIFF (WAV, and its big-endian and 64-bit variants), Wave64 and AIFF.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from utils.sound.layout import MAX_OFFSET

MAX_CHUNKS = 100_000  # read in one file at most
TRAILER_BYTES = 1 << 20  # at the end of the file, searched for chunks after the sound
KNOWN_CHUNKS = (  # names of chunks that may follow the sound
    *(
        b"LIST",
        b"list",
        b"INFO",
        b"id3 ",
        b"ID3 ",
        b"bext",
        b"guan",
        b"wamd",
        b"iXML",
        b"axml",
        b"cue ",
        b"smpl",
        b"inst",
        b"plst",
        b"fact",
        b"PEAK",
    ),
    *(
        b"JUNK",
        b"junk",
        b"PAD ",
        b"FLLR",
        b"DISP",
        b"afsp",
        b"_PMX",
        b"cart",
        b"minf",
        b"elm1",
        b"regn",
        b"umid",
        b"LGWV",
        b"MARK",
        b"COMT",
        b"NAME",
    ),
    *(b"AUTH", b"(c) ", b"ANNO", b"APPL", b"MIDI", b"INST"),
)


class FileChunk(NamedTuple):
    """A chunk: its name, the start of its content, its declared size in bytes, and the start of the next chunk."""

    name: bytes
    start: int
    size: int
    next_start: int


@dataclass(frozen=True)
class ChunkFormat:
    """How the headers of chunks are written.

    Attributes
    ----------
    byte_order : "<" or ">", as in `struct`
    is_wave64 : whether names have 16 bytes and sizes 8, and sizes include the chunk's header
    """

    byte_order: str = "<"
    is_wave64: bool = False

    @property
    def header_size(self) -> int:
        """Size of a chunk's header, bytes."""
        return 24 if self.is_wave64 else 8

    def read(self, stream: BinaryIO, position: int) -> FileChunk | None:
        """Read the header of the chunk at a position; None at the end of the file."""
        if position > MAX_OFFSET:
            return None
        stream.seek(position)
        return self.parse(stream.read(self.header_size), position)

    def parse(self, header: bytes, position: int) -> FileChunk | None:
        """Parse the header of the chunk at a position; None if it is cut off."""
        if len(header) < self.header_size:
            return None
        if self.is_wave64:
            size = min(max(0, int.from_bytes(header[16:], "little") - self.header_size), MAX_OFFSET)
            return FileChunk(header[:4], position + 24, size, position + 24 + size + -size % 8)
        (size,) = struct.unpack(f"{self.byte_order}I", header[4:])
        return FileChunk(header[:4], position + 8, size, position + 8 + size + size % 2)


def iter_chunks(stream: BinaryIO, position: int, chunk_format: ChunkFormat) -> Iterator[FileChunk]:
    """Yield the chunks from a position on, following their sizes."""
    for _ in range(MAX_CHUNKS):
        chunk = chunk_format.read(stream, position)
        if chunk is None or chunk.next_start <= position:
            return
        yield chunk
        position = chunk.next_start


def is_chunk_sequence(stream: BinaryIO, position: int, size: int, chunk_format: ChunkFormat) -> bool:
    """Tell whether the file has only chunks, or nothing, from a position to its end."""
    if size - position < chunk_format.header_size:
        return True
    for chunk in iter_chunks(stream, position, chunk_format):
        if not _is_chunk_name(chunk.name):
            return False
        if chunk.next_start >= size - 1:
            return chunk.name in KNOWN_CHUNKS or chunk.start + chunk.size <= size
        if size - chunk.next_start < chunk_format.header_size:
            return True
    return False


def _is_chunk_name(name: bytes) -> bool:
    return len(name) == 4 and all(32 <= byte < 127 for byte in name)


def find_trailing_chunks(stream: BinaryIO, size: int, *, after: int, chunk_format: ChunkFormat) -> int:
    """Return where the known chunks at the end of a file start, at `after` or later; the file's size if it has none."""
    search_start = max(after, size - TRAILER_BYTES)
    stream.seek(search_start)
    tail = stream.read(size - search_start)
    positions, dead_ends = [], set[int]()
    for name in KNOWN_CHUNKS:
        at = tail.find(name)
        while at >= 0:
            if _leads_to_end(tail, at, chunk_format, dead_ends):
                positions.append(search_start + at)
                break
            at = tail.find(name, at + 1)
    return min(positions, default=size)


def _leads_to_end(tail: bytes, position: int, chunk_format: ChunkFormat, dead_ends: set[int]) -> bool:
    """Tell whether known chunks lead from a position exactly to the end.

    If not, all positions on the way are added to `dead_ends`, so that none is followed twice.
    """
    visited = set[int]()
    while position not in dead_ends:
        visited.add(position)
        chunk = chunk_format.parse(tail[position : position + chunk_format.header_size], position)
        if chunk is None or chunk.name not in KNOWN_CHUNKS or chunk.start + chunk.size > len(tail):
            break
        if chunk.next_start >= len(tail):
            return True
        position = chunk.next_start
    dead_ends |= visited
    return False


def contains_only_zeros(stream: BinaryIO, start: int, stop: int) -> bool:
    """Tell whether all bytes from `start` to `stop` are zero."""
    stream.seek(start)
    while start < stop:
        piece = stream.read(min(1 << 16, stop - start))
        if not piece or piece.count(0) != len(piece):
            return not piece
        start += len(piece)
    return True


def end_without_zeros(stream: BinaryIO, start: int, stop: int) -> int:
    """Return where the zeros that fill the end of a range of bytes start.

    A few of them are left, because they may belong to the content.
    """
    while start < stop:
        piece_start = max(start, stop - (1 << 16))
        stream.seek(piece_start)
        piece = stream.read(stop - piece_start)
        left = len(piece.rstrip(b"\0"))
        if left:
            return min(stop, piece_start + left + 16)
        stop = piece_start
    return start
