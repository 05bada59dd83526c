"""Sample submissions: which rows and columns a challenge wants, and rows put into that order."""

import csv
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path

import numpy as np

from utils.console import UserError, warn
from utils.scoring.submissions.formats.sheet import Sheet


@dataclass(frozen=True)
class Sample:
    """The first line of a sample submission, and the first value of each other line."""

    header: tuple[str, ...]
    rows: tuple[str, ...]


def read_sample(path: Path) -> Sample:
    """Read a sample submission.

    Raises
    ------
    UserError
        If it cannot be read, does not begin with row_id, or has a row or column twice.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            found = csv.reader(stream, strict=True)
            header = tuple(name.strip() for name in next(found, []))
            rows = tuple(row[0] for row in found if row)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as CSV ({error})") from None
    if header[:1] != ("row_id",) or len(header) < 2:
        raise UserError(f"{path}: a sample submission begins with row_id and at least one more column")
    for what, values in (("column", header), ("row", rows)):
        if len(set(values)) < len(values):
            twice = next(value for number, value in enumerate(values) if value in values[:number])
            raise UserError(f"{path}: has the {what} {twice} twice")
    return Sample(header, rows)


class Ordered:
    """Rows that come in any order and are written in that of a sample; only where they lie is kept in memory, their text on disk.

    Parameters
    ----------
    rows : the first value of each, in the order wanted
    folder : where a file for the text can be, which nobody sees
    """

    def __init__(self, rows: Sequence[str], folder: Path) -> None:
        self._rows = rows
        self._numbers = {row: number for number, row in enumerate(rows)}
        self._places = np.full((len(rows), 2), -1, np.int64)  # begin and length of each row's text, bytes
        folder.mkdir(parents=True, exist_ok=True)
        self._kept = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # `ordered` closes it
        self.missing = len(rows)

    def add(self, row: str, text: str) -> None:
        """Keep the text of a row; rows that the sample does not have are left out."""
        number = self._numbers.get(row)
        if number is None:
            return
        content = text.encode("utf-8", "backslashreplace")
        self.missing -= int(self._places[number, 0] < 0)
        self._places[number] = self._kept.tell(), len(content)
        self._kept.write(content)

    def write(self, stream: TextIOWrapper, neutral: Callable[[str], str]) -> int:
        """Write all rows, those that nobody added as `neutral` says; return how many."""
        for text in self._texts(neutral):
            stream.write(text)
        return len(self._rows)

    def close(self) -> None:
        """Let go of the text."""
        self._kept.close()

    def _texts(self, neutral: Callable[[str], str]) -> Iterator[str]:
        for row, (place, length) in zip(self._rows, self._places.tolist(), strict=True):
            if place < 0:
                yield neutral(row)
            else:
                self._kept.seek(place)
                yield self._kept.read(length).decode()


@contextmanager
def ordered(sample: Sample | None, folder: Path) -> Iterator[Ordered | None]:
    """Yield what puts rows into the order of a sample, None without one; `folder` as for `Ordered`."""
    if sample is None:
        yield None
        return
    with closing(Ordered(sample.rows, folder)) as kept:
        yield kept


def say_missing(kept: Ordered, sheet: Sheet, neutral: str) -> None:
    """Warn of rows of the sample for which there are no predictions, and say what stands in them; without any recording, that was said before."""
    if kept.missing and sheet.files:
        warn(f"{kept.missing} rows of {sheet.settings.sample} have no predictions: {neutral}")
