"""NIST SPHERE, whose header says how many samples there are, which libsndfile does not compare with what there is."""

import re
from typing import BinaryIO

from utils.sound.links import Layout, Link


def sphere_layout(stream: BinaryIO, size: int, begin: bytes) -> Layout | None:
    """Return the length that the header says; None where it is none, or says none."""
    if not begin.startswith(b"NIST_1A"):
        return None
    stream.seek(0)
    said = re.search(rb"^sample_count -i (\d{1,15})\s*$", stream.read(1024), flags=re.MULTILINE)
    return Layout((Link(0, size, promised=int(said[1])),)) if said else None
