"""What a parser would reject in a file, line by line, as far as a person wants to read it."""

import csv
from collections.abc import Iterator
from pathlib import Path

from utils.scoring.submissions.formats.layout import SAME_TIME, SubmissionLayout

PROBLEMS_LISTED = 20  # more are counted
LONGEST_VALUE = 60  # characters of a value in a message


class Problems:
    """Problems in the order in which they are found; only the first PROBLEMS_LISTED are stored, the others counted.

    Parameters
    ----------
    name : stands before the line if there are several files
    """

    def __init__(self, name: str = "") -> None:
        self._name = name
        self._listed: list[str] = []
        self._count = 0

    def add(self, text: str, line: int | None = None) -> None:
        """Note a problem, in a line or in the whole file."""
        location = f"{self._name} line {line}".strip() if line is not None else self._name
        self._note(f"{location}: {text}" if location else text)

    def join(self, others: "Problems") -> None:
        """Add the problems of another file."""
        for text in others._listed:
            self._note(text)
        self._count += others._count - len(others._listed)

    def _note(self, text: str) -> None:
        self._count += 1
        if len(self._listed) < PROBLEMS_LISTED:
            self._listed.append(text)

    def listed(self) -> list[str]:
        """Return the first problems, one line each, and how many more there are."""
        more = self._count - len(self._listed)
        return [*self._listed, *([f"… and {more:,} more"] if more else [])]


def quoted(value: str) -> str:
    """Return a value of a file for a message, shortened if it is long."""
    return repr(value if len(value) <= LONGEST_VALUE else value[:LONGEST_VALUE] + "…")


def text_lines(path: Path, problems: Problems) -> Iterator[tuple[int, str]]:
    """Yield number and text of each readable line, with its ending; Windows' is fine, a byte order mark is not."""
    with path.open("rb") as stream:
        line = 0
        for line, content in enumerate(stream, 1):
            if line == 1 and content.startswith(b"\xef\xbb\xbf"):
                problems.add("starts with a byte order mark (BOM), which becomes part of the first value", 1)
                content = content[3:]
            if content.startswith((b"\xff\xfe", b"\xfe\xff")):
                problems.add("is UTF-16, it should be UTF-8", line)
                return
            try:
                yield line, content.decode()
            except UnicodeDecodeError:
                problems.add("is not UTF-8", line)
    if line == 0:
        problems.add("is empty")


def cells_of(
    path: Path, problems: Problems, *, separator: str, fields: int, quoting: bool = False
) -> Iterator[tuple[int, list[str]]]:
    """Yield number and values of each line with `fields` values; other lines, and empty ones, are problems.

    Parameters
    ----------
    quoting : whether values may be in quotation marks, as in CSV
    """
    plain = (
        (line, text.removesuffix("\n").removesuffix("\r").split(separator)) for line, text in text_lines(path, problems)
    )
    for line, values in _csv_cells(path, problems) if quoting else plain:
        if len(values) == fields:
            yield line, values
        elif not any(map(str.strip, values)):
            problems.add("is empty", line)
        else:
            text = separator.join(values)
            other = next((mark for mark in ";,\t" if mark != separator and text.count(mark) >= fields - 1), None)
            what = f"has {len(values)} values, not {fields}"
            problems.add(
                f"{what}; they should be separated by {separator!r}, not {other!r}"
                if other and len(values) == 1
                else what,
                line,
            )


def _csv_cells(path: Path, problems: Problems) -> Iterator[tuple[int, list[str]]]:
    last = [0]  # line that was read last; a row may have several

    def texts() -> Iterator[str]:
        for line, text in text_lines(path, problems):
            last[0] = line
            yield text

    rows = csv.reader(texts(), strict=True)
    while True:
        first = last[0] + 1
        try:
            yield first, next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            problems.add(f"cannot be read as CSV ({error})", first)


def parsed_number(text: str) -> float | None:
    """Return the number in a text, written with a decimal point; None if it is not a number, NaN or infinite."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if text.strip() == text and "_" not in text and abs(value) < float("inf") else None


def check_score(text: str, problems: Problems, line: int) -> float | None:
    """Return a score, if it is a number from 0 to 1."""
    value = parsed_number(text)
    if value is None:
        comma = " (decimal comma)" if parsed_number(text.replace(",", ".")) is not None else ""
        problems.add(f"the score {quoted(text)} is not a number{comma}", line)
    elif not 0 <= value <= 1:
        problems.add(f"the score {quoted(text)} is not from 0 to 1", line)
        return None
    return value


def check_event(
    start: str, end: str, species: str, labels: set[str], layout: SubmissionLayout, problems: Problems, line: int
) -> None:
    """Check times and species of a detection in a table of a field tool."""
    first, last = parsed_number(start), parsed_number(end)
    if first is None or last is None:
        problems.add(f"the times {quoted(start)} and {quoted(end)} should be seconds, with a decimal point", line)
    elif not 0 <= first < last:
        problems.add(f"the event from {first:g} to {last:g} s is empty, or starts before the recording", line)
    elif not layout.monophone:
        interval = layout.settings.interval
        distance = first % interval
        if min(distance, interval - distance) > SAME_TIME or last - first > interval + SAME_TIME:
            problems.add(f"from {first:g} to {last:g} s is not an interval of {interval:g} s", line)
    if species not in labels:
        problems.add(f"no class is named {quoted(species)}", line)
