"""FLAC, whose header may know no length or a wrong one; the last frames tell how long the sound is. Tags behind the last frame are hidden from the decoder."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import BinaryIO, NamedTuple

import numpy as np

from utils.sound.chunks import last_that_is_not_0
from utils.sound.links import Layout, Link
from utils.sound.probes import WINDOW, probes, rises
from utils.sound.tags import end_before_tags, start_behind_tags

MAGIC = b"fLaC\x00\x00\x00\x22"  # a file begins so
STEP = 1 << 17  # bytes searched at once for another one
QUICKLY = 1 << 20  # bytes that even a quick look searches whole
READ_AHEAD = 1 << 16  # bytes that the decoder may have read beyond what it has decoded
TAIL = 1 << 16  # bytes at the end in which the last frame is looked for, at least
MOST_TAIL = 1 << 22
TOTAL = (1 << 36) - 1  # bits of the header's length
BLOCKS = {1: 192, **{code: 576 << code - 2 for code in range(2, 6)}, **{code: 256 << code - 8 for code in range(8, 16)}}
RATES = {
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
BITS = {1: 8, 2: 12, 4: 16, 5: 20, 6: 24, 7: 32}
OTHER_SIZES = (6, 7)  # codes of blocks whose size follows in one or two bytes
OTHER_RATES = {12: 1, 13: 2, 14: 2}  # codes of rates that follow, and in how many bytes
HEADER = 42  # bytes up to the end of the first block


class Info(NamedTuple):
    """What the first block of metadata says; `largest` is a frame, bytes, and `block` the frames of sound in each, if all are alike."""

    block: int
    largest: int
    rate: int
    channels: int
    bits: int
    total: int


def flac_layout(stream: BinaryIO, size: int, _: bytes, *, quick: bool = False) -> Layout | None:
    """Return how a FLAC is to be decoded; None where it is none, or the decoder may find out by itself.

    Parameters
    ----------
    quick : of a long file, look at some places only for a second file behind the first
    """
    start = start_behind_tags(stream, size)
    if not _is_flac(stream, start):
        return None
    stop = end_before_tags(stream, size)
    whole, long = _link(stream, start, stop), stop - start > QUICKLY
    small_part = long and any(_others(stream, stop - READ_AHEAD - len(MAGIC), stop))
    if not long or whole.head or whole.frames != whole.promised or small_part:
        links = (whole,) if quick and long else links_within(stream, whole)
        return Layout(links, plain=len(links) == 1 and stop == size and not links[0].head, sure=not (quick and long))
    return Layout((replace(whole, unsearched=True),), plain=stop == size, sure=not quick or _is_one(stream, whole))


def links_within(stream: BinaryIO, link: Link) -> tuple[Link, ...]:
    """Return the files that follow each other in a link; itself where there is but one."""
    start = link.start - (HEADER if link.head else 0)
    starts = [start, *_others(stream, start + len(MAGIC), link.stop)]
    return (
        tuple(_link(stream, *bounds) for bounds in pairwise([*starts, link.stop]))
        if len(starts) > 1
        else (replace(link, unsearched=False),)
    )


def _is_one(stream: BinaryIO, link: Link) -> bool:
    """Tell whether it seems that no other file follows the first one: its last frame is the one that its header says, and none before has a higher number."""
    stream.seek(link.start)
    info = _info(stream.read(HEADER))
    if info.total != link.frames or any(
        _others(stream, max(link.start + len(MAGIC), link.stop - 2 * WINDOW), link.stop)
    ):
        return False
    places = list(probes(link.start + HEADER, link.stop))[1:]  # before the first frame, there may be pictures
    ends = [_first_end(stream, place, info) for place in places]
    while ends and ends[0] is None:
        ends.pop(0)
    return rises([*ends, link.frames])


def _first_end(stream: BinaryIO, place: int, info: Info) -> int | None:
    """Return where the first frame behind a place ends, frames of sound from the begin."""
    stream.seek(place)
    piece = stream.read(max(WINDOW // 2, 2 * info.largest))
    at = piece.find(b"\xff")
    while at >= 0:
        if piece[at + 1 : at + 2] in (b"\xf8", b"\xf9"):
            end = _end(piece[at : at + 16], info)
            if end:
                return end
        at = piece.find(b"\xff", at + 1)
    return None


def _is_flac(stream: BinaryIO, start: int) -> bool:
    stream.seek(start)
    head = stream.read(HEADER)
    return head.startswith(MAGIC[:4]) and len(head) == HEADER and head[4] & 0x7F == 0


def _others(stream: BinaryIO, place: int, stop: int) -> Iterator[int]:
    """Yield where other files begin behind the first one."""
    while place < stop:
        stream.seek(place)
        piece = stream.read(min(STEP, stop - place))
        at = piece.find(MAGIC) if _may_hold(piece) else -1
        if at >= 0:
            yield place + at
        place += at + len(MAGIC) if at >= 0 else max(1, len(piece) - len(MAGIC) + 1)


def _may_hold(piece: bytes) -> bool:
    """Tell whether a piece holds the first four bytes of MAGIC, three times as fast as it would be found."""
    wanted = np.frombuffer(MAGIC, np.uint32, count=1)[0]
    return any(
        bool((np.frombuffer(piece, np.uint32, (len(piece) - shift) // 4, shift) == wanted).any())
        for shift in range(min(4, len(piece) - 3))
    )


def _link(stream: BinaryIO, start: int, stop: int) -> Link:
    stream.seek(start)
    head = stream.read(HEADER)
    info = _info(head)
    frames = _frames(stream, start, stop, info)
    promised = info.total or frames
    if frames and 0 < info.total < frames:
        number = int.from_bytes(head[18:26], "big") & ~TOTAL
        return Link(
            start + HEADER, stop, head[:18] + number.to_bytes(8, "big") + head[26:], promised=promised, frames=frames
        )
    return Link(start, stop, promised=promised, frames=frames)


def _info(head: bytes) -> Info:
    number = int.from_bytes(head[18:26], "big")
    block = int.from_bytes(head[10:12], "big")
    return Info(
        block,
        int.from_bytes(head[15:18], "big"),
        number >> 44,
        (number >> 41 & 7) + 1,
        (number >> 36 & 31) + 1,
        number & TOTAL,
    )


def _frames(stream: BinaryIO, start: int, stop: int, info: Info) -> int | None:
    """Return where the last frame ends, frames of sound from the begin."""
    stop = last_that_is_not_0(stream, start + HEADER, stop)
    begin = max(start + HEADER, stop - min(MOST_TAIL, max(TAIL, 2 * info.largest)))
    stream.seek(begin)
    tail = stream.read(max(0, stop - begin))
    place = len(tail)
    while (place := tail.rfind(b"\xff", 0, place)) >= 0:
        if tail[place + 1 : place + 2] in (b"\xf8", b"\xf9"):
            end = _end(tail[place : place + 16], info)
            if end:
                return end
    return None


def _end(frame: bytes, info: Info) -> int | None:
    """Return up to where the frame reaches whose header this should be; None where it is none."""
    if len(frame) < 16 or frame[3] & 1:
        return None
    size, rate, channels, bits = frame[2] >> 4, frame[2] & 15, frame[3] >> 4, frame[3] >> 1 & 7
    alike = RATES.get(rate, info.rate) == info.rate and BITS.get(bits, info.bits) == info.bits
    if not alike or size == 0 or rate == 15 or (2 if channels > 7 else channels + 1) != info.channels or channels > 10:
        return None
    ones = 8 - (frame[4] ^ 0xFF).bit_length()  # of UTF-8's first byte
    length = max(1, ones)
    if ones in (1, 8):
        return None
    number = frame[4] & (0x7F if ones == 0 else (1 << 7 - ones) - 1)
    for byte in frame[5 : 4 + length]:
        number = number << 6 | byte & 0x3F
    place = 4 + length
    block = BLOCKS.get(size, 0)
    if size in OTHER_SIZES:
        block = int.from_bytes(frame[place : place + size - 5], "big") + 1
        place += size - 5
    place += OTHER_RATES.get(rate, 0)
    if place >= len(frame) or _crc8(frame[:place]) != frame[place]:
        return None
    return number + block if frame[1] & 1 else number * info.block + block


def _crc8(content: bytes) -> int:
    crc = 0
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x07) & 0xFF if crc & 0x80 else crc << 1
    return crc
