"""What Kaggle's parsers would refuse in submissions to its BirdCLEF challenges."""

import re
from collections.abc import Sequence
from pathlib import Path

from utils.scoring.metrics.thresholds import NOCALL
from utils.scoring.submissions.formats.check_intervals import Intervals, ends_of
from utils.scoring.submissions.formats.kaggle2021 import HEADER, bird_names
from utils.scoring.submissions.formats.kaggle2022 import TARGETS, columns
from utils.scoring.submissions.formats.problems import Problems, cells_of, check_score, shown
from utils.scoring.submissions.formats.samples import Sample, read_sample
from utils.scoring.submissions.formats.sheet import Sheet, media_ids

NAMED = 3  # missing rows named


class _SampleRows:
    """Rows as a sample wants them: all, each once, in its order."""

    def __init__(self, sample: Sample, problems: Problems) -> None:
        self._numbers = {row: number for number, row in enumerate(sample.rows)}
        self._rows, self._problems = sample.rows, problems
        self._seen: set[str] = set()
        self._last = -1

    def add(self, line: int, row: str) -> None:
        number = self._numbers.get(row)
        if number is None:
            self._problems.add(f"the sample has no row {shown(row)}", line)
        elif row in self._seen:
            self._problems.add(f"the row {shown(row)} is there twice", line)
        elif number < self._last:
            self._problems.add(
                f"the row {shown(row)} stands before {shown(self._rows[self._last])} in the sample", line
            )
        self._seen.add(row)
        self._last = max(self._last, -1 if number is None else number)

    def finish(self) -> None:
        missing = [row for row in self._rows if row not in self._seen]
        if missing:
            named = ", ".join(map(shown, missing[:NAMED]))
            self._problems.add(
                f"{len(missing)} of the sample's {len(self._rows)} rows are missing: {named}{', …' if len(missing) > NAMED else ''}"
            )


class _Rows:
    """Rows without a sample: of known recordings, an interval after the other."""

    def __init__(self, sheet: Sheet, problems: Problems) -> None:
        media = media_ids(sheet)
        self._known, self._problems = set(media.values()), problems
        ends = ends_of(sheet, media)
        length = float(max(ends.values(), default=1)) if sheet.monophone else sheet.settings.interval
        self._intervals = Intervals(problems, length=length, ends=ends)

    def add(self, line: int, row: str) -> None:
        found = re.fullmatch(r"(.*)_(\d+)", row, re.ASCII | re.DOTALL)
        if not found:
            self._problems.add(f"the row {shown(row)} does not end in _ and a whole second", line)
        elif found[1] not in self._known:
            self._problems.add(f"no recording is called {shown(found[1])}", line)
        else:
            self._intervals.add(line, found[1], None, float(found[2]))

    def finish(self) -> None:
        self._intervals.finish()


def check(path: Path, sheet: Sheet) -> Problems:
    """Check a submission of either form."""
    problems = Problems()
    sample = read_sample(sheet.settings.sample) if sheet.settings.sample else None
    birds = sheet.settings.format == "kaggle2021"
    header = (
        list(HEADER)
        if birds
        else list(TARGETS)
        if sample and sample.header == TARGETS
        else ["row_id", *columns(sheet, sample)[0]]
    )
    names = set(bird_names(sheet)) if birds else set()
    rows = _SampleRows(sample, problems) if sample else _Rows(sheet, problems)
    first = True
    for line, values in cells_of(path, problems, separator=",", fields=len(header), quoting=True):
        if first and _is_header(values, header, problems, line):
            first = False
            continue
        first = False
        rows.add(line, values[0])
        if birds:
            _check_birds(values[1], names, problems, line)
        elif header == list(TARGETS):
            if values[1] not in ("True", "False"):
                problems.add(f"the target {shown(values[1])} is neither True nor False", line)
        else:
            for value in values[1:]:
                check_score(value, problems, line)
    rows.finish()
    return problems


def _is_header(values: Sequence[str], header: Sequence[str], problems: Problems, line: int) -> bool:
    """Tell whether the first line is, or was meant to be, the headings."""
    if list(values) == header:
        return True
    wrong = next((place for place, (one, other) in enumerate(zip(values, header, strict=True)) if one != other), 0)
    problems.add(
        f"the headings should be {', '.join(header[:4])}{', …' if len(header) > 4 else ''}; column {wrong + 1} is {shown(values[wrong])}",
        line,
    )
    return sorted(values) == sorted(header) or values[0].strip().lower() == "row_id"


def _check_birds(text: str, names: set[str], problems: Problems, line: int) -> None:
    birds = text.split(" ")
    if NOCALL in birds and len(birds) > 1:
        problems.add(f"{NOCALL} stands beside birds", line)
    if len(set(birds)) < len(birds):
        problems.add("a bird is there twice", line)
    for bird in birds:
        if bird not in names and bird != NOCALL:
            problems.add(
                f"no class is called {shown(bird)}"
                if bird
                else f"birds are missing, or parted by more than one space; nothing is {NOCALL}",
                line,
            )
