"""The clips of an epoch in batches, read ahead of the steps by threads."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64, UInt8

from utils.learning.examples import Examples

AHEAD = 4  # batches that are read before they are needed


class Batch(NamedTuple):
    """Pictures and the numbers of their classes."""

    pixels: UInt8[np.ndarray, "batch height width"]
    labels: Int64[np.ndarray, " batch"]


def epoch_order(clips: int, *, batch_size: int, seed: int, epoch: int) -> Int64[np.ndarray, "steps batch"]:
    """Return which clips each step of an epoch sees: every clip once, in random order.

    The last batch is filled up with clips from the begin of the order, so that all batches have one size.
    """
    order = np.random.default_rng((seed, epoch)).permutation(clips)
    steps = -(-clips // batch_size)
    return np.resize(order, (steps, batch_size))


def batches(examples: Examples, order: Int64[np.ndarray, "steps batch"]) -> Iterator[Batch]:
    """Read the batches of an epoch in the given order."""

    def read(clips: Int64[np.ndarray, " batch"]) -> Batch:
        return Batch(examples.store.pictures(examples.rows[clips]), examples.labels[clips])

    with ThreadPoolExecutor(max_workers=2, thread_name_prefix="batches") as threads:
        coming: deque[Future[Batch]] = deque(threads.submit(read, clips) for clips in order[:AHEAD])
        try:
            for number in range(len(order)):
                batch = coming.popleft().result()
                if number + AHEAD < len(order):
                    coming.append(threads.submit(read, order[number + AHEAD]))
                yield batch
        finally:
            for future in coming:
                future.cancel()
