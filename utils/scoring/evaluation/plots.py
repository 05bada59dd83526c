"""Two plots of a test: precision and recall by threshold, and the reliability of scores."""

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

POINTS = 2000  # at most, in a curve; spread evenly over the axis
THRESHOLD_TICKS = (0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)
COLORS = {"precision": "tab:blue", "recall": "tab:orange", "F1": "tab:green"}


def draw_thresholds(path: Path, curve: Curve, thresholds: Thresholds, *, title: str) -> None:
    """Draw F1, precision and recall of all classes together by a common threshold; below, the thresholds per class.

    The axis shows the square root of scores, because most scores are small.

    Parameters
    ----------
    curve : of all pairs of a row and a class
    """
    pairs = zip(thresholds.values, thresholds.per_class, strict=True)
    per_class = np.array([value for value, is_per_class in pairs if is_per_class and value is not None])
    figure = new_figure(8.0, 5.8 if len(per_class) else 4.6)
    rows, heights = (2, (4, 1)) if len(per_class) else (1, (1,))
    panels = figure.subplots(rows, 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    _draw_curve(panels[0], curve)
    _mark_common(panels[0], curve, thresholds)
    low, high = min([0.0, *curve.thresholds]), max([1.0, *curve.thresholds])
    if len(per_class):
        edges = _squared(np.linspace(_square_root(low), _square_root(high), 51))
        _draw_per_class(panels[1], per_class, edges, thresholds)
    ticks = [tick for tick in THRESHOLD_TICKS if low <= tick <= high]
    for axes in panels:
        axes.set_xscale("function", functions=(_square_root, _squared))
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.set_xlim(low, 1.02 * high)
        _tidy_axes(axes)
    panels[-1].set_xlabel("threshold: the score from which a class is detected")
    figure.suptitle(title)
    write_figure(path, figure)


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


def _draw_curve(axes: Axes, curve: Curve) -> None:
    points = _thinned(curve.thresholds)
    for name, values in (("precision", curve.precision), ("recall", curve.recall), ("F1", curve.f1)):
        # between two scores, detections are those of the higher one
        axes.step(
            curve.thresholds[points],
            values[points],
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
        axes.set_title(f"no common threshold has the wanted {wanted}", fontsize="medium", loc="left")
        return
    point = int(np.searchsorted(curve.thresholds, thresholds.common).clip(0, len(curve.thresholds) - 1))
    metrics = {"F1": curve.f1[point], "precision": curve.precision[point], "recall": curve.recall[point]}
    axes.axvline(thresholds.common, color="black", linewidth=1, linestyle="--")
    for name, value in metrics.items():
        axes.plot(thresholds.common, value, "o", color=COLORS[name], markeredgecolor="black", markersize=7, zorder=3)
    shown = ", ".join(f"{name} {value:.3f}" for name, value in metrics.items())
    axes.set_title(f"common threshold {thresholds.common:.3g} ({wanted}): {shown}", fontsize="medium", loc="left")


def _square_root(values: float | np.ndarray) -> np.ndarray:
    return np.asarray(np.sign(values) * np.sqrt(np.abs(values)))


def _squared(values: float | np.ndarray) -> np.ndarray:
    return np.asarray(np.sign(values) * np.square(values))


def _thinned(values: Float[np.ndarray, " points"]) -> Int64[np.ndarray, " some"]:
    """Return the indices of at most `POINTS` values, spread so that a line through them looks the same."""
    if len(values) <= POINTS:
        return np.arange(len(values))
    roots = _square_root(values)
    return np.unique(np.searchsorted(roots, np.linspace(roots[0], roots[-1], POINTS)).clip(0, len(values) - 1))


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
