"""One CSV of who is called where.

recording,start,end,species,score
site 1/tape1.wav,5.000000,10.000000,Turdus merula,0.912345
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from utils.scoring.inference.interval_scores import IntervalScores
from utils.scoring.submissions.formats.rows import csv_line
from utils.scoring.submissions.formats.sheet import DIGITS, Sheet, called, usable
from utils.scoring.submissions.formats.writing import text_file

HEADER = ("recording", "start", "end", "species", "score")


def write(path: Path, results: Iterable[IntervalScores], sheet: Sheet) -> int:
    """Write the file; return its rows. Recordings are called by their path, for names may repeat; those that cannot be used have no row."""
    count = 0
    with text_file(path) as stream:
        stream.write(csv_line(HEADER))
        for one in usable(results, sheet):
            for interval, number in np.argwhere(called(one, sheet)).tolist():
                times = f"{one.starts[interval]:.6f}", f"{one.ends[interval]:.6f}"
                stream.write(
                    csv_line([one.file, *times, sheet.classes[number], f"{one.scores[interval, number]:.{DIGITS}f}"])
                )
                count += 1
    return count
