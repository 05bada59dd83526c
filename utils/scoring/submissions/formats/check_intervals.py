"""Whether the intervals in a file lie as they should: from a recording's begin to its end, none missing, doubled or of another length."""

from collections.abc import Mapping

from utils.scoring.submissions.formats.problems import Problems, shown
from utils.scoring.submissions.formats.sheet import Sheet
from utils.sound.opening import AudioError
from utils.sound.reading import Reading


class Intervals:
    """The intervals of recordings, as a file's lines name them one after the other; those of a recording should stand together.

    Parameters
    ----------
    length : of an interval, seconds
    ends : of recordings by id, whole seconds, where known
    """

    def __init__(self, problems: Problems, *, length: float, ends: Mapping[str, int]) -> None:
        self._problems, self._length, self._ends = problems, length, ends
        self._media = ""
        self._done: set[str] = set()
        self._end = 0.0  # of the last interval
        self._line = 0
        self._short: int | None = None  # line of an interval that only the last may be

    def add(self, line: int, media: str, start: float | None, end: float) -> None:
        """Take in the next interval; without a `start`, it begins where the last one ends."""
        if media != self._media:
            self.finish()
            if media in self._done:
                self._problems.add(f"{shown(media)} has rows further up; those of a recording stand together", line)
            self._media, self._end, self._short = media, 0.0, None
        if self._short is not None:
            self._problems.add(
                f"an interval is shorter than {self._length:g} s, and not the last of {shown(media)}", self._short
            )
            self._short = None
        begin = self._end if start is None else start
        if begin > self._end:
            self._problems.add(f"the interval begins at {begin:g} s; from {self._end:g} s on one is missing", line)
        elif begin < self._end:
            self._problems.add(
                f"the interval begins at {begin:g} s, within or before the one that ends at {self._end:g} s", line
            )
        if end <= begin:
            self._problems.add("the interval ends before it has begun, or stands there twice", line)
        elif end - begin > self._length:
            self._problems.add(
                f"the interval is {end - begin:g} s long, not {self._length:g}"
                + ("; or one is missing" if start is None else ""),
                line,
            )
        elif end - begin < self._length:
            self._short = line
        self._end, self._line = max(self._end, end), line

    def finish(self) -> None:
        """See whether the last recording was written to its end."""
        known = self._ends.get(self._media)
        if self._media and known is not None and abs(known - self._end) > 1:  # of headers some only estimate
            self._problems.add(
                f"the intervals of {shown(self._media)} end at {self._end:g} s, the recording at {known}", self._line
            )
        self._done.add(self._media)
        self._media = ""


def ends_of(sheet: Sheet, media: Mapping[str, str]) -> dict[str, int]:
    """Return where recordings end, whole seconds, by their ids, as far as their headers can be read."""
    found: dict[str, int] = {}
    for file, name in media.items():
        try:
            with Reading(sheet.recordings / file) as sound:
                if sound.frames is not None:
                    found[name] = -(-sound.frames // sound.rate)
        except AudioError:
            continue
    return found
