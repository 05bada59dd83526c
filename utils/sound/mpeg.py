"""MP3 (and MPEG layers I and II), in which only a Xing header declares the length.

Without it, libsndfile estimates the length from the first frame and the size of the file. So the end of such a file is
hidden from the decoder, which then counts frames. Concatenated files are read one after the other: the next one is
searched where the header of the first one says that it ends, or where the decoder stops.
"""

from typing import BinaryIO, NamedTuple

from utils.sound.layout import Layout, Segment
from utils.sound.tags import end_before_tags, start_after_tags

KILOBITS = {  # by version (1: MPEG 1, 2: MPEG 2 and 2.5) and layer
    (1, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
MPEG_RATES = (44_100, 48_000, 32_000)  # of MPEG 1; MPEG 2 has half of them, MPEG 2.5 a quarter
MAX_FRAME_BYTES = 1441 * 2  # with a margin
CONSECUTIVE_FRAMES = 4  # so many valid frames must follow each other to count as sound
FIRST_FRAME_WITHIN = 1 << 20  # bytes; the first frame must be found in them
MPEG_SEARCH_STEP = 1 << 16  # bytes searched at once for the next frame
XING_MARKS = (b"Xing", b"Info")
FRAME_TOLERANCE = 0.1  # seconds; headers count whole frames, and some of them also their own frame


class MpegFrame(NamedTuple):
    """A frame of sound, or one that holds a header: its bytes, and its sample rate."""

    start: int
    stop: int
    rate: int


def mpeg_layout(
    stream: BinaryIO, size: int, first_bytes: bytes, *, has_mpeg_name: bool, quick: bool = False
) -> Layout | None:
    """Return how to decode an MP3; None if it is something else.

    Parameters
    ----------
    has_mpeg_name : whether the name of the file says that it is MPEG, whatever its first bytes are
    quick : let the decoder estimate the length of a file without a header, instead of reading all of it
    """
    if (
        not has_mpeg_name
        and first_bytes[:3] != b"ID3"
        and not (first_bytes[:1] == b"\xff" and first_bytes[1:2] >= b"\xe0")
    ):
        return None
    start, stop = start_after_tags(stream, size), end_before_tags(stream, size)
    first = find_mpeg_frame(stream, start, min(stop, start + FIRST_FRAME_WITHIN))
    if first is None:
        return None
    segments = mpeg_segments(stream, first.start, stop)
    tagged = size - segments[0].stop > (segments[0].stop - first.start) // 100  # the decoder would complain
    if first.start == start and stop - segments[0].stop <= MAX_FRAME_BYTES and not segments[0].hide_end and not tagged:
        return Layout((Segment(0, stop, tolerance=FRAME_TOLERANCE, may_continue=True),))
    if quick and first.start == start and segments[0].hide_end:
        return Layout((Segment(0, size),), exact=False)
    return Layout(segments, as_is=False, exact=not (quick and segments[0].hide_end))


def mpeg_segments(stream: BinaryIO, position: int, stop: int) -> tuple[Segment, ...]:
    """Return the concatenated files from a position on.

    If the last one has no header, others may follow it.
    """
    segments = []
    frame = find_mpeg_frame(stream, position, stop)
    while frame:
        length = _declared_bytes(stream, frame)
        end = min(frame.start + length, stop) if length else stop
        cut_off = frame.start + (length or 0) > stop + MAX_FRAME_BYTES  # the decoder would complain about such a size
        segments.append(
            Segment(frame.start, end, hide_end=not length or cut_off, tolerance=FRAME_TOLERANCE, may_continue=True)
        )
        frame = find_mpeg_frame(stream, end, stop) if end < stop else None
    return tuple(segments)


def find_mpeg_frame(stream: BinaryIO, position: int, stop: int) -> MpegFrame | None:
    """Return the next frame that is followed by other frames; None if there is none."""
    while position < stop:
        position = start_after_tags(stream, stop, position)
        stream.seek(position)
        piece = stream.read(min(MPEG_SEARCH_STEP, stop - position))
        at = piece.find(b"\xff")
        while at >= 0:
            if piece[at + 1 : at + 2] >= b"\xe0":
                frame = _read_mpeg_frame(stream, position + at)
                if frame and _is_followed(stream, frame, stop):
                    return frame
            at = piece.find(b"\xff", at + 1)
        if position + len(piece) >= stop or not piece:
            return None
        position += max(1, len(piece) - 9)
    return None


def _is_followed(stream: BinaryIO, frame: MpegFrame, stop: int) -> bool:
    for _ in range(CONSECUTIVE_FRAMES - 1):
        following = _read_mpeg_frame(stream, frame.stop)
        if following is None:
            return False
        if following.stop >= stop:
            return following.rate == frame.rate
        if following.rate != frame.rate:
            return False
        frame = following
    return True


def _read_mpeg_frame(stream: BinaryIO, position: int) -> MpegFrame | None:
    stream.seek(position)
    header = stream.read(4)
    if len(header) < 4 or header[0] != 0xFF or header[1] < 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    kind, code = header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or layer == 4 or kind in (0, 15) or code == 3:
        return None
    rate = MPEG_RATES[code] >> {3: 0, 2: 1, 0: 2}[version]
    kbits = KILOBITS[1 if version == 3 else 2, layer][kind]
    padding = header[2] >> 1 & 1
    if layer == 1:
        return MpegFrame(position, position + 4 * (12_000 * kbits // rate + padding), rate)
    return MpegFrame(
        position, position + (72_000 if layer == 3 and version != 3 else 144_000) * kbits // rate + padding, rate
    )


def _declared_bytes(stream: BinaryIO, frame: MpegFrame) -> int | None:
    """Return the number of bytes that the Xing header in a frame declares; None if it does not."""
    stream.seek(frame.start)
    content = stream.read(min(frame.stop - frame.start, 64))
    at = max(content.find(name, 13, 42) for name in XING_MARKS)
    if at < 0 or content[at + 7] & 3 != 3:
        return None
    return int.from_bytes(content[at + 12 : at + 16], "big") or None
