"""A picture of a split: what every class has on each side, and where in the world and the year the sides are."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl
from matplotlib.axes import Axes

from utils.plotting import new_figure, write_figure
from utils.recordings.grouping import quarter_of
from utils.recordings.recording import SIDES, Recording

COLOURS = {"train": "#7aa6c2", "val": "#e07b39", "test": "#5b3a8c"}
NAMED = 60  # classes whose names can still be read
QUARTERS = ("no month", "January to March", "April to June", "July to September", "October to December")


def draw_split(path: Path, classes: pl.DataFrame, recordings: Sequence[Recording], table: pl.DataFrame) -> None:
    """Draw the split as PNG.

    Parameters
    ----------
    classes : one row a class, as `audit.per_class` counts them
    table : the split of `recordings`
    """
    side = dict(table.select("recording", "side").iter_rows())
    placed = [
        (recording, side[recording.name])
        for recording in recordings
        if recording.latitude is not None and recording.longitude is not None
    ]
    quarters = sorted({quarter_of(recording) for recording, _ in placed})
    named = len(classes) <= NAMED
    heights = [max(2.5, 0.16 * len(classes)) if named else 4.0, *([3.0] if placed else [])]
    figure = new_figure(11.0, sum(heights))
    grid = figure.add_gridspec(len(heights), max(1, len(quarters)), height_ratios=heights)
    _draw_classes(figure.add_subplot(grid[0, :]), classes, named=named)
    first: Axes | None = None
    for column, quarter in enumerate(quarters):
        axes = figure.add_subplot(grid[1, column], sharex=first, sharey=first)
        if first is None:
            first = axes
            axes.set_ylabel("degrees north")
        _draw_map(
            axes, [(recording, own) for recording, own in placed if quarter_of(recording) == quarter], QUARTERS[quarter]
        )
    write_figure(path, figure)


def _draw_classes(axes: Axes, classes: pl.DataFrame, *, named: bool) -> None:
    total = pl.sum_horizontal(f"{side}_recordings" for side in SIDES)
    rows = classes.sort(total, "class")
    left = [0] * len(rows)
    for side in SIDES:
        counts = rows[f"{side}_recordings"].to_list()
        if any(counts):
            axes.barh(
                range(len(rows)), counts, left=left, height=0.8 if named else 1.0, color=COLOURS[side], label=side
            )
        left = [one + more for one, more in zip(left, counts, strict=True)]
    axes.set_yticks(range(len(rows)) if named else [], rows["class"].to_list() if named else [], fontsize=8)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlabel("recordings (of long recordings: annotations)")
    axes.set_title(f"{len(rows)} classes", loc="left")
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=len(SIDES), frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_map(axes: Axes, placed: Sequence[tuple[Recording, str]], title: str) -> None:
    """Draw where the recordings of one quarter of the year were made."""
    for side in SIDES:
        points = [(recording.longitude, recording.latitude) for recording, own in placed if own == side]
        if points:
            east, north = zip(*points, strict=True)
            axes.scatter(east, north, s=8 if side == "train" else 16, color=COLOURS[side], alpha=0.6, linewidths=0)
    axes.set_xlabel("degrees east")
    axes.set_title(title, loc="left", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
