"""One CSV of all detections.

recording,start,end,species,score
site 1/tape1.wav,5.000000,10.000000,Turdus merula,0.912345

With `testing.novelty`, the novelty of the interval is one more column.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from utils.scoring.inference.intervals import IntervalScores
from utils.scoring.submissions.formats.layout import DIGITS, SubmissionLayout, usable
from utils.scoring.submissions.formats.problems import Problems, cells_of, check_event, check_score, quoted
from utils.scoring.submissions.formats.writing import csv_line, text_file

CSV_HEADER = ("recording", "start", "end", "species", "score")
NOVELTY_COLUMN = ("novelty",)  # more columns, if it was asked for


def write_csv_detections(path: Path, results: Iterable[IntervalScores], layout: SubmissionLayout) -> int:
    """Write the file; return its number of rows.

    Recordings are identified by their path, because file names may repeat; those that cannot be used have no row.
    """
    count = 0
    with text_file(path) as stream:
        stream.write(csv_line(_header(layout)))
        for one in usable(results, layout):
            for interval, index in np.argwhere(one.detections(layout.rule)).tolist():
                times = f"{one.starts[interval]:.6f}", f"{one.ends[interval]:.6f}"
                score = f"{one.scores[interval, index]:.{DIGITS}f}"
                novelty = [] if one.novelty is None else [f"{one.novelty[interval]:.{DIGITS}f}"]
                stream.write(csv_line([one.file, *times, layout.classes[index], score, *novelty]))
                count += 1
    return count


def _header(layout: SubmissionLayout) -> tuple[str, ...]:
    return (*CSV_HEADER, *(NOVELTY_COLUMN if layout.novelty else ()))


def check_csv_detections(path: Path, layout: SubmissionLayout) -> Problems:
    """Check a CSV of detections."""
    problems, files, labels = Problems(), set(layout.files), set(layout.classes)
    header = _header(layout)
    cells = cells_of(path, problems, separator=",", fields=len(header), quoting=True)
    for index, (line, values) in enumerate(cells):
        if index == 0:
            if tuple(values) != header:
                problems.add(f"the header should be {', '.join(header)}", line)
            continue
        file, start, end, species, score, *novelty = values
        if file not in files:
            problems.add(f"no recording has the path {quoted(file)}", line)
        check_event(start, end, species, labels, layout, problems, line)
        for value in (score, *novelty):
            check_score(value, problems, line)
    return problems
