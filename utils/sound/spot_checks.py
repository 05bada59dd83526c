"""Positions at which a quick look checks a long file, to see whether another file starts within it."""

from collections.abc import Iterable, Iterator
from itertools import pairwise

SPOT_WINDOW = 1 << 17  # bytes; every such range contains the start of an Ogg page or FLAC frame


def spot_check_positions(start: int, stop: int) -> Iterator[int]:
    """Yield positions from the start to the end of a file.

    They are denser towards both, because a short file may be at the start or at the end.
    """
    distances = []
    distance = SPOT_WINDOW
    while distance < (stop - start) // 2:
        distances.append(distance)
        distance *= 2
    yield start
    yield from (start + distance for distance in distances)
    yield from (stop - distance for distance in reversed(distances))


def is_increasing(numbers: Iterable[int | None]) -> bool:
    """Tell whether numbers never decrease; False if one is None."""
    found = list(numbers)
    # None is excluded
    return None not in found and all(one <= other for one, other in pairwise(found))  # type: ignore[operator]
