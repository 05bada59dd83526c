"""Cutting a recording into overlapping clips, on a stream of blocks."""

from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Float

from config import Clips


def clip_samples(clips: Clips, *, rate: int) -> tuple[int, int, int]:
    """Return a clip's length, the step from one clip to the next, and the least length of the last one, in samples."""
    return int(clips.length * rate), int((clips.length - clips.overlap) * rate), int(clips.min_length * rate)


def step_of(clips: Clips, *, rate: int) -> float:
    """Return the step from one clip to the next, in seconds; it is a whole number of samples."""
    return clip_samples(clips, rate=rate)[1] / rate


def cut(blocks: Iterable[Float[np.ndarray, " _"]], *, length: int, step: int, least: int) -> Iterator[tuple[int, Float[np.ndarray, "_ length"]]]:
    """Cut a stream of samples into clips that begin every `step` samples.

    What is left at the end is filled with zeros if it has `least` samples, else dropped. Blocks may have any lengths: they do not change the clips.

    Parameters
    ----------
    blocks : float32 samples, one after the other
    length, step, least : in samples; step ≥ 1, least ≤ length

    Yields
    ------
    The number of the first of some consecutive clips, and these clips.

    Source: BASELINE, Spectrograms (`golden/split_counts.json`).
    """
    rest = np.zeros(0, np.float32)
    first = 0  # number of the clip that begins at rest[0]
    skip = 0  # samples until the next clip begins, where steps are longer than clips
    for block in blocks:
        rest = np.concatenate([rest, block[skip:]])
        skip = max(0, skip - len(block))
        count = max(0, (len(rest) - length) // step + 1)
        if count:
            yield first, np.lib.stride_tricks.sliding_window_view(rest, length)[::step][:count]
            first += count
            skip += max(0, count * step - len(rest))
            rest = rest[count * step :]
    while len(rest) >= max(least, 1):
        last = np.zeros((1, length), np.float32)
        last[0, : min(len(rest), length)] = rest[:length]
        yield first, last
        first += 1
        rest = rest[step:]
