"""When species are active: detections per hour of recording, by date and hour of the day, as local clocks show them."""

from dataclasses import dataclass
from datetime import date, timedelta, tzinfo
from math import ceil
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float64, Int64
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.image import AxesImage
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from utils.plotting import new_figure_of_panels, tick_name, write_figure
from utils.recordings.sun import sun_times
from utils.scoring.submissions.plots.counts import HOUR_SECONDS, PlotTables

PANELS = 12  # species, those with most detections
COLUMNS = 2  # of panels
LONGEST_GAP = 366  # days without sound within what is shown; a clock that was reset is years away
PANEL = (6.2, 2.0)  # width and height, inches
MARGINS, GAPS = (0.55, 0.25, 0.4, 0.55), (0.14, 0.32)  # around the panels, inches; between them, shares of their size
HOURS = 24
DATE_TICKS = 6  # at most
NOT_RECORDED, BAR_COLOUR = "#cccccc", "#0072b2"
COLOUR_MAP = "viridis"


@dataclass(frozen=True)
class SunLines:
    """Hours of local clocks at which the sun rises and sets, for each day; NaN: it does not.

    Attributes
    ----------
    text : where that is, for people, or why it is not known
    """

    sunrise: Float64[np.ndarray, " days"]
    sunset: Float64[np.ndarray, " days"]
    text: str


def hours_by_day(
    hours: Int64[np.ndarray, " rows"], values: np.ndarray, *, first_day: int, days: int
) -> Float64[np.ndarray, "hours days"]:
    """Return the sums of values in a table of hours of the day and days, from hours since day 0."""
    sums = np.bincount(hours - HOURS * first_day, weights=values, minlength=HOURS * days)
    return sums.reshape(days, HOURS).T


def sun_lines(tables: PlotTables, zone: tzinfo | None, *, first_day: int, days: int) -> SunLines:
    """Return sunrise and sunset at the median place of the recordings, by the clocks of `zone`."""
    nothing = np.full(days, np.nan)
    placed = tables.recordings.filter(pl.col("latitude").is_not_nan())
    if not len(placed):
        return SunLines(nothing, nothing, "no place is known, so that there are no lines of sunrise and sunset")
    if zone is None:
        reason = "the time zone is not known (dataset.time_zone), so that there are no lines of sunrise and sunset"
        return SunLines(nothing, nothing, reason)
    latitude, longitude = placed.select(pl.col("latitude", "longitude").median()).row(0)
    rises, sets = nothing.copy(), nothing.copy()
    for index in range(days):
        times = sun_times(date.fromordinal(first_day + index), latitude=latitude, longitude=longitude)
        for moment, line in zip(times, (rises, sets), strict=True):
            if moment:
                local = moment.astimezone(zone)
                line[index] = local.hour + local.minute / 60
    return SunLines(rises, sets, f"lines: sunrise and, dashed, sunset at {latitude:.2f}, {longitude:.2f}")


def main_span(effort: pl.DataFrame) -> tuple[int, int]:
    """Return the first and the last day of most of the sound; what a long gap parts from it may be of a wrong clock.

    Parameters
    ----------
    effort : hour (since day 0) and seconds of sound in it
    """
    days = effort.group_by(day=pl.col("hour") // HOURS).agg(pl.col("seconds").sum()).sort("day")
    parts = days.with_columns(part=(pl.col("day").diff().fill_null(0) > LONGEST_GAP).cum_sum())
    spans = parts.group_by("part").agg(pl.col("seconds").sum(), first=pl.col("day").min(), last=pl.col("day").max())
    first, last = spans.sort("seconds", "part", descending=[True, False]).select("first", "last").row(0)
    return int(first), int(last)


def draw_activity(path: Path, tables: PlotTables, zone: tzinfo | None) -> None:
    """Draw a panel for each of the species with most detections; hours without recordings are grey.

    Parameters
    ----------
    tables : with detections of known time
    zone : of local clocks, for sunrise and sunset; None: not known
    """
    first_day, last_day = main_span(tables.effort)
    days = last_day - first_day + 1
    shown_hours = pl.col("hour").is_between(first_day * HOURS, (last_day + 1) * HOURS - 1)
    recorded, detections = tables.effort.filter(shown_hours), tables.detections.filter(shown_hours)
    effort = hours_by_day(*_arrays_of(recorded, "hour", "seconds"), first_day=first_day, days=days)
    ranked = detections.group_by("class").agg(pl.col("detections").sum())
    ranked = ranked.sort("detections", "class", descending=[True, False])
    shown = ranked["class"].head(PANELS).to_list()
    columns = min(COLUMNS, len(shown))
    rows = ceil(len(shown) / columns)
    size = sum(MARGINS[:2]) + max(8.0, PANEL[0] * columns), sum(MARGINS[2:]) + PANEL[1] * rows
    figure = new_figure_of_panels(*size, margins=MARGINS, gaps=GAPS)
    grid = figure.add_gridspec(rows, columns)
    sun = sun_lines(tables, zone, first_day=first_day, days=days)
    for index, label in enumerate(shown):
        one = detections.filter(pl.col("class") == label)
        counts = hours_by_day(*_arrays_of(one, "hour", "detections"), first_day=first_day, days=days)
        title = f"{tick_name(tables.classes[label])}: {_count_text(int(counts.sum()))}"
        _draw_species(figure, grid[index // columns, index % columns], (counts, effort), title, first_day, sun)
    some = f"the {PANELS} of {len(ranked):,} species with most detections; " if len(ranked) > PANELS else ""
    title = f"detections per hour of recording, {some}grey: not recorded; {sun.text}"
    if far := len(tables.effort) - len(recorded):
        title += f"\nwithout {far:,} hours more than {LONGEST_GAP} days apart from these: was a clock wrong?"
    figure.suptitle(title, x=0.01, y=1 - 0.08 / size[1], ha="left", va="top", fontsize=10)
    write_figure(path, figure)


def _count_text(detections: int) -> str:
    return "1 detection" if detections == 1 else f"{detections:,} detections"


def _arrays_of(table: pl.DataFrame, *names: str) -> list[np.ndarray]:
    return [table[name].to_numpy() for name in names]


def _rates(counts: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Return detections per hour of recording; NaN where nothing was recorded."""
    return np.where(seconds > 0, counts * HOUR_SECONDS / np.maximum(seconds, 1e-9), np.nan)


def _draw_species(
    figure: Figure,
    place: SubplotSpec,
    counted: tuple[Float64[np.ndarray, "hours days"], Float64[np.ndarray, "hours days"]],
    title: str,
    first_day: int,
    sun: SunLines,
) -> None:
    """Draw the heat map of one species, and beside it the same over all days.

    Parameters
    ----------
    counted : detections, and seconds of recording
    """
    inner = place.subgridspec(1, 4, width_ratios=(60, 1, 5, 18), wspace=0.05)
    heat_map = figure.add_subplot(inner[0])
    bars = figure.add_subplot(inner[3], sharey=heat_map)
    counts, effort = counted
    image = _draw_heat_map(heat_map, _rates(counts, effort), first_day, sun)
    figure.colorbar(image, cax=figure.add_subplot(inner[1])).ax.tick_params(labelsize=7)
    heat_map.set_title(title, loc="left", fontsize=9)
    by_hour = _rates(counts.sum(axis=1), effort.sum(axis=1))
    for hour in np.flatnonzero(np.isnan(by_hour)).tolist():
        bars.axhspan(hour, hour + 1, color=NOT_RECORDED, linewidth=0)
    bars.barh(np.arange(HOURS) + 0.5, np.nan_to_num(by_hour), height=0.9, color=BAR_COLOUR)
    bars.set(xlim=(0, max(1.05 * float(np.nanmax(by_hour)), 0.1)), ylim=(0, HOURS))
    bars.xaxis.set_major_locator(MaxNLocator(3))
    bars.set_title("all days", loc="left", fontsize=8)
    bars.tick_params(labelsize=7, labelleft=False)
    bars.spines[["top", "right"]].set_visible(False)


def _draw_heat_map(axes: Axes, rates: Float64[np.ndarray, "hours days"], first_day: int, sun: SunLines) -> AxesImage:
    days = rates.shape[1]
    axes.set_facecolor(NOT_RECORDED)
    image = axes.imshow(
        rates,
        aspect="auto",
        origin="lower",
        interpolation="nearest",
        extent=(0, days, 0, HOURS),
        cmap=COLOUR_MAP,
        norm=Normalize(0, max(float(np.nanmax(rates)), 1e-9)),
    )
    for hours, style in ((sun.sunrise, "-"), (sun.sunset, "--")):
        # each day's line is as long as the day, so that one day alone has lines, too
        axes.step(
            np.arange(days + 1),
            np.append(hours, hours[-1]),
            style,
            where="post",
            color="white",
            linewidth=1.2,
            path_effects=[withStroke(linewidth=2.6, foreground="black")],
        )
    step = ceil(days / DATE_TICKS)
    ticks = range(0, days, step)
    texts = [(date.fromordinal(first_day) + timedelta(days=tick)).isoformat() for tick in ticks]
    axes.set_xticks([tick + 0.5 for tick in ticks], texts)
    axes.set_yticks(range(0, HOURS + 1, 6))
    axes.set(xlim=(0, days), ylim=(0, HOURS))
    axes.set_ylabel("hour", fontsize=8)
    axes.tick_params(labelsize=7)
    return image
