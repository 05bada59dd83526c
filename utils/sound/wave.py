"""WAV (RIFF, RIFX, RF64, BW64) and Wave64, whose headers may say less or more than there is.

Recorders that lose power leave a size of 0; others write the size of the file as that of the sound, 44 bytes too many;
beyond 4 GB, 32 bits lose the upper part of the size. What lies behind the sound by its size is then no row of chunks
but sound. For those files the decoder is shown a header of the same format in front of the sound, with the size that
stands for "to the end".
"""

import struct
from typing import BinaryIO, NamedTuple

from utils.sound.chunks import Chunk, Dialect, chunks_from, find_chain, is_chain, only_padding
from utils.sound.links import FARTHEST, SHORT, Layout, Link

FORMS = {b"RIFF": "<", b"RIFX": ">", b"RF64": "<", b"BW64": "<"}
WAVE64 = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"
TO_THE_END = 0xFFFFFFFF
NEAR = 1 << 16  # sizes so near to 2 or 4 GB are written by programs that cannot know the size yet
TAGS = (b"TAG", b"ID3", b"APETAGEX", b"LYRICSBEGIN", b"3DI", b"--")
JUNK = 1.0  # seconds; less than that behind sound whose size makes sense is not taken for sound


class Format(NamedTuple):
    """What the fmt chunk says: samples a second, bytes of a frame and of a second, and whether each frame has its own bytes."""

    rate: int
    frame: int
    second: int
    plain: bool

    def frames(self, size: int) -> int:
        """Return how many frames so many bytes hold."""
        return size // self.frame if self.plain else size * self.rate // self.second


class Found(NamedTuple):
    """Where the sound is, what its header says of it, and how chunks are written."""

    fmt: bytes
    form: Format
    data: Chunk
    dialect: Dialect
    readable: bool  # by the decoder, as far as the order of the chunks goes


def wave_layout(stream: BinaryIO, size: int, begin: bytes) -> Layout | None:
    """Return how a WAV is to be decoded; None where the decoder may find out by itself."""
    found = _find(stream, begin)
    if found is None:
        return None
    data, form, dialect = found.data, found.form, found.dialect
    there = size - data.start
    if _is_placeholder(data.size, begin):
        stop = find_chain(stream, size, after=data.start, dialect=dialect)
        return None if found.readable and stop == size and there < TO_THE_END else _shown(found, stop)
    if data.size > there:
        link = Link(data.start, size, promised=form.frames(data.size))
        plain = found.readable and begin[:4] in (b"RIFF", b"RIFX")
        return Layout((link,)) if plain else _shown(found, size, promised=link.promised)
    ends = {data.then, data.start + data.size}  # where nobody wrote the padding byte, too
    if any(is_chain(stream, end, size, dialect) for end in ends):
        return None if found.readable else _shown(found, data.start + data.size)
    return _beyond(stream, size, found)


def _find(stream: BinaryIO, begin: bytes) -> Found | None:
    wide = begin.startswith(WAVE64)
    if not wide and (begin[:4] not in FORMS or begin[8:12] != b"WAVE"):
        return None
    dialect = Dialect(FORMS.get(begin[:4], "<"), wide)
    fmt, data, long, readable = b"", None, 0, begin[:4] != b"BW64"
    for chunk in chunks_from(stream, 40 if wide else 12, dialect):
        stream.seek(chunk.start)
        if chunk.name == b"ds64":
            long = min(int.from_bytes(stream.read(16)[8:], "little"), FARTHEST)
        elif chunk.name == b"fmt ":
            fmt = stream.read(min(chunk.size, 64))
        elif chunk.name == b"data" and data is None:
            data = chunk
            readable = readable and bool(fmt)
        if fmt and data:
            break
    form = _format(fmt, dialect)
    if data is None or form is None:
        return None
    if begin[:4] in (b"RF64", b"BW64") and data.size == TO_THE_END:
        data = data._replace(size=long, then=data.start + long + long % 2)
    return Found(fmt, form, data, dialect, readable)


def _format(fmt: bytes, dialect: Dialect) -> Format | None:
    if len(fmt) < 16:
        return None
    tag, _, rate, second, frame, _ = struct.unpack(f"{dialect.order}HHIIHH", fmt[:16])
    if not (rate and frame and second):
        return None
    tag = struct.unpack(f"{dialect.order}H", fmt[24:26])[0] if tag == 0xFFFE and len(fmt) >= 26 else tag
    return Format(rate, frame, second, plain=tag in (1, 3, 6, 7))


def _is_placeholder(size: int, begin: bytes) -> bool:
    """Tell whether a size was written before the size could be known."""
    if begin[:4] in (b"RIFF", b"RIFX"):
        return abs(size - (1 << 31)) <= NEAR or size >= (1 << 32) - NEAR
    return size >= FARTHEST - (1 << 16)


def _beyond(stream: BinaryIO, size: int, found: Found) -> Layout | None:
    """Decide on what lies behind the sound, where it is no row of chunks."""
    data, form = found.data, found.form
    end = data.start + data.size
    for more in range(end + (1 << 32), size + 1, 1 << 32):  # the upper part of the size was lost
        if is_chain(stream, more + more % 2, size, found.dialect):
            return _shown(found, more, promised=form.frames(data.size))
    behind = (size - end) / form.second
    stream.seek(end)
    tagged = stream.read(16).startswith(TAGS)
    if behind < SHORT or tagged or only_padding(stream, end, size):
        return None if found.readable else _shown(found, end)
    if behind < min(JUNK, data.size / form.second):
        note = f"{size - end} bytes behind its sound are neither chunks nor, it seems, sound; they are not used"
        return Layout((Link(data.start, end),), notes=(note,)) if found.readable else _shown(found, end)
    return _shown(found, find_chain(stream, size, after=end, dialect=found.dialect), promised=form.frames(data.size))


def _shown(found: Found, stop: int, *, promised: int | None = None) -> Layout:
    """Put a header in front of the sound whose size is right, or stands for "to the end"."""
    order = found.dialect.order
    length = stop - found.data.start
    fmt = found.fmt + b"\0" * (len(found.fmt) % 2)
    parts = b"fmt " + struct.pack(f"{order}I", len(fmt)) + fmt + b"data" + struct.pack(f"{order}I", TO_THE_END)
    if length >= TO_THE_END and order == "<":  # libsndfile stops there at 4 GB
        head = (
            b"RF64"
            + struct.pack("<I", TO_THE_END)
            + b"WAVEds64"
            + struct.pack("<IQQQI", 28, length + len(parts) + 40, length, 0, 0)
            + parts
        )
    else:
        head = (b"RIFX" if order == ">" else b"RIFF") + struct.pack(f"{order}I", TO_THE_END) + b"WAVE" + parts
    return Layout((Link(found.data.start, stop, head, promised=promised),), plain=False)
