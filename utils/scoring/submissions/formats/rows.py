"""Rows of Kaggle's submissions."""

import csv
import io
from collections.abc import Mapping, Sequence

from utils.scoring.inference.interval_scores import IntervalScores
from utils.scoring.submissions.formats.sheet import Sheet, whole_seconds


def row_ids(one: IntervalScores, sheet: Sheet, media: Mapping[str, str]) -> list[str]:
    """Return the id of each interval's row: the recording's, and the whole second at which the interval ends.

    Raises
    ------
    UserError
        If intervals do not begin at whole seconds.
    """
    return [f"{media[one.file]}_{end}" for _, end in whole_seconds(one, sheet)]


def csv_line(values: Sequence[str]) -> str:
    """Return values as one row of CSV, quoted where they must be."""
    text = io.StringIO(newline="")
    # which quotes \r as well as \n; Python's writer leaves what does not end its lines
    csv.writer(text, lineterminator="\r\n").writerow(values)
    return text.getvalue().removesuffix("\r\n") + "\n"
