"""What the parsers of BirdCLEF 2018 would refuse."""

import re
from pathlib import Path

from utils.scoring.submissions.formats.check_intervals import Intervals, ends_of
from utils.scoring.submissions.formats.class_ids import class_ids
from utils.scoring.submissions.formats.problems import Problems, cells_of, check_score, shown
from utils.scoring.submissions.formats.sheet import Sheet, media_ids

MOST = 100  # classes of a recording or interval
TIMES = re.compile(r"(\d{2,}):([0-5]\d):([0-5]\d)-(\d{2,}):([0-5]\d):([0-5]\d)", re.ASCII)


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
            problems.add(f"the class {shown(code)} is there twice", line)
        self.codes.add(code)
        if self.count == MOST + 1:
            problems.add(f"more than {MOST} rows of {shown(' '.join(key).strip())}", line)
        if score is not None and score > self.score:
            problems.add("the score is higher than that of the row above; the best stand first", line)
        self.score = self.score if score is None else score
        return fresh


def check(path: Path, sheet: Sheet) -> Problems:
    """Check a monophone or soundscape submission, as `sheet.monophone` says."""
    problems, ranking = Problems(), _Ranking()
    media = media_ids(sheet)
    known, codes = set(media.values()), {code for code in class_ids(sheet) if code}
    intervals = (
        None if sheet.monophone else Intervals(problems, length=sheet.settings.interval, ends=ends_of(sheet, media))
    )
    done: set[tuple[str, str]] = set()
    for line, (name, second, third, fourth) in cells_of(path, problems, separator=";", fields=4):
        if name == "MediaId":
            problems.add("these are headings, of which the format has none", line)
            continue
        time, code, score = ("", second, third) if sheet.monophone else (second, third, fourth)
        if name not in known:
            problems.add(f"no recording has the MediaId {shown(name)}", line)
        if code not in codes:
            problems.add(f"no class has the id {shown(code)}", line)
        fresh = ranking.add((name, time), code, check_score(score, problems, line), problems, line)
        if fresh and (name, time) in done:
            problems.add(f"{shown(f'{name} {time}'.strip())} has rows further up; they stand together", line)
        done.add((name, time))
        if sheet.monophone and fourth != str(ranking.count):
            problems.add(f"the rank is {shown(fourth)}, it should be {ranking.count}", line)
        if intervals is not None and fresh:
            _add_interval(intervals, name, time, problems, line)
    if intervals is not None:
        intervals.finish()
    return problems


def _add_interval(intervals: Intervals, media: str, time: str, problems: Problems, line: int) -> None:
    found = TIMES.fullmatch(time)
    if not found:
        problems.add(f"{shown(time)} is no interval hh:mm:ss-hh:mm:ss", line)
        return
    hours, minutes, seconds, *rest = map(int, found.groups())
    start, end = (3600 * h + 60 * m + s for h, m, s in ((hours, minutes, seconds), rest))
    intervals.add(line, media, float(start), float(end))
