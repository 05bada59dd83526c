"""NIST SPHERE, whose header declares the number of samples; libsndfile does not compare it with the file."""

import re
from typing import BinaryIO

from utils.sound.layout import Layout, Segment


def sphere_layout(stream: BinaryIO, size: int, first_bytes: bytes) -> Layout | None:
    """Return the length that the header of a SPHERE file declares; None if there is none."""
    if not first_bytes.startswith(b"NIST_1A"):
        return None
    stream.seek(0)
    count = re.search(rb"^sample_count -i (\d{1,15})\s*$", stream.read(1024), flags=re.MULTILINE)
    return Layout((Segment(0, size, declared=int(count[1])),)) if count else None
