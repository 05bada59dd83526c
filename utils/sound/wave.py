"""WAV (RIFF, RIFX, RF64, BW64) and Wave64, whose headers may declare less or more sound than the file holds.

Recorders that lose power leave a size of 0. Others declare the size of the whole file, 44 bytes too many. Beyond 4 GB,
32 bits lose the upper part of the size. The bytes after the declared end are then sound, and not a sequence of chunks.
For such files the decoder gets a header of the same format before the sound, with the size that means "to the end".
"""

import struct
from typing import BinaryIO, NamedTuple

from utils.sound.chunks import (
    ChunkFormat,
    FileChunk,
    contains_only_zeros,
    find_trailing_chunks,
    is_chunk_sequence,
    iter_chunks,
)
from utils.sound.layout import LENGTH_TOLERANCE, MAX_OFFSET, SIZE_UNKNOWN, Layout, Segment

RIFF_BYTE_ORDERS = {b"RIFF": "<", b"RIFX": ">", b"RF64": "<", b"BW64": "<"}
WAVE64 = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"
# bytes; sizes so close to 2 or 4 GB are placeholders of programs that did not know the size yet
PLACEHOLDER_MARGIN = 1 << 16
TAG_MARKS = (b"TAG", b"ID3", b"APETAGEX", b"LYRICSBEGIN", b"3DI", b"--")
MIN_EXTRA_SOUND = 1.0  # seconds; fewer bytes after the declared end are not taken for sound


class SampleFormat(NamedTuple):
    """Content of the fmt chunk.

    Attributes
    ----------
    rate : frames per second
    frame_bytes, bytes_per_second : as declared
    fixed_frames : whether every frame takes `frame_bytes`, as in uncompressed sound
    """

    rate: int
    frame_bytes: int
    bytes_per_second: int
    fixed_frames: bool

    def frames(self, size: int) -> int:
        """Return how many frames fit into `size` bytes."""
        return size // self.frame_bytes if self.fixed_frames else size * self.rate // self.bytes_per_second


class WaveSound(NamedTuple):
    """Where the sound is, what its header declares, and how chunks are written."""

    fmt: bytes
    sample_format: SampleFormat
    data: FileChunk
    chunk_format: ChunkFormat
    readable: bool  # whether libsndfile accepts the kind of header and the order of the chunks


def wave_layout(stream: BinaryIO, size: int, first_bytes: bytes) -> Layout | None:
    """Return how to decode a WAV; None if it is something else, or the decoder needs no help."""
    sound = _read_header(stream, first_bytes)
    if sound is None:
        return None
    data, sample_format, chunk_format = sound.data, sound.sample_format, sound.chunk_format
    available_bytes = size - data.start
    if _is_placeholder(data.size, first_bytes):
        stop = find_trailing_chunks(stream, size, after=data.start, chunk_format=chunk_format)
        return (
            None
            if sound.readable and stop == size and available_bytes < SIZE_UNKNOWN
            else _with_new_header(sound, stop)
        )
    if data.size > available_bytes:
        segment = Segment(data.start, size, declared=sample_format.frames(data.size))
        as_is = sound.readable and first_bytes[:4] in (b"RIFF", b"RIFX")
        return Layout((segment,)) if as_is else _with_new_header(sound, size, declared=segment.declared)
    ends = {data.next_start, data.start + data.size}  # the padding byte may be missing
    if any(is_chunk_sequence(stream, end, size, chunk_format) for end in ends):
        return None if sound.readable else _with_new_header(sound, data.start + data.size)
    return _layout_with_extra_bytes(stream, size, sound)


def _read_header(stream: BinaryIO, first_bytes: bytes) -> WaveSound | None:
    is_wave64 = first_bytes.startswith(WAVE64)
    if not is_wave64 and (first_bytes[:4] not in RIFF_BYTE_ORDERS or first_bytes[8:12] != b"WAVE"):
        return None
    chunk_format = ChunkFormat(RIFF_BYTE_ORDERS.get(first_bytes[:4], "<"), is_wave64)
    fmt, data, long_size, readable = b"", None, 0, first_bytes[:4] != b"BW64"
    for chunk in iter_chunks(stream, 40 if is_wave64 else 12, chunk_format):
        stream.seek(chunk.start)
        if chunk.name == b"ds64":
            long_size = min(int.from_bytes(stream.read(16)[8:], "little"), MAX_OFFSET)
        elif chunk.name == b"fmt ":
            fmt = stream.read(min(chunk.size, 64))
        elif chunk.name == b"data" and data is None:
            data = chunk
            readable = readable and bool(fmt)
        if fmt and data:
            break
    sample_format = _sample_format(fmt, chunk_format)
    if data is None or sample_format is None:
        return None
    if first_bytes[:4] in (b"RF64", b"BW64") and data.size == SIZE_UNKNOWN:
        data = data._replace(size=long_size, next_start=data.start + long_size + long_size % 2)
    return WaveSound(fmt, sample_format, data, chunk_format, readable)


def _sample_format(fmt: bytes, chunk_format: ChunkFormat) -> SampleFormat | None:
    if len(fmt) < 16:
        return None
    tag, _, rate, bytes_per_second, frame_bytes, _ = struct.unpack(f"{chunk_format.byte_order}HHIIHH", fmt[:16])
    if not (rate and frame_bytes and bytes_per_second):
        return None
    tag = struct.unpack(f"{chunk_format.byte_order}H", fmt[24:26])[0] if tag == 0xFFFE and len(fmt) >= 26 else tag
    return SampleFormat(rate, frame_bytes, bytes_per_second, fixed_frames=tag in (1, 3, 6, 7))


def _is_placeholder(size: int, first_bytes: bytes) -> bool:
    """Tell whether a size was written before the size could be known."""
    if first_bytes[:4] in (b"RIFF", b"RIFX"):
        return abs(size - (1 << 31)) <= PLACEHOLDER_MARGIN or size >= (1 << 32) - PLACEHOLDER_MARGIN
    return size >= MAX_OFFSET - (1 << 16)


def _layout_with_extra_bytes(stream: BinaryIO, size: int, sound: WaveSound) -> Layout | None:
    """Decide what the bytes after the declared sound are, if they are not a sequence of chunks."""
    data, sample_format = sound.data, sound.sample_format
    end = data.start + data.size
    for more in range(end + (1 << 32), size + 1, 1 << 32):  # the upper part of the size was lost
        if is_chunk_sequence(stream, more + more % 2, size, sound.chunk_format):
            return _with_new_header(sound, more, declared=sample_format.frames(data.size))
    extra_seconds = (size - end) / sample_format.bytes_per_second
    stream.seek(end)
    tagged = stream.read(16).startswith(TAG_MARKS)
    if extra_seconds < LENGTH_TOLERANCE or tagged or contains_only_zeros(stream, end, size):
        return None if sound.readable else _with_new_header(sound, end)
    if extra_seconds < min(MIN_EXTRA_SOUND, data.size / sample_format.bytes_per_second):
        note = f"{size - end} bytes after the sound are ignored: they look neither like chunks nor like sound"
        return Layout((Segment(data.start, end),), notes=(note,)) if sound.readable else _with_new_header(sound, end)
    return _with_new_header(
        sound,
        find_trailing_chunks(stream, size, after=end, chunk_format=sound.chunk_format),
        declared=sample_format.frames(data.size),
    )


def _with_new_header(sound: WaveSound, stop: int, *, declared: int | None = None) -> Layout:
    """Put a header before the sound whose size is right, or means "to the end"."""
    byte_order = sound.chunk_format.byte_order
    length = stop - sound.data.start
    fmt = sound.fmt + b"\0" * (len(sound.fmt) % 2)
    parts = (
        b"fmt " + struct.pack(f"{byte_order}I", len(fmt)) + fmt + b"data" + struct.pack(f"{byte_order}I", SIZE_UNKNOWN)
    )
    if length >= SIZE_UNKNOWN and byte_order == "<":  # libsndfile stops there at 4 GB
        header = (
            b"RF64"
            + struct.pack("<I", SIZE_UNKNOWN)
            + b"WAVEds64"
            + struct.pack("<IQQQI", 28, length + len(parts) + 40, length, 0, 0)
            + parts
        )
    else:
        header = (
            (b"RIFX" if byte_order == ">" else b"RIFF") + struct.pack(f"{byte_order}I", SIZE_UNKNOWN) + b"WAVE" + parts
        )
    return Layout((Segment(sound.data.start, stop, header, declared=declared),), as_is=False)
