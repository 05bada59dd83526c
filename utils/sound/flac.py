"""FLAC, whose header may declare no length or a wrong one; the number of the last frame tells the length.

Tags after the last frame are hidden from the decoder.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import BinaryIO, NamedTuple

import numpy as np

from utils.sound.chunks import end_without_zeros
from utils.sound.layout import Layout, Segment
from utils.sound.spot_checks import SPOT_WINDOW, is_increasing, spot_check_positions
from utils.sound.tags import end_before_tags, start_after_tags

FLAC_MAGIC = b"fLaC\x00\x00\x00\x22"  # the first bytes of a file
FLAC_SEARCH_STEP = 1 << 17  # bytes searched at once for the start of another file
FLAC_FULL_SEARCH = 1 << 20  # bytes; shorter files are searched completely even by a quick look
READ_AHEAD = 1 << 16  # bytes that the decoder may have read beyond what it has decoded
MIN_TAIL = 1 << 16  # bytes at the end that are searched for the last frame, at least and at most
MAX_TAIL = 1 << 22
TOTAL_MASK = (1 << 36) - 1  # bits of the header that hold the length
BLOCK_SIZES = {
    1: 192,
    **{code: 576 << code - 2 for code in range(2, 6)},
    **{code: 256 << code - 8 for code in range(8, 16)},
}
FLAC_RATES = {
    1: 88_200,
    2: 176_400,
    3: 192_000,
    4: 8000,
    5: 16_000,
    6: 22_050,
    7: 24_000,
    8: 32_000,
    9: 44_100,
    10: 48_000,
    11: 96_000,
}
FLAC_BITS = {1: 8, 2: 12, 4: 16, 5: 20, 6: 24, 7: 32}
EXPLICIT_SIZES = (6, 7)  # codes of block sizes that follow in one or two bytes
EXPLICIT_RATES = {12: 1, 13: 2, 14: 2}  # codes of rates that follow, and how many bytes they take
STREAMINFO_END = 42  # bytes up to the end of the first metadata block


class StreamInfo(NamedTuple):
    """Content of the first metadata block.

    Attributes
    ----------
    block : samples per channel in each FLAC frame, if all are alike
    largest : size of the largest frame, bytes
    rate, channels, bits : of the sound
    total : declared length, samples per channel; 0 if not known
    """

    block: int
    largest: int
    rate: int
    channels: int
    bits: int
    total: int


def flac_layout(stream: BinaryIO, size: int, _: bytes, *, quick: bool = False) -> Layout | None:
    """Return how to decode a FLAC; None if it is something else.

    Parameters
    ----------
    quick : in a long file, search only some parts for a second file
    """
    start = start_after_tags(stream, size)
    if not _is_flac(stream, start):
        return None
    stop = end_before_tags(stream, size)
    whole, long = _flac_segment(stream, start, stop), stop - start > FLAC_FULL_SEARCH
    small_part = long and any(_later_files(stream, stop - READ_AHEAD - len(FLAC_MAGIC), stop))
    if not long or whole.header or whole.frames != whole.declared or small_part:
        segments = (whole,) if quick and long else flac_segments(stream, whole)
        return Layout(
            segments, as_is=len(segments) == 1 and stop == size and not segments[0].header, exact=not (quick and long)
        )
    return Layout(
        (replace(whole, unsearched=True),), as_is=stop == size, exact=not quick or _is_single_file(stream, whole)
    )


def flac_segments(stream: BinaryIO, segment: Segment) -> tuple[Segment, ...]:
    """Return the concatenated files in a segment; the segment itself if there is only one."""
    start = segment.start - (STREAMINFO_END if segment.header else 0)
    starts = [start, *_later_files(stream, start + len(FLAC_MAGIC), segment.stop)]
    return (
        tuple(_flac_segment(stream, *bounds) for bounds in pairwise([*starts, segment.stop]))
        if len(starts) > 1
        else (replace(segment, unsearched=False),)
    )


def _is_single_file(stream: BinaryIO, segment: Segment) -> bool:
    """Tell whether probably no other file follows the first one.

    Then the last frame is the one that the header declares, and no earlier frame has a higher number.
    """
    stream.seek(segment.start)
    info = _stream_info(stream.read(STREAMINFO_END))
    if info.total != segment.frames or any(
        _later_files(stream, max(segment.start + len(FLAC_MAGIC), segment.stop - 2 * SPOT_WINDOW), segment.stop)
    ):
        return False
    # without the first position: cover art may precede the first frame
    positions = list(spot_check_positions(segment.start + STREAMINFO_END, segment.stop))[1:]
    ends = [_first_frame_end(stream, position, info) for position in positions]
    while ends and ends[0] is None:
        ends.pop(0)
    return is_increasing([*ends, segment.frames])


def _first_frame_end(stream: BinaryIO, position: int, info: StreamInfo) -> int | None:
    """Return where the first frame after a position ends, samples from the start of the sound."""
    stream.seek(position)
    piece = stream.read(max(SPOT_WINDOW // 2, 2 * info.largest))
    at = piece.find(b"\xff")
    while at >= 0:
        if piece[at + 1 : at + 2] in (b"\xf8", b"\xf9"):
            end = _frame_end(piece[at : at + 16], info)
            if end:
                return end
        at = piece.find(b"\xff", at + 1)
    return None


def _is_flac(stream: BinaryIO, start: int) -> bool:
    stream.seek(start)
    header = stream.read(STREAMINFO_END)
    return header.startswith(FLAC_MAGIC[:4]) and len(header) == STREAMINFO_END and header[4] & 0x7F == 0


def _later_files(stream: BinaryIO, position: int, stop: int) -> Iterator[int]:
    """Yield where other files start, from a position on."""
    while position < stop:
        stream.seek(position)
        piece = stream.read(min(FLAC_SEARCH_STEP, stop - position))
        at = piece.find(FLAC_MAGIC) if _may_contain_magic(piece) else -1
        if at >= 0:
            yield position + at
        position += at + len(FLAC_MAGIC) if at >= 0 else max(1, len(piece) - len(FLAC_MAGIC) + 1)


def _may_contain_magic(piece: bytes) -> bool:
    """Tell whether a piece contains the first four bytes of `FLAC_MAGIC`; three times as fast as `find`."""
    wanted = np.frombuffer(FLAC_MAGIC, np.uint32, count=1)[0]
    return any(
        bool((np.frombuffer(piece, np.uint32, (len(piece) - shift) // 4, shift) == wanted).any())
        for shift in range(min(4, len(piece) - 3))
    )


def _flac_segment(stream: BinaryIO, start: int, stop: int) -> Segment:
    stream.seek(start)
    header = stream.read(STREAMINFO_END)
    info = _stream_info(header)
    frames = _total_frames(stream, start, stop, info)
    declared = info.total or frames
    if frames and 0 < info.total < frames:
        number = int.from_bytes(header[18:26], "big") & ~TOTAL_MASK
        return Segment(
            start + STREAMINFO_END,
            stop,
            header[:18] + number.to_bytes(8, "big") + header[26:],
            declared=declared,
            frames=frames,
        )
    return Segment(start, stop, declared=declared, frames=frames)


def _stream_info(header: bytes) -> StreamInfo:
    number = int.from_bytes(header[18:26], "big")
    block = int.from_bytes(header[10:12], "big")
    return StreamInfo(
        block,
        int.from_bytes(header[15:18], "big"),
        number >> 44,
        (number >> 41 & 7) + 1,
        (number >> 36 & 31) + 1,
        number & TOTAL_MASK,
    )


def _total_frames(stream: BinaryIO, start: int, stop: int, info: StreamInfo) -> int | None:
    """Return where the last frame ends, samples from the start of the sound."""
    stop = end_without_zeros(stream, start + STREAMINFO_END, stop)
    tail_start = max(start + STREAMINFO_END, stop - min(MAX_TAIL, max(MIN_TAIL, 2 * info.largest)))
    stream.seek(tail_start)
    tail = stream.read(max(0, stop - tail_start))
    position = len(tail)
    while (position := tail.rfind(b"\xff", 0, position)) >= 0:
        if tail[position + 1 : position + 2] in (b"\xf8", b"\xf9"):
            end = _frame_end(tail[position : position + 16], info)
            if end:
                return end
    return None


def _frame_end(frame: bytes, info: StreamInfo) -> int | None:
    """Return where a frame ends, samples from the start of the sound; None if this is no frame header."""
    if len(frame) < 16 or frame[3] & 1:
        return None
    size, rate, channels, bits = frame[2] >> 4, frame[2] & 15, frame[3] >> 4, frame[3] >> 1 & 7
    alike = FLAC_RATES.get(rate, info.rate) == info.rate and FLAC_BITS.get(bits, info.bits) == info.bits
    if not alike or size == 0 or rate == 15 or (2 if channels > 7 else channels + 1) != info.channels or channels > 10:
        return None
    ones = 8 - (frame[4] ^ 0xFF).bit_length()  # leading ones of the first byte: the number is coded like UTF-8
    length = max(1, ones)
    if ones in (1, 8):
        return None
    number = frame[4] & (0x7F if ones == 0 else (1 << 7 - ones) - 1)
    for byte in frame[5 : 4 + length]:
        number = number << 6 | byte & 0x3F
    position = 4 + length
    block = BLOCK_SIZES.get(size, 0)
    if size in EXPLICIT_SIZES:
        block = int.from_bytes(frame[position : position + size - 5], "big") + 1
        position += size - 5
    position += EXPLICIT_RATES.get(rate, 0)
    if position >= len(frame) or _crc8(frame[:position]) != frame[position]:
        return None
    return number + block if frame[1] & 1 else number * info.block + block


def _crc8(content: bytes) -> int:
    crc = 0
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x07) & 0xFF if crc & 0x80 else crc << 1
    return crc
