"""Sample submissions: which rows and columns a challenge wants, and rows written in that order."""

import csv
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path

import numpy as np

from utils.console import UserError, warning
from utils.scoring.submissions.formats.layout import SubmissionLayout


@dataclass(frozen=True)
class Sample:
    """The header of a sample submission, and the first value of each row."""

    header: tuple[str, ...]
    rows: tuple[str, ...]


def read_sample(path: Path) -> Sample:
    """Read a sample submission.

    Raises
    ------
    UserError
        If it cannot be read, does not start with row_id, or has a row or column twice.
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
        raise UserError(f"{path}: a sample submission starts with row_id and at least one more column")
    for what, values in (("column", header), ("row", rows)):
        if len(set(values)) < len(values):
            twice = next(value for index, value in enumerate(values) if value in values[:index])
            raise UserError(f"{path}: has the {what} {twice} twice")
    return Sample(header, rows)


class SampleOrder:
    """Takes rows in any order and writes them in that of a sample; their text is on disk, only its offsets in memory.

    Parameters
    ----------
    rows : the first value of each row, in the sample's order
    folder : for a temporary file

    Attributes
    ----------
    missing : how many of the sample's rows were not added
    """

    def __init__(self, rows: Sequence[str], folder: Path) -> None:
        self._rows = rows
        self._indices = {row: index for index, row in enumerate(rows)}
        self._spans = np.full((len(rows), 2), -1, np.int64)  # offset and length of each row's text, bytes
        folder.mkdir(parents=True, exist_ok=True)
        self._texts = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # `sample_order` closes it
        self.missing = len(rows)

    def add(self, row: str, text: str) -> None:
        """Add the text of a row; rows that the sample does not have are left out."""
        index = self._indices.get(row)
        if index is None:
            return
        content = text.encode("utf-8", "backslashreplace")
        self.missing -= int(self._spans[index, 0] < 0)
        self._spans[index] = self._texts.tell(), len(content)
        self._texts.write(content)

    def write(self, stream: TextIOWrapper, neutral: Callable[[str], str]) -> int:
        """Write all rows, those that were not added with the text of `neutral`; return their number."""
        for text in self._ordered_texts(neutral):
            stream.write(text)
        return len(self._rows)

    def close(self) -> None:
        """Remove the text."""
        self._texts.close()

    def _ordered_texts(self, neutral: Callable[[str], str]) -> Iterator[str]:
        for row, (offset, length) in zip(self._rows, self._spans.tolist(), strict=True):
            if offset < 0:
                yield neutral(row)
            else:
                self._texts.seek(offset)
                yield self._texts.read(length).decode()


@contextmanager
def sample_order(sample: Sample | None, folder: Path) -> Iterator[SampleOrder | None]:
    """Yield the `SampleOrder` of a sample, None without one; `folder` is as there."""
    if sample is None:
        yield None
        return
    with closing(SampleOrder(sample.rows, folder)) as order:
        yield order


def warn_of_missing_rows(order: SampleOrder, layout: SubmissionLayout, neutral: str) -> None:
    """Warn of rows of the sample without predictions; if there is no recording at all, that was reported before."""
    if order.missing and layout.files:
        warning(f"{order.missing} rows of {layout.settings.sample} have no predictions; they hold {neutral}")
