"""Predictions for the intervals of long recordings: scores of clips are pooled as they come, recording by recording."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64

from config import Config, Location
from utils import console
from utils.scoring.inference.batching import ScoredClips, predict_in_batches
from utils.scoring.inference.clip_workers import scratch_home, spectrograms_of_intervals
from utils.scoring.inference.ensembles import Ensemble, MemberGroup
from utils.scoring.inference.frame_cells import CellCollector
from utils.scoring.inference.interval_rules import with_rules
from utils.scoring.inference.novelty import ColumnPool, novelty_of, with_novelty, without_novelty
from utils.scoring.inference.pooling import Pooling, pooling_of
from utils.scoring.metrics.detection_rule import DetectionRule
from utils.spectra.decode import Length
from utils.spectra.interval_clips import IntervalSpectrograms

POOLED_IN_MEMORY = 2**20  # bytes of a recording's pooled scores; more wait in a file
SCORES_JOINED_AT_ONCE = 2**18  # pooled scores of a group


@dataclass(frozen=True)
class IntervalScores:
    """The scores of one recording's intervals, from which every format of a submission is written.

    Attributes
    ----------
    recording : the stem of its file's name
    file : its path below `submission.recordings`, with '/'
    starts, ends : of the intervals, seconds; the last one ends with the recording
    scores : what is written: one column per class, 0 to 1, after pooling, prior and calibration
    uncalibrated : pooled scores times the prior, up to 1.5: they decide on detections and on the order of classes, as
        in a test. −1 for classes that are not on the whitelist. Without prior, calibration and whitelist the same array
        as `scores`. Both may lie in files if recordings are long (`np.memmap`)
    reason : why the recording could not be used, and has no intervals; None if it could
    warnings : what is odd about its file, and how much of it was read
    novelty : of each interval, 0 to 1; None if it was not asked for
    """

    recording: str
    file: str
    starts: Float[np.ndarray, " intervals"]
    ends: Float[np.ndarray, " intervals"]
    scores: Float[np.ndarray, "intervals classes"]
    uncalibrated: Float[np.ndarray, "intervals classes"]
    reason: str | None = None
    warnings: tuple[str, ...] = ()
    novelty: Float[np.ndarray, " intervals"] | None = None

    def detections(self, rule: DetectionRule) -> Bool[np.ndarray, "intervals classes"]:
        """Return which classes are detected in each interval, by uncalibrated scores."""
        return rule.detections(self.uncalibrated)

    def detected_classes(self, rule: DetectionRule) -> Bool[np.ndarray, " classes"]:
        """Return which classes are detected in some interval."""
        return rule.detected_classes(self.uncalibrated)


class IntervalPrediction(NamedTuple):
    """What an ensemble predicts for the intervals of one recording.

    Attributes
    ----------
    row : index of the recording
    length : of the recording
    intervals : how many there are
    tables : the pooled scores of all intervals, float64 (_, classes of the ensemble), table after table; to be read
        before the next recording is asked for. If novelty is asked for, it is the last column (`without_novelty`)
    failure : why the recording could not be used; it has no scores then
    clips : how many clips were scored in each interval; if groups of members have different clips, the largest number
    cells : the scores of all cells (`frame_grid`), table after table, as `tables`; None if they were not asked for
    """

    row: int
    length: Length
    intervals: int
    tables: Iterable[Float[np.ndarray, "_ columns"]]
    failure: console.Failure | None = None
    clips: tuple[int, ...] = ()
    cells: Iterable[Float[np.ndarray, "_ classes"]] | None = None


def predict_intervals(
    ensemble: Ensemble, files: Sequence[Location], config: Config, *, interval: float, scratch_in: Path
) -> Generator[IntervalPrediction]:
    """Yield the pooled scores of each recording's intervals as it is finished.

    Spectrograms are made with the settings of the snapshots, whatever `config` says. Memory grows with neither the
    number of recordings nor their length, and scores depend on neither batch size nor the number of workers nor the
    order of files.

    Parameters
    ----------
    files : the recordings, or their addresses
    interval : seconds; 0: each recording is one interval, of which the first clips are scored, as in a test
    scratch_in : folder for spectrograms that wait for the networks and for scores that do not fit into memory

    Raises
    ------
    UserError
        If a network is damaged.
    """
    pooling, scratch = pooling_of(config.testing), scratch_home(ensemble, scratch_in)
    spectrograms = spectrograms_of_intervals(ensemble, files, config, interval=interval, scratch_in=scratch)
    unfinished: dict[int, list[IntervalScoreCollector]] = {}
    try:
        for part in predict_in_batches(ensemble, spectrograms, config.testing):
            row = part.source.row
            if row not in unfinished:
                unfinished[row] = [_collector_of(group, pooling, scratch) for group in ensemble.groups]
            unfinished[row][part.source.group].add(part)
            if all(collector.complete for collector in unfinished[row]):
                yield _joined_intervals(row, ensemble, unfinished[row], whole=not interval)
                _close(unfinished.pop(row))
    finally:
        for collectors in unfinished.values():
            _close(collectors)


def predict_intervals_in_memory(
    ensemble: Ensemble, files: Sequence[Location], config: Config, *, interval: float
) -> Generator[IntervalPrediction]:
    """Do as `predict_intervals`; scores are float32, and stay in memory."""
    coming = predict_intervals(ensemble, files, config, interval=interval, scratch_in=config.run_folder)
    with closing(coming):
        for one in coming:
            yield one._replace(tables=[table.astype(np.float32) for table in one.tables])


def scores_and_novelty(
    one: IntervalPrediction, config: Config, *, classes: int
) -> tuple[Float32[np.ndarray, "intervals classes"], Float32[np.ndarray, " intervals"] | None]:
    """Return the scores of a recording's intervals after `testing.postprocessing`, and their novelty if there is one.

    Parameters
    ----------
    classes : number of classes of the ensemble
    """
    scores, novelty = without_novelty(np.concatenate(list(one.tables)), classes=classes)
    return np.concatenate([scores[:0], *with_rules(scores, config.testing.postprocessing)]), novelty


class IntervalScoreCollector:
    """Collects the scores of a recording's clips by one group of members, and pools them interval by interval.

    Intervals whose clips have all come leave the memory if there are many.

    Parameters
    ----------
    pool : for `columns` columns
    scratch : folder for what does not fit into memory; None: `TMPDIR`
    cells : collects the scores of frames, if they were asked for

    Attributes
    ----------
    length : of the recording
    intervals : how many it has; None before the first scores came
    failure : why the recording could not be used
    """

    def __init__(
        self, pool: ColumnPool, columns: int, scratch: Path | None, *, cells: CellCollector | None = None
    ) -> None:
        self.length = Length(0, 1)
        self.cells = cells
        self.intervals: int | None = None
        self.failure: console.Failure | None = None
        self._pool, self._columns = pool, columns
        self._ends = np.zeros(0, np.int64)  # for each interval, the index behind its last clip
        self._clips = self._pooled = 0  # clips that came; intervals that are done
        home = None if scratch is None else str(scratch)
        self._rows = SpooledTemporaryFile(POOLED_IN_MEMORY, dir=home)  # noqa: SIM115 — `close` closes it

    def add(self, part: ScoredClips) -> None:
        """Take in the scores of the next clips, or that the recording could not be used."""
        outcome = part.source.outcome
        if isinstance(outcome, console.Failure):
            self.failure = outcome
        if not isinstance(outcome, IntervalSpectrograms):
            return
        if self.intervals is None:
            self.length, self.intervals, self._ends = outcome.length, len(outcome.clips), np.cumsum(outcome.clips)
        if self.cells:
            self.cells.add(part)
        clips = np.arange(self._clips, self._clips + len(part.scores))
        self._pool.add(part.scores, np.searchsorted(self._ends, clips, side="right") - self._pooled)
        self._clips += len(part.scores)
        done = int(np.searchsorted(self._ends, self._clips, side="right"))
        if done > self._pooled:
            self._rows.write(self._pool.take(done - self._pooled).tobytes())
            self._pooled = done

    @property
    def complete(self) -> bool:
        """Whether all clips were taken in, or none will come."""
        return self.failure is not None or self._pooled == self.intervals

    @property
    def clips_of_intervals(self) -> Int64[np.ndarray, " intervals"]:
        """Number of clips of each interval."""
        return np.diff(self._ends, prepend=0)

    def tables(self, size: int) -> Iterator[Float[np.ndarray, "_ columns"]]:
        """Yield the pooled scores of all intervals, at most `size` intervals at once."""
        self._rows.seek(0)
        for first in range(0, self._pooled, size):
            count = min(size, self._pooled - first)
            yield np.frombuffer(self._rows.read(8 * count * self._columns)).reshape(count, self._columns)

    def close(self) -> None:
        """Drop the scores."""
        self._rows.close()
        if self.cells:
            self.cells.close()


def _collector_of(group: MemberGroup, pooling: Pooling, scratch: Path | None) -> IntervalScoreCollector:
    cells = CellCollector(group, scratch) if group.frames else None
    return IntervalScoreCollector(ColumnPool(group, pooling), group.columns, scratch, cells=cells)


def _close(collectors: Sequence[IntervalScoreCollector]) -> None:
    for collector in collectors:
        collector.close()


def _joined_intervals(
    row: int, ensemble: Ensemble, collectors: Sequence[IntervalScoreCollector], *, whole: bool
) -> IntervalPrediction:
    """Join the scores of all groups; if one group cannot use a recording, the others alone do not predict it."""
    length = collectors[0].length
    failure = next((collector.failure for collector in collectors if collector.failure), None)
    if failure:
        return IntervalPrediction(row, length, 0, iter(()), failure)
    warnings = dict.fromkeys(text for collector in collectors for text in collector.length.warnings)
    length = length._replace(warnings=tuple(warnings))
    clips = np.max([collector.clips_of_intervals for collector in collectors], axis=0).tolist()
    tables = _joined_tables(ensemble, collectors, whole=whole)
    cells = _joined_cells(ensemble, collectors) if ensemble.predicts_frames else None
    return IntervalPrediction(row, length, collectors[0].intervals or 0, tables, clips=tuple(clips), cells=cells)


def _joined_tables(
    ensemble: Ensemble, collectors: Sequence[IntervalScoreCollector], *, whole: bool
) -> Iterator[Float[np.ndarray, "_ columns"]]:
    size = max(1, SCORES_JOINED_AT_ONCE // len(ensemble.classes))
    for tables in zip(*(collector.tables(size) for collector in collectors), strict=True):
        yield with_novelty(ensemble.join(tables), novelty_of(ensemble, tables, whole=whole))


def _joined_cells(
    ensemble: Ensemble, collectors: Sequence[IntervalScoreCollector]
) -> Iterator[Float[np.ndarray, "_ classes"]]:
    size = max(1, SCORES_JOINED_AT_ONCE // len(ensemble.classes))
    for tables in zip(*(one.cells.tables(size) for one in collectors if one.cells), strict=True):
        yield ensemble.join(tables)
