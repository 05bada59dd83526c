"""The rows of tables of events. A bad row costs nobody but itself."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from utils.recordings.event_columns import NO, UNSAID, YES, says_yes
from utils.recordings.event_layout import NUMBER, Head, values_of
from utils.recordings.recording import NOISE
from utils.tables import not_utf8

_Found = list[tuple[int, list[str] | None]]  # the lines and the values of rows; None where the quoting is broken
_LARGEST = 1e12  # seconds or Hz; beyond, sums become infinite
_THOUSANDS = re.compile(r"[1-9]\d{0,2}(,\d{3})+", re.ASCII)  # may be a fraction behind a comma as well
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+|(\d+:)+\d+,\d+", re.ASCII)
_TIMES_AND_FREQUENCIES = ("start", "end", "duration", "offset", "low", "high")
_SPECIES = re.compile(r"[A-Z][a-z]* [a-z][a-z-]*( [a-z][a-z-]*)?")
_NAME = re.compile(r"[^\W\d_][\w'’ .,()/-]*")  # of a species, or its code
_NOBODY_KNOWS = frozenset({"noid", "no id"})  # Kaleidoscope's, where it names no species
_UNKNOWN = frozenset({"", "-", "na", "n/a", "nan", "none", "null"})  # in place of a frequency
_CLOCK = re.compile(r"(?:(\d{1,6}):(?=[0-5]?\d:))?(\d{1,6}):([0-5]?\d(?:\.\d*)?)", re.ASCII)  # h:mm:ss or mm:ss


@dataclass(frozen=True)
class Row:
    """One annotation.

    Attributes
    ----------
    line : where it stands in the table, counted from 1
    file : the sound as the table names it; '' where it names none
    label : who sings; '' where that is not said, or said with question marks only, and then the times are not looked at
    start, end : seconds from the recording's begin
    low, high : Hz; None where not known
    fault : why the row cannot be used; '' where it can
    into : the next sound as the table names it, where the annotation does not end in this one
    out : why the row is not to be used, though nothing is wrong with it: it says that the species was 'absent', or is
        'unverified'; '' where it is
    """

    line: int
    file: str = ""
    label: str = ""
    start: float = 0.0
    end: float = 0.0
    low: float | None = None
    high: float | None = None
    fault: str = ""
    into: str = ""
    out: Literal["", "absent", "unverified"] = ""


def rows_of(lines: Sequence[str], head: Head) -> list[Row]:
    """Return all rows of a table of events, those that cannot be used with what is wrong with them."""
    found = _with_points(_one_view(list(values_of(lines, head)), head), head)
    deciding = {kind: _says_whether(kind, found, head) for kind in ("present", "absent", "verified")}
    rows = []
    for line, values in found:
        into = _runs_into(values or (), head)
        out = _out([kind for kind, decides in deciding.items() if decides], values or (), head)
        some = _rows_of_classes(line, values, head) if head.classes else _rows_of_species(line, values, head)
        rows += [replace(row, into=into, out=out) if into or out else row for row in some]
    return rows


def _says_whether(kind: str, found: _Found, head: Head) -> bool:
    """Tell whether a column says yes or no in every row."""
    said = {value for _, values in found if (value := _cell(values or (), kind, head).lower()) not in UNSAID}
    return bool(said) and said <= YES | NO


def _out(kinds: Sequence[str], values: Sequence[str], head: Head) -> Literal["", "absent", "unverified"]:
    """Return why a row is not to be used, as its columns say that tell so."""
    said = {kind: _cell(values, kind, head).lower() for kind in kinds}
    if said.get("present") in NO or said.get("absent") in YES:
        return "absent"
    return "unverified" if said.get("verified") in NO else ""


def _runs_into(values: Sequence[str], head: Head) -> str:
    """Return the sound in which an annotation of Raven's ends, where that is another one than it begins in."""
    begin, end = _cell(values, "file", head), _cell(values, "end_file", head)
    return end if begin and end and re.split(r"[\\/]", begin)[-1].lower() != re.split(r"[\\/]", end)[-1].lower() else ""


def _with_points(found: _Found, head: Head) -> _Found:
    """Write the numbers with points in which a comma stands for one.

    Where commas separate the values, such a number stands in quotation marks; `1,500` is one only if others of the
    table are, for it may be 1500.
    """
    if head.separator == "," and not any(
        _DECIMAL_COMMA.fullmatch(cell) and not _THOUSANDS.fullmatch(cell) for cell in _numbers(found, head)
    ):
        return found
    places = {head.places[kind] for kind in _TIMES_AND_FREQUENCIES if kind in head.places}
    return [
        (line, values and [cell.replace(",", ".") if place in places else cell for place, cell in enumerate(values)])
        for line, values in found
    ]


def _numbers(found: _Found, head: Head) -> Iterator[str]:
    return (_cell(values or (), kind, head) for _, values in found for kind in _TIMES_AND_FREQUENCIES)


def _one_view(found: _Found, head: Head) -> _Found:
    """Leave one row of each selection, for Raven writes one a view: the spectrogram's, or the first, unless only another has the label.

    Rows of one number whose times or labels differ are several selections, as of tables that were put together.
    """
    if not {"selection", "view"} <= head.places.keys():
        return found
    kept: dict[tuple[str, ...], list[tuple[str, str, int]]] = {}  # view, label and number of the rows of one selection
    for number in sorted(
        range(len(found)), key=lambda number: not _cell(found[number][1] or (), "view", head).startswith("Spectrogram")
    ):
        values = found[number][1] or ()
        key = tuple(
            _file(values, head) if kind == "file" else _cell(values, kind, head)
            for kind in ("file", "selection", "start", "end", "duration")
        )
        view, label = _cell(values, "view", head), _cell(values, "species", head)
        alike = kept.setdefault(key, [])
        same = next(
            (
                place
                for place, (of, as_, _) in enumerate(alike)
                if of != view and (as_ == label or not as_ or not label)
            ),
            None,
        )
        if same is None or not key[1]:
            alike.append((view, label, number))
        elif label and not alike[same][1]:
            alike[same] = (view, label, number)
    numbers = sorted(number for alike in kept.values() for _, _, number in alike)
    return [found[number] for number in numbers]


def _cell_at(values: Sequence[str], place: int) -> str:
    return values[place] if place < len(values) else ""  # ends of rows that hold nothing may be left out


def _cell(values: Sequence[str], kind: str, head: Head) -> str:
    return _cell_at(values, head.places.get(kind, len(values)))


def _file(values: Sequence[str], head: Head) -> str:
    """Return the sound's name, after the folders in which it is by other columns, as Kaleidoscope writes them."""
    file = _cell(values, "file", head)
    folders = [_cell(values, kind, head) for kind in ("top", "folder")]
    return "/".join([*(folder for folder in folders if folder), file]) if file else ""


def _rows_of_classes(line: int, values: Sequence[str] | None, head: Head) -> Iterator[Row]:
    """Yield an annotation for each class that is heard in a span; where none is, one that says so, or that it is not known."""
    try:
        said = {name: says_yes(_cell_at(values or (), place)) for place, name in head.classes.items()}
    except ValueError as error:
        yield Row(line, _file(values or (), head), fault=f"a class's value {error}")
        return
    heard = [name for name, yes in said.items() if yes]
    for label in heard or ["" if None in said.values() else NOISE]:
        yield _row(line, values, head, label=label)


def _rows_of_species(line: int, values: list[str] | None, head: Head) -> Iterator[Row]:
    """Yield an annotation for each species of a row: there may be several in its column, and more columns."""
    first = _cell(values or (), "species", head)
    further = [
        label for place in head.further if (label := _cell_at(values or (), place)) and not NUMBER.fullmatch(label)
    ]
    labels = [label for cell in (first, *further) for label in _species_in(cell, head.separator) if label]
    for label in labels or [first]:
        yield _row(line, values, head, label=label)


def _species_in(cell: str, separator: str) -> list[str]:
    """Return the species in a cell, between which ; or | stands where that does not stand between the table's cells, or a comma where all are binomials."""
    parts = [
        part
        for text in re.split("|".join(re.escape(mark) for mark in ";|" if mark != separator), cell)
        if (part := text.strip())
    ]
    if not all(_NAME.fullmatch(part) or not part.strip("? ") for part in parts):
        parts = [cell]
    several = {text: [part.strip() for part in text.split(",")] for text in parts}
    return [
        label.strip()
        for text, binomials in several.items()
        for label in (binomials if all(map(_SPECIES.fullmatch, binomials)) else [text])
    ]


def _row(line: int, values: Sequence[str] | None, head: Head, *, label: str) -> Row:
    """Return what a row says of one species."""
    if values is None:
        return Row(line, fault="broken quoting")
    cells = {kind: _cell(values, kind, head) for kind in head.places}
    known = label.strip("? ") and label.strip("? ").lower() not in _NOBODY_KNOWS
    row = Row(line, _file(values, head), label if known else "")
    if not_utf8("".join(values)):
        return replace(row, fault="is not UTF-8")
    if head.width and any(values[head.width :]):
        return replace(row, fault=f"has {len(values)} values, the table {head.width} columns")
    if not row.label:
        return row
    try:
        start, end = _times(cells, head)
        low, high = (_frequency(cells[kind], head.unit(kind)) if kind in cells else None for kind in ("low", "high"))
        if low is not None and high is not None and high < low:
            raise ValueError("its highest frequency lies below its lowest")
    except ValueError as error:
        return replace(row, fault=str(error))
    return replace(row, start=start, end=end, low=low, high=high)


def _times(cells: Mapping[str, str], head: Head) -> tuple[float, float]:
    """Return when an event begins and ends; without an end it is a point in time."""
    start = _seconds(cells, "start", head)
    end = start
    if cells.get("end"):
        end = _seconds(cells, "end", head)
    elif cells.get("duration"):
        end += _seconds(cells, "duration", head)
    if end < start:
        raise ValueError("ends before it has begun")
    # Raven counts the time through all files that are open; the place in this one stands beside it
    if cells.get("offset") and cells.get("file"):
        offset = _seconds(cells, "offset", head)
        start, end = offset, offset + (end - start)
    if start < 0:
        raise ValueError(f"begins {-start:g} s before the recording")
    return start, end


def _seconds(cells: Mapping[str, str], kind: str, head: Head) -> float:
    """Return a time in seconds, which may be written as h:mm:ss or mm:ss."""
    if clock := _CLOCK.fullmatch(cells[kind]):
        return 3600.0 * float(clock[1] or 0) + 60.0 * float(clock[2]) + float(clock[3])
    return _number(cells[kind], what=f"its {kind}") * head.unit(kind)


def _frequency(text: str, hertz: float) -> float | None:
    if text.lower() in _UNKNOWN:
        return None
    frequency = hertz * _number(text, what="its frequency")
    return frequency if frequency >= 0 else None  # Audacity's −1 is none


def _number(text: str, *, what: str) -> float:
    if not NUMBER.fullmatch(text) or abs(float(text)) > _LARGEST:
        raise ValueError(f"{what} {text!r} is no number")
    return float(text)
