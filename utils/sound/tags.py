"""Music tags before the sound (ID3v2) and after it (ID3v1, APE, Lyrics3 and ID3v2)."""

from typing import BinaryIO

MAX_TAGS = 32


def start_after_tags(stream: BinaryIO, size: int, position: int = 0) -> int:
    """Return where the ID3v2 tags at a position end; the position itself if there are none."""
    for _ in range(MAX_TAGS):
        stream.seek(position)
        header = stream.read(10)
        if len(header) < 10 or header[:3] != b"ID3" or 0xFF in header[3:5] or any(byte & 0x80 for byte in header[6:]):
            break
        position += 10 + _synchsafe_size(header[6:]) + (10 if header[5] & 0x10 else 0)
    return min(position, size)


def end_before_tags(stream: BinaryIO, size: int) -> int:
    """Return where the tags at the end of a file start; the file's size if there are none."""
    for _ in range(MAX_TAGS):
        before = _start_of_last(stream, size)
        if before == size:
            break
        size = before
    return size


def _start_of_last(stream: BinaryIO, size: int) -> int:
    start = max(0, size - 128)
    stream.seek(start)
    end = stream.read(size - start)
    if len(end) == 128 and end[:3] == b"TAG":
        return start
    if end[-32:-24] == b"APETAGEX":
        header = 32 if end[-9] & 0x80 else 0  # a header of 32 bytes is not included in the size
        return max(0, size - int.from_bytes(end[-20:-16], "little") - header)
    if end[-10:-7] == b"3DI":
        return max(0, size - 20 - _synchsafe_size(end[-4:]))
    if end[-9:] == b"LYRICS200" and end[-15:-9].isdigit():
        return max(0, size - 15 - int(end[-15:-9]))
    return size


def _synchsafe_size(digits: bytes) -> int:
    size = 0
    for byte in digits:
        size = size << 7 | byte & 0x7F
    return size
