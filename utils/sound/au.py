"""AU, whose header may declare no sound, or less than the file holds."""

import struct
from typing import BinaryIO

from utils.sound.chunks import contains_only_zeros
from utils.sound.layout import LENGTH_TOLERANCE, SIZE_UNKNOWN, Layout, Segment

AU_BYTE_ORDERS = {b".snd": ">", b"dns.": "<"}
BYTES_PER_SAMPLE = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}  # by the number of the encoding


def au_layout(stream: BinaryIO, size: int, first_bytes: bytes) -> Layout | None:
    """Return how to decode an AU; None if it is something else, or the decoder needs no help."""
    byte_order = AU_BYTE_ORDERS.get(first_bytes[:4])
    if byte_order is None or len(first_bytes) < 24:
        return None
    start, declared_bytes, encoding, rate, channels = struct.unpack(f"{byte_order}5I", first_bytes[4:24])
    frame_bytes = BYTES_PER_SAMPLE.get(encoding, 0) * channels
    end = start + declared_bytes
    if (
        declared_bytes == SIZE_UNKNOWN
        or not frame_bytes
        or start < 24
        or end + LENGTH_TOLERANCE * rate * frame_bytes >= size
        or contains_only_zeros(stream, end, size)
    ):
        return None
    stream.seek(0)
    header = first_bytes[:8] + struct.pack(f"{byte_order}I", SIZE_UNKNOWN) + stream.read(start)[12:]
    return Layout((Segment(start, size, header, declared=declared_bytes // frame_bytes),), as_is=False)
