"""Labels of Audacity, one file for each recording: File, Import, Labels.

    5.000000    10.000000   Turdus merula

A label is the species alone, without its score, so that labels that somebody has corrected can be learned from as they
are.

Source: manual.audacityteam.org/man/importing_and_exporting_labels.html
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from utils.scoring.inference.interval_scores import IntervalScores
from utils.scoring.submissions.formats.sheet import Sheet, called, cell
from utils.scoring.submissions.formats.tables import write_tables

ENDING = "_labels.txt"


def write(path: Path, results: Iterable[IntervalScores], sheet: Sheet) -> int:
    """Write the folder; return all labels. Where nobody is called, a file is empty; recordings that cannot be used have none."""
    labels = [cell(label) for label in sheet.classes]
    return write_tables(path, results, sheet, ending=ENDING, lines_of=lambda one: _lines(one, sheet, labels))


def _lines(one: IntervalScores, sheet: Sheet, labels: list[str]) -> Iterable[str]:
    for interval, number in np.argwhere(called(one, sheet)).tolist():
        yield f"{one.starts[interval]:.6f}\t{one.ends[interval]:.6f}\t{labels[number]}"
