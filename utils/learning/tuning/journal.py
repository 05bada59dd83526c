"""The journal of a search: what each trial tried and found. It is written whole, before and after each trial."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from utils.console import UserError
from utils.files import write_text
from utils.learning.tuning.space import Dimension

JOURNAL = "journal.jsonl"
JOURNAL_VERSION = 1
State = Literal["running", "complete", "pruned", "failed"]


@dataclass(frozen=True)
class Trial:
    """One trial of a search.

    Attributes
    ----------
    index : from 0
    values : of the settings that are searched, by name
    state : running until it ends, also if the program was killed meanwhile
    value : the best of `course`; with folds their mean; None if it failed
    course : the monitored metric after each epoch, or the mean over folds after each fold; None where not defined
    epoch : the best epoch; None with folds and without training
    run : name of its run; with folds, start of the names of its runs
    repeats : index of an earlier trial with the same values, whose result it has
    reason : why it failed
    seconds : how long training took
    """

    index: int
    values: dict[str, Any]
    state: State = "running"
    value: float | None = None
    course: tuple[float | None, ...] = ()
    epoch: int | None = None
    run: str = ""
    repeats: int | None = None
    reason: str = ""
    seconds: float = 0.0

    @property
    def title(self) -> str:
        """How people count it, from 001 on: the end of its run's name."""
        return f"{self.index + 1:03d}"


@dataclass(frozen=True)
class Journal:
    """A search so far.

    Attributes
    ----------
    data : what trials learn from and are compared on, as a fingerprint
    metric : title of the value of trials
    smaller : whether smaller values are better
    """

    data: str
    metric: str
    smaller: bool = False
    trials: tuple[Trial, ...] = ()

    @property
    def finished(self) -> list[Trial]:
        """The trials that ended."""
        return [trial for trial in self.trials if trial.state != "running"]

    @property
    def failed(self) -> list[Trial]:
        """The trials that failed."""
        return [trial for trial in self.trials if trial.state == "failed"]

    @property
    def best(self) -> Trial | None:
        """The complete trial with the best value, the first of equal ones; None if there is none."""
        complete = [trial for trial in self.trials if trial.state == "complete" and trial.value is not None]
        return max(complete, key=lambda trial: self.worth(trial.value or 0.0)) if complete else None

    def worth(self, value: float) -> float:
        """Return a value such that larger ones are better."""
        return -value if self.smaller else value


@dataclass(frozen=True)
class _Head:
    """The first line of the file, about the search as a whole."""

    version: int
    data: str
    metric: str
    smaller: bool


_FIRST_LINE: TypeAdapter[_Head] = TypeAdapter(_Head)
_TRIAL_LINE: TypeAdapter[Trial] = TypeAdapter(Trial)


def write_journal(folder: Path, journal: Journal) -> None:
    """Write the journal: a line about the search, and one for each trial."""
    head = _Head(JOURNAL_VERSION, journal.data, journal.metric, journal.smaller)
    lines = [asdict(head), *map(asdict, journal.trials)]
    write_text(folder / JOURNAL, "".join(f"{json.dumps(line, allow_nan=False)}\n" for line in lines))


def read_journal(folder: Path, space: Sequence[Dimension]) -> Journal | None:
    """Read the journal of a search; None if there is none.

    Raises
    ------
    UserError
        If it is damaged, or of a version that this program does not know.
    """
    path = folder / JOURNAL
    if not path.is_file():
        return None
    try:
        first, *lines = path.read_bytes().splitlines() or [b""]
        head = _read_line(first, 1, _FIRST_LINE)
        if head.version != JOURNAL_VERSION:
            raise ValueError(f"version {head.version}, but this program reads version {JOURNAL_VERSION}")
        trials = tuple(_read_line(line, index, _TRIAL_LINE) for index, line in enumerate(lines, 2))
        for index, trial in enumerate(trials):
            _check_trial(trial, trials[:index], space)
            if trial.state == "running" and index < len(lines) - 1:
                raise ValueError(f"line {index + 2} is a running trial, but it is not the last")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise UserError(f"{path}: is damaged ({error}); start the search over with --fresh") from None
    return Journal(head.data, head.metric, head.smaller, trials)


def _read_line(line: bytes, index: int, form: TypeAdapter) -> Any:
    try:
        return form.validate_json(line, strict=True, extra="forbid")
    except ValidationError as error:
        first = error.errors()[0]
        place = ": ".join([f"line {index}", *filter(None, [".".join(map(str, first["loc"]))])])
        raise ValueError(f"{place}: {first['msg'].replace('Input should', 'should')}") from None


def _check_trial(trial: Trial, earlier: Sequence[Trial], space: Sequence[Dimension]) -> None:
    """Refuse a trial that this program cannot have written."""
    line = f"line {len(earlier) + 2}"
    fitting = set(trial.values) == {one.name for one in space} and all(
        one.holds(trial.values[one.name]) for one in space
    )
    if trial.index != len(earlier) or not fitting:
        raise ValueError(f"{line} is not a trial of this search")
    if not all(math.isfinite(value) for value in (trial.value, *trial.course, trial.seconds) if value is not None):
        raise ValueError(f"{line} has a metric or time that is not finite")
    if (trial.value is not None) != (trial.state in ("complete", "pruned")):
        raise ValueError(f"{line} has state {trial.state} and value {json.dumps(trial.value)}")
    if trial.epoch is not None and not 1 <= trial.epoch <= len(trial.course):
        raise ValueError(f"{line} has no epoch {trial.epoch}")
    if re.search(r"[/\\]|^\.", trial.run):
        raise ValueError(f"{line} has a run that is not the name of a folder")
    if trial.repeats is not None and trial.values not in [one.values for one in earlier if one.index == trial.repeats]:
        raise ValueError(f"{line} does not have the values of the trial that it repeats")
