"""The novelty of all intervals of a submission, whatever is detected in them, as one CSV.

recording,start,end,novelty
site 1/tape1.wav,5.000000,10.000000,0.981234
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from utils.scoring.inference.intervals import IntervalScores
from utils.scoring.submissions.formats.layout import DIGITS
from utils.scoring.submissions.formats.writing import csv_line, text_file

NOVELTY_HEADER = ("recording", "start", "end", "novelty")


def write_novelty_through(path: Path, results: Iterable[IntervalScores]) -> Iterator[IntervalScores]:
    """Pass recordings on, and write the novelty of their intervals; the file appears after the last one."""
    with text_file(path) as stream:
        stream.write(csv_line(NOVELTY_HEADER))
        for one in results:
            if one.novelty is not None:
                for start, end, novelty in zip(one.starts, one.ends, one.novelty, strict=True):
                    stream.write(csv_line([one.file, f"{start:.6f}", f"{end:.6f}", f"{novelty:.{DIGITS}f}"]))
            yield one
