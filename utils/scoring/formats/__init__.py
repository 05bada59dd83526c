"""What a submission is written as: one plain CSV."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from config import Submission
from utils.files import whole_file
from utils.scoring.intervals import IntervalScores


@dataclass(frozen=True)
class Sheet:
    """What is known of a submission besides its scores.

    Attributes
    ----------
    classes : what the columns of the scores are
    settings : how it is to be written
    root : folder of the recordings
    chosen : from which score on each class is said; None where no thresholds were found
    files : all recordings that were asked for, below `root`, sorted
    """

    classes: tuple[str, ...]
    settings: Submission
    root: Path
    chosen: Float[np.ndarray, " classes"] | None
    files: tuple[str, ...]


def suffix(settings: Submission) -> str:
    """Return the ending of the file's name."""
    return ".csv"


def write_submission(path: Path, results: Iterable[IntervalScores], sheet: Sheet) -> int:
    """Write all scores, a row for each interval and class; the file appears whole or not at all. Returns the number of rows."""
    rows = 0
    with whole_file(path) as stream:
        stream.write(b"recording,start,end,species,score\n")
        for result in results:
            for start, end, scores in zip(result.starts, result.ends, result.scores, strict=True):
                text = io.StringIO()
                table = csv.writer(text, lineterminator="\n")
                table.writerows([result.file, f"{start:.3f}", f"{end:.3f}", *pair] for pair in zip(sheet.classes, map("{:.6f}".format, scores), strict=True))
                stream.write(text.getvalue().encode())
                rows += len(scores)
    return rows
