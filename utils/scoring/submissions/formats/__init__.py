"""Submissions: what a net says of recordings, as files that challenges and field tools take as they are."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from utils.console import UserError
from utils.scoring.inference.interval_scores import IntervalScores
from utils.scoring.submissions.formats import (
    audacity,
    birdclef2018,
    check_birdclef2018,
    check_kaggle,
    check_tables,
    kaggle2021,
    kaggle2022,
    plain_csv,
    raven,
)
from utils.scoring.submissions.formats.class_ids import say_left_out
from utils.scoring.submissions.formats.problems import Problems
from utils.scoring.submissions.formats.sheet import CHALLENGES, Sheet, media_ids

__all__ = ["CHALLENGES", "FORMATS", "Sheet", "check", "check_sheet", "suffix", "write_submission"]


@dataclass(frozen=True)
class Format:
    """How a format is written and checked, and how its file or folder ends."""

    write: Callable[[Path, Iterable[IntervalScores], Sheet], int]
    check: Callable[[Path, Sheet], Problems]
    suffix: str


FORMATS = {
    "birdclef2018": Format(birdclef2018.write, check_birdclef2018.check, ".txt"),
    "kaggle2021": Format(kaggle2021.write, check_kaggle.check, "_kaggle2021.csv"),
    "kaggle2022": Format(kaggle2022.write, check_kaggle.check, "_kaggle2022.csv"),
    "raven": Format(raven.write, check_tables.check_folder, "_raven"),
    "audacity": Format(audacity.write, check_tables.check_folder, "_audacity"),
    "csv": Format(plain_csv.write, check_tables.check_csv, ".csv"),
}


def suffix(format: str) -> str:  # noqa: A002  # the setting is called so
    """Return how the name of a submission ends; Raven and Audacity have a file a recording, and a folder for them."""
    return FORMATS[format].suffix


def write_submission(path: Path, results: Iterable[IntervalScores], sheet: Sheet) -> int:
    """Write a submission in the format of `sheet.settings`; it appears whole, or not at all.

    Recordings are written as they come: none is kept in memory. What cannot be used has no row, but for formats whose
    sample demands some.

    Parameters
    ----------
    path : file or folder, named with `suffix`
    results : of all recordings, in the order of their files

    Returns
    -------
    Number of rows.

    Raises
    ------
    UserError
        If ids, a pattern or a sample do not fit.
    ValueError
        If scores are no numbers from 0 to 1, or intervals overlap.
    """
    return FORMATS[sheet.settings.format].write(path, results, sheet)


def check_sheet(sheet: Sheet) -> None:
    """Find out before anything is heard whether ids, pattern, intervals and sample will do, and warn of what will be left out.

    Raises
    ------
    UserError
        If they do not.
    """
    if sheet.settings.format not in CHALLENGES:
        return
    if not sheet.monophone and not float(sheet.settings.interval).is_integer():
        raise UserError(
            f"submission.interval = {sheet.settings.interval:g}: should be whole seconds, {sheet.settings.format} has no others"
        )
    media_ids(sheet)
    say_left_out(sheet)
    if sheet.settings.format == "kaggle2021":
        kaggle2021.sample_of(sheet)
    if sheet.settings.format == "kaggle2022":
        kaggle2022.say_unmatched(sheet)


def check(path: Path, sheet: Sheet) -> list[str]:
    """Say, a line each, what a challenge's or program's parser would refuse in a file, or folder, in the format of `sheet.settings`.

    Returns
    -------
    The first 20 problems, with the numbers of their lines, and how many more there are; empty where all is well.

    Raises
    ------
    UserError
        If there is no such file, or ids, a pattern or a sample do not fit.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file")
    try:
        return FORMATS[sheet.settings.format].check(path, sheet).told()
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder; in this format a submission is one file") from None
