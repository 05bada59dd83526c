"""Plots of a test: precision, recall and F1 by threshold, and the reliability of scores."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator
from scipy.stats import binomtest

from utils.plotting import new_figure, write_figure
from utils.scoring.metrics.calibration import Reliability
from utils.scoring.metrics.registry import METRICS
from utils.scoring.metrics.threshold_table import F1_COLUMNS, as_good_range
from utils.scoring.metrics.thresholds import Thresholds

THRESHOLD_TICKS = (0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)
COLORS = {"precision": "tab:blue", "recall": "tab:orange"}
F1_COLORS = {"micro_f1": "tab:green", "row_f1": "tab:purple"}


def _set_threshold_axis(panels: npt.NDArray[np.object_], *, low: float, high: float) -> None:
    ticks = [tick for tick in THRESHOLD_TICKS if low <= tick <= high]
    for axes in panels:
        axes.set_xscale("function", functions=(_square_root, _squared))
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.set_xlim(low, 1.02 * high)
        _tidy_axes(axes)
    panels[-1].set_xlabel("threshold: the score from which a class is detected")


def draw_threshold_search(path: Path, table: pl.DataFrame, thresholds: Thresholds, *, title: str) -> None:
    """Draw micro F1 and row-wise F1 by a common threshold, with their 95% bands, and how many rows have a detection.

    Bars show the thresholds around the best one that are as good. The lowest panel holds the thresholds per class, if
    there are any.

    Parameters
    ----------
    table : from `threshold_table`, with a row at least
    """
    pairs = zip(thresholds.values, thresholds.per_class, strict=True)
    per_class = np.array([value for value, is_per_class in pairs if is_per_class and value is not None])
    heights = (6, 1.4, 1.4) if len(per_class) else (6, 1.4)
    figure = new_figure(8.0, 0.6 + 0.75 * sum(heights))
    panels = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    grid = table["threshold"].to_numpy()
    for name, column in (("precision", "micro_precision"), ("recall", "micro_recall")):
        panels[0].step(grid, table[column], where="pre", color=COLORS[name], linewidth=0.8, label=name)
    for row, name in enumerate(F1_COLUMNS):
        _draw_f1(panels[0], table, name, bar_at=-0.03 - 0.04 * row)
    if thresholds.common is not None:
        panels[0].axvline(thresholds.common, color="black", linewidth=1, linestyle="--", label="common threshold")
    panels[0].set(ylim=(-0.11, 1.04), ylabel="all classes together")
    panels[0].text(0.005, 0.045, "as good as the best:", transform=panels[0].transAxes, fontsize="small")
    panels[0].legend(ncols=5, framealpha=0.9, fontsize="small", loc="upper center", bbox_to_anchor=(0.5, 1.1))
    panels[1].step(grid, table["rows_detected"], where="pre", color="black", linewidth=1.2)
    panels[1].set(ylim=(0, 1.04), ylabel="rows with\na detection")
    low, high = min(0.0, grid[0]), max(1.0, grid[-1])
    if len(per_class):
        _draw_per_class(
            panels[2], per_class, _squared(np.linspace(_square_root(low), _square_root(high), 51)), thresholds
        )
    _set_threshold_axis(panels, low=low, high=high)
    figure.suptitle(title)
    write_figure(path, figure)


def _draw_f1(axes: Axes, table: pl.DataFrame, name: str, *, bar_at: float) -> None:
    """Draw one kind of F1 with its band, its best point, and a bar over the thresholds that are as good."""
    color, title = F1_COLORS[name], METRICS[name].title
    grid, values = table["threshold"].to_numpy(), table[name].to_numpy()
    axes.step(grid, values, where="pre", color=color, linewidth=2.2, label=title)
    low, high = (table[f"{name}_{end}"].cast(pl.Float64).to_numpy() for end in ("low", "high"))
    axes.fill_between(grid, low, high, step="pre", color=color, alpha=0.2, linewidth=0)
    around = as_good_range(table, name)
    if around is None:
        return
    best = table.filter(pl.col("best").str.split(" ").list.contains(name)).row(0, named=True)
    axes.plot(best["threshold"], best[name], "o", color=color, markeredgecolor="black", markersize=8, zorder=3)
    on_the_right = _square_root(best["threshold"]) > _square_root(grid[[0, -1]]).mean()
    axes.annotate(
        f"{title} {best[name]:.3f} at {best['threshold']:.3g}",
        (best["threshold"], best[name]),
        xytext=(-7, 9) if on_the_right else (7, 9),
        textcoords="offset points",
        horizontalalignment="right" if on_the_right else "left",
        bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1},
        zorder=4,
    )
    axes.plot(around, [bar_at, bar_at], color=color, linewidth=4, solid_capstyle="butt")


def _draw_per_class(
    axes: Axes, per_class: Float[np.ndarray, " some"], edges: Float[np.ndarray, " edges"], thresholds: Thresholds
) -> None:
    axes.hist(per_class, bins=edges.tolist(), color="dimgray")
    never = sum(value is None for value in thresholds.values)
    besides = f"; {never} classes are never detected" if never else ""
    share = f"{len(per_class)} of {len(thresholds.classes)} classes"
    axes.set_ylabel("classes")
    axes.yaxis.set_major_locator(MaxNLocator(nbins=3, integer=True))
    axes.set_title(
        f"thresholds per class: {share}, median {np.median(per_class):.3g}{besides}", loc="left", fontsize="medium"
    )


def _square_root(values: float | np.ndarray) -> np.ndarray:
    return np.asarray(np.sign(values) * np.sqrt(np.abs(values)))


def _squared(values: float | np.ndarray) -> np.ndarray:
    return np.asarray(np.sign(values) * np.square(values))


def draw_reliability(path: Path, panels: Mapping[str, tuple[Reliability, Reliability]], *, title: str) -> None:
    """Draw the share of correct predictions by score, before and after calibration, with 95% intervals and counts.

    Parameters
    ----------
    panels : pairs of reliability before and after, by heading, from `calibration.reliabilities`; drawn side by side
    """
    figure = new_figure(0.6 + 4.8 * len(panels), 6.6)
    columns = figure.subplots(2, len(panels), sharex=True, squeeze=False, height_ratios=(3, 1)).T
    for (diagram, counts), (heading, (before, after)) in zip(columns, panels.items(), strict=True):
        diagram.plot([0, 1], [0, 1], color="gray", linestyle="--", linewidth=1)
        _draw_bins(diagram, before, "before", color="tab:orange", marker="s")
        _draw_bins(diagram, after, "after", color="tab:blue", marker="o")
        diagram.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), title=heading)
        diagram.legend(loc="upper left", title="expected calibration error")
        edges = np.linspace(0, 1, len(before.counts) + 1)
        counts.stairs(before.counts, edges, baseline=0.5, fill=True, color="tab:orange", alpha=0.4)
        counts.stairs(after.counts, edges, baseline=0.5, color="tab:blue", linewidth=1.5)
        counts.set(yscale="log", ylim=(0.5, 2 * max(2, before.counts.max(), after.counts.max())), xlabel="score")
        counts.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        counts.minorticks_off()
        _tidy_axes(diagram)
        _tidy_axes(counts)
    columns[0][0].set_ylabel("share of correct predictions (dashed: ideal)")
    columns[0][1].set_ylabel("predictions")
    figure.suptitle(title)
    write_figure(path, figure)


def _draw_bins(axes: Axes, found: Reliability, name: str, *, color: str, marker: str) -> None:
    filled = np.flatnonzero(found.counts)
    scores, shares, counts = found.scores[filled], found.correct[filled], found.counts[filled]
    intervals = [
        binomtest(round(share * count), int(count)).proportion_ci(method="wilson")
        for share, count in zip(shares, counts, strict=True)
    ]
    below = [share - interval.low for share, interval in zip(shares, intervals, strict=True)]
    above = [interval.high - share for share, interval in zip(shares, intervals, strict=True)]
    bars = np.array([below, above]).clip(0)
    error = found.expected_error
    shown = "none" if error is None else f"{error:.4f}" if error >= 0.0001 else "below 0.0001"
    axes.errorbar(
        scores,
        shares,
        bars,
        color=color,
        marker=marker,
        markersize=5,
        linewidth=0.7,
        elinewidth=1,
        capsize=2,
        label=f"{name}: {shown}",
    )


def _tidy_axes(axes: Axes) -> None:
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
