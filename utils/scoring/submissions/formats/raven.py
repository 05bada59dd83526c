"""Selection tables of Raven, one for each recording, named as Raven names them, so that one can be opened with its sound.

One table for all recordings would not do: of it Raven takes the times as those of all open sounds one after the other.

    Selection  View           Channel  Begin Time (s)  End Time (s)  Low Freq (Hz)  High Freq (Hz)  Begin File  File
    Offset (s)  Species        Score 1          Spectrogram 1  1        5.000000        10.000000     500.0
    15000.0         tape1.wav   5.000000 Turdus merula  0.912345

Source: the manual of Raven Pro (ravensoundsoftware.com), Selection tables; BirdNET-Analyzer writes one a recording,
too.
"""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np

from utils.scoring.inference.interval_scores import IntervalScores
from utils.scoring.submissions.formats.sheet import DIGITS, Sheet, called, cell
from utils.scoring.submissions.formats.tables import write_tables

ENDING = ".Table.1.selections.txt"
HEADER = (
    "Selection",
    "View",
    "Channel",
    "Begin Time (s)",
    "End Time (s)",
    "Low Freq (Hz)",
    "High Freq (Hz)",
    "Begin File",
    "File Offset (s)",
    "Species",
    "Score",
)


def write(path: Path, results: Iterable[IntervalScores], sheet: Sheet) -> int:
    """Write the folder; return the rows of all tables. Where nobody is called, a table has its headings only; recordings that cannot be used have none."""
    labels = [cell(label) for label in sheet.classes]
    return write_tables(
        path,
        results,
        sheet,
        ending=ENDING,
        lines_of=lambda one: _lines(one, sheet, labels),
        header="\t".join(HEADER) + "\n",
    )


def _lines(one: IntervalScores, sheet: Sheet, labels: list[str]) -> Iterable[str]:
    low, high = sheet.settings.band
    name = cell(PurePosixPath(one.file).name)
    for selection, (interval, number) in enumerate(np.argwhere(called(one, sheet)).tolist(), 1):
        start, end, score = float(one.starts[interval]), float(one.ends[interval]), one.scores[interval, number]
        place = f"{start:.6f}\t{end:.6f}\t{low:.1f}\t{high:.1f}"
        yield f"{selection}\tSpectrogram 1\t1\t{place}\t{name}\t{start:.6f}\t{labels[number]}\t{score:.{DIGITS}f}"
