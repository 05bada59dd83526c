"""AU, whose header may say that there is nothing, or less than there is."""

import struct
from typing import BinaryIO

from utils.sound.chunks import only_padding
from utils.sound.links import SHORT, Layout, Link

ORDERS = {b".snd": ">", b"dns.": "<"}
TO_THE_END = 0xFFFFFFFF
BYTES = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}  # of a sample, by encoding


def au_layout(stream: BinaryIO, size: int, begin: bytes) -> Layout | None:
    """Return how an AU is to be decoded; None where the decoder may find out by itself."""
    order = ORDERS.get(begin[:4])
    if order is None or len(begin) < 24:
        return None
    start, said, encoding, rate, channels = struct.unpack(f"{order}5I", begin[4:24])
    frame = BYTES.get(encoding, 0) * channels
    end = start + said
    if (
        said == TO_THE_END
        or not frame
        or start < 24
        or end + SHORT * rate * frame >= size
        or only_padding(stream, end, size)
    ):
        return None
    stream.seek(0)
    head = begin[:8] + struct.pack(f"{order}I", TO_THE_END) + stream.read(start)[12:]
    return Layout((Link(start, size, head, promised=said // frame),), plain=False)
