"""CAF, whose declared size may differ from the size of the sound.

If it is too large, libsndfile refuses the file, even where the format allows it. If it is too small, it stops early.
"""

from typing import BinaryIO

from utils.sound.layout import MAX_OFFSET, Layout, Segment

MAX_CAF_CHUNKS = 10_000
EDIT_COUNT_BYTES = 4  # the edit count, which precedes the sound in its chunk


def caf_layout(stream: BinaryIO, size: int, first_bytes: bytes) -> Layout | None:
    """Return how to decode a CAF; None if it is something else, or the decoder needs no help."""
    if first_bytes[:8] != b"caff\x00\x01\x00\x00":
        return None
    position, description = 8, b""
    for _ in range(MAX_CAF_CHUNKS):
        stream.seek(min(position, MAX_OFFSET))
        header = stream.read(12)
        length = min(int.from_bytes(header[4:], "big", signed=True), MAX_OFFSET)
        if len(header) < 12 or (length < 0 and header[:4] != b"data"):
            return None
        if header[:4] == b"desc":
            description = stream.read(32)
        if header[:4] == b"data":
            break
        position += 12 + length
    start, frame_bytes = position + 12, int.from_bytes(description[16:20], "big")
    if description[8:12] != b"lpcm" or not frame_bytes or start + EDIT_COUNT_BYTES >= size:
        return None
    end = start + length
    stream.seek(max(0, end))
    next_name = stream.read(4)
    if length > EDIT_COUNT_BYTES and (
        end == size or (end + 12 <= size and next_name.isalpha() and next_name.isascii())
    ):
        return None
    stream.seek(0)
    patched = stream.read(position + 4) + (size - start).to_bytes(8, "big")
    declared = max(0, length - EDIT_COUNT_BYTES) // frame_bytes if 0 <= length < MAX_OFFSET else None
    return Layout((Segment(start, size, patched, declared=declared),), as_is=False)
