"""MP3 (and MPEG layers I and II), in which only a Xing header knows the length; of all others libsndfile estimates it by the first frame and the size.

So the decoder is not told where such a file ends, and counts. Files that were joined are read one after the other:
where the first header says that it ends, or where the decoder gives up, the next one is looked for.
"""

from typing import BinaryIO, NamedTuple

from utils.sound.links import Layout, Link
from utils.sound.tags import end_before_tags, start_behind_tags

KBITS = {  # by version (1: MPEG 1, 2: MPEG 2 and 2.5) and layer
    (1, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
RATES = (44_100, 48_000, 32_000)  # of MPEG 1; MPEG 2 has half of them, MPEG 2.5 a quarter
LONGEST = 1441 * 2  # bytes of a frame, and then some
IN_A_ROW = 4  # frames that must follow each other to be believed
FAR = 1 << 20  # bytes in which the first frame is looked for
STEP = 1 << 16  # bytes searched at once for the next frame
HEADS = (b"Xing", b"Info")
COUNTED_BY_FRAMES = 0.1  # seconds; headers count whole frames, some also that in which they stand


class Frame(NamedTuple):
    """A frame of sound, or one in which a header stands: its bytes, and its samples a second."""

    start: int
    stop: int
    rate: int


def mpeg_layout(stream: BinaryIO, size: int, begin: bytes, *, named: bool, quick: bool = False) -> Layout | None:
    """Return how an MP3 is to be decoded; None where it is none, or the decoder may find out by itself.

    Parameters
    ----------
    named : whether the file's name says that it is one, whatever it begins with
    quick : leave it to the decoder to estimate the length of a file without a header, for to know it, it would have to
        read it all
    """
    if not named and begin[:3] != b"ID3" and not (begin[:1] == b"\xff" and begin[1:2] >= b"\xe0"):
        return None
    start, stop = start_behind_tags(stream, size), end_before_tags(stream, size)
    first = find_frame(stream, start, min(stop, start + FAR))
    if first is None:
        return None
    links = links_from(stream, first.start, stop)
    tagged = size - links[0].stop > (links[0].stop - first.start) // 100  # the decoder would complain
    if first.start == start and stop - links[0].stop <= LONGEST and not links[0].endless and not tagged:
        return Layout((Link(0, stop, tolerance=COUNTED_BY_FRAMES, open_end=True),))
    if quick and first.start == start and links[0].endless:
        return Layout((Link(0, size),), sure=False)
    return Layout(links, plain=False, sure=not (quick and links[0].endless))


def links_from(stream: BinaryIO, place: int, stop: int) -> tuple[Link, ...]:
    """Return the files that follow each other from a place on; the last one, if it has no header, may be followed by others."""
    links = []
    frame = find_frame(stream, place, stop)
    while frame:
        length = _bytes_by_header(stream, frame)
        end = min(frame.start + length, stop) if length else stop
        cut_off = frame.start + (length or 0) > stop + LONGEST  # the decoder would complain about such a size
        links.append(Link(frame.start, end, endless=not length or cut_off, tolerance=COUNTED_BY_FRAMES, open_end=True))
        frame = find_frame(stream, end, stop) if end < stop else None
    return tuple(links)


def find_frame(stream: BinaryIO, place: int, stop: int) -> Frame | None:
    """Return the next frame, which others must follow."""
    while place < stop:
        place = start_behind_tags(stream, stop, place)
        stream.seek(place)
        piece = stream.read(min(STEP, stop - place))
        at = piece.find(b"\xff")
        while at >= 0:
            if piece[at + 1 : at + 2] >= b"\xe0":
                frame = _frame(stream, place + at)
                if frame and _is_followed(stream, frame, stop):
                    return frame
            at = piece.find(b"\xff", at + 1)
        if place + len(piece) >= stop or not piece:
            return None
        place += max(1, len(piece) - 9)
    return None


def _is_followed(stream: BinaryIO, frame: Frame, stop: int) -> bool:
    for _ in range(IN_A_ROW - 1):
        following = _frame(stream, frame.stop)
        if following is None:
            return False
        if following.stop >= stop:
            return following.rate == frame.rate
        if following.rate != frame.rate:
            return False
        frame = following
    return True


def _frame(stream: BinaryIO, place: int) -> Frame | None:
    stream.seek(place)
    head = stream.read(4)
    if len(head) < 4 or head[0] != 0xFF or head[1] < 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    kind, code = head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or layer == 4 or kind in (0, 15) or code == 3:
        return None
    rate = RATES[code] >> {3: 0, 2: 1, 0: 2}[version]
    kbits = KBITS[1 if version == 3 else 2, layer][kind]
    padding = head[2] >> 1 & 1
    if layer == 1:
        return Frame(place, place + 4 * (12_000 * kbits // rate + padding), rate)
    return Frame(place, place + (72_000 if layer == 3 and version != 3 else 144_000) * kbits // rate + padding, rate)


def _bytes_by_header(stream: BinaryIO, frame: Frame) -> int | None:
    """Return how many bytes there are by the Xing header in a frame, if one stands there that says so."""
    stream.seek(frame.start)
    content = stream.read(min(frame.stop - frame.start, 64))
    at = max(content.find(name, 13, 42) for name in HEADS)
    if at < 0 or content[at + 7] & 3 != 3:
        return None
    return int.from_bytes(content[at + 12 : at + 16], "big") or None
