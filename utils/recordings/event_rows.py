"""The rows of annotation tables. A bad row does not affect the others."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from utils.recordings.event_columns import MISSING_VALUES, NO_VALUES, YES_VALUES, parse_yes_no
from utils.recordings.event_layout import NUMBER_PATTERN, TableLayout, table_values
from utils.recordings.recording import NOISE
from utils.tables import not_utf8

_TableRows = list[tuple[int, list[str] | None]]  # line and values; None for broken quoting
_MAX_NUMBER = 1e12  # seconds or Hz; sums of larger numbers could overflow
_THOUSANDS = re.compile(r"[1-9]\d{0,2}(,\d{3})+", re.ASCII)  # or a decimal comma
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+|(\d+:)+\d+,\d+", re.ASCII)
_TIMES_AND_FREQUENCIES = ("start", "end", "duration", "offset", "low", "high")
_LATIN_NAME = re.compile(r"[A-Z][a-z]* [a-z][a-z-]*( [a-z][a-z-]*)?")
_LABEL_PATTERN = re.compile(r"[^\W\d_][\w'’ .,()/-]*")  # the name of a species, or its code
_UNIDENTIFIED = frozenset({"noid", "no id"})  # Kaleidoscope's labels for unidentified calls
_NO_FREQUENCY = frozenset({"", "-", "na", "n/a", "nan", "none", "null"})  # in place of a frequency
_CLOCK_TIME = re.compile(r"(?:(\d{1,6}):(?=[0-5]?\d:))?(\d{1,6}):([0-5]?\d(?:\.\d*)?)", re.ASCII)  # h:mm:ss or mm:ss


@dataclass(frozen=True)
class AnnotationRow:
    """One annotation.

    Attributes
    ----------
    line : in the table, counted from 1
    file : the audio file as the table names it; '' if it names none
    label : the species; '' if there is none, or only question marks; its times are then not parsed
    start, end : seconds from the start of the recording
    low, high : Hz; None if not known
    problem : why the row cannot be used; '' if it can
    ends_in : the next file as the table names it, if the annotation does not end in this one
    excluded : why the row is valid, but not used: its species was 'absent', or it is 'unverified'; '' if it is used
    """

    line: int
    file: str = ""
    label: str = ""
    start: float = 0.0
    end: float = 0.0
    low: float | None = None
    high: float | None = None
    problem: str = ""
    ends_in: str = ""
    excluded: Literal["", "absent", "unverified"] = ""


def parse_rows(lines: Sequence[str], layout: TableLayout) -> list[AnnotationRow]:
    """Return all rows of an annotation table; those that cannot be used have a `problem`."""
    table_rows = _with_decimal_points(_one_row_per_selection(list(table_values(lines, layout)), layout), layout)
    is_deciding = {kind: _is_yes_no_column(kind, table_rows, layout) for kind in ("present", "absent", "verified")}
    rows = []
    for line, values in table_rows:
        ends_in = _end_file(values or (), layout)
        excluded = _exclusion([kind for kind, decides in is_deciding.items() if decides], values or (), layout)
        some = _rows_of_classes(line, values, layout) if layout.classes else _rows_of_species(line, values, layout)
        rows += [replace(row, ends_in=ends_in, excluded=excluded) if ends_in or excluded else row for row in some]
    return rows


def _is_yes_no_column(kind: str, rows: _TableRows, layout: TableLayout) -> bool:
    """Tell whether a column holds yes or no in every row."""
    found = {value for _, values in rows if (value := _value(values or (), kind, layout).lower()) not in MISSING_VALUES}
    return bool(found) and found <= YES_VALUES | NO_VALUES


def _exclusion(kinds: Sequence[str], values: Sequence[str], layout: TableLayout) -> Literal["", "absent", "unverified"]:
    """Return why a row is not used, by its columns that say whether it counts."""
    decisions = {kind: _value(values, kind, layout).lower() for kind in kinds}
    if decisions.get("present") in NO_VALUES or decisions.get("absent") in YES_VALUES:
        return "absent"
    return "unverified" if decisions.get("verified") in NO_VALUES else ""


def _end_file(values: Sequence[str], layout: TableLayout) -> str:
    """Return the file in which an annotation of Raven ends, if it starts in another one."""
    start, end = _value(values, "file", layout), _value(values, "end_file", layout)
    return end if start and end and re.split(r"[\\/]", start)[-1].lower() != re.split(r"[\\/]", end)[-1].lower() else ""


def _with_decimal_points(rows: _TableRows, layout: TableLayout) -> _TableRows:
    """Replace decimal commas in numbers by points.

    If commas separate the values, such a number is in quotation marks. There, `1,500` has a decimal comma only if other
    numbers of the table have one that cannot separate thousands.
    """
    if layout.separator == "," and not any(
        _DECIMAL_COMMA.fullmatch(cell) and not _THOUSANDS.fullmatch(cell) for cell in _number_cells(rows, layout)
    ):
        return rows
    positions = {layout.positions[kind] for kind in _TIMES_AND_FREQUENCIES if kind in layout.positions}
    return [
        (
            line,
            values
            and [cell.replace(",", ".") if position in positions else cell for position, cell in enumerate(values)],
        )
        for line, values in rows
    ]


def _number_cells(rows: _TableRows, layout: TableLayout) -> Iterator[str]:
    return (_value(values or (), kind, layout) for _, values in rows for kind in _TIMES_AND_FREQUENCIES)


def _one_row_per_selection(rows: _TableRows, layout: TableLayout) -> _TableRows:
    """Return one row per selection, because Raven writes one for each view.

    It is that of the spectrogram view or else the first, unless only another one has the label. Rows with the same
    selection number, but other times or labels, are different selections, as in merged tables.
    """
    if not {"selection", "view"} <= layout.positions.keys():
        return rows
    selections: dict[tuple[str, ...], list[tuple[str, str, int]]] = {}  # view, label and index of their rows
    for index in sorted(
        range(len(rows)), key=lambda index: not _value(rows[index][1] or (), "view", layout).startswith("Spectrogram")
    ):
        values = rows[index][1] or ()
        key = tuple(
            _file_path(values, layout) if kind == "file" else _value(values, kind, layout)
            for kind in ("file", "selection", "start", "end", "duration")
        )
        view, label = _value(values, "view", layout), _value(values, "species", layout)
        alike = selections.setdefault(key, [])
        same = next(
            (
                position
                for position, (other_view, other_label, _) in enumerate(alike)
                if other_view != view and (other_label == label or not other_label or not label)
            ),
            None,
        )
        if same is None or not key[1]:
            alike.append((view, label, index))
        elif label and not alike[same][1]:
            alike[same] = (view, label, index)
    return [rows[index] for index in sorted(index for alike in selections.values() for _, _, index in alike)]


def _value_at(values: Sequence[str], position: int) -> str:
    return values[position] if position < len(values) else ""  # empty values at the end of a row may be missing


def _value(values: Sequence[str], kind: str, layout: TableLayout) -> str:
    return _value_at(values, layout.positions.get(kind, len(values)))


def _file_path(values: Sequence[str], layout: TableLayout) -> str:
    """Return the path of the audio file; Kaleidoscope writes its folders into other columns."""
    file = _value(values, "file", layout)
    folders = [_value(values, kind, layout) for kind in ("top", "folder")]
    return "/".join([*(folder for folder in folders if folder), file]) if file else ""


def _rows_of_classes(line: int, values: Sequence[str] | None, layout: TableLayout) -> Iterator[AnnotationRow]:
    """Yield an annotation for each class that is present; if none is, one of noise, or without a label if unknown."""
    try:
        is_present = {
            name: parse_yes_no(_value_at(values or (), position)) for position, name in layout.classes.items()
        }
    except ValueError as error:
        yield AnnotationRow(line, _file_path(values or (), layout), problem=f"class value {error}")
        return
    present = [name for name, yes in is_present.items() if yes]
    for label in present or ["" if None in is_present.values() else NOISE]:
        yield _annotation_row(line, values, layout, label=label)


def _rows_of_species(line: int, values: list[str] | None, layout: TableLayout) -> Iterator[AnnotationRow]:
    """Yield an annotation for each species of a row; there may be several in a column, and several columns."""
    first = _value(values or (), "species", layout)
    others = (_value_at(values or (), position) for position in layout.more_species)
    more_species = [label for label in others if label and not NUMBER_PATTERN.fullmatch(label)]
    labels = [label for cell in (first, *more_species) for label in _species_in(cell, layout.separator) if label]
    for label in labels or [first]:
        yield _annotation_row(line, values, layout, label=label)


def _species_in(cell: str, separator: str) -> list[str]:
    """Return the species in a cell.

    They are separated by ; or | (unless that separates the cells of the table), or by commas if all are binomials.
    """
    parts = [
        part
        for text in re.split("|".join(re.escape(mark) for mark in ";|" if mark != separator), cell)
        if (part := text.strip())
    ]
    if not all(_LABEL_PATTERN.fullmatch(part) or not part.strip("? ") for part in parts):
        parts = [cell]
    several = {text: [part.strip() for part in text.split(",")] for text in parts}
    return [
        label.strip()
        for text, binomials in several.items()
        for label in (binomials if all(map(_LATIN_NAME.fullmatch, binomials)) else [text])
    ]


def _annotation_row(line: int, values: Sequence[str] | None, layout: TableLayout, *, label: str) -> AnnotationRow:
    """Return the annotation of one species in a row."""
    if values is None:
        return AnnotationRow(line, problem="broken quoting")
    cells = {kind: _value(values, kind, layout) for kind in layout.positions}
    known = label.strip("? ") and label.strip("? ").lower() not in _UNIDENTIFIED
    row = AnnotationRow(line, _file_path(values, layout), label if known else "")
    if not_utf8("".join(values)):
        return replace(row, problem="is not UTF-8")
    if layout.width and any(values[layout.width :]):
        return replace(row, problem=f"has {len(values)} values, but the table has {layout.width} columns")
    if not row.label:
        return row
    try:
        start, end = _times(cells, layout)
        low, high = (_to_hertz(cells[kind], layout.unit(kind)) if kind in cells else None for kind in ("low", "high"))
        if low is not None and high is not None and high < low:
            raise ValueError("its highest frequency is below its lowest")
    except ValueError as error:
        return replace(row, problem=str(error))
    return replace(row, start=start, end=end, low=low, high=high)


def _times(cells: Mapping[str, str], layout: TableLayout) -> tuple[float, float]:
    """Return start and end of an event, seconds; without an end, it is a point in time."""
    start = _to_seconds(cells, "start", layout)
    end = start
    if cells.get("end"):
        end = _to_seconds(cells, "end", layout)
    elif cells.get("duration"):
        end += _to_seconds(cells, "duration", layout)
    if end < start:
        raise ValueError("ends before it starts")
    # Raven's times count through all open files; the offset is the time in this file
    if cells.get("offset") and cells.get("file"):
        offset = _to_seconds(cells, "offset", layout)
        start, end = offset, offset + (end - start)
    if start < 0:
        raise ValueError(f"starts {-start:g} s before the recording")
    return start, end


def _to_seconds(cells: Mapping[str, str], kind: str, layout: TableLayout) -> float:
    """Return a time in seconds, which may be written as h:mm:ss or mm:ss."""
    if clock := _CLOCK_TIME.fullmatch(cells[kind]):
        return 3600.0 * float(clock[1] or 0) + 60.0 * float(clock[2]) + float(clock[3])
    return _parse_number(cells[kind], what=f"its {kind}") * layout.unit(kind)


def _to_hertz(text: str, hertz: float) -> float | None:
    if text.lower() in _NO_FREQUENCY:
        return None
    frequency = hertz * _parse_number(text, what="its frequency")
    return frequency if frequency >= 0 else None  # Audacity writes −1 for none


def _parse_number(text: str, *, what: str) -> float:
    if not NUMBER_PATTERN.fullmatch(text) or abs(float(text)) > _MAX_NUMBER:
        raise ValueError(f"{what} {text!r} is not a number")
    return float(text)
