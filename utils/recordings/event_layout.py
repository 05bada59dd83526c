"""The layout of annotation tables: which program wrote one, its separator, and its columns.

Source: the selection tables of Raven Pro (ravensoundsoftware.com),
manual.audacityteam.org/man/importing_and_exporting_labels.html, the annotation layers that Sonic Visualiser exports
(sonicvisualiser.org/doc/reference).
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from config import Columns
from utils.formula_cells import restored
from utils.recordings.event_columns import class_columns, column_positions, heading_unit, more_species_columns
from utils.tables import csv_rows, find_column, first_line, without_preamble

TableFormat = Literal["Raven selection tables", "Audacity labels", "Sonic Visualiser layers", "CSV"]
TABLE_FORMATS: tuple[TableFormat, ...] = ("Raven selection tables", "Audacity labels", "Sonic Visualiser layers", "CSV")

SEPARATORS = ",;\t|"
NUMBER_PATTERN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_CONFIDENCE = re.compile(r"(\d+\.?\d*|\.\d+)%?", re.ASCII)
# a species in BirdNET's labels for Audacity: 'Turdus merula, Eurasian Blackbird'
_BIRDNET_LABEL = re.compile(r"([A-Z][a-z]+(?: [a-z][a-z-]+){1,2}), (\S.*)")
_MIN_INTERVAL_ROWS = 3  # rows; from then on a second number that is never below the first is an end, not a duration


@dataclass(frozen=True)
class TableLayout:
    """The layout of a table, from its first lines.

    Attributes
    ----------
    format : the program that wrote it
    separator : between two values
    headings : of the columns; Audacity and Sonic Visualiser write none
    positions : index of the column of each kind of value
    classes : the class of each column that holds 1 if the class is present, if there is no species column
    more_species : further columns of species
    """

    format: TableFormat
    separator: str
    headings: Sequence[str]
    positions: Mapping[str, int]
    classes: Mapping[int, str] = field(default_factory=dict)
    more_species: Sequence[int] = ()

    @property
    def holds_events(self) -> bool:
        """Whether its rows have a start and a species."""
        return "start" in self.positions and ("species" in self.positions or bool(self.classes))

    @property
    def names_files(self) -> bool:
        """Whether its rows name audio files."""
        return "file" in self.positions

    @property
    def width(self) -> int | None:
        """How many values a row has at most; None if that is not known, as for Audacity's labels."""
        return len(self.headings) or (
            max(self.positions.values()) + 1 if self.format == "Sonic Visualiser layers" else None
        )

    def unit(self, kind: str) -> float:
        """Return the factor to seconds or Hz of a column."""
        return heading_unit(self.headings[self.positions[kind]], kind) if self.headings else 1.0


_AUDACITY_LAYOUT = TableLayout("Audacity labels", "\t", (), {"start": 0, "end": 1, "species": 2, "low": 3, "high": 4})
# columns of a Sonic Visualiser layer, by how many there are; the others depend on the kind of layer
_LAYER_COLUMNS: Mapping[int, Mapping[str, int]] = {
    2: {"start": 0, "species": 1},
    3: {"start": 0, "duration": 1, "species": 2},
    4: {"start": 0, "duration": 2, "species": 3},  # regions: time, value, duration, label
    5: {"start": 0, "duration": 2, "species": 4},  # notes: time, value, duration, level, label
}


def find_layout(lines: Sequence[str], columns: Columns, *, prose: bool) -> TableLayout | None:
    """Return the layout of a table; None if the text is not a table.

    Parameters
    ----------
    lines : the first lines of the table, or all
    prose : whether the text may well be something else than a table

    Raises
    ------
    ValueError
        If its headings cannot be read.
    """
    lines, named_separator = without_preamble(lines)
    first = first_line(lines)
    cells = [cell.strip() for cell in first.split("\t")]
    if layer := _sonic_visualiser_layout(lines):
        return layer
    if len(cells) > 1 and all(map(is_number, cells[:2])):
        return _AUDACITY_LAYOUT
    separator = named_separator or max(SEPARATORS, key=first.count)
    table_format: TableFormat = (
        "Raven selection tables"
        if separator == "\t" and find_column([*map(_unquoted, cells)], ["Begin Time (s)"])
        else "CSV"
    )
    rows = _split_rows(lines, table_format, separator)
    _, first_row = next(rows, (0, []))
    if first_row is None and not prose:
        raise ValueError("cannot be read as a table (broken quoting in its headings)")
    headings = [" ".join(heading.split()) for heading in first_row or ()]
    if not headings:
        return None
    positions = column_positions(headings, columns)
    classes: Mapping[int, str] = {}
    # columns such as `label 1`, `label 2` may be classes
    if "species" not in positions or (headings[positions["species"]].endswith("1") and not columns.species):
        others = {kind: position for kind, position in positions.items() if kind != "species"}
        classes = class_columns(headings, others, [values for _, values in rows if values])
        if "species" not in positions or positions["species"] in classes:
            positions = others
        else:
            classes = {}
    return TableLayout(table_format, separator, headings, positions, classes, more_species_columns(headings, positions))


def table_values(lines: Sequence[str], layout: TableLayout) -> Iterable[tuple[int, list[str] | None]]:
    """Return the line and the values of each row that is not empty; None for values with broken quoting."""
    lines, _ = without_preamble(lines)
    if layout.format == "Audacity labels":
        return _audacity_rows(lines)
    found = _split_rows(lines, layout.format, layout.separator)
    return list(found)[1 if layout.headings else 0 :]


def is_number(text: str) -> bool:
    """Tell whether a text is a number, with a decimal point or comma."""
    return NUMBER_PATTERN.fullmatch(text.replace(",", ".")) is not None


def _sonic_visualiser_layout(lines: Sequence[str]) -> TableLayout | None:
    """Return the layout of a layer exported from Sonic Visualiser; None if it is something else.

    Such a table has no headings; its first column is the time, its last one the label.
    """
    first = first_line(lines)
    separator = "\t" if "\t" in first else ","
    if not is_number(first.split(separator)[0].strip()):
        return None
    rows = [
        row
        for _, row in zip(range(1000), (values for _, values in _split_rows(lines, "CSV", separator)), strict=False)
        if row
    ]
    widths = [len(row) for row in rows]
    width = max(set(widths), key=widths.count) if widths else 0
    least = 4 if separator == "\t" else 2  # with tabs, fewer are Audacity's labels
    if (
        width not in _LAYER_COLUMNS
        or width < least
        or len(rows[0]) != width
        or not all(NUMBER_PATTERN.fullmatch(cell) for cell in rows[0][:-1])
    ):
        return None
    if not any(len(row) == width and row[-1] and not is_number(row[-1]) for row in rows):
        return None
    positions = _LAYER_COLUMNS[width]
    if width == 3 and _second_is_end(rows):
        positions = {"start": 0, "end": 1, "species": 2}
    return TableLayout("Sonic Visualiser layers", separator, (), positions)


def _second_is_end(rows: Sequence[Sequence[str]]) -> bool:
    """Tell whether the second of three values is an end and not a duration, because it is never below the first.

    Other programs than Sonic Visualiser write such tables without headings.
    """
    times = [
        (float(row[0]), float(row[1]))
        for row in rows
        if len(row) == 3 and all(NUMBER_PATTERN.fullmatch(cell) for cell in row[:2])
    ]
    return len(times) >= _MIN_INTERVAL_ROWS and all(end >= start for start, end in times)


def _split_rows(
    lines: Sequence[str], table_format: TableFormat, separator: str
) -> Iterator[tuple[int, list[str] | None]]:
    """Yield the line and the values of each row that is not empty, headings first; None for broken quoting."""
    found = _raven_rows(lines) if table_format == "Raven selection tables" else csv_rows(lines, separator=separator)
    plain = restored if table_format == "CSV" else str
    for line, values in found:
        if values is None or any(map(str.strip, values)):
            yield line, values and [plain(value.strip()).strip() for value in values]


def _raven_rows(lines: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Split at every tab: Raven does not quote values, so a quotation mark is just a character.

    Quotation marks around a whole value come from R or pandas, and are removed.
    """
    for line, text in enumerate(lines, 1):
        yield line, [_unquoted(cell) for cell in text.split("\t")]


def _unquoted(cell: str) -> str:
    inner = re.fullmatch(r'"((?:[^"]|"")*)"', cell.strip())
    return inner[1].replace('""', '"') if inner else cell


def _audacity_rows(lines: Iterable[str]) -> Iterable[tuple[int, list[str] | None]]:
    """Return the line and the values of each Audacity label; a line after it with a backslash holds its frequencies."""
    found: list[tuple[int, list[str]]] = []
    for line, text in enumerate(lines, 1):
        start, *rest = (cell.strip() for cell in text.split("\t"))
        if start == "\\" and found:
            found[-1][1][3:] = rest[:2]
        elif text.strip():
            found.append((line, [start, "".join(rest[:1]), _audacity_label(rest[1:])]))
    return found


def _audacity_label(cells: Sequence[str]) -> str:
    """Return an Audacity label, which may hold tabs; a number after it is a confidence, and is left out."""
    parts = list(cells)
    while len(parts) > 1 and (not parts[-1] or _CONFIDENCE.fullmatch(parts[-1].replace(",", ".").strip(". "))):
        parts.pop()
    label = " ".join(parts)
    if len(parts) < len([cell for cell in cells if cell]):
        birdnet = _BIRDNET_LABEL.fullmatch(label := label.rstrip(", "))
        return f"{birdnet[1]}_{birdnet[2]}" if birdnet else label
    return label
