"""The submissions of BirdCLEF 2018: the best classes of each recording, or of each interval of one.

    90012;abcdef;0.912345;1                     monophone: MediaId;ClassId;Score;Rank
    90012;00:01:05-00:01:10;abcdef;0.912345     soundscape: MediaId;hh:mm:ss-hh:mm:ss;ClassId;Score

Source: BASELINE, Submissions; Goëau et al., Overview of BirdCLEF 2018.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from utils.scoring.inference.interval_scores import IntervalScores
from utils.scoring.submissions.formats.class_ids import class_ids
from utils.scoring.submissions.formats.sheet import DIGITS, Sheet, media_ids, usable, whole_seconds
from utils.scoring.submissions.formats.writing import text_file


def write(path: Path, results: Iterable[IntervalScores], sheet: Sheet) -> int:
    """Write the file; return its rows. Classes without an id are left out, and ranks have no gaps. Recordings that cannot be used have no row."""
    ids, media, count = class_ids(sheet), media_ids(sheet), 0
    with text_file(path) as stream:
        for one in usable(results, sheet):
            for row in _rows(one, sheet, ids, media[one.file]):
                stream.write(row)
                count += 1
    return count


def _rows(one: IntervalScores, sheet: Sheet, ids: tuple[str | None, ...], media: str) -> Iterator[str]:
    known = np.flatnonzero([code is not None for code in ids])
    times = [""] if sheet.monophone else [f"{clock(start)}-{clock(end)}" for start, end in whole_seconds(one, sheet)]
    for time, scores, order in zip(times, one.scores, one.uncalibrated, strict=True):
        best = known[np.argsort(-order[known], kind="stable")[: sheet.settings.best]]
        for rank, number in enumerate(best.tolist(), 1):
            score = f"{scores[number]:.{DIGITS}f}"
            yield (
                f"{media};{ids[number]};{score};{rank}\n"
                if sheet.monophone
                else f"{media};{time};{ids[number]};{score}\n"
            )


def clock(seconds: int) -> str:
    """Write a time as hh:mm:ss."""
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
