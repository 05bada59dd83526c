"""What a submission is written from besides the scores, and the names and times that stand in it."""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Bool, Float

from config import Submission
from utils.console import UserError
from utils.scoring.inference.interval_scores import IntervalScores

DIGITS = 6  # behind the point of a score
SHORTEST = 1e-6  # seconds; less than a sample of any recording: times that differ by it are the same
# formats in which recordings have ids and times are whole seconds
CHALLENGES = ("birdclef2018", "kaggle2021", "kaggle2022")
# what a challenge's file is called there, found in the file's name: digits behind _RN (BASELINE); 2782_SSW_20170701.ogg
# is 2782_SSW in Kaggle's rows
USUAL = {"birdclef2018": r"_RN(\d+)", "kaggle2021": r"^(\d+_[A-Za-z]+)_\d{8}\."}


@dataclass(frozen=True)
class Sheet:
    """What a submission is written from, besides the scores.

    Attributes
    ----------
    classes : what the columns of the scores are
    settings : format, class ids, sample, …
    root : the data set's folder, whose metadata/ may know class ids
    recordings : the folder of the recordings
    chosen : from which uncalibrated score on each class is called; NaN or infinite: never. None: from
        `settings.min_score` on
    files : all recordings asked for, also those that cannot be read, relative to `recordings`
    monophone : whether a recording has one interval, from its begin to its end, and who sings most is asked for
    """

    classes: tuple[str, ...]
    settings: Submission
    root: Path
    recordings: Path
    chosen: Float[np.ndarray, " classes"] | None
    files: tuple[str, ...]
    monophone: bool = False


def called(one: IntervalScores, sheet: Sheet) -> Bool[np.ndarray, "intervals classes"]:
    """Tell which classes are called in each interval, whatever the calibration: uncalibrated score ≥ threshold."""
    return one.uncalibrated >= (sheet.settings.min_score if sheet.chosen is None else sheet.chosen)


def usable(results: Iterable[IntervalScores], sheet: Sheet) -> Iterator[IntervalScores]:
    """Yield the recordings that could be used, once their scores and times were found to be what a submission may hold.

    Raises
    ------
    ValueError
        If scores have another shape, are no numbers from 0 to 1, or intervals are empty or overlap.
    """
    for one in results:
        if one.reason is not None:
            continue
        shape = len(one.starts), len(sheet.classes)
        if (
            {one.scores.shape, one.uncalibrated.shape} != {shape}
            or len(one.starts) != len(one.ends)
            or len(one.starts) == 0
        ):
            raise ValueError(
                f"{one.file}: {one.scores.shape} scores for {len(one.starts)} intervals and {len(sheet.classes)} classes"
            )
        if not (np.isfinite(one.scores).all() and one.scores.min(initial=0) >= 0 and one.scores.max(initial=0) <= 1):
            raise ValueError(f"{one.file}: a score is no number from 0 to 1")
        if (one.ends <= one.starts).any() or (one.starts[1:] < one.ends[:-1] - SHORTEST).any():
            raise ValueError(f"{one.file}: intervals are empty or overlap")
        if sheet.monophone and len(one.starts) > 1:
            raise ValueError(f"{one.file}: has {len(one.starts)} intervals, one recording is one row")
        yield one


def whole_seconds(one: IntervalScores, sheet: Sheet) -> list[tuple[int, int]]:
    """Return begin and end of each interval in whole seconds, the last end rounded up.

    Raises
    ------
    UserError
        If an interval begins within a second, which the format cannot say.
    """
    times = [
        (math.floor(start + SHORTEST), math.ceil(end - SHORTEST))
        for start, end in zip(one.starts.tolist(), one.ends.tolist(), strict=True)
    ]
    if any(before[1] > after[0] for before, after in pairwise(times)):
        raise UserError(f"submission.interval should be whole seconds: {sheet.settings.format} has no others")
    return times


def media_ids(sheet: Sheet) -> dict[str, str]:
    """Return what each recording asked for is called in a challenge's rows, by its file.

    That is what `submission.media_pattern` finds in the file's name; without one what the challenge usually takes, else
    the stem. In the formats of 2018, which cannot quote, semicolons, quotation marks and control characters become `_`.

    Raises
    ------
    UserError
        If the pattern does not fit a file, or two recordings would have the same id.
    """
    given = sheet.settings.media_pattern
    names = {file: PurePosixPath(file) for file in sheet.files}
    found = {
        file: re.search(given or USUAL.get(sheet.settings.format, "$^"), path.name) for file, path in names.items()
    }
    strange = [file for file in sheet.files if given and not (found[file] and (found[file] or [""])[1])]
    if strange:
        raise UserError(
            f"submission.media_pattern = {given!r}: finds nothing in {strange[0]}{_more(len(strange))}; '' takes what is usual, else the stem"
        )
    ids = {file: match[1] if (match := found[file]) else path.stem for file, path in names.items()}
    if sheet.settings.format == "birdclef2018":
        ids = {file: unquotable(name) for file, name in ids.items()}
    owners: dict[str, str] = {}
    for file, name in ids.items():
        if owners.setdefault(name, file) != file:
            raise UserError(
                f"{owners[name]} and {file} would both be {name} in the submission; submission.media_pattern can tell them apart"
            )
    return ids


def unquotable(name: str) -> str:
    """Return a name for files that cannot quote: semicolons, quotation marks and control characters become `_`."""
    return re.sub(r'[;"\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]', "_", name).strip() or "_"


def cell(text: str) -> str:
    """Return a text for a cell between tabs, where nothing can be quoted.

    Control characters become spaces. Raven and Audacity take quotation marks as they are, but R and spreadsheets begin
    a quotation with one at a cell's begin: of such a text all become apostrophes.
    """
    plain = re.sub(r"[\x00-\x1f\x7f\x85\u2028\u2029]", " ", text).strip()
    return plain.replace('"', "'") if plain.startswith('"') else plain


def _more(count: int) -> str:
    return f" and {count - 1} more" if count > 1 else ""
