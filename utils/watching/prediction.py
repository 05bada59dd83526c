"""The models of a run, loaded once, which predict one recording after the other as predict.py does."""

import errno
import logging
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from config import Config
from utils import console
from utils.console import Failure, UserError
from utils.messages import LOGGER
from utils.scoring.inference.ensembles import chosen_members
from utils.scoring.inference.interval_rules import for_unit
from utils.scoring.named_models import check_named_models
from utils.scoring.predicting import config_of_call
from utils.scoring.prediction_call import PredictFlags
from utils.scoring.submissions.formats.detections import RecordingDetections, detections_of_intervals
from utils.scoring.submissions.formats.plain_csv import detection_lines, header_line
from utils.scoring.submissions.part_inference import interval_scores
from utils.scoring.submissions.score_parts import predict_parts
from utils.scoring.submissions.task import Task, TaskBasis, basis_of, task_on
from utils.sound.report import is_partial
from utils.watching.call import WatchFlags

MOST_LINES = 1000  # different messages that are remembered, so that each is printed once


class NamedDetection(NamedTuple):
    """A species in an interval of a recording, seconds, and its score."""

    species: str
    start: float
    end: float
    score: float


@dataclass(frozen=True)
class PredictedRecording:
    """What was predicted of one recording.

    Attributes
    ----------
    lines : its rows of the table
    detections : the same
    seconds : of sound
    warnings : what is odd about its file
    site, started : what the recorder tells, '' and None if it does not; `started` is by its clock
    zone : in which the table gives times; None: as the recorder's clock showed them
    """

    lines: str
    detections: tuple[NamedDetection, ...]
    seconds: float
    warnings: tuple[str, ...] = ()
    site: str = ""
    started: datetime | None = None
    zone: tzinfo | None = None

    @property
    def is_partial(self) -> bool:
        """Whether a part of it is missing, or damaged."""
        return any(map(is_partial, self.warnings))


@runtime_checkable  # for tests, which check types
class Predictor(Protocol):
    """Predicts one recording after the other; `header` is the first line of the table of its rows."""

    @property
    def header(self) -> str: ...  # noqa: D102

    @property
    def settings(self) -> Config: ...  # noqa: D102

    @property
    def facts(self) -> dict[str, str]: ...  # noqa: D102

    def predict(self, path: str) -> PredictedRecording | Failure: ...  # noqa: D102


def load_predictor(root: Path, config: Config, flags: WatchFlags) -> "SnapshotPredictions":
    """Load the models that predict.py would use with the same settings.

    Parameters
    ----------
    root : folder of the recordings

    Raises
    ------
    UserError
        If something is missing or does not fit.
    """
    call = PredictFlags(snapshot=flags.snapshot, threshold=flags.threshold)
    config = for_unit(config_of_call(config, call), "interval")
    if config.submission.dynamic == "share":
        raise UserError(
            "submission.dynamic = share: needs all recordings at once; choose a threshold (--threshold), or "
            "--submission.dynamic off"
        )
    check_named_models(config, call.snapshot)
    members = chosen_members(config)
    basis = basis_of(config, "soundscape", members, given_thresholds=flags.threshold is not None)
    # one thread of this process decodes: processes would have to be started for each recording
    ensemble = replace(basis.ensemble, loaded=basis.ensemble.scorers(config.testing), threads=1)
    return SnapshotPredictions(root, replace(basis, ensemble=ensemble))


class SnapshotPredictions:
    """Predicts recordings of a folder with models that stay in memory.

    Tables have the columns of what recorders tell, because nobody knows what the next recording tells.

    Parameters
    ----------
    root : folder of the recordings
    """

    def __init__(self, root: Path, basis: TaskBasis) -> None:
        self._root, self._basis = root, basis
        self._printed = _EachLineOnce()
        with tempfile.TemporaryDirectory() as scratch:
            layout = self._task(Path(scratch), []).layout
        self.header, self._rule_text = header_line(layout, recorded=True), layout.rule.text

    @property
    def settings(self) -> Config:
        """Those of the first snapshot, by which spectrograms are shown."""
        return self._basis.ensemble.members[0].snapshot.config

    @property
    def facts(self) -> dict[str, str]:
        """Snapshots and threshold, for people."""
        folders = (member.snapshot.folder for member in self._basis.members)
        return {"snapshots": ", ".join(map(console.printable, folders)), "threshold": self._rule_text}

    def predict(self, path: str) -> PredictedRecording | Failure:
        """Predict a recording, which is named by its path below the folder.

        Raises
        ------
        UserError
            If a network is damaged.
        """
        file = self._root / path
        try:
            with tempfile.TemporaryDirectory() as scratch, self._printed.within():
                return self._predicted(self._task(Path(scratch), [file]), path)
        except OSError as error:
            if not _is_about(error, file):
                raise
            return Failure(path, f"cannot be read ({error.strerror})", transient=True)

    def _task(self, scratch: Path, files: list[Path]) -> Task:
        task = task_on(self._basis, root=self._root, files=files, path=scratch / "detections", parts=scratch / "parts")
        return replace(task, layout=replace(task.layout, defuse=task.layout.settings.defuse))

    def _predicted(self, task: Task, path: str) -> PredictedRecording | Failure:
        predictions = predict_parts(
            task.ensemble,
            self._basis.config,
            files=task.files,
            targets=task.targets,
            interval=task.interval,
            scratch_in=task.parts.folder,
        )
        with closing(predictions):
            (one,) = predictions
        if one.failure:
            return replace(one.failure, name=path)
        (found,) = detections_of_intervals(interval_scores(task, {}), task.layout)
        detections = tuple(found.detections)
        rows = [RecordingDetections(path, detections)]
        told = task.recorders.metadata[0]
        odd = (*one.length.warnings, *(failure.reason for failure in task.recorders.failures))
        for failure in task.postprocessing.unused:
            console.warning(f"{failure.name}: {failure.reason}")
        return PredictedRecording(
            "".join(detection_lines(rows, task.layout, recorded=True)),
            tuple(
                NamedDetection(task.layout.classes[row.class_index], row.start, row.end, row.score)
                for row in detections
            ),
            one.length.frames / one.length.rate,
            odd,
            told.site,
            told.started,
            task.layout.zone,
        )


def _is_about(error: OSError, file: Path) -> bool:
    """Tell whether an error is one of a recording, such as a bad sector, and not of what is written here."""
    return Path(error.filename) == file if error.filename else error.errno == errno.EIO


class _EachLineOnce(logging.Filter):
    """Lets each message of the blocks `within` pass once, because most are about the settings, not the recording.

    Messages of other threads pass always.
    """

    def __init__(self) -> None:
        super().__init__()
        self._printed, self._thread = set[str](), threading.get_ident()

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a message is new."""
        if record.thread != self._thread:
            return True
        text = record.getMessage()
        is_new = text not in self._printed
        if len(self._printed) >= MOST_LINES:
            self._printed.clear()
        self._printed.add(text)
        return is_new

    @contextmanager
    def within(self) -> Iterator[None]:
        """Filter the messages of a block, of the thread that runs it."""
        self._thread = threading.get_ident()
        LOGGER.addFilter(self)
        try:
            yield
        finally:
            LOGGER.removeFilter(self)
