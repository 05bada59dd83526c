"""What the page shows: species of the day, the last detections, and how many recordings are done, waiting, failed."""

import csv
import math
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from utils.formula_cells import restored
from utils.recordings.recorders.clocks import time_after
from utils.recordings.recorders.metadata import iso_text
from utils.watching.prediction import NamedDetection, PredictedRecording
from utils.watching.tables import tables_of

SHOWN_DETECTIONS = 12
SHOWN_FAILURES = 10


class ShownDetection(NamedTuple):
    """A detection with its key, its recording, and when it was: by the recorder's clock, or else when predicted."""

    key: int
    recording: str
    detection: NamedDetection
    when: str


@dataclass
class _SpeciesOfDay:
    count: int = 0
    last: str = ""


class Live:
    """What is shown; several threads may use it. It stays small: it holds a day's species and the last detections.

    Attributes
    ----------
    done, failed : numbers of recordings, of all calls
    waiting : of those that are there and not predicted
    problem : of the watched folder or the webhook, for people; '' if there is none
    """

    def __init__(self, *, done: int, failed: int) -> None:
        self.done, self.failed, self.waiting, self.undelivered, self.problem = done, failed, 0, 0, ""
        self._lock, self._day, self._key = threading.Lock(), "", 0
        self._species = dict[str, _SpeciesOfDay]()
        self._last = deque[ShownDetection](maxlen=SHOWN_DETECTIONS)
        self._failures = deque[tuple[str, str]](maxlen=SHOWN_FAILURES)

    def add(self, recording: str, found: PredictedRecording, *, day: str, time: str) -> None:
        """Take in what was predicted of a recording at a time, UTC."""
        with self._lock:
            self.done += 1
            self._start_day(day)
            for one in found.detections:
                self._add(recording, one, iso_text(time_after(found.started, one.start, found.zone)) or time)

    def add_failure(self, recording: str, reason: str) -> None:
        """Take in a recording that cannot be used."""
        with self._lock:
            self.failed += 1
            self._failures.appendleft((recording, reason))

    def read_day(self, folder: Path, day: str, times: Mapping[str, str]) -> None:
        """Take in the tables that an earlier call has written on this day; rows that cannot be read are left out.

        Parameters
        ----------
        times : when each recording was predicted
        """
        with self._lock:
            self._start_day(day)
            for path in tables_of(folder, day):
                with path.open(encoding="utf-8", errors="replace", newline="") as stream:
                    for row in _readable_rows(stream):
                        self._add_row(row, times)

    def _add_row(self, row: Mapping[str, Any], times: Mapping[str, str]) -> None:
        try:
            recording, species = restored(row["recording"]), restored(row["species"])
            found = NamedDetection(species, *(_finite_value(row[name]) for name in ("start", "end", "score")))
        except (KeyError, TypeError, ValueError):  # a user's edit
            return
        self._add(recording, found, str(row.get("local") or times.get(recording, "")))

    def detection(self, key: int) -> ShownDetection | None:
        """Return one of the last detections."""
        with self._lock:
            return next((one for one in self._last if one.key == key), None)

    def state(self) -> dict[str, Any]:
        """Return what the page shows."""
        with self._lock:
            by_count = sorted(self._species.items(), key=lambda item: (-item[1].count, item[0]))
            return {
                "day": self._day,
                "done": self.done,
                "waiting": self.waiting,
                "failed": self.failed,
                "undelivered": self.undelivered,
                "problem": self.problem,
                "species": [{"name": name, "count": one.count, "last": one.last} for name, one in by_count],
                "detections": [
                    {
                        "key": one.key,
                        "recording": one.recording,
                        "species": one.detection.species,
                        "start": one.detection.start,
                        "end": one.detection.end,
                        "score": one.detection.score,
                        "when": one.when,
                    }
                    for one in reversed(self._last)
                ],
                "failures": [{"recording": name, "reason": reason} for name, reason in self._failures],
            }

    def start_day(self, day: str) -> None:
        """Forget the species of another day."""
        with self._lock:
            self._start_day(day)

    def _start_day(self, day: str) -> None:
        if day != self._day:
            self._day, self._species = day, {}

    def _add(self, recording: str, one: NamedDetection, when: str) -> None:
        species = self._species.setdefault(one.species, _SpeciesOfDay())
        species.count += 1
        species.last = when
        self._show(ShownDetection(self._key, recording, one, when))
        self._key += 1

    def _show(self, one: ShownDetection) -> None:
        """Show a detection; of a species in a recording, only the one with the highest score."""
        same = [
            other
            for other in self._last
            if (other.recording, other.detection.species) == (one.recording, one.detection.species)
        ]
        if any(other.detection.score >= one.detection.score for other in same):
            return
        for other in same:
            self._last.remove(other)
        self._last.append(one)


def _readable_rows(lines: Iterable[str]) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a table; those that are no CSV, as after a quote that does not end, are left out."""
    reader = csv.DictReader(lines, restval="")
    while True:
        try:
            yield next(reader)
        except csv.Error:
            continue
        except StopIteration:
            return


def _finite_value(cell: str) -> float:
    value = float(cell)
    if not math.isfinite(value):
        raise ValueError(f"{cell} is no finite value")
    return value
