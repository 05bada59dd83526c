"""The submission of BirdCLEF 2021 on Kaggle: who is called in each interval.

    row_id,birds
    2782_SSW_5,rewbla runwre1
    2782_SSW_10,nocall

A row's id is that of the file (`2782_SSW_20170701.ogg` is 2782_SSW, other names are their stem) and the second at which
the interval ends.

Source: kaggle.com/competitions/birdclef-2021 (Evaluation, sample_submission.csv); Kahl et al., Overview of BirdCLEF
2021.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from utils.console import UserError
from utils.scoring.inference.interval_scores import IntervalScores
from utils.scoring.metrics.thresholds import NOCALL
from utils.scoring.submissions.formats.class_ids import class_ids
from utils.scoring.submissions.formats.rows import csv_line, row_ids
from utils.scoring.submissions.formats.samples import Sample, ordered, read_sample, say_missing
from utils.scoring.submissions.formats.sheet import Sheet, called, media_ids, usable
from utils.scoring.submissions.formats.writing import text_file

HEADER = ("row_id", "birds")


def write(path: Path, results: Iterable[IntervalScores], sheet: Sheet) -> int:
    """Write the file; return its rows.

    With a sample, they are its rows in its order: those of recordings that cannot be used are 'nocall', which claims no
    bird, and rows that it does not have are left out.
    """
    rows, sample = _rows(usable(results, sheet), sheet), sample_of(sheet)
    with text_file(path) as stream, ordered(sample, path.parent) as kept:
        stream.write(csv_line(HEADER))
        if kept is None:
            return sum(bool(stream.write(csv_line(row))) for row in rows)
        for row, birds in rows:
            kept.add(row, csv_line([row, birds]))
        say_missing(kept, sheet, NOCALL)
        return kept.write(stream, lambda row: csv_line([row, NOCALL]))


def sample_of(sheet: Sheet) -> Sample | None:
    """Return the sample submission, where there is one.

    Raises
    ------
    UserError
        If it cannot be used, or has other columns.
    """
    sample = read_sample(sheet.settings.sample) if sheet.settings.sample else None
    if sample and sample.header != HEADER:
        raise UserError(
            f"{sheet.settings.sample}: has the columns {', '.join(sample.header)[:100]}; those of this format are {', '.join(HEADER)}"
        )
    return sample


def bird_names(sheet: Sheet) -> list[str]:
    """Return what each class is called in `birds`, where spaces part two of them: a name that holds spaces has `_` instead."""
    return ["_".join((code or "").split()) for code in class_ids(sheet)]


def _rows(results: Iterable[IntervalScores], sheet: Sheet) -> Iterator[tuple[str, str]]:
    names, media = bird_names(sheet), media_ids(sheet)
    for one in results:
        for row, hits in zip(row_ids(one, sheet, media), called(one, sheet), strict=True):
            yield row, " ".join(names[number] for number in np.flatnonzero(hits).tolist()) or NOCALL
