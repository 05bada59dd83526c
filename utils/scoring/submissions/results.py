"""What the steps of a submission return."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from utils.console import Failure
from utils.scoring.evaluation.soundscapes import SoundscapeMetrics
from utils.scoring.submissions.event_table import WrittenEvents
from utils.scoring.submissions.history import WrittenHistory
from utils.scoring.submissions.plots.writing import WrittenPlots
from utils.sound.report import is_partial


@dataclass(frozen=True)
class Submitted:
    """What a submission holds.

    Attributes
    ----------
    path : where it is
    recordings, intervals, rows : how many were predicted and written
    species : how many were detected in some interval
    failures : the recordings that could not be used
    metrics : how good the predictions are, if there are annotations
    thresholds : the file of thresholds that are best for the annotated recordings
    page : the timelines of soundscapes
    novelty : the table of the novelty of all intervals, if it was asked for
    events : the table of events, if it was asked for
    times : the plot of detections by time of day, if times are known
    history : the tables of detections and effort by site and day, if they were asked for
    plots : of detections by time, site and recording, and of scores, if they were asked for
    odd : the recordings that were used with a warning, such as a missing end
    unused : files of the folder, annotations, and rows of the table of places, that could not be used
    files : a summary of all files in the folder
    """

    path: Path
    recordings: int
    intervals: int
    rows: int
    species: int
    failures: list[Failure]
    metrics: SoundscapeMetrics | None = None
    thresholds: Path | None = None
    page: Path | None = None
    novelty: Path | None = None
    events: WrittenEvents | None = None
    times: Path | None = None
    history: WrittenHistory | None = None
    plots: WrittenPlots | None = None
    odd: Sequence[Failure] = ()
    unused: Sequence[Failure] = ()
    files: str = ""

    @property
    def complete(self) -> bool:
        """Whether there were recordings, nothing was left out, and none was used only in part."""
        partial = [warning for warning in self.odd if is_partial(warning.reason)]
        return bool(self.recordings) and not (self.failures or partial or self.unused)


@dataclass(frozen=True)
class Checked:
    """What a challenge's parser would reject in a file, one line each."""

    path: Path
    failures: list[str]

    @property
    def complete(self) -> bool:
        """Whether nothing would be rejected."""
        return not self.failures
