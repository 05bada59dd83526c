"""The plot of a split: recordings of each class in train, val and test, and maps of the recordings by season."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl
from matplotlib.axes import Axes

from utils.plotting import new_figure, write_figure
from utils.recordings.grouping import quarter_of
from utils.recordings.recording import SPLITS, Recording

SPLIT_COLOURS = {"train": "#7aa6c2", "val": "#e07b39", "test": "#5b3a8c"}
MAX_NAMED_CLASSES = 60  # with more, their names cannot be read
QUARTERS = ("no month", "January to March", "April to June", "July to September", "October to December")


def plot_split(path: Path, classes: pl.DataFrame, recordings: Sequence[Recording], table: pl.DataFrame) -> None:
    """Plot the split as a PNG file.

    Parameters
    ----------
    classes : counts of each class, of `utils.recordings.audit`
    table : the split of `recordings`
    """
    split_of = dict(table.select("recording", "split").iter_rows())
    located = [
        (recording, split_of[recording.name])
        for recording in recordings
        if recording.latitude is not None and recording.longitude is not None
    ]
    quarters = sorted({quarter_of(recording) for recording, _ in located})
    named = len(classes) <= MAX_NAMED_CLASSES
    heights = [max(2.5, 0.16 * len(classes)) if named else 4.0, *([3.0] if located else [])]
    figure = new_figure(11.0, sum(heights))
    grid = figure.add_gridspec(len(heights), max(1, len(quarters)), height_ratios=heights)
    _plot_classes(figure.add_subplot(grid[0, :]), classes, named=named)
    first: Axes | None = None
    for column, quarter in enumerate(quarters):
        axes = figure.add_subplot(grid[1, column], sharex=first, sharey=first)
        if first is None:
            first = axes
            axes.set_ylabel("latitude")
        of_quarter = [(recording, split) for recording, split in located if quarter_of(recording) == quarter]
        _plot_map(axes, of_quarter, QUARTERS[quarter])
    write_figure(path, figure)


def _plot_classes(axes: Axes, classes: pl.DataFrame, *, named: bool) -> None:
    total = pl.sum_horizontal(f"{split}_recordings" for split in SPLITS)
    rows = classes.sort(total, "class")
    left = [0] * len(rows)
    for split in SPLITS:
        counts = rows[f"{split}_recordings"].to_list()
        if any(counts):
            height, colour = 0.8 if named else 1.0, SPLIT_COLOURS[split]
            axes.barh(range(len(rows)), counts, left=left, height=height, color=colour, label=split)
        left = [one + more for one, more in zip(left, counts, strict=True)]
    axes.set_yticks(range(len(rows)) if named else [], rows["class"].to_list() if named else [], fontsize=8)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlabel("recordings (of long recordings: annotations)")
    axes.set_title(f"{len(rows)} classes", loc="left")
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=len(SPLITS), frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def _plot_map(axes: Axes, located: Sequence[tuple[Recording, str]], title: str) -> None:
    """Plot the coordinates of the recordings of one quarter of the year."""
    for split in SPLITS:
        points = [(recording.longitude, recording.latitude) for recording, its_split in located if its_split == split]
        if points:
            east, north = zip(*points, strict=True)
            size = 8 if split == "train" else 16
            axes.scatter(east, north, s=size, color=SPLIT_COLOURS[split], alpha=0.6, linewidths=0)
    axes.set_xlabel("longitude")
    axes.set_title(title, loc="left", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
