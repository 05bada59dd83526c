"""The submission of BirdCLEF 2021 on Kaggle: the species detected in each interval.

    row_id,birds
    2782_SSW_5,rewbla runwre1
    2782_SSW_10,nocall

A row's id is that of the file (`2782_SSW_20170701.ogg` is 2782_SSW, other names are used without extension) and the
second at which the interval ends.

Source: kaggle.com/competitions/birdclef-2021 (Evaluation, sample_submission.csv); Kahl et al., Overview of BirdCLEF
2021.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from utils.console import UserError
from utils.scoring.inference.intervals import IntervalScores
from utils.scoring.metrics.thresholds import NOCALL
from utils.scoring.submissions.formats.class_ids import class_ids
from utils.scoring.submissions.formats.kaggle_rows import is_header, row_check, row_ids
from utils.scoring.submissions.formats.layout import IdRules, SubmissionLayout, media_ids, usable
from utils.scoring.submissions.formats.problems import Problems, cells_of, quoted
from utils.scoring.submissions.formats.samples import Sample, read_sample, sample_order, warn_of_missing_rows
from utils.scoring.submissions.formats.writing import csv_line, text_file

HEADER_2021 = ("row_id", "birds")
IDS_2021 = IdRules(media_pattern=r"^(\d+_[A-Za-z]+)_\d{8}\.")


def write_kaggle2021(path: Path, results: Iterable[IntervalScores], layout: SubmissionLayout) -> int:
    """Write the file; return its number of rows.

    With a sample, the file has the sample's rows in its order: those of recordings that cannot be used are 'nocall',
    which claims no bird, and rows that the sample does not have are left out.
    """
    rows, sample = _bird_rows(usable(results, layout), layout), sample_2021(layout)
    with text_file(path) as stream, sample_order(sample, path.parent) as ordered:
        stream.write(csv_line(HEADER_2021))
        if ordered is None:
            return sum(bool(stream.write(csv_line(row))) for row in rows)
        for row, birds in rows:
            ordered.add(row, csv_line([row, birds]))
        warn_of_missing_rows(ordered, layout, NOCALL)
        return ordered.write(stream, lambda row: csv_line([row, NOCALL]))


def check_kaggle2021(path: Path, layout: SubmissionLayout) -> Problems:
    """Check a submission, against the sample if there is one."""
    problems, names = Problems(), set(bird_names(layout))
    rows = row_check(layout, IDS_2021, sample_2021(layout), problems)
    cells = cells_of(path, problems, separator=",", fields=len(HEADER_2021), quoting=True)
    for index, (line, values) in enumerate(cells):
        if index == 0 and is_header(values, HEADER_2021, problems, line):
            continue
        rows.add(line, values[0])
        _check_birds(values[1], names, problems, line)
    rows.finish()
    return problems


def sample_2021(layout: SubmissionLayout) -> Sample | None:
    """Return the sample submission, if there is one.

    Raises
    ------
    UserError
        If it cannot be used, or has other columns.
    """
    sample = read_sample(layout.settings.sample) if layout.settings.sample else None
    if sample and sample.header != HEADER_2021:
        raise UserError(
            f"{layout.settings.sample}: has the columns {', '.join(sample.header)[:100]}; "
            f"this format has {', '.join(HEADER_2021)}"
        )
    return sample


def bird_names(layout: SubmissionLayout) -> list[str]:
    """Return the name of each class in the column `birds`; spaces, which separate names there, become `_`."""
    return ["_".join((code or "").split()) for code in class_ids(layout, IDS_2021)]


def _bird_rows(results: Iterable[IntervalScores], layout: SubmissionLayout) -> Iterator[tuple[str, str]]:
    names, media = bird_names(layout), media_ids(layout, IDS_2021)
    for one in results:
        for row, hits in zip(row_ids(one, layout, media), one.detections(layout.rule), strict=True):
            yield row, " ".join(names[index] for index in np.flatnonzero(hits).tolist()) or NOCALL


def _check_birds(text: str, names: set[str], problems: Problems, line: int) -> None:
    birds = text.split(" ")
    if NOCALL in birds and len(birds) > 1:
        problems.add(f"{NOCALL} is together with birds", line)
    if len(set(birds)) < len(birds):
        problems.add("a bird is listed twice", line)
    for bird in birds:
        if bird not in names and bird != NOCALL:
            problems.add(
                f"no class is named {quoted(bird)}"
                if bird
                else f"birds are missing, or separated by more than one space; an interval without birds is {NOCALL}",
                line,
            )
