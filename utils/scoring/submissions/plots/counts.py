"""What the plots of a submission show, counted while its recordings pass.

Memory grows with the recordings, and with the species and hours in each, not with the number of detections.
"""

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from utils.recordings.recorders.clocks import clock_seconds
from utils.recordings.recorders.metadata import RecorderMetadata
from utils.scoring.evaluation.score_histograms import ScoreCounts
from utils.scoring.inference.intervals import IntervalScores
from utils.scoring.submissions.formats.layout import SubmissionLayout

HOUR_SECONDS = 3600


class ColumnBuffer:
    """The columns of a table of numbers that grows by a few rows at a time.

    Parameters
    ----------
    types : of each column, as of `array.array`: q for int64, d for float64
    """

    def __init__(self, **types: str) -> None:
        self._columns = {name: array(kind) for name, kind in types.items()}

    def add(self, **values: np.ndarray | float | int) -> None:
        """Add rows: an array for each column; single numbers stand in all these rows."""
        rows = np.broadcast_arrays(*map(np.atleast_1d, values.values()))
        for name, column in zip(values, rows, strict=True):
            known = self._columns[name]
            known.frombytes(np.ascontiguousarray(column, np.dtype(known.typecode)).tobytes())

    def table(self) -> pl.DataFrame:
        """Return the table."""
        return pl.DataFrame({name: np.array(column) for name, column in self._columns.items()})


@dataclass(frozen=True)
class PlotTables:
    """What is plotted. Recordings, classes and sites are indices.

    Attributes
    ----------
    recordings : clock (start by local clocks, of `clock_seconds`; NaN: not known), seconds (length), site (−1: not
        known), latitude, longitude (degrees; NaN: not known), in the order of files
    species : recording, class; one row for each class that is detected in a recording
    detections : hour (of local clocks, since day 0), class, detections
    effort : hour, seconds of recording
    scores : counts of each class, whatever is detected
    sites : their names; '' where only the place is known
    classes : their names
    """

    recordings: pl.DataFrame
    species: pl.DataFrame
    detections: pl.DataFrame
    effort: pl.DataFrame
    scores: ScoreCounts
    sites: tuple[str, ...]
    classes: tuple[str, ...]


class PlotCounts:
    """Counts of detections by time, site and recording, and of scores, over all recordings that could be used."""

    def __init__(self, layout: SubmissionLayout) -> None:
        self._layout = layout
        self._recordings = ColumnBuffer(clock="d", seconds="d", site="q", latitude="d", longitude="d")
        self._species = ColumnBuffer(**{"recording": "q", "class": "q"})
        self._detections = ColumnBuffer(**{"hour": "q", "class": "q", "detections": "q"})
        self._effort = ColumnBuffer(hour="q", seconds="d")
        self._scores = ScoreCounts(len(layout.classes))
        self._sites: dict[str, int] = {}
        self._count = 0

    def through(self, results: Iterable[IntervalScores]) -> Iterator[IntervalScores]:
        """Pass recordings on, and count what is in them."""
        for one in results:
            if one.reason is None and len(one.starts):
                self._add(one, self._layout.recorders.get(one.file, RecorderMetadata()))
            yield one

    def _add(self, one: IntervalScores, told: RecorderMetadata) -> None:
        self._scores.add(one.uncalibrated)
        intervals, classes = np.nonzero(one.detections(self._layout.rule))
        found = np.unique(classes)
        self._species.add(**{"recording": np.full(len(found), self._count), "class": found})
        clock = np.nan
        if told.started:
            clocks = clock_seconds(told.started, one.starts.astype(np.float64), self._layout.zone)
            clock, hours = float(clocks[0]), clocks.astype(np.int64) // HOUR_SECONDS
            self._add_hours(hours, one.ends - one.starts, intervals, classes)
        placed = told.latitude is not None and told.longitude is not None
        self._recordings.add(
            clock=clock,
            seconds=float(one.ends[-1]),
            site=self._sites.setdefault(told.site, len(self._sites)) if told.site or placed else -1,
            latitude=np.nan if told.latitude is None else told.latitude,
            longitude=np.nan if told.longitude is None else told.longitude,
        )
        self._count += 1

    def _add_hours(self, hours: np.ndarray, seconds: np.ndarray, intervals: np.ndarray, classes: np.ndarray) -> None:
        """Count the detections of a recording, and how long it was, in each hour.

        Parameters
        ----------
        hours, seconds : of each interval: when it starts, and its length
        intervals, classes : indices of each detection
        """
        used, which = np.unique(hours, return_inverse=True)
        self._effort.add(hour=used, seconds=np.bincount(which, weights=seconds))
        keys, counts = np.unique(hours[intervals] * len(self._layout.classes) + classes, return_counts=True)
        of_hour, of_class = np.divmod(keys, len(self._layout.classes))
        self._detections.add(**{"hour": of_hour, "class": of_class, "detections": counts})

    def tables(self) -> PlotTables:
        """Return what was counted."""
        return PlotTables(
            self._recordings.table(),
            self._species.table(),
            self._detections.table().group_by("hour", "class").agg(pl.col("detections").sum()),
            self._effort.table().group_by("hour").agg(pl.col("seconds").sum()),
            self._scores,
            tuple(self._sites),
            self._layout.classes,
        )
