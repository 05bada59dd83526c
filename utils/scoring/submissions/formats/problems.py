"""What a parser would refuse in a file, line by line, and no more of it than a person reads."""

import csv
from collections.abc import Iterator
from pathlib import Path

SHOWN = 20  # problems told one by one
LONGEST = 60  # characters shown of a value


class Problems:
    """Problems in the order in which they are found; only the first SHOWN are kept, the others counted.

    Parameters
    ----------
    name : what stands before the line, where there are several files
    """

    def __init__(self, name: str = "") -> None:
        self._name = name
        self._told: list[str] = []
        self._count = 0

    def add(self, text: str, line: int | None = None) -> None:
        """Note a problem, in a line or in the whole file."""
        place = f"{self._name} line {line}".strip() if line is not None else self._name
        self._note(f"{place}: {text}" if place else text)

    def join(self, others: "Problems") -> None:
        """Add the problems of another file."""
        for text in others._told:
            self._note(text)
        self._count += others._count - len(others._told)

    def _note(self, text: str) -> None:
        self._count += 1
        if len(self._told) < SHOWN:
            self._told.append(text)

    def told(self) -> list[str]:
        """Return the first problems, a line each, and how many more there are."""
        more = self._count - len(self._told)
        return [*self._told, *([f"… and {more:,} more"] if more else [])]


def shown(value: str) -> str:
    """Return a value of a file as it can stand in a line of a message."""
    return repr(value if len(value) <= LONGEST else value[:LONGEST] + "…")


def lines_of(path: Path, problems: Problems) -> Iterator[tuple[int, str]]:
    """Yield the number and text of each line that can be read, with its end; Windows' ends of lines are no problem, a byte order mark is."""
    with path.open("rb") as stream:
        number = 0
        for number, content in enumerate(stream, 1):
            if number == 1 and content.startswith(b"\xef\xbb\xbf"):
                problems.add("begins with a byte order mark (BOM), which becomes part of the first value", 1)
                content = content[3:]
            if content.startswith((b"\xff\xfe", b"\xfe\xff")):
                problems.add("is UTF-16, it should be UTF-8", number)
                return
            try:
                yield number, content.decode()
            except UnicodeDecodeError:
                problems.add("is not UTF-8", number)
    if number == 0:
        problems.add("is empty")


def cells_of(
    path: Path, problems: Problems, *, separator: str, fields: int, quoting: bool = False
) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the values of each line that has so many; others, and empty ones, are problems.

    Parameters
    ----------
    quoting : whether values may stand in quotation marks, as in CSV
    """
    plain = (
        (number, text.removesuffix("\n").removesuffix("\r").split(separator))
        for number, text in lines_of(path, problems)
    )
    for number, values in _quoted(path, problems) if quoting else plain:
        if len(values) == fields:
            yield number, values
        elif not any(map(str.strip, values)):
            problems.add("is empty", number)
        else:
            text = separator.join(values)
            other = next((mark for mark in ";,\t" if mark != separator and text.count(mark) >= fields - 1), None)
            what = f"has {len(values)} values, not {fields}"
            problems.add(
                f"{what}; they should be parted by {separator!r}, not {other!r}"
                if other and len(values) == 1
                else what,
                number,
            )


def _quoted(path: Path, problems: Problems) -> Iterator[tuple[int, list[str]]]:
    place = [0]

    def texts() -> Iterator[str]:
        for number, text in lines_of(path, problems):
            place[0] = number
            yield text

    rows = csv.reader(texts(), strict=True)
    while True:
        begin = place[0] + 1
        try:
            yield begin, next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            problems.add(f"cannot be read as CSV ({error})", begin)


def number_of(text: str) -> float | None:
    """Return the number that a text is, written with a point; None where it is none, as NaN and infinity are."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if text.strip() == text and "_" not in text and abs(value) < float("inf") else None


def check_score(text: str, problems: Problems, line: int) -> float | None:
    """Return a score, if it is a number from 0 to 1."""
    value = number_of(text)
    if value is None:
        comma = " (with a comma for the point)" if number_of(text.replace(",", ".")) is not None else ""
        problems.add(f"the score {shown(text)} is no number{comma}", line)
    elif not 0 <= value <= 1:
        problems.add(f"the score {shown(text)} is not from 0 to 1", line)
        return None
    return value
