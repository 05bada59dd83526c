"""WAVs, Wave64s or AIFFs that were joined byte by byte, one file behind the other; libsndfile refuses them or reads the first one only."""

import io
from dataclasses import replace
from typing import BinaryIO, cast

from utils.sound.aiff import BIG, aiff_layout
from utils.sound.chunks import MOST_CHUNKS, Dialect
from utils.sound.links import Layout, Link, Stretch
from utils.sound.wave import FORMS, TO_THE_END, WAVE64, wave_layout

MOST_FILES = 1000
SOUNDS = (b"data", b"SSND")  # chunks


def joined_layout(stream: BinaryIO, size: int, begin: bytes) -> Layout | None:
    """Return how files that follow each other are to be decoded; None where there is one only."""
    starts = _starts(stream, size, begin)
    if len(starts) < 2:
        return None
    layouts = [_layout_of_part(stream, start, stop) for start, stop in zip(starts, [*starts[1:], size], strict=True)]
    links = tuple(link for layout in layouts for link in layout.links)
    return Layout(links, plain=False, notes=tuple(note for layout in layouts for note in layout.notes), sure=True)


def _starts(stream: BinaryIO, size: int, begin: bytes) -> list[int]:
    """Return where each file begins."""
    starts: list[int] = []
    place = 0
    while len(starts) < MOST_FILES:
        dialect = _dialect(begin)
        if dialect is None:
            break
        starts.append(place)
        following = _behind(stream, place, size, dialect)
        if following is None:
            break
        place, begin = following, _read(stream, following)
    return starts


def _dialect(begin: bytes) -> Dialect | None:
    """Return how the chunks of a file that begins so are written; None where it is none of these."""
    if begin.startswith(WAVE64):
        return Dialect(wide=True)
    if begin[:4] in FORMS and begin[8:12] == b"WAVE":
        return Dialect(FORMS[begin[:4]])
    return BIG if begin[:4] == b"FORM" and begin[8:12] in (b"AIFF", b"AIFC") else None


def _behind(stream: BinaryIO, place: int, size: int, dialect: Dialect) -> int | None:
    """Return where the next file begins: at the end of the sound, or of one of the chunks behind it."""
    sound, at, long = False, place + (40 if dialect.wide else 12), 0
    for _ in range(MOST_CHUNKS):
        chunk = dialect.read(stream, at)
        if chunk is None:
            return None
        if chunk.name == b"ds64":
            long = int.from_bytes(_read(stream, chunk.start)[8:16], "little")
        if chunk.name == b"data" and chunk.size == TO_THE_END:
            chunk = chunk._replace(size=long, then=chunk.start + long + long % 2)
        sound = sound or chunk.name in SOUNDS
        if chunk.start + chunk.size >= size:
            return None
        for end in {chunk.start + chunk.size, chunk.then} if sound else ():  # where nobody wrote the padding byte, too
            if end < size and _dialect(_read(stream, end)):
                return end
        at = chunk.then
    return None


def _read(stream: BinaryIO, place: int) -> bytes:
    stream.seek(place)
    return stream.read(64)


def _layout_of_part(stream: BinaryIO, start: int, stop: int) -> Layout:
    part = cast("BinaryIO", io.BufferedReader(Stretch(stream, Link(start, stop))))
    begin, size = _read(part, 0), stop - start
    layout = wave_layout(part, size, begin) or aiff_layout(part, size, begin) or Layout((Link(0, size),))
    if layout.plain:  # the decoder is given the part as it is
        return replace(layout, links=(replace(layout.links[0], start=start, stop=stop),))
    return replace(
        layout, links=tuple(replace(link, start=link.start + start, stop=link.stop + start) for link in layout.links)
    )
