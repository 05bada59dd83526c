"""Clips of many recordings, answered in full batches: short recordings fill a device as well as long ones."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from typing import Generic, TypeVar

import numpy as np
from jaxtyping import Float32, UInt8

IN_FLIGHT = 2  # batches: while one is answered, the next is at hand

Owner = TypeVar("Owner")
Scores = Float32[np.ndarray, "clips classes"]


class FullBatches(Generic[Owner]):
    """Gathers pictures until a batch is full, has it answered beside the main thread, and hands the scores back to whose pictures they were.

    Parameters
    ----------
    answer : from pictures to scores
    size : of a batch, clips; only the last may be smaller
    executor : in which `answer` runs

    Scores come back in the order in which pictures were added, some batches later.
    """

    def __init__(
        self, answer: Callable[[UInt8[np.ndarray, "clips height width"]], Scores], *, size: int, executor: Executor
    ) -> None:
        self._answer, self._size, self._executor = answer, size, executor
        self._parts: list[tuple[Owner, UInt8[np.ndarray, "clips height width"]]] = []
        self._gathered = 0
        self._running: deque[tuple[Future[Scores], list[tuple[Owner, int]]]] = deque()

    def add(self, owner: Owner, pixels: UInt8[np.ndarray, "clips height width"]) -> Iterator[tuple[Owner, Scores]]:
        """Add pictures, and yield what has been answered meanwhile; to be used up."""
        while len(pixels):
            part = pixels[: self._size - self._gathered]
            pixels = pixels[len(part) :]
            self._parts.append((owner, part))
            self._gathered += len(part)
            if self._gathered == self._size:
                yield from self._send()

    def finish(self) -> Iterator[tuple[Owner, Scores]]:
        """Have the rest answered, and yield all that was not yet yielded."""
        if self._parts:
            yield from self._send()
        while self._running:
            yield from self._receive()

    def _send(self) -> Iterator[tuple[Owner, Scores]]:
        batch = np.concatenate([pixels for _, pixels in self._parts])
        self._running.append(
            (self._executor.submit(self._answer, batch), [(owner, len(pixels)) for owner, pixels in self._parts])
        )
        self._parts, self._gathered = [], 0
        if len(self._running) > IN_FLIGHT:
            yield from self._receive()

    def _receive(self) -> Iterator[tuple[Owner, Scores]]:
        future, owners = self._running.popleft()
        scores, first = future.result(), 0
        for owner, count in owners:
            yield owner, scores[first : first + count]
            first += count
