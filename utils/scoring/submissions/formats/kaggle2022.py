"""The submissions of BirdCLEF 2022 to 2025 on Kaggle: a probability for each interval and species.

    row_id,akepa1,amerob,…
    soundscape_29201_5,0.031000,0.700000,…

A row's id is the file's name without extension and the second at which the interval ends. The challenge of 2022 itself
had one row for each interval and species, which is written if the sample has its two columns:

    row_id,target
    soundscape_1000170626_akepa1_5,False

Source: kaggle.com/competitions/birdclef-2022 to birdclef-2025 (Evaluation, sample_submission.csv).
"""

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int64

from utils.console import UserError, warning
from utils.scoring.inference.intervals import IntervalScores
from utils.scoring.submissions.formats.class_ids import CLASSES_LISTED, class_ids
from utils.scoring.submissions.formats.kaggle_rows import is_header, row_check, row_ids
from utils.scoring.submissions.formats.layout import (
    DIGITS,
    IdRules,
    SubmissionLayout,
    media_ids,
    usable,
    whole_seconds,
)
from utils.scoring.submissions.formats.problems import Problems, cells_of, check_score, quoted
from utils.scoring.submissions.formats.samples import (
    Sample,
    SampleOrder,
    read_sample,
    sample_order,
    warn_of_missing_rows,
)
from utils.scoring.submissions.formats.writing import csv_line, text_file

TARGETS = ("row_id", "target")  # header of 2022 itself
NEUTRAL = 0.5  # for each class of the model if no interval has predictions: neither yes nor no
IDS_2022 = IdRules()


def write_kaggle2022(path: Path, results: Iterable[IntervalScores], layout: SubmissionLayout) -> int:
    """Write the file; return its number of rows.

    With a sample, the file has the sample's rows and columns in its order; rows and classes that the sample does not
    have are left out, and columns without a class are 0. Rows of recordings that cannot be used hold the mean of each
    column over all intervals with predictions: these challenges are scored by the order of a column's values, in which
    a 0 would claim that no species is there. If no interval has predictions, they hold NEUTRAL. In the form of 2022
    they are False.
    """
    sample = read_sample(layout.settings.sample) if layout.settings.sample else None
    if sample is not None and sample.header == TARGETS:
        return _write_targets(path, usable(results, layout), layout, sample)
    names, classes = columns(layout, sample)
    media = media_ids(layout, IDS_2022)
    sums, intervals = np.zeros(len(names)), 0
    with text_file(path) as stream, sample_order(sample, path.parent) as ordered:
        stream.write(csv_line(["row_id", *names]))
        for one in usable(results, layout):
            values = _in_columns(one.scores, classes)
            sums, intervals = sums + values.sum(axis=0), intervals + len(values)
            for row, scores in zip(row_ids(one, layout, media), values, strict=True):
                if ordered is None:
                    stream.write(_score_line(row, scores))
                else:
                    ordered.add(row, _score_line(row, scores))
        if ordered is None:
            return intervals
        warn_of_missing_rows(
            ordered, layout, "the mean of each column" if intervals else f"{NEUTRAL:g} for every class"
        )
        mean = sums / intervals if intervals else np.where(classes >= 0, NEUTRAL, 0.0)
        return ordered.write(stream, lambda row: _score_line(row, mean))


def check_kaggle2022(path: Path, layout: SubmissionLayout) -> Problems:
    """Check a submission of either form, against the sample if there is one."""
    problems = Problems()
    sample = read_sample(layout.settings.sample) if layout.settings.sample else None
    targets = sample is not None and sample.header == TARGETS
    header = TARGETS if targets else ("row_id", *columns(layout, sample)[0])
    rows = row_check(layout, IDS_2022, sample, problems)
    cells = cells_of(path, problems, separator=",", fields=len(header), quoting=True)
    for index, (line, values) in enumerate(cells):
        if index == 0 and is_header(values, header, problems, line):
            continue
        rows.add(line, values[0])
        if targets:
            _check_target(values[1], problems, line)
        else:
            for value in values[1:]:
                check_score(value, problems, line)
    rows.finish()
    return problems


def _check_target(value: str, problems: Problems, line: int) -> None:
    if value not in ("True", "False"):
        problems.add(f"the target {quoted(value)} is neither True nor False", line)


def columns(layout: SubmissionLayout, sample: Sample | None) -> tuple[list[str], Int64[np.ndarray, " columns"]]:
    """Return the names of the columns after row_id, and for each the index of its class; −1: none.

    Raises
    ------
    UserError
        If the sample has no column for any class.
    """
    ids = class_ids(layout, IDS_2022)
    if sample is None:
        return [code or "" for code in ids], np.arange(len(ids))
    indices = {label: index for index, label in enumerate(layout.classes)} | {
        code: index for index, code in enumerate(ids) if code
    }
    names = list(sample.header[1:])
    classes = np.array([indices.get(name, -1) for name in names], np.int64)
    if (classes < 0).all():
        raise UserError(
            f"{layout.settings.sample}: has no column for any class of the model; "
            "submission.class_ids should name a table of its codes"
        )
    return names, classes


def check_sample_2022(layout: SubmissionLayout) -> None:
    """Warn of columns of the sample without a class, and of classes without a column.

    Raises
    ------
    UserError
        If the sample cannot be used.
    """
    sample = read_sample(layout.settings.sample) if layout.settings.sample else None
    if sample is None or sample.header == TARGETS:
        return
    names, classes = columns(layout, sample)
    unknown = [name for name, index in zip(names, classes, strict=True) if index < 0]
    if unknown:
        warning(
            f"{len(unknown)} columns of {layout.settings.sample} are of species that the model does not know; "
            f"they will be 0: {', '.join(unknown[:CLASSES_LISTED])}"
        )
    lost = len(layout.classes) - len({*classes.tolist()} - {-1})
    if lost:
        warning(f"{lost} classes of the model have no column in {layout.settings.sample} and are left out")


def _in_columns(
    scores: Float[np.ndarray, "rows classes"], classes: Int64[np.ndarray, " columns"]
) -> Float[np.ndarray, "rows columns"]:
    return np.where(classes >= 0, scores[:, classes].astype(np.float64), 0.0)


def _score_line(row: str, scores: Float[np.ndarray, " columns"]) -> str:
    return csv_line([row, *(f"{score:.{DIGITS}f}" for score in scores.tolist())])


def _write_targets(path: Path, results: Iterable[IntervalScores], layout: SubmissionLayout, sample: Sample) -> int:
    ids, media = class_ids(layout, IDS_2022), media_ids(layout, IDS_2022)
    with text_file(path) as stream, closing(SampleOrder(sample.rows, path.parent)) as ordered:
        for one in results:
            hits_of_intervals = one.detections(layout.rule).tolist()
            for (_, end), hits in zip(whole_seconds(one, layout), hits_of_intervals, strict=True):
                for code, hit in zip(ids, hits, strict=True):
                    row = f"{media[one.file]}_{code}_{end}"
                    ordered.add(row, csv_line([row, str(hit)]))
        warn_of_missing_rows(ordered, layout, "False")
        stream.write(csv_line(TARGETS))
        return ordered.write(stream, lambda row: csv_line([row, "False"]))
