"""Rows of Kaggle's submissions: their ids, and checks of which rows a file has."""

import re
from collections.abc import Mapping, Sequence

from utils.scoring.inference.intervals import IntervalScores
from utils.scoring.submissions.formats.interval_check import IntervalCheck, recording_ends
from utils.scoring.submissions.formats.layout import IdRules, SubmissionLayout, media_ids, whole_seconds
from utils.scoring.submissions.formats.problems import Problems, quoted
from utils.scoring.submissions.formats.samples import Sample

MISSING_LISTED = 3  # missing rows in a message


def row_ids(one: IntervalScores, layout: SubmissionLayout, media: Mapping[str, str]) -> list[str]:
    """Return the id of each interval's row: the recording's id, and the whole second at which the interval ends.

    Raises
    ------
    UserError
        If intervals do not start at whole seconds.
    """
    return [f"{media[one.file]}_{end}" for _, end in whole_seconds(one, layout)]


class SampleRowCheck:
    """Rows as a sample submission has them: all, each once, in its order."""

    def __init__(self, sample: Sample, problems: Problems) -> None:
        self._indices = {row: index for index, row in enumerate(sample.rows)}
        self._rows, self._problems = sample.rows, problems
        self._seen: set[str] = set()
        self._last = -1

    def add(self, line: int, row: str) -> None:
        """Take in the id of the next row."""
        index = self._indices.get(row)
        if index is None:
            self._problems.add(f"the sample has no row {quoted(row)}", line)
        elif row in self._seen:
            self._problems.add(f"the row {quoted(row)} is listed twice", line)
        elif index < self._last:
            self._problems.add(
                f"the row {quoted(row)} comes before {quoted(self._rows[self._last])} in the sample", line
            )
        self._seen.add(row)
        self._last = max(self._last, -1 if index is None else index)

    def finish(self) -> None:
        """Check that no row is missing."""
        missing = [row for row in self._rows if row not in self._seen]
        if missing:
            first = ", ".join(map(quoted, missing[:MISSING_LISTED]))
            more = ", …" if len(missing) > MISSING_LISTED else ""
            self._problems.add(f"{len(missing)} of the sample's {len(self._rows)} rows are missing: {first}{more}")


class IntervalRowCheck:
    """Rows without a sample: of known recordings, one interval after the other."""

    def __init__(self, layout: SubmissionLayout, rules: IdRules, problems: Problems) -> None:
        media = media_ids(layout, rules)
        self._known, self._problems = set(media.values()), problems
        ends = recording_ends(layout, media)
        length = float(max(ends.values(), default=1)) if layout.monophone else layout.settings.interval
        self._intervals = IntervalCheck(problems, length=length, ends=ends)

    def add(self, line: int, row: str) -> None:
        """Take in the id of the next row."""
        found = re.fullmatch(r"(.*)_(\d+)", row, re.ASCII | re.DOTALL)
        if not found:
            self._problems.add(f"the row {quoted(row)} does not end in _ and a whole second", line)
        elif found[1] not in self._known:
            self._problems.add(f"no recording has the id {quoted(found[1])}", line)
        else:
            self._intervals.add(line, found[1], None, float(found[2]))

    def finish(self) -> None:
        """Check that the last recording is covered to its end."""
        self._intervals.finish()


def row_check(
    layout: SubmissionLayout, rules: IdRules, sample: Sample | None, problems: Problems
) -> SampleRowCheck | IntervalRowCheck:
    """Return the check of a file's rows: by the sample if there is one, else by the recordings."""
    return SampleRowCheck(sample, problems) if sample else IntervalRowCheck(layout, rules, problems)


def is_header(values: Sequence[str], header: Sequence[str], problems: Problems, line: int) -> bool:
    """Tell whether the first line is the header, or was meant to be."""
    if list(values) == list(header):
        return True
    wrong = next((index for index, (one, other) in enumerate(zip(values, header, strict=True)) if one != other), 0)
    problems.add(
        f"the header should be {', '.join(header[:4])}{', …' if len(header) > 4 else ''}; "
        f"column {wrong + 1} is {quoted(values[wrong])}",
        line,
    )
    return sorted(values) == sorted(header) or values[0].strip().lower() == "row_id"
