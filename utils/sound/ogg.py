"""Ogg, in which several files may follow each other (chaining); libsndfile reads only the first of them."""

from typing import BinaryIO, NamedTuple

from utils.sound.layout import Layout, Segment
from utils.sound.spot_checks import is_increasing, spot_check_positions

PAGE_MARK = b"OggS"
PAGE_HEADER_BYTES = 27  # before the table of segment sizes
MAX_PAGE_BYTES = PAGE_HEADER_BYTES + 255 + 255 * 255
FIRST_PAGE, LAST_PAGE = 2, 4  # flags of the first and last page of a stream
OGG_SEARCH_STEP = 1 << 16  # bytes searched at once for the next page
OGG_FULL_SEARCH = 1 << 20  # bytes; shorter files are read completely even by a quick look


class OggPage(NamedTuple):
    """A page.

    Attributes
    ----------
    start, stop : positions of its first byte and behind its last
    stream : serial number of its stream
    number : of the page in its stream
    first, last : whether it is the first or last page of its stream
    """

    start: int
    stop: int
    stream: int
    number: int
    first: bool
    last: bool


def ogg_layout(stream: BinaryIO, size: int, first_bytes: bytes, *, quick: bool = False) -> Layout | None:
    """Return how to decode an Ogg file; None if it is something else.

    Parameters
    ----------
    quick : in a long file whose first and last pages are of the same stream, look only at some pages
    """
    first = _read_page(stream, 0) if first_bytes[:4] == PAGE_MARK else None
    if first is None:
        return None
    last = _last_page(stream, size) if quick and size > OGG_FULL_SEARCH else None
    if last and last.stream == first.stream:
        return Layout((Segment(0, size),), exact=last.last and _is_single_stream(stream, first, last))
    starts, still_open, incomplete, in_headers, end = [first.start], dict[int, int](), [False], True, size
    position: int | None = 0
    while position is not None and (page := _read_page(stream, position)):
        if page.first and not in_headers:  # the first pages of multiplexed streams come before all other pages
            incomplete[-1] |= bool(still_open)
            still_open.clear()
            starts.append(page.start)
            incomplete.append(False)
        in_headers = page.first
        incomplete[-1] |= page.number != still_open.pop(page.stream, page.number)
        if not page.last:
            still_open[page.stream] = page.number + 1
        end = page.stop
        position = page.stop if _is_page(stream, page.stop) else _find_page(stream, page.stop, size)
    incomplete[-1] |= bool(still_open) or end > size
    stops = [*starts[1:], size]
    segments = [
        Segment(start, stop, incomplete=is_incomplete)
        for start, stop, is_incomplete in zip(starts, stops, incomplete, strict=True)
    ]
    return Layout(tuple(segments), as_is=len(segments) == 1)


def _read_page(stream: BinaryIO, start: int) -> OggPage | None:
    stream.seek(start)
    header = stream.read(PAGE_HEADER_BYTES)
    if len(header) < PAGE_HEADER_BYTES or header[:4] != PAGE_MARK:
        return None
    sizes = stream.read(header[26])
    serial, number = (int.from_bytes(header[position : position + 4], "little") for position in (14, 18))
    return OggPage(
        start,
        start + PAGE_HEADER_BYTES + header[26] + sum(sizes),
        serial,
        number,
        bool(header[5] & FIRST_PAGE),
        bool(header[5] & LAST_PAGE),
    )


def _is_page(stream: BinaryIO, position: int) -> bool:
    stream.seek(position)
    return stream.read(4) == PAGE_MARK


def _find_page(stream: BinaryIO, position: int, size: int) -> int | None:
    """Return where the next page starts; None if there is none."""
    while position < size:
        stream.seek(position)
        piece = stream.read(OGG_SEARCH_STEP)
        at = piece.find(PAGE_MARK)
        if at >= 0:
            return position + at
        if len(piece) < OGG_SEARCH_STEP:
            return None
        position += OGG_SEARCH_STEP - 3
    return None


def _is_single_stream(stream: BinaryIO, first: OggPage, last: OggPage) -> bool:
    """Tell whether the pages are probably numbered consecutively from the first to the last."""
    positions = (_find_page(stream, position, last.stop) for position in spot_check_positions(first.start, last.start))
    pages = [None if position is None else _read_page(stream, position) for position in positions]
    alike = all(
        page is not None and page.stream == first.stream and (page == first or not page.first) for page in pages
    )
    return (
        alike
        and is_increasing([*(page.number for page in pages if page), last.number])
        and not any(page.last for page in pages if page and page != last)
    )


def _last_page(stream: BinaryIO, size: int) -> OggPage | None:
    tail_start = max(0, size - 2 * MAX_PAGE_BYTES)
    stream.seek(tail_start)
    tail = stream.read(size - tail_start)
    at = tail.rfind(PAGE_MARK)
    return _read_page(stream, tail_start + at) if at >= 0 else None
