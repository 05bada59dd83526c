"""Two pictures for people: what a threshold gives, and whether scores mean what they say."""

from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from utils.files import whole_file
from utils.scoring.calibration import Reliability
from utils.scoring.thresholds import Curve, Thresholds

POINTS = 1000  # of a curve at most, spread evenly over the axis


def draw_thresholds(path: Path, curve: Curve, thresholds: Thresholds, *, title: str) -> None:
    """Draw F1, precision and recall of all classes together against a common threshold, with the chosen one; below, the classes' own thresholds.

    Parameters
    ----------
    curve : of all pairs of a row and a class
    """
    own = np.array([value for value, is_own in zip(thresholds.values, thresholds.own, strict=True) if is_own and value is not None])
    figure = Figure(figsize=(7.5, 5.6 if len(own) else 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2 if len(own) else 1, 1, sharex=True, squeeze=False, height_ratios=(4, 1) if len(own) else (1,))[:, 0]
    _draw_curve(panels[0], curve, thresholds)
    if len(own):
        low, high = panels[0].get_xlim()
        panels[1].hist(own.clip(low, high), bins=np.linspace(low, high, 41), color="tab:gray")
        panels[1].set(ylabel="classes")
        panels[1].set_title(f"{len(own)} classes have thresholds of their own, median {np.median(own):.3g}", fontsize="medium", loc="left")
    panels[-1].set_xlabel("threshold: a class is called from this score on")
    figure.suptitle(title)
    _save(figure, path)


def _draw_curve(axes: Axes, curve: Curve, thresholds: Thresholds) -> None:
    shown = _thinned(curve.thresholds)
    at = curve.thresholds[shown]
    for name, values, color in (("precision", curve.precision, "tab:blue"), ("recall", curve.recall, "tab:orange"), ("F1", curve.f1, "tab:green")):
        axes.plot(at, values[shown], color=color, linewidth=2.5 if name == "F1" else 1.5, label=name)
    if thresholds.common is not None:
        point = int(np.searchsorted(curve.thresholds, thresholds.common).clip(0, len(curve.thresholds) - 1))
        figures = f"F1 {curve.f1[point]:.3f}, precision {curve.precision[point]:.3f}, recall {curve.recall[point]:.3f}"
        axes.axvline(thresholds.common, color="black", linewidth=1, linestyle="--")
        for values in (curve.precision, curve.recall, curve.f1):
            axes.plot(thresholds.common, values[point], "o", color="black", markersize=5)
        why = "best F1" if thresholds.precision is None else f"precision ≥ {thresholds.precision:g}"
        axes.set_title(f"common threshold {thresholds.common:.3g} ({why}): {figures}", fontsize="medium", loc="left")
    axes.set(ylim=(0, 1.02), ylabel="all classes together")
    axes.grid(alpha=0.3)
    axes.legend()


def _thinned(values: Float[np.ndarray, " points"]) -> np.ndarray:
    """Return the numbers of so many points that a line through them looks the same."""
    if len(values) <= POINTS:
        return np.arange(len(values))
    return np.unique(np.searchsorted(values, np.linspace(values[0], values[-1], POINTS)))


def draw_reliability(path: Path, before: Reliability, after: Reliability, *, title: str) -> None:
    """Draw how often answers of some score are right, before and after calibration, and how many there are.

    Parameters
    ----------
    after : of scores that were calibrated by other rows
    """
    figure = Figure(figsize=(6.4, 7.2), layout="constrained")
    FigureCanvasAgg(figure)
    diagram, counts = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    diagram.plot([0, 1], [0, 1], color="gray", linestyle="--", linewidth=1, label="as it should be")
    width = 1 / len(before.counts)
    for shift, found, color, name in ((0.0, before, "tab:orange", "before"), (0.5, after, "tab:blue", "after")):
        error = "none" if found.expected_error is None else f"{found.expected_error:.2g}"
        there = found.counts > 0
        diagram.plot(found.scores[there], found.right[there], "o-", color=color, label=f"{name}: expected error {error}")
        edges = (np.arange(len(found.counts)) + shift) * width
        counts.bar(edges, found.counts, width / 2, align="edge", color=color, alpha=0.8)
    diagram.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="share that is right")
    diagram.legend(loc="upper left")
    counts.set(yscale="log", ylabel="answers", xlabel="score")
    for axes in (diagram, counts):
        axes.grid(alpha=0.3)
    figure.suptitle(title)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    with whole_file(path) as stream:
        figure.savefig(stream, format="png", dpi=110)
