"""The novelty of all intervals of a submission, whatever is detected in them, as one CSV.

recording,start,end,novelty
site 1/tape1.wav,5.000000,10.000000,0.981234
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from utils.formula_cells import defused
from utils.scoring.inference.intervals import IntervalScores
from utils.scoring.submissions.formats.layout import DIGITS
from utils.scoring.submissions.formats.writing import csv_line, text_file

NOVELTY_HEADER = ("recording", "start", "end", "novelty")


def write_novelty_through(path: Path, results: Iterable[IntervalScores], *, defuse: bool) -> Iterator[IntervalScores]:
    """Pass recordings on, and write the novelty of their intervals; the file appears after the last one.

    Parameters
    ----------
    defuse : whether names of files that a spreadsheet would run as a formula get an apostrophe in front
    """
    with text_file(path) as stream:
        stream.write(csv_line(NOVELTY_HEADER))
        for one in results:
            file = defused(one.file) if defuse else one.file
            if one.novelty is not None:
                for start, end, novelty in zip(one.starts, one.ends, one.novelty, strict=True):
                    stream.write(csv_line([file, f"{start:.6f}", f"{end:.6f}", f"{novelty:.{DIGITS}f}"]))
            yield one
