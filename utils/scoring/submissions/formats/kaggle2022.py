"""The submissions of BirdCLEF 2022 to 2025 on Kaggle: a probability for each interval and species.

    row_id,akepa1,amerob,…
    soundscape_29201_5,0.031000,0.700000,…

A row's id is the file's stem and the second at which the interval ends. The challenge of 2022 itself had a row for each
interval and species, which is written where the sample has its two columns:

    row_id,target
    soundscape_1000170626_akepa1_5,False

Source: kaggle.com/competitions/birdclef-2022 to birdclef-2025 (Evaluation, sample_submission.csv).
"""

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int64

from utils.console import UserError, warn
from utils.scoring.inference.interval_scores import IntervalScores
from utils.scoring.submissions.formats.class_ids import SHOWN, class_ids
from utils.scoring.submissions.formats.rows import csv_line, row_ids
from utils.scoring.submissions.formats.samples import Ordered, Sample, ordered, read_sample, say_missing
from utils.scoring.submissions.formats.sheet import DIGITS, Sheet, called, media_ids, usable, whole_seconds
from utils.scoring.submissions.formats.writing import text_file

TARGETS = ("row_id", "target")
UNKNOWN = 0.5  # what stands for each class of the model where no interval has predictions: neither yes nor no


def write(path: Path, results: Iterable[IntervalScores], sheet: Sheet) -> int:
    """Write the file; return its rows.

    With a sample, they are its rows and columns in its order; rows and classes that it does not have are left out, and
    columns that no class has are 0. Rows of recordings that cannot be used hold the mean of each column over all
    intervals heard: these challenges are scored by the order of a column's values, in which a 0 would claim to know
    that nobody sings. Where no interval has predictions, they hold UNKNOWN. In the form of 2022 they are False.
    """
    sample = read_sample(sheet.settings.sample) if sheet.settings.sample else None
    if sample is not None and sample.header == TARGETS:
        return _write_targets(path, usable(results, sheet), sheet, sample)
    names, numbers = columns(sheet, sample)
    media = media_ids(sheet)
    sums, heard, count = np.zeros(len(names)), 0, 0
    with text_file(path) as stream, ordered(sample, path.parent) as kept:
        stream.write(csv_line(["row_id", *names]))
        for one in usable(results, sheet):
            values = _in_columns(one.scores, numbers)
            sums, heard = sums + values.sum(axis=0), heard + len(values)
            for row, scores in zip(row_ids(one, sheet, media), values, strict=True):
                if kept is None:
                    stream.write(csv_line(_line(row, scores)))
                else:
                    kept.add(row, csv_line(_line(row, scores)))
                count += 1
        if kept is None:
            return count
        say_missing(kept, sheet, "the mean of each column" if heard else f"{UNKNOWN:g} for every class")
        mean = sums / heard if heard else np.where(numbers >= 0, UNKNOWN, 0.0)
        return kept.write(stream, lambda row: csv_line(_line(row, mean)))


def columns(sheet: Sheet, sample: Sample | None) -> tuple[list[str], Int64[np.ndarray, " columns"]]:
    """Return the names of the columns behind row_id, and the number of the class that each holds; −1: none.

    Raises
    ------
    UserError
        If the sample has no column for any class.
    """
    ids = class_ids(sheet)
    if sample is None:
        return [code or "" for code in ids], np.arange(len(ids))
    places = {label: number for number, label in enumerate(sheet.classes)} | {
        code: number for number, code in enumerate(ids) if code
    }
    names = list(sample.header[1:])
    numbers = np.array([places.get(name, -1) for name in names], np.int64)
    if (numbers < 0).all():
        raise UserError(
            f"{sheet.settings.sample}: has no column for any class of the net; submission.class_ids should name a table of its codes"
        )
    return names, numbers


def say_unmatched(sheet: Sheet) -> None:
    """Warn of columns of the sample that no class has, and of classes that have no column.

    Raises
    ------
    UserError
        If the sample cannot be used.
    """
    sample = read_sample(sheet.settings.sample) if sheet.settings.sample else None
    if sample is None or sample.header == TARGETS:
        return
    names, numbers = columns(sheet, sample)
    strange = [name for name, number in zip(names, numbers, strict=True) if number < 0]
    if strange:
        warn(
            f"{len(strange)} columns of {sheet.settings.sample} are of species that the net does not know, and 0: {', '.join(strange[:SHOWN])}"
        )
    lost = len(sheet.classes) - len({*numbers.tolist()} - {-1})
    if lost:
        warn(f"{lost} classes of the net have no column in {sheet.settings.sample} and are left out")


def _in_columns(
    scores: Float[np.ndarray, "rows classes"], numbers: Int64[np.ndarray, " columns"]
) -> Float[np.ndarray, "rows columns"]:
    return np.where(numbers >= 0, scores[:, numbers].astype(np.float64), 0.0)


def _line(row: str, scores: Float[np.ndarray, " columns"]) -> list[str]:
    return [row, *(f"{score:.{DIGITS}f}" for score in scores.tolist())]


def _write_targets(path: Path, results: Iterable[IntervalScores], sheet: Sheet, sample: Sample) -> int:
    ids, media = class_ids(sheet), media_ids(sheet)
    with text_file(path) as stream, closing(Ordered(sample.rows, path.parent)) as kept:
        for one in results:
            for (_, end), hits in zip(whole_seconds(one, sheet), called(one, sheet).tolist(), strict=True):
                for code, hit in zip(ids, hits, strict=True):
                    row = f"{media[one.file]}_{code}_{end}"
                    kept.add(row, csv_line([row, str(hit)]))
        say_missing(kept, sheet, "False")
        stream.write(csv_line(TARGETS))
        return kept.write(stream, lambda row: csv_line([row, "False"]))
