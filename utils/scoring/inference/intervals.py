"""What models answer to the intervals of recordings: pooled while the clips come, and kept recording by recording."""

from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32

from config import Config
from utils import console
from utils.scoring.inference.batching import Hearing, answered, gathered
from utils.scoring.inference.clip_workers import Heard, listen_by_intervals
from utils.scoring.inference.ensembles import Ensemble
from utils.scoring.inference.pooling import Pool, pooling_of
from utils.scoring.submissions.parts import keep
from utils.spectra.decode import Length
from utils.spectra.interval_clips import IntervalClips

IN_MEMORY = 2**20  # bytes of a recording's pooled scores; more wait in a file
VALUES = 2**18  # pooled scores of one listener that are joined with those of the others at once


class Done(NamedTuple):
    """A recording that was answered, or could not be: its row, its length, its number of intervals, and why it could not be used."""

    row: int
    length: Length
    intervals: int
    failure: console.Failure | None = None


class IntervalHearing(Hearing):
    """The pooled scores of a recording's intervals as one listener hears them; those that are complete leave the memory where they are many.

    Parameters
    ----------
    heard : what workers made of the recording
    pool : as many classes as the listener has
    scratch : folder for what is too much for the memory
    """

    def __init__(self, heard: Heard, *, pool: Pool, classes: int, scratch: Path) -> None:
        self.row, self.listener = heard.row, heard.listener
        self.failure = heard.outcome if isinstance(heard.outcome, console.Failure) else None
        self.length = heard.outcome.length if isinstance(heard.outcome, IntervalClips) else Length(0, 1)
        self.intervals = len(heard.outcome.clips) if isinstance(heard.outcome, IntervalClips) else 0
        self._ends = (
            np.cumsum(heard.outcome.clips) if isinstance(heard.outcome, IntervalClips) else np.zeros(0, np.int64)
        )
        self._pool, self._classes = pool, classes
        self._clips = self._complete = 0
        self._rows = SpooledTemporaryFile(IN_MEMORY, dir=str(scratch))  # noqa: SIM115 — `close` closes it

    def add(self, scores: Float32[np.ndarray, "clips classes"]) -> bool:
        """Take in the scores of the next clips; tell whether they were the last."""
        places = np.arange(self._clips, self._clips + len(scores))
        self._pool.add(scores, np.searchsorted(self._ends, places, side="right") - self._complete)
        self._clips += len(scores)
        complete = int(np.searchsorted(self._ends, self._clips, side="right"))
        if complete > self._complete:
            self._rows.write(self._pool.take(complete - self._complete).tobytes())
            self._complete = complete
        return complete == self.intervals

    def rows(self, size: int) -> Iterator[Float[np.ndarray, "_ classes"]]:
        """Yield the pooled scores of all intervals, at most `size` at once."""
        self._rows.seek(0)
        for first in range(0, self.intervals, size):
            count = min(size, self.intervals - first)
            yield np.frombuffer(self._rows.read(8 * count * self._classes)).reshape(count, self._classes)

    def close(self) -> None:
        """Forget them."""
        self._rows.close()


def answer_intervals(
    ensemble: Ensemble,
    files: Sequence[Path],
    targets: Sequence[Path],
    config: Config,
    *,
    interval: float,
    scratch_in: Path,
) -> Generator[Done]:
    """Answer the intervals of recordings, and keep the pooled scores of each recording as a part as soon as it is done.

    Pictures are made with the snapshots' settings, whatever the config's are. Memory grows with neither the number of
    recordings nor their length, and scores depend on neither batch size nor the number of workers nor the order of
    files.

    Parameters
    ----------
    files, targets : the recordings, and where what is kept of each goes
    interval : seconds; 0: a recording is one, and its first clips are heard, as in a test
    scratch_in : folder of what waits for the nets, or is too much for the memory

    Raises
    ------
    UserError
        If a net is damaged.
    """
    pooling = pooling_of(config.testing)

    def begin(heard: Heard) -> IntervalHearing:
        classes = len(ensemble.listeners[heard.listener].classes)
        return IntervalHearing(heard, pool=Pool(pooling, classes=classes), classes=classes, scratch=scratch_in)

    coming = listen_by_intervals(ensemble, files, config, interval=interval, scratch_in=scratch_in)
    for hearings in gathered(ensemble, answered(ensemble, coming, config.testing, begin)):
        one = hearings[0]
        failure = next((hearing.failure for hearing in hearings if hearing.failure), None)
        if failure is None:
            rows = _joined(ensemble, hearings)
            length = one.length._replace(
                warnings=tuple(dict.fromkeys(said for hearing in hearings for said in hearing.length.warnings))
            )
            keep(targets[one.row], length, rows, shape=(one.intervals, len(ensemble.classes)))
        for hearing in hearings:
            hearing.close()
        yield Done(one.row, one.length, 0 if failure else one.intervals, failure)


def _joined(ensemble: Ensemble, hearings: Sequence[IntervalHearing]) -> Iterator[Float[np.ndarray, "_ classes"]]:
    size = max(1, VALUES // len(ensemble.classes))
    for tables in zip(*(hearing.rows(size) for hearing in hearings), strict=True):
        yield ensemble.join(tables)
