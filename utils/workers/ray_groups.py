"""How many items travel in one Ray task: starting a task costs about ten milliseconds, more than short items take."""

from collections import deque

GROUP_SECONDS = 0.5  # that the items of a task take, about
RECENT_TASKS = 8  # by which the next one is sized: items may become longer, and the first wait for imports


class GroupSize:
    """The size of the next task, by what the items of the last tasks took; one item until that is known.

    Parameters
    ----------
    items : number of items in all
    most : of items in a task
    """

    def __init__(self, items: int, *, most: int) -> None:
        self._left, self._most = items, max(1, most)
        self._recent: deque[tuple[int, float]] = deque(maxlen=RECENT_TASKS)  # items and seconds

    def taken(self, items: int) -> None:
        """Note that so many items are in a task for the first time."""
        self._left -= items

    def measured(self, items: int, seconds: float) -> None:
        """Note how long the items of a task took."""
        self._recent.append((items, seconds))

    def next_size(self, tasks: int) -> int:
        """Return the size of the next task, if so many run at a time: at the end smaller, so that all end together."""
        if not self._recent:
            return 1
        items, seconds = (sum(column) for column in zip(*self._recent, strict=True))
        by_time = GROUP_SECONDS * items / max(seconds, 1e-6)
        return max(1, int(min(by_time, self._left / (2 * tasks), self._most)))
