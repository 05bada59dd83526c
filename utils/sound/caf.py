"""CAF, whose size may be larger or smaller than the sound; libsndfile refuses the one, even where the form allows it, and stops early in the other."""

from typing import BinaryIO

from utils.sound.links import FARTHEST, Layout, Link

MOST_CHUNKS = 10_000
EDITS = 4  # bytes that count edits, before the sound


def caf_layout(stream: BinaryIO, size: int, begin: bytes) -> Layout | None:
    """Return how a CAF is to be decoded; None where the decoder may find out by itself."""
    if begin[:8] != b"caff\x00\x01\x00\x00":
        return None
    place, form = 8, b""
    for _ in range(MOST_CHUNKS):
        stream.seek(min(place, FARTHEST))
        head = stream.read(12)
        length = min(int.from_bytes(head[4:], "big", signed=True), FARTHEST)
        if len(head) < 12 or (length < 0 and head[:4] != b"data"):
            return None
        if head[:4] == b"desc":
            form = stream.read(32)
        if head[:4] == b"data":
            break
        place += 12 + length
    start, frame = place + 12, int.from_bytes(form[16:20], "big")
    if form[8:12] != b"lpcm" or not frame or start + EDITS >= size:
        return None
    behind = start + length
    stream.seek(max(0, behind))
    named = stream.read(4)
    if length > EDITS and (behind == size or (behind + 12 <= size and named.isalpha() and named.isascii())):
        return None
    stream.seek(0)
    patched = stream.read(place + 4) + (size - start).to_bytes(8, "big")
    promised = max(0, length - EDITS) // frame if 0 <= length < FARTHEST else None
    return Layout((Link(start, size, patched, promised=promised),), plain=False)
