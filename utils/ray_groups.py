"""How many items travel in one Ray task: starting a task costs about ten milliseconds, more than short items take."""

GROUP_SECONDS = 0.5  # that the items of a task take, about


class GroupSize:
    """The size of the next task, by what items took so far; one item until that is known.

    Parameters
    ----------
    items : number of items in all
    most : of items in a task
    """

    def __init__(self, items: int, *, most: int) -> None:
        self._left, self._most = items, max(1, most)
        self._measured, self._seconds = 0, 0.0

    def taken(self, items: int) -> None:
        """Note that so many items are in a task for the first time."""
        self._left -= items

    def measured(self, items: int, seconds: float) -> None:
        """Note how long the items of a task took."""
        self._measured += items
        self._seconds += seconds

    def next_size(self, tasks: int) -> int:
        """Return the size of the next task, if so many run at a time: at the end smaller, so that all end together."""
        if not self._measured:
            return 1
        by_time = GROUP_SECONDS * self._measured / max(self._seconds, 1e-6)
        return max(1, int(min(by_time, self._left / (2 * tasks), self._most)))
