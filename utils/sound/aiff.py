"""AIFF and AIFF-C, whose sizes may be 0 or too small, for the recorder lost power before it wrote them."""

import struct
from typing import BinaryIO

from utils.sound.chunks import Dialect, chunks_from, find_chain, is_chain, only_padding
from utils.sound.links import Layout, Link

# not compressed
PLAIN = (
    b"NONE",
    b"twos",
    b"sowt",
    b"fl32",
    b"FL32",
    b"fl64",
    b"FL64",
    b"in24",
    b"in32",
    b"raw ",
    b"ulaw",
    b"ULAW",
    b"alaw",
    b"ALAW",
)
BIG = Dialect(">")


def aiff_layout(stream: BinaryIO, size: int, begin: bytes) -> Layout | None:
    """Return how an AIFF is to be decoded; None where the decoder may find out by itself."""
    if begin[:4] != b"FORM" or begin[8:12] not in (b"AIFF", b"AIFC"):
        return None
    common, sound = None, None
    for chunk in chunks_from(stream, 12, BIG):
        if chunk.name == b"COMM":
            common = chunk
        elif chunk.name == b"SSND":
            sound = chunk
            break
    if common is None or sound is None or common.size < 18:
        return None
    stream.seek(common.start)
    values = stream.read(22)
    channels, frames, bits = struct.unpack(">hIh", values[:8])
    if begin[8:12] == b"AIFC" and values[18:22] not in PLAIN:
        return None
    frame = channels * -(-bits // 8)
    data = sound.start + 8
    if frame <= 0 or data > size:
        return None
    said, there = max(0, sound.size - 8), size - data
    if said > there:
        return Layout((Link(data, size, promised=frames),))
    if said >= frames * frame > 0 or is_chain(stream, max(data + said, sound.then), size, BIG):
        return None
    if only_padding(stream, data + said, size):
        return None
    stop = find_chain(stream, size, after=data + said, dialect=BIG)
    return Layout((Link(data, stop, _head(stream, common.start, data, stop, frame), promised=frames),), plain=False)


def _head(stream: BinaryIO, common: int, data: int, stop: int, frame: int) -> bytes:
    """Return the header with sizes that are true."""
    stream.seek(0)
    head = bytearray(stream.read(data))
    size = min(stop - data, 0xFFFFFFFF - data)
    head[4:8] = struct.pack(">I", data + size - 8)
    head[common + 2 : common + 6] = struct.pack(">I", (stop - data) // frame)
    head[data - 12 : data - 8] = struct.pack(">I", size + 8)
    return bytes(head)
