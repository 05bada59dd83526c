"""How tables of events are laid out: which program wrote one, what stands between its values, and in which columns its values are.

Source: the selection tables of Raven Pro (ravensoundsoftware.com),
manual.audacityteam.org/man/importing_and_exporting_labels.html, the annotation layers that Sonic Visualiser exports
(sonicvisualiser.org/doc/reference).
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from config import Columns
from utils.recordings.event_columns import classes_of, further_species, places_of, unit_of
from utils.tables import csv_rows, find_column, first_of, without_preamble

Form = Literal["Raven selection tables", "Audacity labels", "Sonic Visualiser layers", "CSV"]
FORMS: tuple[Form, ...] = ("Raven selection tables", "Audacity labels", "Sonic Visualiser layers", "CSV")

SEPARATORS = ",;\t|"
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_CONFIDENCE = re.compile(r"(\d+\.?\d*|\.\d+)%?", re.ASCII)
# how its labels for Audacity name a species: 'Turdus merula, Eurasian Blackbird'
_BIRDNET = re.compile(r"([A-Z][a-z]+(?: [a-z][a-z-]+){1,2}), (\S.*)")
_SURE = 3  # rows from which on a second number that is never below the first is taken for an end, not for a length


@dataclass(frozen=True)
class Head:
    """How a table is laid out, as its first lines tell.

    Attributes
    ----------
    form : which program's
    separator : what stands between two values
    names : the columns' headings; Audacity and Sonic Visualiser write none
    places : in which column, counted from 0, each kind of value stands
    classes : columns that stand for a class each and hold 1 where it is heard, where there is no column of species
    further : columns that hold more species of a row
    """

    form: Form
    separator: str
    names: Sequence[str]
    places: Mapping[str, int]
    classes: Mapping[int, str] = field(default_factory=dict)
    further: Sequence[int] = ()

    @property
    def holds_events(self) -> bool:
        """Whether its rows say when who sings."""
        return "start" in self.places and ("species" in self.places or bool(self.classes))

    @property
    def names_files(self) -> bool:
        """Whether its rows say in which sound."""
        return "file" in self.places

    @property
    def width(self) -> int | None:
        """How many values a row has at most; None where that is not told, as of Audacity's labels."""
        return len(self.names) or (max(self.places.values()) + 1 if self.form == "Sonic Visualiser layers" else None)

    def unit(self, kind: str) -> float:
        """Return how many seconds or Hz one unit of a column is."""
        return unit_of(self.names[self.places[kind]], kind) if self.names else 1.0


_LABELS = Head("Audacity labels", "\t", (), {"start": 0, "end": 1, "species": 2, "low": 3, "high": 4})
# what stands in the columns of a layer, by their number; the meaning of the columns between is the layer's
_LAYERS: Mapping[int, Mapping[str, int]] = {
    2: {"start": 0, "species": 1},
    3: {"start": 0, "duration": 1, "species": 2},
    4: {"start": 0, "duration": 2, "species": 3},  # regions: time, value, duration, label
    5: {"start": 0, "duration": 2, "species": 4},  # notes: time, value, duration, level, label
}


def head_of(lines: Sequence[str], columns: Columns, *, prose: bool) -> Head | None:
    """Return how a table is laid out; None where it is no table.

    Parameters
    ----------
    lines : the table's first ones, or all
    prose : whether a text that is no table is to be expected

    Raises
    ------
    ValueError
        If its headings cannot be read.
    """
    lines, said = without_preamble(lines)
    first = first_of(lines)
    cells = [cell.strip() for cell in first.split("\t")]
    if layer := _layer(lines):
        return layer
    if len(cells) > 1 and all(map(is_number, cells[:2])):
        return _LABELS
    separator = said or max(SEPARATORS, key=first.count)
    form: Form = (
        "Raven selection tables"
        if separator == "\t" and find_column([*map(_unquoted, cells)], ["Begin Time (s)"])
        else "CSV"
    )
    rows = _separated(lines, form, separator)
    _, headings = next(rows, (0, []))
    if headings is None and not prose:
        raise ValueError("cannot be read as a table (broken quoting in its headings)")
    names = [" ".join(heading.split()) for heading in headings or ()]
    if not names:
        return None
    places = places_of(names, columns)
    classes: Mapping[int, str] = {}
    # `label 1`, `label 2` may be classes
    if "species" not in places or (names[places["species"]].endswith("1") and not columns.species):
        others = {kind: place for kind, place in places.items() if kind != "species"}
        classes = classes_of(names, others, [values for _, values in rows if values])
        if "species" not in places or places["species"] in classes:
            places = others
        else:
            classes = {}
    return Head(form, separator, names, places, classes, further_species(names, places))


def values_of(lines: Sequence[str], head: Head) -> Iterable[tuple[int, list[str] | None]]:
    """Return the line and the values of each row that is not empty; None where the quoting is broken."""
    lines, _ = without_preamble(lines)
    if head.form == "Audacity labels":
        return _label_values(lines)
    found = _separated(lines, head.form, head.separator)
    return list(found)[1 if head.names else 0 :]


def is_number(text: str) -> bool:
    """Tell whether a text is a number, with a point or a comma."""
    return NUMBER.fullmatch(text.replace(",", ".")) is not None


def _layer(lines: Sequence[str]) -> Head | None:
    """Return the layout of an exported layer of Sonic Visualiser: no headings, first the time, last the label; None where it is none."""
    first = first_of(lines)
    separator = "\t" if "\t" in first else ","
    if not is_number(first.split(separator)[0].strip()):
        return None
    rows = [
        row
        for _, row in zip(range(1000), (values for _, values in _separated(lines, "CSV", separator)), strict=False)
        if row
    ]
    widths = [len(row) for row in rows]
    width = max(set(widths), key=widths.count) if widths else 0
    least = 4 if separator == "\t" else 2  # fewer, after tabs, are Audacity's
    if (
        width not in _LAYERS
        or width < least
        or len(rows[0]) != width
        or not all(NUMBER.fullmatch(cell) for cell in rows[0][:-1])
    ):
        return None
    if not any(len(row) == width and row[-1] and not is_number(row[-1]) for row in rows):
        return None
    places = _LAYERS[width]
    if width == 3 and _ends_second(rows):
        places = {"start": 0, "end": 1, "species": 2}
    return Head("Sonic Visualiser layers", separator, (), places)


def _ends_second(rows: Sequence[Sequence[str]]) -> bool:
    """Tell whether the second of three values is an end, as other programs than Sonic Visualiser write without headings: then it is never below the first."""
    times = [
        (float(row[0]), float(row[1]))
        for row in rows
        if len(row) == 3 and all(NUMBER.fullmatch(cell) for cell in row[:2])
    ]
    return len(times) >= _SURE and all(end >= start for start, end in times)


def _separated(lines: Sequence[str], form: Form, separator: str) -> Iterator[tuple[int, list[str] | None]]:
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
            found.append((line, [start, "".join(rest[:1]), _label(rest[1:])]))
    return found


def _label(cells: Sequence[str]) -> str:
    """Return a label of Audacity's, which may hold tabs; a number behind it is a program's confidence, not a part of it."""
    kept = list(cells)
    while len(kept) > 1 and (not kept[-1] or _CONFIDENCE.fullmatch(kept[-1].replace(",", ".").strip(". "))):
        kept.pop()
    label = " ".join(kept)
    if len(kept) < len([cell for cell in cells if cell]):
        birdnet = _BIRDNET.fullmatch(label := label.rstrip(", "))
        return f"{birdnet[1]}_{birdnet[2]}" if birdnet else label
    return label
