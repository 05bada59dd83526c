"""How fast clips were predicted: the seconds of a batch in the networks, and clips per second with all that is before.

The 2018 BirdCLEF baseline printed the time per batch of its test.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

from utils.spectra.stored_sound import ModelInput

KEPT = 4096  # latest batches that count

TimedBatches = Sequence[tuple[int, float]]  # clips and seconds of each
Scores = TypeVar("Scores")


@dataclass(frozen=True)
class PredictionTimes:
    """How fast clips were predicted; None if nothing was.

    Attributes
    ----------
    seconds_per_batch : median over full batches, in the networks alone, without the first one, which may compile them
    clips_per_second : of the whole prediction, from files to scores
    """

    seconds_per_batch: float | None
    clips_per_second: float | None

    @property
    def facts(self) -> dict[str, float | None]:
        """The times for metrics.json."""
        per_batch, per_second = self.seconds_per_batch, self.clips_per_second
        return {
            "seconds_per_batch": None if per_batch is None else round(per_batch, 6),
            "clips_per_second": None if per_second is None else round(per_second, 2),
        }

    @property
    def text(self) -> str:
        """The times for people."""
        parts = [] if self.seconds_per_batch is None else [f"{self.seconds_per_batch:.4f} s per batch (median)"]
        parts += [] if self.clips_per_second is None else [f"{self.clips_per_second:,.1f} clips per second in all"]
        return ", ".join(parts)


NOT_MEASURED = PredictionTimes(None, None)  # of predictions that were read, not made


class BatchTimer:
    """Measures how long networks take for batches."""

    def __init__(self) -> None:
        self._batches: deque[tuple[int, float]] = deque(maxlen=KEPT)  # clips and seconds

    def timed(self, predict: Callable[[ModelInput], Scores]) -> Callable[[ModelInput], Scores]:
        """Return a function that does the same and is measured."""

        def measured(pixels: ModelInput) -> Scores:
            start = time.perf_counter()
            scores = predict(pixels)
            self._batches.append((len(pixels), time.perf_counter() - start))
            return scores

        return measured

    def take(self) -> TimedBatches:
        """Return what was measured so far, and start anew."""
        taken = list(self._batches)
        self._batches.clear()
        return taken

    def add(self, batches: TimedBatches) -> None:
        """Take in what another process measured."""
        self._batches.extend(batches)

    def times(self, *, clips: int, seconds: float) -> PredictionTimes:
        """Return how fast clips were predicted.

        Parameters
        ----------
        clips, seconds : how many there were, and how long all of it took
        """
        batches = list(self._batches)
        largest = max((count for count, _ in batches), default=0)
        later = [took for count, took in batches[1:] if count == largest]
        counted = later or [took for count, took in batches if count == largest]
        per_second = clips / seconds if clips and seconds > 0 else None
        return PredictionTimes(median(counted) if counted else None, per_second)
