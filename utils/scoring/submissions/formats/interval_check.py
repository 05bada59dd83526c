"""Checks that the intervals in a file cover each recording: none missing, doubled or of another length."""

from collections.abc import Mapping

from utils.scoring.submissions.formats.layout import SubmissionLayout
from utils.scoring.submissions.formats.problems import Problems, quoted
from utils.sound.opening import AudioError
from utils.sound.reading import AudioReader


class IntervalCheck:
    """The intervals of recordings in the order of a file's lines; those of one recording should be together.

    Parameters
    ----------
    length : of an interval, seconds
    ends : of recordings by id, whole seconds, if known
    """

    def __init__(self, problems: Problems, *, length: float, ends: Mapping[str, int]) -> None:
        self._problems, self._length, self._ends = problems, length, ends
        self._media = ""
        self._done: set[str] = set()
        self._end = 0.0  # of the last interval
        self._line = 0
        self._short: int | None = None  # line of a short interval, which only the last may be

    def add(self, line: int, media: str, start: float | None, end: float) -> None:
        """Take in the next interval; without a `start`, it starts where the last one ends."""
        if media != self._media:
            self.finish()
            if media in self._done:
                self._problems.add(f"{quoted(media)} has rows further up; rows of a recording should be together", line)
            self._media, self._end, self._short = media, 0.0, None
        if self._short is not None:
            self._problems.add(
                f"an interval is shorter than {self._length:g} s, and not the last of {quoted(media)}", self._short
            )
            self._short = None
        first = self._end if start is None else start
        if first > self._end:
            self._problems.add(
                f"the interval starts at {first:g} s; one that starts at {self._end:g} s is missing", line
            )
        elif first < self._end:
            self._problems.add(
                f"the interval starts at {first:g} s, within or before the one that ends at {self._end:g} s", line
            )
        if end <= first:
            self._problems.add("the interval ends before it starts, or is listed twice", line)
        elif end - first > self._length:
            self._problems.add(
                f"the interval is {end - first:g} s long, not {self._length:g}"
                + ("; or one is missing" if start is None else ""),
                line,
            )
        elif end - first < self._length:
            self._short = line
        self._end, self._line = max(self._end, end), line

    def finish(self) -> None:
        """Check that the last recording is covered to its end."""
        known = self._ends.get(self._media)
        if self._media and known is not None and abs(known - self._end) > 1:  # some headers only estimate the length
            self._problems.add(
                f"the intervals of {quoted(self._media)} end at {self._end:g} s, the recording at {known}", self._line
            )
        self._done.add(self._media)
        self._media = ""


def recording_ends(layout: SubmissionLayout, media: Mapping[str, str]) -> dict[str, int]:
    """Return the ends of recordings, whole seconds, by their ids, if their headers can be read."""
    found: dict[str, int] = {}
    for file, name in media.items():
        try:
            with AudioReader(layout.recordings / file) as sound:
                if sound.frames is not None:
                    found[name] = -(-sound.frames // sound.rate)
        except AudioError:
            continue
    return found
