"""The way of pictures through the nets: from the workers, in full batches, to what is kept of each recording; the same for tests and submissions."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

import numpy as np
from jaxtyping import Float32

from config import Testing
from utils import console
from utils.scoring.inference.clip_workers import Heard
from utils.scoring.inference.ensembles import Ensemble
from utils.scoring.inference.full_batches import FullBatches


class Hearing(ABC):
    """What is known so far of a recording as one listener hears it.

    Attributes
    ----------
    row : of the recording in its table
    listener : its number in the ensemble
    """

    row: int
    listener: int

    @abstractmethod
    def add(self, scores: Float32[np.ndarray, "clips classes"]) -> bool:
        """Take in the scores of the next clips; tell whether they were the last."""


Kept = TypeVar("Kept", bound=Hearing)


def answered(
    ensemble: Ensemble, coming: Generator[Heard], settings: Testing, begin: Callable[[Heard], Kept]
) -> Iterator[Kept]:
    """Have the nets answer pictures as they come; yield what `begin` made of a recording once all its clips, or its failure, have gone into it.

    Parameters
    ----------
    coming : recordings as workers finish them, in any order
    begin : makes what takes in the scores of a recording, for one listener
    """
    with ThreadPoolExecutor(1, thread_name_prefix="nets") as executor, closing(coming):
        scorers = [listener.scorer(settings) for listener in ensemble.listeners]
        batches = [FullBatches[Kept](scorer, size=settings.batch_size, executor=executor) for scorer in scorers]
        for heard in coming:
            hearing = begin(heard)
            if isinstance(heard.outcome, console.Failure):
                yield hearing
                continue
            for pixels in heard.outcome.blocks(settings.batch_size):
                yield from (
                    owner for owner, scores in batches[heard.listener].add(hearing, pixels) if owner.add(scores)
                )
        for rest in batches:
            yield from (owner for owner, scores in rest.finish() if owner.add(scores))


def gathered(ensemble: Ensemble, hearings: Iterable[Kept]) -> Iterator[list[Kept]]:
    """Yield what all listeners heard of a recording, in their order, once all are done with it."""
    gathering: dict[int, dict[int, Kept]] = {}
    for hearing in hearings:
        parts = gathering.setdefault(hearing.row, {})
        parts[hearing.listener] = hearing
        if len(parts) == len(ensemble.listeners):
            del gathering[hearing.row]
            yield [parts[number] for number in sorted(parts)]
