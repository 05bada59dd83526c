"""Submissions: what a net says of recordings, as files that challenges and field tools take as they are."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from utils.scoring.formats import audacity, birdclef2018, kaggle2021, kaggle2022, plain_csv, raven
from utils.scoring.formats.class_ids import class_ids
from utils.scoring.formats.samples import read_sample
from utils.scoring.formats.sheet import CHALLENGES, Sheet, media_ids
from utils.scoring.intervals import IntervalScores

__all__ = ["CHALLENGES", "FORMATS", "Sheet", "check_sheet", "suffix", "write_submission"]


@dataclass(frozen=True)
class Format:
    """How a format is written, and how its file or folder ends."""

    write: Callable[[Path, Iterable[IntervalScores], Sheet], int]
    suffix: str


FORMATS = {
    "birdclef2018": Format(birdclef2018.write, ".txt"),
    "kaggle2021": Format(kaggle2021.write, "_kaggle2021.csv"),
    "kaggle2022": Format(kaggle2022.write, "_kaggle2022.csv"),
    "raven": Format(raven.write, "_raven"),
    "audacity": Format(audacity.write, "_audacity"),
    "csv": Format(plain_csv.write, ".csv"),
}


def suffix(format: str) -> str:  # noqa: A002  # the setting is called so
    """Return how the name of a submission ends; Raven and Audacity have a file a recording, and a folder for them."""
    return FORMATS[format].suffix


def write_submission(path: Path, results: Iterable[IntervalScores], sheet: Sheet) -> int:
    """Write a submission in the format of `sheet.settings`; it appears whole, or not at all.

    Recordings are written as they come: none is kept in memory. What cannot be used has no row, but for formats whose sample demands some.

    Parameters
    ----------
    path : file or folder, named with `suffix`
    results : of all recordings, in the order of their files

    Returns
    -------
    Number of rows.

    Raises
    ------
    Trouble
        If ids, a pattern or a sample do not fit.
    ValueError
        If scores are no numbers from 0 to 1, or intervals overlap.
    """
    return FORMATS[sheet.settings.format].write(path, results, sheet)


def check_sheet(sheet: Sheet) -> None:
    """Find out before anything is heard whether ids, pattern and sample will do.

    Raises
    ------
    Trouble
        If they do not.
    """
    if sheet.settings.format in CHALLENGES:
        media_ids(sheet)
        class_ids(sheet)
        if sheet.settings.sample and sheet.settings.format != "birdclef2018":
            read_sample(sheet.settings.sample)
