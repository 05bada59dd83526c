"""The plot of an analysis of annotations, annotations.png, and its table, events.csv."""

from pathlib import Path

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from utils.plotting import make_logarithmic, new_figure, tick_name, write_figure
from utils.recordings.annotation_analysis import AnnotationAnalysis
from utils.tables import write_csv

USED, LEFT_OUT, RANGE, MARK = "#7aa6c2", "#d0d0d0", "#e07b39", "#5b3a8c"
MAX_NAMED = 60  # species; with more, their names cannot be read
MOST_OTHERS = 5  # other species around an annotation; more are counted together
LENGTH_BINS = 30


def write_annotation_analysis(root: Path, analysis: AnnotationAnalysis | None) -> None:
    """Write `events.csv` and `annotations.png` into a data set's folder; nothing without annotations."""
    if analysis:
        write_csv(root / "events.csv", analysis.classes)
        plot_annotations(root / "annotations.png", analysis)


def plot_annotations(path: Path, analysis: AnnotationAnalysis) -> None:
    """Plot annotations per species and recording, their frequencies, lengths, and the species around them, as PNG."""
    classes = analysis.classes.reverse()  # the most frequent at the top
    named = len(classes) <= MAX_NAMED
    heights = [max(2.5, 0.17 * len(classes)) if named else 6.0, 2.6]
    figure = new_figure(11.0, sum(heights) + 0.6)
    grid = figure.add_gridspec(2, 6, height_ratios=heights)
    counts = figure.add_subplot(grid[0, :3])
    _plot_counts(counts, classes, analysis, named=named)
    _plot_frequencies(figure.add_subplot(grid[0, 3:], sharey=counts), classes, analysis)
    _plot_lengths(figure.add_subplot(grid[1, :2]), analysis)
    _plot_others(figure.add_subplot(grid[1, 2:4]), analysis)
    _plot_recordings(figure.add_subplot(grid[1, 4:]), analysis)
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    write_figure(path, figure)


def _plot_counts(axes: Axes, classes: pl.DataFrame, analysis: AnnotationAnalysis, *, named: bool) -> None:
    """Plot the annotations of each species on a logarithmic axis, with the quantiles over species."""
    rows, used = np.arange(len(classes)), classes["used"].to_numpy()
    colours = np.where(used, USED, LEFT_OUT).tolist()
    axes.barh(rows, classes["annotations"].to_numpy(), height=0.8 if named else 1.0, color=colours)
    title = f"{len(classes):,} species, {len(analysis.events):,} annotations"
    if len(classes):
        bottom, median, top = analysis.quantiles
        for value, style in ((bottom, ":"), (median, "-"), (top, "--")):
            axes.axvline(value, color=MARK, linestyle=style, linewidth=1.2)
        title += f"\nbottom 10%: {bottom:,.0f} or fewer, median: {median:,.0f}, top 1%: {top:,.0f} or more"
    make_logarithmic(axes, "x")
    axes.set_xlim(left=0.7)
    axes.set_ylim(-0.6, len(classes) - 0.4)
    axes.set_yticks(rows if named else [], [tick_name(name) for name in classes["class"]] if named else [])
    axes.set_xlabel("annotations" if used.all() else "annotations (grey: left out by the settings)", fontsize=8)
    axes.set_title(title, loc="left", fontsize=9)


def _plot_frequencies(axes: Axes, classes: pl.DataFrame, analysis: AnnotationAnalysis) -> None:
    """Plot the range of frequencies of each species, and that of 98% of all annotations."""
    axes.tick_params(labelleft=False)
    axes.set_xlabel("kHz (blue: 1% of low to 99% of high; orange: 1% to 99% of centres)", fontsize=8)
    if analysis.centres is None:
        axes.set_title("no frequencies are known", loc="left", fontsize=9)
        axes.set_xticks([])
        return
    low, high = analysis.centres
    axes.axvspan(low / 1000, high / 1000, color=RANGE, alpha=0.15, linewidth=0)
    rows = np.arange(len(classes))
    thickness = min(5.0, 300 / len(classes))
    for ends, width, colour in (
        (("low_p1", "high_p99"), thickness / 3, USED),
        (("centre_p1", "centre_p99"), thickness, RANGE),
    ):
        first, last = (classes[end].cast(pl.Float64).fill_null(np.nan).to_numpy() / 1000 for end in ends)
        axes.hlines(rows, first, last, color=colour, linewidth=width)
        axes.plot((first + last) / 2, rows, ".", color=colour, markersize=width, linestyle="")  # ranges without width
    axes.set_xlim(left=0)
    centred = f"98% of all annotations are centred, at (low + high) / 2,\nbetween {low:,.0f} and {high:,.0f} Hz"
    axes.set_title(centred, loc="left", fontsize=9)


def _plot_lengths(axes: Axes, analysis: AnnotationAnalysis) -> None:
    """Plot how long annotations are; points stand apart, in the title."""
    lengths = analysis.events.select(pl.col("end") - pl.col("start")).to_series().to_numpy()
    spans = lengths[lengths > 0]
    axes.set_title(f"{len(lengths) - len(spans):,} points, {len(spans):,} spans", loc="left", fontsize=9)
    axes.set_xlabel("length of spans, seconds")
    axes.set_ylabel("annotations")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    if not len(spans):
        axes.set_xticks([])
    else:
        shortest, longest = spans.min() / 1.05, spans.max() * 1.05
        axes.hist(spans, bins=np.geomspace(shortest, longest, LENGTH_BINS + 1).tolist(), color=USED)
        make_logarithmic(axes, "x")


def _plot_others(axes: Axes, analysis: AnnotationAnalysis) -> None:
    """Plot how many other species are annotated around annotations."""
    others = np.minimum(analysis.events["others"].to_numpy(), MOST_OTHERS)
    counts = np.bincount(others, minlength=MOST_OTHERS + 1)
    axes.bar(range(len(counts)), counts, color=[USED] + [RANGE] * MOST_OTHERS)
    axes.set_xticks(range(len(counts)), [*map(str, range(MOST_OTHERS)), f"{MOST_OTHERS}+"])
    axes.set_xlabel(f"other species within {analysis.window:g} s")
    share = (others > 0).mean() if len(others) else 0.0
    axes.set_title(f"{share:.0%} overlap", loc="left", fontsize=9)


def _plot_recordings(axes: Axes, analysis: AnnotationAnalysis) -> None:
    """Plot the annotations of each recording, most first."""
    counts = analysis.per_recording
    axes.bar(range(1, len(counts) + 1), counts, width=0.9 if len(counts) <= MAX_NAMED else 1.0, color=USED)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlabel("recordings, by annotations")
    axes.set_title(f"{len(counts):,} {'recordings' if len(counts) != 1 else 'recording'}", loc="left", fontsize=9)
