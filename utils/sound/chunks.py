"""Containers that are a row of chunks, each with a name and a size: RIFF (WAV, and its big-endian and 64-bit forms) and Wave64."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from utils.sound.links import FARTHEST

MOST_CHUNKS = 100_000  # looked at in one file
TAIL = 1 << 20  # bytes at the end in which chunks behind the sound are looked for
KNOWN = (  # that stand behind the sound
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


class Chunk(NamedTuple):
    """A chunk: its name, where what it holds begins, how many bytes that should be, and where the next chunk should begin."""

    name: bytes
    start: int
    size: int
    then: int


@dataclass(frozen=True)
class Dialect:
    """How the heads of chunks are written.

    Attributes
    ----------
    order : of bytes, "<" or ">"
    wide : Wave64: names of 16 bytes, and sizes of 8, which the head counts in
    """

    order: str = "<"
    wide: bool = False

    @property
    def head(self) -> int:
        """Bytes of a chunk's head."""
        return 24 if self.wide else 8

    def read(self, stream: BinaryIO, place: int) -> Chunk | None:
        """Read the head of the chunk at a place."""
        if place > FARTHEST:
            return None
        stream.seek(place)
        return self.parsed(stream.read(self.head), place)

    def parsed(self, head: bytes, place: int) -> Chunk | None:
        """Make out what the head of the chunk at a place says."""
        if len(head) < self.head:
            return None
        if self.wide:
            size = min(max(0, int.from_bytes(head[16:], "little") - self.head), FARTHEST)
            return Chunk(head[:4], place + 24, size, place + 24 + size + -size % 8)
        (size,) = struct.unpack(f"{self.order}I", head[4:])
        return Chunk(head[:4], place + 8, size, place + 8 + size + size % 2)


def chunks_from(stream: BinaryIO, place: int, dialect: Dialect) -> Iterator[Chunk]:
    """Yield chunks one after the other, as far as their sizes lead."""
    for _ in range(MOST_CHUNKS):
        chunk = dialect.read(stream, place)
        if chunk is None or chunk.then <= place:
            return
        yield chunk
        place = chunk.then


def is_chain(stream: BinaryIO, place: int, size: int, dialect: Dialect) -> bool:
    """Tell whether from a place on there are chunks to the end of the file, or nothing."""
    if size - place < dialect.head:
        return True
    for chunk in chunks_from(stream, place, dialect):
        if not _is_name(chunk.name):
            return False
        if chunk.then >= size - 1:
            return chunk.name in KNOWN or chunk.start + chunk.size <= size
        if size - chunk.then < dialect.head:
            return True
    return False


def _is_name(name: bytes) -> bool:
    return len(name) == 4 and all(32 <= byte < 127 for byte in name)


def find_chain(stream: BinaryIO, size: int, *, after: int, dialect: Dialect) -> int:
    """Return where well-known chunks begin at the end of a file, from `after` on; its size where there are none."""
    begin = max(after, size - TAIL)
    stream.seek(begin)
    tail = stream.read(size - begin)
    places, dead_ends = [], set[int]()
    for name in KNOWN:
        at = tail.find(name)
        while at >= 0:
            if _ends_exactly(tail, at, dialect, dead_ends):
                places.append(begin + at)
                break
            at = tail.find(name, at + 1)
    return min(places, default=size)


def _ends_exactly(tail: bytes, place: int, dialect: Dialect, dead_ends: set[int]) -> bool:
    """Tell whether chunks lead from a place to the end; where they do not, all on the way are `dead_ends`, which nobody need follow again."""
    passed = set[int]()
    while place not in dead_ends:
        passed.add(place)
        chunk = dialect.parsed(tail[place : place + dialect.head], place)
        if chunk is None or chunk.name not in KNOWN or chunk.start + chunk.size > len(tail):
            break
        if chunk.then >= len(tail):
            return True
        place = chunk.then
    dead_ends |= passed
    return False


def only_padding(stream: BinaryIO, start: int, stop: int) -> bool:
    """Tell whether a stretch holds nothing but zeros."""
    stream.seek(start)
    while start < stop:
        piece = stream.read(min(1 << 16, stop - start))
        if not piece or piece.count(0) != len(piece):
            return not piece
        start += len(piece)
    return True


def last_that_is_not_0(stream: BinaryIO, start: int, stop: int) -> int:
    """Return up to where a stretch is not filled up with zeros, but for a few of them, which may belong to what is there."""
    while start < stop:
        begin = max(start, stop - (1 << 16))
        stream.seek(begin)
        piece = stream.read(stop - begin)
        left = len(piece.rstrip(b"\0"))
        if left:
            return min(stop, begin + left + 16)
        stop = begin
    return start
