"""Where a quick look takes samples of a long file, to see whether something begins anew in it."""

from collections.abc import Iterable, Iterator
from itertools import pairwise

WINDOW = 1 << 17  # bytes; a page of Ogg or a frame of FLAC begins in any such stretch


def probes(start: int, stop: int) -> Iterator[int]:
    """Yield places from a file's begin to its end, ever denser towards both, for a part that is near an end may be small."""
    distances = []
    distance = WINDOW
    while distance < (stop - start) // 2:
        distances.append(distance)
        distance *= 2
    yield start
    yield from (start + distance for distance in distances)
    yield from (stop - distance for distance in reversed(distances))


def rises(numbers: Iterable[int | None]) -> bool:
    """Tell whether numbers that were found from begin to end only rise; not, where one was not found."""
    found = list(numbers)
    # None is excluded
    return None not in found and all(one <= other for one, other in pairwise(found))  # type: ignore[operator]
