"""Full batches for the networks: clips of many recordings share a batch, so that short ones fill a device, too."""

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import closing
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from config import Testing
from utils import console
from utils.scoring.inference.clip_workers import ClipSpectrograms
from utils.scoring.inference.ensembles import Ensemble, GroupScores, Scorer
from utils.scoring.inference.onnx_sessions import Pixels

BATCHES_IN_FLIGHT = 2  # while one is predicted, the next is ready


class ScoredClips(NamedTuple):
    """The scores of the next clips of a recording, by one group of members; a long recording comes in several parts.

    Attributes
    ----------
    source : the recording as the workers returned it; if it could not be used, there are no scores
    scores : one row per clip; all columns of the group's scorer
    frames : the scores of each frame, if they were asked for
    """

    source: ClipSpectrograms
    scores: Float32[np.ndarray, "clips columns"]
    frames: Float32[np.ndarray, "clips frames classes"] | None = None


def predict_in_batches(
    ensemble: Ensemble, spectrograms: Generator[ClipSpectrograms], settings: Testing
) -> Generator[ScoredClips]:
    """Run the networks of each group on spectrograms as they come, and yield the scores; recordings may alternate.

    Parameters
    ----------
    spectrograms : recordings as the workers finish them, in any order
    """
    with ThreadPoolExecutor(1, thread_name_prefix="networks") as executor, closing(spectrograms):
        batches = [
            FullBatches(scorer, size=settings.batch_size, executor=executor) for scorer in ensemble.scorers(settings)
        ]
        for recording in spectrograms:
            if isinstance(recording.outcome, console.Failure):
                yield ScoredClips(recording, np.zeros((0, ensemble.groups[recording.group].columns), np.float32))
                continue
            for pixels in recording.outcome.blocks(settings.batch_size):
                yield from batches[recording.group].add(recording, pixels)
        for rest in batches:
            yield from rest.finish()


class FullBatches:
    """Collects spectrograms until a batch is full, and has it predicted in another thread.

    Scores come back in the order in which spectrograms were added, some batches later.

    Parameters
    ----------
    predict : from spectrograms to scores
    size : clips of a batch; only the last one may be smaller
    executor : runs `predict`
    """

    def __init__(self, predict: Scorer, *, size: int, executor: Executor) -> None:
        self._predict, self._size, self._executor = predict, size, executor
        self._parts: list[tuple[ClipSpectrograms, Pixels]] = []
        self._collected = 0
        self._running: deque[tuple[Future[GroupScores], list[tuple[ClipSpectrograms, int]]]] = deque()

    def add(self, source: ClipSpectrograms, pixels: Pixels) -> Iterator[ScoredClips]:
        """Add spectrograms of a recording, and yield what was predicted meanwhile; the iterator has to be exhausted."""
        while len(pixels):
            part = pixels[: self._size - self._collected]
            pixels = pixels[len(part) :]
            self._parts.append((source, part))
            self._collected += len(part)
            if self._collected == self._size:
                yield from self._send()

    def finish(self) -> Iterator[ScoredClips]:
        """Predict the rest, and yield all scores that were not yet yielded."""
        if self._parts:
            yield from self._send()
        while self._running:
            yield from self._receive()

    def _send(self) -> Iterator[ScoredClips]:
        batch = np.concatenate([pixels for _, pixels in self._parts])
        counts = [(source, len(pixels)) for source, pixels in self._parts]
        self._running.append((self._executor.submit(self._predict, batch), counts))
        self._parts, self._collected = [], 0
        if len(self._running) > BATCHES_IN_FLIGHT:
            yield from self._receive()

    def _receive(self) -> Iterator[ScoredClips]:
        future, counts = self._running.popleft()
        (scores, frames), first = future.result(), 0
        for source, count in counts:
            rows = slice(first, first + count)
            yield ScoredClips(source, scores[rows], None if frames is None else frames[rows])
            first += count
