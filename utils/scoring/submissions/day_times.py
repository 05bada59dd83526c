"""Detections of long recordings by time: local time of day, and time from sunrise and sunset; a table and a plot.

species,from,minutes,intervals,detected
Turdus merula,sunrise,-30,120,75

`minutes` is the start of half an hour: after midnight, or after the nearest sunrise or sunset (negative: before it).
Of each species that is detected anywhere; `intervals` are those that were predicted in this half hour.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float, Int64
from matplotlib.axes import Axes

from utils.formula_cells import defused
from utils.plotting import new_figure, tick_name, write_figure
from utils.recordings.recorders.clocks import clock_seconds
from utils.recordings.recorders.metadata import RecorderMetadata
from utils.recordings.sun import sun_times
from utils.scoring.inference.intervals import IntervalScores
from utils.scoring.submissions.formats.layout import SubmissionLayout
from utils.tables import write_csv

BIN_MINUTES = 30
HALF_HOURS = 24 * 60 // BIN_MINUTES
ORIGINS = ("midnight", "sunrise", "sunset")  # from which times are counted
HALF_DAY = 720  # minutes
FIRST_MINUTES = (0, -HALF_DAY, -HALF_DAY)
AXIS_TITLES = ("local time, hours", "hours from sunrise", "hours from sunset")
MOST_SPECIES = 30  # in the plot


class DayTimes:
    """Counts of intervals and detections by time, over all recordings whose time is known."""

    def __init__(self, layout: SubmissionLayout) -> None:
        self._layout = layout
        self._intervals = np.zeros((len(ORIGINS), HALF_HOURS), np.int64)
        self._detected = np.zeros((len(ORIGINS), HALF_HOURS, len(layout.classes)), np.int64)

    def through(self, results: Iterable[IntervalScores]) -> Iterator[IntervalScores]:
        """Pass recordings on, and count their intervals."""
        for one in results:
            told = self._layout.recorders.get(one.file)
            if told and told.started and one.reason is None:
                hits = one.detections(self._layout.rule)
                for origin, minutes in enumerate(self._minutes(told, told.started, one.starts.astype(np.float64))):
                    known = np.isfinite(minutes)
                    bins = (minutes[known] - FIRST_MINUTES[origin]).astype(np.int64) // BIN_MINUTES % HALF_HOURS
                    np.add.at(self._intervals[origin], bins, 1)
                    np.add.at(self._detected[origin], bins, hits[known].astype(np.int64))
            yield one

    def _minutes(
        self, told: RecorderMetadata, started: datetime, starts: Float[np.ndarray, " intervals"]
    ) -> list[Float[np.ndarray, " intervals"]]:
        """Return the minutes from each of `ORIGINS` to the start of each interval; NaN if they are not known."""
        since_midnight = clock_seconds(started, starts, self._layout.zone) / 60 % (2 * HALF_DAY)
        unknown = np.full(len(starts), np.nan)
        if told.utc is None or told.latitude is None or told.longitude is None:
            return [since_midnight, unknown, unknown]
        of_days = _sun_around(told.utc, float(starts[-1]), told.latitude, told.longitude)
        return [since_midnight, *(_from_nearest(told.utc, starts, moments) for moments in of_days)]

    def table(self) -> pl.DataFrame:
        """Return the counts; empty if the time of no recording is known."""
        species = np.flatnonzero(self._detected[0].any(axis=0)).tolist()
        rows = [
            (
                self._layout.classes[label],
                ORIGINS[origin],
                FIRST_MINUTES[origin] + BIN_MINUTES * place,
                int(self._intervals[origin, place]),
                int(self._detected[origin, place, label]),
            )
            for label in species
            for origin, place in np.argwhere(self._intervals > 0).tolist()
        ]
        schema = {"species": pl.String, "from": pl.String, "minutes": pl.Int64}
        return pl.DataFrame(rows, schema={**schema, "intervals": pl.Int64, "detected": pl.Int64}, orient="row")

    def write(self, stem: Path) -> Path | None:
        """Write the table and the plot, with `.csv` and `.png`; None, and none of an earlier call, if there is none."""
        table, plot = (stem.with_name(f"{stem.name}{suffix}") for suffix in (".csv", ".png"))
        counts = self.table()
        if not len(counts):
            for path in (table, plot):
                path.unlink(missing_ok=True)
            return None
        defuse = defused if self._layout.settings.defuse else str
        write_csv(table, counts.with_columns(pl.Series("species", map(defuse, counts["species"]), pl.String)))
        self._plot(plot)
        return plot

    def _plot(self, path: Path) -> None:
        totals = self._detected[0].sum(axis=0)
        species = [label for label in np.argsort(-totals, kind="stable").tolist()[:MOST_SPECIES] if totals[label]]
        origins = [origin for origin in range(len(ORIGINS)) if self._intervals[origin].any()]
        figure = new_figure(4.0 + 4.0 * len(origins), 1.6 + 0.25 * len(species))
        for column, origin in enumerate(origins):
            axes = figure.add_subplot(1, len(origins), column + 1)
            shares = self._shares(origin)[:, species].T
            _draw_shares(axes, shares, first=FIRST_MINUTES[origin] / 60, title=AXIS_TITLES[origin])
            names = [tick_name(self._layout.classes[label]) for label in species] if not column else []
            axes.set_yticks(range(len(species)) if names else [], names, fontsize=8)
        figure.suptitle("share of the intervals with a detection", x=0.01, ha="left", fontsize=9)
        write_figure(path, figure)

    def _shares(self, origin: int) -> Float[np.ndarray, "bins classes"]:
        counts: Int64[np.ndarray, "bins 1"] = self._intervals[origin][:, None]
        return np.where(counts > 0, self._detected[origin] / np.maximum(counts, 1), np.nan)


def _sun_around(started: datetime, seconds: float, latitude: float, longitude: float) -> list[list[datetime]]:
    """Return the sunrises, and the sunsets, from the day before a recording to the day after it."""
    first, last = started.date(), (started + timedelta(seconds=seconds)).date()
    days = [date.fromordinal(day) for day in range(first.toordinal() - 1, last.toordinal() + 2)]
    times = [sun_times(day, latitude=latitude, longitude=longitude) for day in days]
    return [[one.sunrise for one in times if one.sunrise], [one.sunset for one in times if one.sunset]]


def _from_nearest(
    started: datetime, starts: Float[np.ndarray, " intervals"], moments: list[datetime]
) -> Float[np.ndarray, " intervals"]:
    """Return the minutes from the nearest moment to the start of each interval; NaN if there is no moment."""
    if not moments:
        return np.full(len(starts), np.nan)
    at = np.array([(moment - started.astimezone(UTC)).total_seconds() for moment in moments])
    nearest = np.abs(starts[:, None] - at).argmin(axis=1)
    minutes = np.floor((starts - at[nearest]) / 60)
    return np.where(np.abs(minutes) <= HALF_DAY, minutes, np.nan)  # at the edge of polar day there is none near


def _draw_shares(axes: Axes, shares: Float[np.ndarray, "species bins"], *, first: float, title: str) -> None:
    """Draw half hours as columns; those without intervals stay grey."""
    axes.set_facecolor("#dddddd")
    extent = (first, first + 24.0, len(shares) - 0.5, -0.5)
    axes.imshow(shares, aspect="auto", interpolation="nearest", cmap="viridis", vmin=0, vmax=1, extent=extent)
    axes.set_xticks(np.arange(first, first + 25, 4))
    axes.set_xlabel(title, fontsize=8)
    axes.tick_params(labelsize=8)
    if first < 0:
        axes.axvline(0, color="#e07b39", linewidth=1)
