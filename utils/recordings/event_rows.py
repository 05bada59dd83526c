"""The rows of tables of events. A bad row costs nobody but itself."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from utils.recordings.event_columns import says_yes
from utils.recordings.event_layout import NUMBER, Head, values_of
from utils.recordings.recording import NOISE
from utils.tables import not_utf8

_LARGEST = 1e12  # seconds or Hz; beyond, sums become infinite
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
    """

    line: int
    file: str = ""
    label: str = ""
    start: float = 0.0
    end: float = 0.0
    low: float | None = None
    high: float | None = None
    fault: str = ""


def rows_of(lines: Sequence[str], head: Head) -> list[Row]:
    """Return all rows of a table of events, those that cannot be used with what is wrong with them."""
    found = _one_view(list(values_of(lines, head)), head)
    return [row for line, values in found for row in (_rows_of_classes(line, values, head) if head.classes else [_row(line, values, head)])]


def _one_view(found: Sequence[tuple[int, list[str] | None]], head: Head) -> list[tuple[int, list[str] | None]]:
    """Leave one row of each selection, for Raven writes one a view: the spectrogram's, or the first."""
    if not {"selection", "view"} <= head.places.keys():
        return list(found)
    keys = [(_file(values or (), head), _cell(values or (), "selection", head), _cell(values or (), "view", head)) for _, values in found]
    views: dict[tuple[str, str], str] = {}
    for file, selection, view in sorted(keys, key=lambda key: not key[2].startswith("Spectrogram")):
        views.setdefault((file, selection), view)
    return [row for row, (file, selection, view) in zip(found, keys, strict=True) if views[file, selection] == view or not selection]


def _cell(values: Sequence[str], kind: str, head: Head) -> str:
    place = head.places.get(kind, len(values))
    return values[place] if place < len(values) else ""  # ends of rows that hold nothing may be left out


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


def _cell_at(values: Sequence[str], place: int) -> str:
    return values[place] if place < len(values) else ""


def _row(line: int, values: Sequence[str] | None, head: Head, label: str | None = None) -> Row:
    """Return what a row says.

    Parameters
    ----------
    label : who sings, where that does not stand in the column of species
    """
    if values is None:
        return Row(line, fault="broken quoting")
    cells = {kind: _cell(values, kind, head) for kind in head.places}
    label = cells["species"] if label is None else label
    row = Row(line, _file(values, head), label if label.strip("? ") else "")
    if not_utf8("".join(values)):
        return replace(row, fault="is not UTF-8")
    if head.width and any(values[head.width :]):
        return replace(row, fault=f"has {len(values)} values, the table {head.width} columns")
    if not row.label:
        return row
    if head.separator != ",":  # a comma may then stand for the point
        cells |= {kind: text.replace(",", ".") for kind, text in cells.items() if kind not in ("file", "species")}
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
    if cells.get("offset") and cells.get("file"):  # Raven counts the time through all files that are open; the place in this one stands beside it
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
