"""A part of a recording that is decoded in blocks."""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float


def samples_between(
    blocks: Iterable[Float[np.ndarray, " _"]], *, start: float, end: float, rate: int
) -> Float[np.ndarray, " samples"]:
    """Return the samples of a stream from `start` to `end`, seconds, or to its end; later blocks are not decoded."""
    first, last, passed = round(start * rate), round(end * rate), 0
    wanted = []
    for block in blocks:
        wanted.append(block[max(0, first - passed) : max(0, last - passed)])
        passed += len(block)
        if passed >= last:
            break
    return np.concatenate(wanted)
