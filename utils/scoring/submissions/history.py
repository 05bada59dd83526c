"""Detection histories for models of occupancy: on which days a species was detected at which site, and the effort.

species,site,2021-10-02,2021-10-03       site,2021-10-02,2021-10-03
Turdus merula,Mill,1,0                   Mill,2.500000,24.000000
Turdus merula,Elm,,1                     Elm,,24.000000

1: detected; 0: recorded, but not detected; empty: not recorded. Effort is hours of recording. Days are those of local
clocks. An interval over midnight counts for both days, and so does what is detected in it.

Source: MacKenzie et al. 2002, doi.org/10.1890/0012-9658(2002)083[2248:ESORWD]2.0.CO;2.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from pathlib import Path
from typing import NamedTuple

import numpy as np

from utils import console
from utils.formula_cells import defused
from utils.recordings.recorders.clocks import time_after
from utils.recordings.recorders.metadata import RecorderMetadata
from utils.recordings.recording import NOISE
from utils.scoring.inference.intervals import IntervalScores
from utils.scoring.submissions.formats.layout import SAME_TIME, SubmissionLayout
from utils.scoring.submissions.formats.writing import csv_line, text_file

SECONDS_PER_HOUR = 3600.0
RECORDINGS_NAMED = 3  # recordings in a message


class DaySpan(NamedTuple):
    """A part of a recording that lies within a day; `start` and `end` are seconds from its start."""

    day: date
    start: float
    end: float


@dataclass(frozen=True)
class WrittenHistory:
    """Where a history and its effort are, and how many species, sites and days it has."""

    path: Path
    effort: Path
    species: int
    sites: int
    days: int

    @property
    def text(self) -> str:
        """What was written, for people."""
        size = f"{self.species:,} species, {self.sites:,} sites, {self.days:,} days"
        return f"{console.printable(self.path)}, {size}; effort: {console.printable(self.effort)}"


class DetectionHistory:
    """Days with detections, and hours of recording, by site, over all recordings whose site and time are known.

    Memory holds, for each site and day, the hours and one bit per class, whatever the number of recordings.
    """

    def __init__(self, layout: SubmissionLayout) -> None:
        self._layout = layout
        self._seconds: defaultdict[tuple[str, date], float] = defaultdict(float)
        self._detected: defaultdict[tuple[str, date], int] = defaultdict(int)  # bit i: class i
        self._left_out: dict[str, list[str]] = {"site": [], "time": [], "site and time": []}
        self._counts = dict.fromkeys(self._left_out, 0)

    def through(self, results: Iterable[IntervalScores]) -> Iterator[IntervalScores]:
        """Pass recordings on, and count their days."""
        for one in results:
            if one.reason is None and self._layout.settings.history != "none":
                self._add(one, self._layout.recorders.get(one.file, RecorderMetadata()))
            yield one

    def _add(self, one: IntervalScores, told: RecorderMetadata) -> None:
        missing = " and ".join(name for name, known in (("site", told.site), ("time", told.started)) if not known)
        if missing or told.started is None:
            self._counts[missing] += 1
            self._left_out[missing] += [one.file] if len(self._left_out[missing]) < RECORDINGS_NAMED else []
            return
        hits = one.detections(self._layout.rule)
        for day, start, end in day_spans(told.started, float(one.ends[-1]), self._layout.zone):
            inside = np.minimum(one.ends, end) - np.maximum(one.starts, start)
            within = inside > SAME_TIME
            if within.any():
                self._seconds[told.site, day] += float(inside[within].sum())
                classes = np.packbits(hits[within].any(axis=0), bitorder="little").tobytes()
                self._detected[told.site, day] |= int.from_bytes(classes, "little")

    def write(self, stem: Path) -> WrittenHistory | None:
        """Write both tables, `<stem>.csv` and `<stem>_effort.csv`; None, and none of an earlier call, if there is none.

        A line tells of recordings without site or time, which do not count.
        """
        path, effort = (stem.with_name(f"{stem.name}{suffix}.csv") for suffix in ("", "_effort"))
        self._warn()
        if not self._seconds:
            for table in (path, effort):
                table.unlink(missing_ok=True)
            return None
        sites, days = sorted({site for site, _ in self._seconds}), sorted({day for _, day in self._seconds})
        self._write_effort(effort, sites, days)
        species = self._write_history(path, sites, days)
        return WrittenHistory(path, effort, species, len(sites), len(days))

    def _warn(self) -> None:
        parts = [
            f"{count:,} without {what} ({', '.join(self._left_out[what])}{', …' if count > RECORDINGS_NAMED else ''})"
            for what, count in self._counts.items()
            if count
        ]
        if parts:
            console.warning(
                f"submission.history: does not count recordings {'; '.join(parts)}; dataset.site_pattern and "
                "dataset.deployments tell sites, names and headers of files tell times"
            )

    def _write_history(self, path: Path, sites: list[str], days: list[date]) -> int:
        """Write a row for each site and each species that is detected somewhere; return how many species these are."""
        anywhere = 0
        for found in self._detected.values():
            anywhere |= found
        classes = [
            index for index, label in enumerate(self._layout.classes) if anywhere >> index & 1 and label != NOISE
        ]
        with text_file(path) as stream:
            stream.write(self._line("species", "site", *(day.isoformat() for day in days)))
            for index in classes:
                for site in sites:
                    cells = ("" if (site, day) not in self._seconds else self._bit(site, day, index) for day in days)
                    stream.write(self._line(self._layout.classes[index], site, *cells))
        return len(classes)

    def _bit(self, site: str, day: date, index: int) -> str:
        return str(self._detected.get((site, day), 0) >> index & 1)

    def _write_effort(self, path: Path, sites: list[str], days: list[date]) -> None:
        with text_file(path) as stream:
            stream.write(self._line("site", *(day.isoformat() for day in days)))
            for site in sites:
                seconds = (self._seconds.get((site, day)) for day in days)
                cells = ("" if value is None else f"{value / SECONDS_PER_HOUR:.6f}" for value in seconds)
                stream.write(self._line(site, *cells))

    def _line(self, *cells: str) -> str:
        return csv_line([defused(cell) for cell in cells] if self._layout.settings.defuse else cells)


def day_spans(started: datetime, seconds: float, zone: tzinfo | None) -> Iterator[DaySpan]:
    """Yield the days of a recording, by clocks of a time zone, and which part of it lies in each.

    Parameters
    ----------
    seconds : length of the recording
    zone : None: as the recorder's clock showed it
    """
    start = 0.0
    while start < seconds - SAME_TIME:
        moment = time_after(started, start, zone) or started
        midnight = datetime.combine(moment.date() + timedelta(days=1), time.min, moment.tzinfo)
        left = (_subtractable(midnight) - _subtractable(moment)).total_seconds()
        end = min(seconds, start + left)
        yield DaySpan(moment.date(), start, end)
        start = end


def _subtractable(moment: datetime) -> datetime:
    """Return a time from which another can be subtracted, also where summer time begins or ends in between."""
    return moment.astimezone(UTC) if moment.tzinfo else moment
