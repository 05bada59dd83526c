"""Ogg, in which several files may follow each other; libsndfile reads the first of such a chain only."""

from typing import BinaryIO, NamedTuple

from utils.sound.links import Layout, Link

PAGE = b"OggS"
HEAD = 27  # bytes of a page before the sizes of its parts
LONGEST = HEAD + 255 + 255 * 255  # bytes of a page
FIRST, LAST = 2, 4  # flags of a page: its stream begins, and ends
STEP = 1 << 16  # bytes searched at once for the next page


class Page(NamedTuple):
    """A page: where it begins and ends, of which stream it is, which page of that, and whether it is the first or the last."""

    start: int
    stop: int
    stream: int
    number: int
    first: bool
    last: bool


def ogg_layout(stream: BinaryIO, size: int, begin: bytes, *, quick: bool = False) -> Layout | None:
    """Return how an Ogg file is to be decoded; None where it is none.

    Parameters
    ----------
    quick : look at the last page only, where that is of the first page's stream
    """
    first = _page(stream, 0) if begin[:4] == PAGE else None
    if first is None:
        return None
    if quick and _last_stream(stream, size) == first.stream:
        return None
    starts, still_open, lacking, ahead, end = [first.start], dict[int, int](), [False], True, size
    place: int | None = 0
    while place is not None and (page := _page(stream, place)):
        if page.first and not ahead:  # streams side by side all begin before anything else comes
            lacking[-1] |= bool(still_open)
            still_open.clear()
            starts.append(page.start)
            lacking.append(False)
        ahead = page.first
        lacking[-1] |= page.number != still_open.pop(page.stream, page.number)
        if not page.last:
            still_open[page.stream] = page.number + 1
        end = page.stop
        place = page.stop if _is_page(stream, page.stop) else _next(stream, page.stop, size)
    lacking[-1] |= bool(still_open) or end > size
    stops = [*starts[1:], size]
    links = [Link(start, stop, incomplete=lacks) for start, stop, lacks in zip(starts, stops, lacking, strict=True)]
    return Layout(tuple(links), plain=len(links) == 1)


def _page(stream: BinaryIO, start: int) -> Page | None:
    stream.seek(start)
    head = stream.read(HEAD)
    if len(head) < HEAD or head[:4] != PAGE:
        return None
    sizes = stream.read(head[26])
    serial, number = (int.from_bytes(head[place : place + 4], "little") for place in (14, 18))
    return Page(start, start + HEAD + head[26] + sum(sizes), serial, number, bool(head[5] & FIRST), bool(head[5] & LAST))


def _is_page(stream: BinaryIO, place: int) -> bool:
    stream.seek(place)
    return stream.read(4) == PAGE


def _next(stream: BinaryIO, place: int, size: int) -> int | None:
    """Return where the next page begins, behind what is none."""
    while place < size:
        stream.seek(place)
        piece = stream.read(STEP)
        at = piece.find(PAGE)
        if at >= 0:
            return place + at
        if len(piece) < STEP:
            return None
        place += STEP - 3
    return None


def _last_stream(stream: BinaryIO, size: int) -> int | None:
    begin = max(0, size - 2 * LONGEST)
    stream.seek(begin)
    tail = stream.read(size - begin)
    at = tail.rfind(PAGE)
    page = _page(stream, begin + at) if at >= 0 else None
    return page.stream if page else None
