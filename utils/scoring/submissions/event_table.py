"""The events of a submission, from start to end of each call, as `submission.events` says."""

from collections.abc import Container, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from utils import console
from utils.files import remove_path
from utils.scoring.evaluation.onsets import OnsetEvaluator
from utils.scoring.evaluation.soundscape_truth import Truth
from utils.scoring.inference.frame_events import FrameEvent, find_events
from utils.scoring.metrics.onsets import OnsetMetrics
from utils.scoring.submissions.formats.detections import Detection, RecordingDetections
from utils.scoring.submissions.formats.registry import FORMATS
from utils.scoring.submissions.score_parts import read_score_part
from utils.scoring.submissions.task import Task


@dataclass(frozen=True)
class WrittenEvents:
    """The table of events: where it is, its number of rows, and its metrics if there are annotations."""

    path: Path
    rows: int
    onsets: OnsetMetrics | None = None

    @property
    def text(self) -> str:
        """The table for people."""
        return f"{console.printable(self.path)}, {self.rows:,} rows"


def write_events(task: Task, *, run: str, failed: Container[int], truth: Truth | None) -> WrittenEvents | None:
    """Write the events of all recordings, and compare them with annotations; None if they were not asked for.

    The table appears whole or not at all. Recordings are written as they come; memory holds the events of one.

    Parameters
    ----------
    failed : the recordings that have no part, by index
    truth : what was annotated of them
    """
    chosen = task.layout.settings.events
    stem = f"{run}_{task.kind}_events"
    for form in FORMATS.values():  # those of an earlier call
        remove_path(task.folder / f"{stem}{form.suffix}")
    if chosen == "none":
        return None
    evaluator = OnsetEvaluator(truth, task.layout.classes) if truth else None
    layout = replace(task.layout, novelty=False, time_digits=1, events=True)

    def recordings() -> Iterator[RecordingDetections]:
        for index, file in enumerate(task.layout.files):
            if index not in failed:
                events = events_of(task, index)
                if evaluator:
                    evaluator.add(file, events)
                yield RecordingDetections(file, map(_detection, events))

    form = FORMATS[chosen]
    path = task.folder / f"{stem}{form.suffix}"
    assert form.write_detections is not None  # noqa: S101 — a test holds that the setting lists such formats only
    rows = form.write_detections(path, recordings(), layout)
    return WrittenEvents(path, rows, evaluator.metrics() if evaluator else None)


def events_of(task: Task, index: int) -> list[FrameEvent]:
    """Return the events of a recording, from its part."""
    cells, rule = read_score_part(task.targets[index]).cells, task.layout.rule
    if cells is None:
        raise ValueError(f"{task.targets[index]}: has no scores of frames")
    highest = np.zeros(len(task.layout.classes), np.float32)
    for table in task.postprocessing.of_cells(cells, index=index) if rule.factor < 1 else ():
        highest = np.maximum(highest, table.max(axis=0))
    tables = task.postprocessing.of_cells(cells, index=index)
    return find_events(tables, rule.limits(highest), level=task.layout.settings.event_level)


def _detection(event: FrameEvent) -> Detection:
    return Detection(event.start_time, event.end_time, event.class_index, min(event.score, 1.0))
