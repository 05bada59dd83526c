"""One CSV of all detections.

recording,start,end,species,score
site 1/tape1.wav,5.000000,10.000000,Turdus merula,0.912345
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from utils.scoring.inference.intervals import IntervalScores
from utils.scoring.submissions.formats.layout import DIGITS, SubmissionLayout, usable
from utils.scoring.submissions.formats.problems import Problems, cells_of, check_event, check_score, quoted
from utils.scoring.submissions.formats.writing import csv_line, text_file

CSV_HEADER = ("recording", "start", "end", "species", "score")


def write_csv_detections(path: Path, results: Iterable[IntervalScores], layout: SubmissionLayout) -> int:
    """Write the file; return its number of rows.

    Recordings are identified by their path, because file names may repeat; those that cannot be used have no row.
    """
    count = 0
    with text_file(path) as stream:
        stream.write(csv_line(CSV_HEADER))
        for one in usable(results, layout):
            for interval, index in np.argwhere(one.detections(layout.rule)).tolist():
                times = f"{one.starts[interval]:.6f}", f"{one.ends[interval]:.6f}"
                score = f"{one.scores[interval, index]:.{DIGITS}f}"
                stream.write(csv_line([one.file, *times, layout.classes[index], score]))
                count += 1
    return count


def check_csv_detections(path: Path, layout: SubmissionLayout) -> Problems:
    """Check a CSV of detections."""
    problems, files, labels = Problems(), set(layout.files), set(layout.classes)
    cells = cells_of(path, problems, separator=",", fields=len(CSV_HEADER), quoting=True)
    for index, (line, values) in enumerate(cells):
        if index == 0:
            if tuple(values) != CSV_HEADER:
                problems.add(f"the header should be {', '.join(CSV_HEADER)}", line)
            continue
        file, start, end, species, score = values
        if file not in files:
            problems.add(f"no recording has the path {quoted(file)}", line)
        check_event(start, end, species, labels, layout, problems, line)
        check_score(score, problems, line)
    return problems
