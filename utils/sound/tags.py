"""Tags of music that stand before or behind the sound: ID3v2 before it, ID3v1, APE, Lyrics3 and ID3v2 behind it."""

from typing import BinaryIO

MOST_TAGS = 32


def start_behind_tags(stream: BinaryIO, size: int, place: int = 0) -> int:
    """Return where the ID3v2 tags that begin at a place end; the place where there are none."""
    for _ in range(MOST_TAGS):
        stream.seek(place)
        head = stream.read(10)
        if len(head) < 10 or head[:3] != b"ID3" or 0xFF in head[3:5] or any(byte & 0x80 for byte in head[6:]):
            break
        place += 10 + _size_of(head[6:]) + (10 if head[5] & 0x10 else 0)
    return min(place, size)


def end_before_tags(stream: BinaryIO, size: int) -> int:
    """Return where the tags at the end of a file begin; its size where there are none."""
    for _ in range(MOST_TAGS):
        before = _begin_of_last(stream, size)
        if before == size:
            break
        size = before
    return size


def _begin_of_last(stream: BinaryIO, size: int) -> int:
    begin = max(0, size - 128)
    stream.seek(begin)
    end = stream.read(size - begin)
    if len(end) == 128 and end[:3] == b"TAG":
        return begin
    if end[-32:-24] == b"APETAGEX":
        head = 32 if end[-9] & 0x80 else 0  # with a head of 32 bytes before what its size counts
        return max(0, size - int.from_bytes(end[-20:-16], "little") - head)
    if end[-10:-7] == b"3DI":
        return max(0, size - 20 - _size_of(end[-4:]))
    if end[-9:] == b"LYRICS200" and end[-15:-9].isdigit():
        return max(0, size - 15 - int(end[-15:-9]))
    return size


def _size_of(digits: bytes) -> int:
    size = 0
    for byte in digits:
        size = size << 7 | byte & 0x7F
    return size
