"""Tables of events as people's programs write them: Raven's selection tables, Audacity's labels, and CSV.

A bad row costs nobody but itself.

Source: the selection tables of Raven Pro (ravensoundsoftware.com), manual.audacityteam.org/man/importing_and_exporting_labels.html, the annotations.csv of
the soundscapes on Zenodo (7050014, 7079380, 7525349), the results of BirdNET-Analyzer.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from config import Columns
from utils.console import Trouble
from utils.files import check_plain
from utils.tables import csv_rows, find_column, lines_of, not_utf8

Form = Literal["Raven selection tables", "Audacity labels", "CSV"]
FORMS: tuple[Form, ...] = ("Raven selection tables", "Audacity labels", "CSV")

_ENDINGS = (".txt", ".csv", ".tsv")
_HEAD = 65_536  # bytes at a file's begin that must tell what it is
_LARGEST = 1e12  # seconds or Hz; beyond, sums become infinite
# how tables call their columns; what is nearer to a scientific name goes first, as does the file's name before its path
_TIMES, _FREQUENCIES = ("", "s", "sec", "seconds"), ("", "hz", "khz")  # units that headings may end with
_NAMES = "scientific_name species label species_ebird_code species_code ebird_code primary_label code annotation common_name class manual_id"
_USUAL: Mapping[str, Sequence[str]] = {
    kind: [f"{name}_{unit}" for name in names.split() for unit in units]
    for kind, units, names in (
        ("file", ("",), "file filename begin_file in_file recording audio_file audio_filename sound_file sound_files sound audio begin_path filepath path"),
        ("start", _TIMES, "start start_time begin_time begin onset"),
        ("end", _TIMES, "end end_time stop stop_time offset"),
        ("duration", _TIMES, "duration delta_time"),
        ("species", ("",), _NAMES),
        ("low", _FREQUENCIES, "low low_freq low_frequency min_freq min_frequency freq_min fmin"),
        ("high", _FREQUENCIES, "high high_freq high_frequency max_freq max_frequency freq_max fmax"),
        ("offset", _TIMES, "file_offset"),
        ("selection", ("",), "selection"),
        ("view", ("",), "view"),
    )
}
_OF_RECORDINGS = ("date", "latitude", "lat", "author", "recordist", "licence", "license")  # beside one of these, a `time` is a time of day
_UNKNOWN = frozenset({"", "-", "na", "n/a", "nan", "none", "null"})  # in place of a frequency
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
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


@dataclass(frozen=True)
class Head:
    """How a table is laid out, as its first line tells.

    Attributes
    ----------
    form : which program's
    separator : what stands between two values
    names : the columns' headings; Audacity writes none
    places : in which column, counted from 0, each kind of value stands
    """

    form: Form
    separator: str
    names: Sequence[str]
    places: Mapping[str, int]

    @property
    def holds_events(self) -> bool:
        """Whether its rows say when who sings."""
        return {"start", "species"} <= self.places.keys()

    @property
    def names_files(self) -> bool:
        """Whether its rows say in which sound."""
        return "file" in self.places

    def hertz(self, kind: str) -> float:
        """Return how many Hz one unit of a column of frequencies is."""
        return 1000.0 if self.names and "khz" in self.names[self.places[kind]].lower() else 1.0


_LABELS = Head("Audacity labels", "\t", (), {"start": 0, "end": 1, "species": 2, "low": 3, "high": 4})


def tables_below(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder, then those in the folders below it, that may be tables by their endings; what is hidden is passed over."""
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(here, name) for name in sorted(files) if name.lower().endswith(_ENDINGS) and not name.startswith("."))


def read_head(table: Path, columns: Columns) -> Head | None:
    """Return how a table is laid out; None where the file is no table. Columns that `columns` does not name are recognised.

    Raises
    ------
    ValueError
        If its headings cannot be read.
    """
    check_plain(table)
    with table.open("rb") as stream:
        lines = lines_of(stream.read(_HEAD))
    first = next((line for line in lines if line.strip()), "")
    cells = [cell.strip() for cell in first.split("\t")]
    if len(cells) > 1 and all(_NUMBER.fullmatch(cell.replace(",", ".")) for cell in cells[:2]):
        return _LABELS
    separator = max(",;\t", key=first.count)
    form: Form = "Raven selection tables" if separator == "\t" and find_column([*map(_unquoted, cells)], ["Begin Time (s)"]) else "CSV"
    _, headings = next(_values(lines, form, separator), (0, []))
    if headings is None and table.suffix.lower() != ".txt":  # which may be prose
        raise ValueError("cannot be read as a table (broken quoting in its headings)")
    names = [" ".join(heading.split()) for heading in headings or ()]
    return Head(form, separator, names, _places(names, columns)) if names else None


def check_columns(table: Path, head: Head, columns: Columns) -> None:
    """Refuse a table that lacks a column which the settings name.

    Raises
    ------
    Trouble
        With the columns that are there.
    """
    for kind, name in asdict(columns).items():
        if name and head.names and not find_column(head.names, [name]):
            raise Trouble(f"{table}: has no column {name}, which dataset.columns.{kind} names; there are {', '.join(head.names)}")


def read_rows(table: Path, head: Head) -> list[Row]:
    """Read all rows of a table of events, those that cannot be used with what is wrong with them."""
    lines = lines_of(table.read_bytes())
    found = _label_values(lines) if head.form == "Audacity labels" else _one_view([*_values(lines, head.form, head.separator)][1:], head)
    return [_row(line, values, head) for line, values in found]


def _places(names: Sequence[str], columns: Columns) -> dict[str, int]:
    given = {kind: find_column(names, [name]) for kind, name in asdict(columns).items() if name}
    found = {kind: given.get(kind) or find_column(names, usual) for kind, usual in _USUAL.items()}
    if not found["start"] and found["duration"] and find_column(names, ["offset"]):  # Kaleidoscope's offset is where a call begins
        found |= {"start": find_column(names, ["offset"]), "end": None}
    if not found["start"] and not find_column(names, _OF_RECORDINGS):
        found["start"] = find_column(names, ("time", "time_s"))
    return {kind: names.index(column) for kind, column in found.items() if column}


def _values(lines: Sequence[str], form: Form, separator: str) -> Iterator[tuple[int, list[str] | None]]:
    """Yield the line and the values of each row that is not empty, the headings first; None where the quoting is broken."""
    found = _raven_values(lines) if form == "Raven selection tables" else csv_rows(lines, separator=separator)
    for line, values in found:
        if values is None or any(map(str.strip, values)):
            yield line, values and [value.strip() for value in values]


def _raven_values(lines: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Take tabs for ends wherever they are: Raven quotes nothing, so a quotation mark is one; only R and pandas put them around values."""
    for line, text in enumerate(lines, 1):
        yield line, [_unquoted(cell) for cell in text.split("\t")]


def _unquoted(cell: str) -> str:
    inner = re.fullmatch(r'"((?:[^"]|"")*)"', cell.strip())
    return inner[1].replace('""', '"') if inner else cell


def _label_values(lines: Iterable[str]) -> Iterable[tuple[int, list[str] | None]]:
    """Return the line and the values of each label of Audacity's; a line that begins with a backslash has the frequencies of the label above it."""
    found: list[tuple[int, list[str]]] = []
    for line, text in enumerate(lines, 1):
        start, *rest = (cell.strip() for cell in text.split("\t"))
        if start == "\\" and found:
            found[-1][1][3:] = rest[:2]
        elif text.strip():
            found.append((line, [start, "".join(rest[:1]), " ".join(rest[1:])]))
    return found


def _one_view(found: Sequence[tuple[int, list[str] | None]], head: Head) -> list[tuple[int, list[str] | None]]:
    """Leave one row of each selection, for Raven writes one a view: the spectrogram's, or the first."""
    if not {"selection", "view"} <= head.places.keys():
        return list(found)
    keys = [tuple(_cell(values or (), kind, head) for kind in ("file", "selection", "view")) for _, values in found]
    views: dict[tuple[str, str], str] = {}
    for file, selection, view in sorted(keys, key=lambda key: not key[2].startswith("Spectrogram")):
        views.setdefault((file, selection), view)
    return [row for row, (file, selection, view) in zip(found, keys, strict=True) if views[file, selection] == view or not selection]


def _cell(values: Sequence[str], kind: str, head: Head) -> str:
    place = head.places.get(kind, len(values))
    return values[place] if place < len(values) else ""  # ends of rows that hold nothing may be left out


def _row(line: int, values: Sequence[str] | None, head: Head) -> Row:
    if values is None:
        return Row(line, fault="broken quoting")
    cells = {kind: _cell(values, kind, head) for kind in head.places}
    row = Row(line, cells.get("file", ""), cells["species"] if cells["species"].strip("? ") else "")
    if not_utf8("".join(values)):
        return replace(row, fault="is not UTF-8")
    if head.names and any(values[len(head.names) :]):
        return replace(row, fault=f"has {len(values)} values, the table {len(head.names)} columns")
    if not row.label:
        return row
    if head.separator != ",":  # a comma may then stand for the point
        cells |= {kind: text.replace(",", ".") for kind, text in cells.items() if kind not in ("file", "species")}
    try:
        start, end = _times(cells)
        low, high = (_frequency(cells[kind], head.hertz(kind)) if kind in cells else None for kind in ("low", "high"))
        if low is not None and high is not None and high < low:
            raise ValueError("its highest frequency lies below its lowest")
    except ValueError as error:
        return replace(row, fault=str(error))
    return replace(row, start=start, end=end, low=low, high=high)


def _times(cells: Mapping[str, str]) -> tuple[float, float]:
    """Return when an event begins and ends; without an end it is a point in time."""
    start = _seconds(cells, "start")
    end = start
    if cells.get("end"):
        end = _seconds(cells, "end")
    elif cells.get("duration"):
        end += _seconds(cells, "duration")
    if end < start:
        raise ValueError("ends before it has begun")
    if cells.get("offset") and cells.get("file"):  # Raven counts the time through all files that are open; the place in this one stands beside it
        offset = _seconds(cells, "offset")
        start, end = offset, offset + (end - start)
    if start < 0:
        raise ValueError(f"begins {-start:g} s before the recording")
    return start, end


def _seconds(cells: Mapping[str, str], kind: str) -> float:
    """Return a time in seconds, which may be written as h:mm:ss or mm:ss."""
    if clock := _CLOCK.fullmatch(cells[kind]):
        return 3600.0 * float(clock[1] or 0) + 60.0 * float(clock[2]) + float(clock[3])
    return _number(cells[kind], what=f"its {kind}")


def _frequency(text: str, hertz: float) -> float | None:
    if text.lower() in _UNKNOWN:
        return None
    frequency = hertz * _number(text, what="its frequency")
    return frequency if frequency >= 0 else None  # Audacity's −1 is none


def _number(text: str, *, what: str) -> float:
    if not _NUMBER.fullmatch(text) or abs(float(text)) > _LARGEST:
        raise ValueError(f"{what} {text!r} is no number")
    return float(text)
