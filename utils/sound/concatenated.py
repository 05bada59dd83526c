"""WAV, Wave64 or AIFF files that were concatenated byte by byte.

libsndfile refuses them, or reads only the first one.
"""

import io
from dataclasses import replace
from typing import BinaryIO, cast

from utils.sound.aiff import BIG_ENDIAN, aiff_layout
from utils.sound.chunks import MAX_CHUNKS, ChunkFormat
from utils.sound.layout import SIZE_UNKNOWN, Layout, Segment, SegmentStream
from utils.sound.wave import RIFF_BYTE_ORDERS, WAVE64, wave_layout

MAX_FILES = 1000
SOUND_CHUNKS = (b"data", b"SSND")


def concatenated_layout(stream: BinaryIO, size: int, first_bytes: bytes) -> Layout | None:
    """Return how to decode concatenated files; None if there is only one."""
    starts = _starts(stream, size, first_bytes)
    if len(starts) < 2:
        return None
    layouts = [_layout_of_part(stream, start, stop) for start, stop in zip(starts, [*starts[1:], size], strict=True)]
    segments = tuple(segment for layout in layouts for segment in layout.segments)
    return Layout(segments, as_is=False, notes=tuple(note for layout in layouts for note in layout.notes), exact=True)


def _starts(stream: BinaryIO, size: int, first_bytes: bytes) -> list[int]:
    """Return where each file starts."""
    starts: list[int] = []
    position = 0
    while len(starts) < MAX_FILES:
        chunk_format = _chunk_format(first_bytes)
        if chunk_format is None:
            break
        starts.append(position)
        following = _next_file_start(stream, position, size, chunk_format)
        if following is None:
            break
        position, first_bytes = following, _read_start(stream, following)
    return starts


def _chunk_format(first_bytes: bytes) -> ChunkFormat | None:
    """Return how the chunks of a file are written; None if it is not WAV, Wave64 or AIFF."""
    if first_bytes.startswith(WAVE64):
        return ChunkFormat(is_wave64=True)
    if first_bytes[:4] in RIFF_BYTE_ORDERS and first_bytes[8:12] == b"WAVE":
        return ChunkFormat(RIFF_BYTE_ORDERS[first_bytes[:4]])
    return BIG_ENDIAN if first_bytes[:4] == b"FORM" and first_bytes[8:12] in (b"AIFF", b"AIFC") else None


def _next_file_start(stream: BinaryIO, position: int, size: int, chunk_format: ChunkFormat) -> int | None:
    """Return where the next file starts: at the end of the sound, or of one of the chunks after it."""
    sound_seen, chunk_start, long_size = False, position + (40 if chunk_format.is_wave64 else 12), 0
    for _ in range(MAX_CHUNKS):
        chunk = chunk_format.read(stream, chunk_start)
        if chunk is None:
            return None
        if chunk.name == b"ds64":
            long_size = int.from_bytes(_read_start(stream, chunk.start)[8:16], "little")
        if chunk.name == b"data" and chunk.size == SIZE_UNKNOWN:
            chunk = chunk._replace(size=long_size, next_start=chunk.start + long_size + long_size % 2)
        sound_seen = sound_seen or chunk.name in SOUND_CHUNKS
        if chunk.start + chunk.size >= size:
            return None
        # a padding byte may be missing, so both ends are tried
        for end in {chunk.start + chunk.size, chunk.next_start} if sound_seen else ():
            if end < size and _chunk_format(_read_start(stream, end)):
                return end
        chunk_start = chunk.next_start
    return None


def _read_start(stream: BinaryIO, position: int) -> bytes:
    stream.seek(position)
    return stream.read(64)


def _layout_of_part(stream: BinaryIO, start: int, stop: int) -> Layout:
    part = cast("BinaryIO", io.BufferedReader(SegmentStream(stream, Segment(start, stop))))
    first_bytes, size = _read_start(part, 0), stop - start
    layout = wave_layout(part, size, first_bytes) or aiff_layout(part, size, first_bytes) or Layout((Segment(0, size),))
    if layout.as_is:  # the decoder reads the bytes of the part unchanged
        return replace(layout, segments=(replace(layout.segments[0], start=start, stop=stop),))
    return replace(
        layout,
        segments=tuple(
            replace(segment, start=segment.start + start, stop=segment.stop + start) for segment in layout.segments
        ),
    )
