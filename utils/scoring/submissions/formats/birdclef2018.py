"""The submissions of BirdCLEF 2018: the best classes of each recording, or of each interval of one.

    90012;abcdef;0.912345;1                     monophone: MediaId;ClassId;Score;Rank
    90012;00:01:05-00:01:10;abcdef;0.912345     soundscape: MediaId;hh:mm:ss-hh:mm:ss;ClassId;Score

Source: docs/baseline.md, Submissions; Goëau et al., Overview of BirdCLEF 2018.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from utils.scoring.inference.intervals import IntervalScores
from utils.scoring.submissions.formats.class_ids import class_ids
from utils.scoring.submissions.formats.interval_check import IntervalCheck, recording_ends
from utils.scoring.submissions.formats.layout import (
    DIGITS,
    IdRules,
    SubmissionLayout,
    media_ids,
    usable,
    whole_seconds,
)
from utils.scoring.submissions.formats.problems import Problems, cells_of, check_score, quoted
from utils.scoring.submissions.formats.writing import text_file

# a recording's id is the digits behind _RN in its file's name (docs/baseline.md); the format has no quoting
IDS_2018 = IdRules(media_pattern=r"_RN(\d+)", quoting=False, class_names=False)
MAX_RANKED = 100  # classes of a recording or interval
TIMES = re.compile(r"(\d{2,}):([0-5]\d):([0-5]\d)-(\d{2,}):([0-5]\d):([0-5]\d)", re.ASCII)


def write_birdclef2018(path: Path, results: Iterable[IntervalScores], layout: SubmissionLayout) -> int:
    """Write the file; return its number of rows.

    Classes without an id are left out, and ranks have no gaps. Recordings that cannot be used have no row.
    """
    ids, media, count = class_ids(layout, IDS_2018), media_ids(layout, IDS_2018), 0
    with text_file(path) as stream:
        for one in usable(results, layout):
            for row in _ranked_rows(one, layout, ids, media[one.file]):
                stream.write(row)
                count += 1
    return count


def _ranked_rows(
    one: IntervalScores, layout: SubmissionLayout, ids: tuple[str | None, ...], media: str
) -> Iterator[str]:
    known = np.flatnonzero([code is not None for code in ids])
    times = [""] if layout.monophone else [_time_range(*bounds) for bounds in whole_seconds(one, layout)]
    for time, scores, order in zip(times, one.scores, one.uncalibrated, strict=True):
        best = known[np.argsort(-order[known], kind="stable")[: layout.settings.best]]
        for rank, index in enumerate(best.tolist(), 1):
            score = f"{scores[index]:.{DIGITS}f}"
            yield (
                f"{media};{ids[index]};{score};{rank}\n"
                if layout.monophone
                else f"{media};{time};{ids[index]};{score}\n"
            )


def _time_range(*bounds: int) -> str:
    """Write start and end, seconds, as hh:mm:ss-hh:mm:ss."""
    return "-".join(f"{time // 3600:02d}:{time // 60 % 60:02d}:{time % 60:02d}" for time in bounds)


def check_birdclef2018(path: Path, layout: SubmissionLayout) -> Problems:
    """Check a monophone or soundscape submission, as `layout.monophone` says."""
    problems, ranking = Problems(), _Ranking()
    media = media_ids(layout, IDS_2018)
    known, codes = set(media.values()), {code for code in class_ids(layout, IDS_2018) if code}
    intervals = (
        None
        if layout.monophone
        else IntervalCheck(problems, length=layout.settings.interval, ends=recording_ends(layout, media))
    )
    done: set[tuple[str, str]] = set()
    for line, (name, second, third, fourth) in cells_of(path, problems, separator=";", fields=4):
        if name == "MediaId":
            problems.add("this is a header, which the format does not have", line)
            continue
        time, code, score = ("", second, third) if layout.monophone else (second, third, fourth)
        if name not in known:
            problems.add(f"no recording has the MediaId {quoted(name)}", line)
        if code not in codes:
            problems.add(f"no class has the id {quoted(code)}", line)
        fresh = ranking.add((name, time), code, check_score(score, problems, line), problems, line)
        if fresh and (name, time) in done:
            problems.add(f"{quoted(f'{name} {time}'.strip())} has rows further up; its rows should be together", line)
        done.add((name, time))
        if layout.monophone and fourth != str(ranking.count):
            problems.add(f"the rank is {quoted(fourth)}, it should be {ranking.count}", line)
        if intervals is not None and fresh:
            _check_time_range(intervals, name, time, problems, line)
    if intervals is not None:
        intervals.finish()
    return problems


class _Ranking:
    """The rows of one recording or interval: each class once, scores that do not rise, 100 at most."""

    def __init__(self) -> None:
        self.key: tuple[str, str] | None = None
        self.codes: set[str] = set()
        self.count = 0
        self.score = 1.0

    def add(self, key: tuple[str, str], code: str, score: float | None, problems: Problems, line: int) -> bool:
        """Take in a row; tell whether it is the first of another recording or interval."""
        fresh = key != self.key
        if fresh:
            self.key, self.codes, self.count, self.score = key, set(), 0, 1.0
        self.count += 1
        if code in self.codes:
            problems.add(f"the class {quoted(code)} is listed twice", line)
        self.codes.add(code)
        if self.count == MAX_RANKED + 1:
            problems.add(f"more than {MAX_RANKED} rows of {quoted(' '.join(key).strip())}", line)
        if score is not None and score > self.score:
            problems.add("the score is higher than that of the row above; the best should come first", line)
        self.score = self.score if score is None else score
        return fresh


def _check_time_range(intervals: IntervalCheck, media: str, text: str, problems: Problems, line: int) -> None:
    found = TIMES.fullmatch(text)
    if not found:
        problems.add(f"{quoted(text)} is not an interval hh:mm:ss-hh:mm:ss", line)
        return
    hours, minutes, seconds, *rest = map(int, found.groups())
    start, end = (3600 * h + 60 * m + s for h, m, s in ((hours, minutes, seconds), rest))
    intervals.add(line, media, float(start), float(end))
