"""False alarms in `testing.noise_folder` before and after thresholds are raised, and what that costs in recall."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from config import Testing
from utils.scoring.metrics.detection_metrics import micro
from utils.scoring.metrics.false_alarms import NoiseScores, count_false_alarms, raise_thresholds
from utils.scoring.metrics.metric_kinds import ScoredRows
from utils.scoring.metrics.registry import value_text
from utils.scoring.metrics.thresholds import Thresholds

FALSE_ALARMS = "false alarms per hour"  # heading


@dataclass(frozen=True)
class FalseAlarms:
    """How many intervals of noise have a detection, by the thresholds that were found and by those that are written.

    Attributes
    ----------
    max_per_hour : `testing.max_false_alarms`; None: thresholds were not raised, and `after` equals `before`
    hours, recordings : of noise
    intervals, interval : how many intervals there are, and the length of one, seconds
    before, after : number of false alarms
    recall_before, recall_after : micro recall of the held-out recordings, by thresholds that were found on others of
        them and raised by the same noise; None if there are too few recordings
    raised : number of classes with a higher threshold than before, or none any more
    never : number of classes that had a threshold and have none any more, because noise has their highest score
    """

    max_per_hour: float | None
    hours: float
    recordings: int
    intervals: int
    interval: float
    before: int
    after: int
    recall_before: float | None
    recall_after: float | None
    raised: int
    never: int

    @property
    def facts(self) -> dict[str, Any]:
        """What metrics.json contains."""
        return {
            **asdict(self),
            "per_hour_before": self.before / self.hours,
            "per_hour_after": self.after / self.hours,
        }

    @property
    def text(self) -> str:
        """The numbers of false alarms, for people."""
        found = f"{_rounded(self.before / self.hours)} before, " if self.max_per_hour is not None else ""
        limit = "" if self.max_per_hour is None else f" (at most {self.max_per_hour:g})"
        return f"{found}{_rounded(self.after / self.hours)}{limit}, on {self.noise_text}"

    @property
    def noise_text(self) -> str:
        """How much noise there is, for people."""
        return f"{_rounded(self.hours)} h of noise, {self.intervals:,} intervals of {self.interval:g} s"

    @property
    def recall_text(self) -> str:
        """What raising the thresholds costs, for people."""
        if self.max_per_hour is None:
            return f"micro recall {value_text(self.recall_before)}"
        return f"micro recall {value_text(self.recall_before)} before, {value_text(self.recall_after)} after"

    @property
    def notes(self) -> list[str]:
        """What else to know, one sentence each."""
        notes = []
        if self.never:
            noun = "class is" if self.never == 1 else "classes are"
            notes.append(
                f"{self.never} {noun} never detected any more, because noise has scores of 1: learn noise, too "
                "(training.noise_class), or increase testing.max_false_alarms"
            )
        if self.max_per_hour and self.max_per_hour * self.hours < 1:
            notes.append(
                f"{_rounded(self.hours)} h of noise are too few for testing.max_false_alarms = "
                f"{self.max_per_hour:g}: no false alarm was allowed; {_rounded(1 / self.max_per_hour)} h allow one"
            )
        return notes


def raised_by_noise(thresholds: Thresholds, noise: NoiseScores, settings: Testing) -> Thresholds:
    """Return thresholds as they are, or raised by `testing.max_false_alarms`."""
    limit = settings.max_false_alarms
    if limit is None:
        return thresholds
    return raise_thresholds(thresholds, noise, max_per_hour=limit, per_class=settings.thresholds == "per_class")


def false_alarms_of(
    noise: NoiseScores, before: tuple[Thresholds, ScoredRows], after: tuple[Thresholds, ScoredRows]
) -> FalseAlarms:
    """Count false alarms, and the detections of held-out recordings, before and after thresholds are raised.

    Parameters
    ----------
    before, after : thresholds, and the held-out rows with what is detected by such thresholds of other recordings
    """
    (found, rows_before), (written, rows_after) = before, after
    pairs = list(zip(found.values, written.values, strict=True))
    return FalseAlarms(
        max_per_hour=written.max_false_alarms,
        hours=noise.hours,
        recordings=noise.recordings,
        intervals=len(noise.scores),
        interval=noise.interval,
        before=count_false_alarms(noise, found),
        after=count_false_alarms(noise, written),
        recall_before=_recall(rows_before),
        recall_after=_recall(rows_after),
        raised=sum(one != other for one, other in pairs),
        never=sum(one is not None and other is None for one, other in pairs),
    )


def _recall(rows: ScoredRows) -> float | None:
    if rows.counts is None:
        return None
    return micro(rows.counts, unknown=0 if rows.unknown is None else int(np.sum(rows.unknown))).recall


def _rounded(value: float) -> str:
    """Write a number with three digits that count, but no fewer than its whole ones."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
