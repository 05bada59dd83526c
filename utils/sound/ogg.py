"""Ogg, in which several files may follow each other; libsndfile reads the first of such a chain only."""

from typing import BinaryIO, NamedTuple

from utils.sound.links import Layout, Link
from utils.sound.probes import probes, rises

PAGE = b"OggS"
HEAD = 27  # bytes of a page before the sizes of its parts
LONGEST = HEAD + 255 + 255 * 255  # bytes of a page
FIRST, LAST = 2, 4  # flags of a page: its stream begins, and ends
STEP = 1 << 16  # bytes searched at once for the next page
QUICKLY = 1 << 20  # bytes that even a quick look walks through


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
    quick : of a long file, look at some pages only, where the last one is of the first page's stream
    """
    first = _page(stream, 0) if begin[:4] == PAGE else None
    if first is None:
        return None
    last = _last(stream, size) if quick and size > QUICKLY else None
    if last and last.stream == first.stream:
        return Layout((Link(0, size),), sure=last.last and _is_one(stream, first, last))
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
    return Page(
        start, start + HEAD + head[26] + sum(sizes), serial, number, bool(head[5] & FIRST), bool(head[5] & LAST)
    )


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


def _is_one(stream: BinaryIO, first: Page, last: Page) -> bool:
    """Tell whether it seems that pages are counted through from the first to the last."""
    places = (_next(stream, place, last.stop) for place in probes(first.start, last.start))
    pages = [None if place is None else _page(stream, place) for place in places]
    alike = all(
        page is not None and page.stream == first.stream and (page == first or not page.first) for page in pages
    )
    return (
        alike
        and rises([*(page.number for page in pages if page), last.number])
        and not any(page.last for page in pages if page and page != last)
    )


def _last(stream: BinaryIO, size: int) -> Page | None:
    begin = max(0, size - 2 * LONGEST)
    stream.seek(begin)
    tail = stream.read(size - begin)
    at = tail.rfind(PAGE)
    return _page(stream, begin + at) if at >= 0 else None
