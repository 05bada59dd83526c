"""The plot of a split: recordings of each class in train, val and test, and maps of the splits or folds by season."""

from collections import Counter
from collections.abc import Mapping, Sequence
from math import cos, pi, sin
from pathlib import Path

import numpy as np
import polars as pl
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.ticker import MaxNLocator, PercentFormatter
from matplotlib.transforms import offset_copy

from utils.plotting import new_figure, tick_name, write_figure
from utils.recordings.grouping import quarter_of
from utils.recordings.recording import SPLITS, Recording
from utils.recordings.splits import count_folds

SPLIT_COLOURS = {"train": "#7aa6c2", "val": "#e07b39", "test": "#5b3a8c"}
ALWAYS_TRAIN = "no fold"  # recordings that no fold holds out
FEW_FOLDS = 10  # with more, neighbours among the folds have similar colours
FOLD_OFFSET = 3.0  # points on the map from the true place
LABELLED_SHARE = 0.06  # least share of a quarter's recordings that is written into its bar
MAX_NAMED_CLASSES = 60  # with more, their names cannot be read
QUARTERS = ("no month", "January to March", "April to June", "July to September", "October to December")


def plot_split(path: Path, classes: pl.DataFrame, recordings: Sequence[Recording], table: pl.DataFrame) -> None:
    """Plot the split as a PNG file: its classes, maps by quarter of the year, and, with folds, their shares by quarter.

    Parameters
    ----------
    classes : counts of each class, of `utils.recordings.audit`
    table : the split of `recordings`
    """
    part_of, colours = _parts_with_colours(table)
    parts = [(recording, part_of[recording.name]) for recording in recordings]
    located = [(one, part) for one, part in parts if one.latitude is not None and one.longitude is not None]
    folded = count_folds(table) > 0
    named = len(classes) <= MAX_NAMED_CLASSES
    heights = [max(2.5, 0.16 * len(classes)) if named else 4.0, *([3.0] if located else []), *([2.6] if folded else [])]
    figure = new_figure(11.0, sum(heights))
    rows = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    _plot_classes(figure.add_subplot(rows[0]), classes, named=named)
    if located:
        _plot_maps(figure, rows[1], located, colours)
    if folded:
        _plot_shares(figure.add_subplot(rows[-1]), quarter_counts(parts), colours)
    write_figure(path, figure)


def _parts_with_colours(table: pl.DataFrame) -> tuple[dict[str, str], dict[str, str]]:
    """Return the part of each recording, and the colour of each part: the folds and what is in none, or the splits."""
    folds = count_folds(table)
    if not folds:
        return dict(table.select("recording", "split").iter_rows()), SPLIT_COLOURS
    palette = colormaps["tab10"] if folds <= FEW_FOLDS else colormaps["turbo"].resampled(folds)
    colours = {f"fold {fold}": to_hex(palette(fold)) for fold in range(folds)}
    parts = {
        name: "test" if split == "test" else ALWAYS_TRAIN if fold is None else f"fold {fold}"
        for name, split, fold in table.select("recording", "split", "fold").iter_rows()
    }
    others = {ALWAYS_TRAIN: "#b0b0b0", "test": "#000000"}
    return parts, colours | {part: colour for part, colour in others.items() if part in parts.values()}


def quarter_counts(parts: Sequence[tuple[Recording, str]]) -> dict[int, Counter[str]]:
    """Count the recordings of each part in each quarter of the year; 0: no month is known."""
    counts: dict[int, Counter[str]] = {}
    for recording, part in parts:
        counts.setdefault(quarter_of(recording), Counter())[part] += 1
    return dict(sorted(counts.items()))


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
    names = [tick_name(name) for name in rows["class"]] if named else []
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlabel("recordings (of long recordings: annotations)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(f"{len(rows)} classes", loc="left")
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=len(SPLITS), frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def _plot_maps(
    figure: Figure, place: SubplotSpec, located: Sequence[tuple[Recording, str]], colours: Mapping[str, str]
) -> None:
    """Plot a map for each quarter of the year, all with the same axes."""
    quarters = sorted({quarter_of(recording) for recording, _ in located})
    grid = place.subgridspec(1, len(quarters))
    first: Axes | None = None
    for column, quarter in enumerate(quarters):
        axes = figure.add_subplot(grid[0, column], sharex=first, sharey=first)
        if first is None:
            first = axes
            axes.set_ylabel("latitude")
        of_quarter = [(recording, part) for recording, part in located if quarter_of(recording) == quarter]
        _plot_map(axes, of_quarter, colours, QUARTERS[quarter])


def _plot_map(axes: Axes, located: Sequence[tuple[Recording, str]], colours: Mapping[str, str], title: str) -> None:
    """Plot the coordinates of the recordings of one quarter of the year.

    Each fold is moved a little in a direction of its own, so that none covers another at the same site.
    """
    folds = [part for part in colours if part.startswith("fold ")]
    for part, colour in colours.items():
        points = [(recording.longitude, recording.latitude) for recording, its_part in located if its_part == part]
        if not points:
            continue
        east, north = zip(*points, strict=True)
        angle, distance = (2 * pi * folds.index(part) / len(folds), FOLD_OFFSET) if part in folds else (0.0, 0.0)
        moved = offset_copy(
            axes.transData, axes.get_figure(root=True), distance * sin(angle), distance * cos(angle), units="points"
        )
        size = 16 if part in ("val", "test") else 8
        axes.scatter(east, north, s=size, color=colour, alpha=0.6, linewidths=0, transform=moved)
        axes.update_datalim(np.array(points, float))  # matplotlib does not see points through the moved transform
    axes.margins(0.1)
    axes.autoscale_view()
    axes.set_xlabel("longitude")
    axes.set_title(title, loc="left", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _plot_shares(axes: Axes, counts: Mapping[int, Counter[str]], colours: Mapping[str, str]) -> None:
    """Plot the share of each fold in the recordings of each quarter, and of the whole year."""
    bars = {QUARTERS[quarter]: of_quarter for quarter, of_quarter in counts.items()}
    bars = {"all": sum(counts.values(), Counter()), **bars}
    totals = [of_bar.total() for of_bar in bars.values()]
    left = [0.0] * len(bars)
    for part, colour in colours.items():
        shares = [of_bar[part] / total for of_bar, total in zip(bars.values(), totals, strict=True)]
        drawn = axes.barh(range(len(bars)), shares, left=left, color=colour, label=part, alpha=0.8)
        texts = [f"{share:.0%}" if share >= LABELLED_SHARE else "" for share in shares]
        axes.bar_label(drawn, texts, label_type="center", fontsize=8, color="white")
        left = [one + more for one, more in zip(left, shares, strict=True)]
    labels = [f"{name} ({total:,})" for name, total in zip(bars, totals, strict=True)]
    axes.set_yticks(range(len(bars)), labels, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_title("recordings by quarter and fold", loc="left", fontsize=9)
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=min(len(colours), 9), frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
