"""Two pictures for people: what a threshold gives, and whether scores mean what they say."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int64
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator
from scipy.stats import binomtest

from utils.plotting import new_figure, write_figure
from utils.scoring.metrics.calibration import Reliability
from utils.scoring.metrics.thresholds import Curve, Thresholds

POINTS = 2000  # of a curve at most, spread evenly over the axis
TICKS = (0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)
COLORS = {"precision": "tab:blue", "recall": "tab:orange", "F1": "tab:green"}


def draw_thresholds(path: Path, curve: Curve, thresholds: Thresholds, *, title: str) -> None:
    """Draw F1, precision and recall of all classes together against a common threshold, with the chosen one; below, the classes' own thresholds.

    The axis is that of the scores' square roots, for most scores are small.

    Parameters
    ----------
    curve : of all pairs of a row and a class
    """
    own = np.array(
        [value for value, is_own in zip(thresholds.values, thresholds.own, strict=True) if is_own and value is not None]
    )
    figure = new_figure(8.0, 5.8 if len(own) else 4.6)
    panels = figure.subplots(
        2 if len(own) else 1, 1, sharex=True, squeeze=False, height_ratios=(4, 1) if len(own) else (1,)
    )[:, 0]
    _draw_curve(panels[0], curve)
    _mark_common(panels[0], curve, thresholds)
    low, high = min([0.0, *curve.thresholds]), max([1.0, *curve.thresholds])
    if len(own):
        panels[1].hist(own, bins=_unrooted(np.linspace(_rooted(low), _rooted(high), 51)), color="dimgray")
        never = sum(value is None for value in thresholds.values)
        besides = f"; {never} classes are never called" if never else ""
        panels[1].set_ylabel("classes")
        panels[1].yaxis.set_major_locator(MaxNLocator(nbins=3, integer=True))
        panels[1].set_title(
            f"{len(own)} of {len(thresholds.classes)} classes have their own, median {np.median(own):.3g}{besides}",
            loc="left",
            fontsize="medium",
        )
    for axes in panels:
        axes.set_xscale("function", functions=(_rooted, _unrooted))
        axes.set_xticks(
            [tick for tick in TICKS if low <= tick <= high], [f"{tick:g}" for tick in TICKS if low <= tick <= high]
        )
        axes.set_xlim(low, 1.02 * high)
        _tidy(axes)
    panels[-1].set_xlabel("threshold: a class is called from this score on")
    figure.suptitle(title)
    write_figure(path, figure)


def _draw_curve(axes: Axes, curve: Curve) -> None:
    shown = _thinned(curve.thresholds)
    for name, values in (("precision", curve.precision), ("recall", curve.recall), ("F1", curve.f1)):
        # between two scores, the calls are those of the higher one
        axes.step(
            curve.thresholds[shown],
            values[shown],
            where="pre",
            color=COLORS[name],
            linewidth=2.5 if name == "F1" else 1.5,
            label=name,
        )
    axes.set(ylim=(0, 1.02), ylabel="all classes together")
    axes.legend(ncols=3, framealpha=0.9)


def _mark_common(axes: Axes, curve: Curve, thresholds: Thresholds) -> None:
    wanted = "best F1" if thresholds.precision is None else f"precision of at least {thresholds.precision:g}"
    if thresholds.common is None or not len(curve.thresholds):
        axes.set_title(f"no common threshold gives what is wanted: {wanted}", fontsize="medium", loc="left")
        return
    point = int(np.searchsorted(curve.thresholds, thresholds.common).clip(0, len(curve.thresholds) - 1))
    figures = {"F1": curve.f1[point], "precision": curve.precision[point], "recall": curve.recall[point]}
    axes.axvline(thresholds.common, color="black", linewidth=1, linestyle="--")
    for name, value in figures.items():
        axes.plot(thresholds.common, value, "o", color=COLORS[name], markeredgecolor="black", markersize=7, zorder=3)
    shown = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
    axes.set_title(f"common threshold {thresholds.common:.3g} ({wanted}): {shown}", fontsize="medium", loc="left")


def _rooted(values: float | np.ndarray) -> np.ndarray:
    return np.asarray(np.sign(values) * np.sqrt(np.abs(values)))


def _unrooted(values: float | np.ndarray) -> np.ndarray:
    return np.asarray(np.sign(values) * np.square(values))


def _thinned(values: Float[np.ndarray, " points"]) -> Int64[np.ndarray, " some"]:
    """Return the numbers of so many points that a line through them looks the same."""
    if len(values) <= POINTS:
        return np.arange(len(values))
    rooted = _rooted(values)
    return np.unique(np.searchsorted(rooted, np.linspace(rooted[0], rooted[-1], POINTS)).clip(0, len(values) - 1))


def draw_reliability(path: Path, panels: Mapping[str, tuple[Reliability, Reliability]], *, title: str) -> None:
    """Draw how often answers of some score are right, before and after calibration, with 95% intervals, and how many there are.

    Parameters
    ----------
    panels : what to draw side by side, by its heading: before and after, of `calibration.reliabilities`
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
        _tidy(diagram)
        _tidy(counts)
    columns[0][0].set_ylabel("share that is right (dashed: as it should be)")
    columns[0][1].set_ylabel("answers")
    figure.suptitle(title)
    write_figure(path, figure)


def _draw_bins(axes: Axes, found: Reliability, name: str, *, color: str, marker: str) -> None:
    there = np.flatnonzero(found.counts)
    scores, right, counts = found.scores[there], found.right[there], found.counts[there]
    spans = [
        binomtest(round(share * count), int(count)).proportion_ci(method="wilson")
        for share, count in zip(right, counts, strict=True)
    ]
    reach = (
        np.array([(share - span.low, span.high - share) for share, span in zip(right, spans, strict=True)])
        .clip(0)
        .T.reshape(2, -1)
    )
    error = found.expected_error
    shown = "none" if error is None else f"{error:.4f}" if error >= 0.0001 else "below 0.0001"
    axes.errorbar(
        scores,
        right,
        reach,
        color=color,
        marker=marker,
        markersize=5,
        linewidth=0.7,
        elinewidth=1,
        capsize=2,
        label=f"{name}: {shown}",
    )


def _tidy(axes: Axes) -> None:
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
