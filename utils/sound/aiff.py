"""AIFF and AIFF-C. Their sizes may be 0 or too small if the recorder lost power before it wrote them."""

import struct
from typing import BinaryIO

from utils.sound.chunks import ChunkFormat, contains_only_zeros, find_trailing_chunks, is_chunk_sequence, iter_chunks
from utils.sound.layout import Layout, Segment

UNCOMPRESSED = (  # compression types of AIFF-C that need no decompression
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
BIG_ENDIAN = ChunkFormat(">")


def aiff_layout(stream: BinaryIO, size: int, first_bytes: bytes) -> Layout | None:
    """Return how to decode an AIFF; None if it is something else, or the decoder needs no help."""
    if first_bytes[:4] != b"FORM" or first_bytes[8:12] not in (b"AIFF", b"AIFC"):
        return None
    common, sound = None, None
    for chunk in iter_chunks(stream, 12, BIG_ENDIAN):
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
    if first_bytes[8:12] == b"AIFC" and values[18:22] not in UNCOMPRESSED:
        return None
    frame_bytes = channels * -(-bits // 8)
    data = sound.start + 8
    if frame_bytes <= 0 or data > size:
        return None
    declared_bytes, available_bytes = max(0, sound.size - 8), size - data
    if declared_bytes > available_bytes:
        return Layout((Segment(data, size, declared=frames),))
    if declared_bytes >= frames * frame_bytes > 0 or is_chunk_sequence(
        stream, max(data + declared_bytes, sound.next_start), size, BIG_ENDIAN
    ):
        return None
    if contains_only_zeros(stream, data + declared_bytes, size):
        return None
    stop = find_trailing_chunks(stream, size, after=data + declared_bytes, chunk_format=BIG_ENDIAN)
    return Layout(
        (Segment(data, stop, _corrected_header(stream, common.start, data, stop, frame_bytes), declared=frames),),
        as_is=False,
    )


def _corrected_header(stream: BinaryIO, common: int, data: int, stop: int, frame_bytes: int) -> bytes:
    """Return the header with the right sizes."""
    stream.seek(0)
    header = bytearray(stream.read(data))
    size = min(stop - data, 0xFFFFFFFF - data)
    header[4:8] = struct.pack(">I", data + size - 8)
    header[common + 2 : common + 6] = struct.pack(">I", (stop - data) // frame_bytes)
    header[data - 12 : data - 8] = struct.pack(">I", size + 8)
    return bytes(header)
