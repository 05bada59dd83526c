"""Histograms of scores, a panel for each class, with its threshold: of all rows, or of right and of wrong ones."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int64
from matplotlib.axes import Axes

from utils.plotting import make_logarithmic, new_figure_of_panels, tick_name, write_figure

BINS_PER_UNIT = 50
COUNTED_BINS = 75  # up to a score of 1.5, the highest that a prior makes
BIN_EDGES = np.arange(COUNTED_BINS + 1) / BINS_PER_UNIT
AT_ONCE = 2**22  # scores that are counted at once
ROUNDING = 1e-6  # so that a score on an edge, such as 0.58, is counted above it
COLUMNS = 4  # of panels
PANEL = (3.0, 1.75)  # width and height, inches
MARGINS, GAPS = (0.8, 0.2, 0.5, 0.55), (0.12, 0.32)  # around the panels, inches; between them, shares of their size
LAYER_COLOURS = ("#0072b2", "#e69f00")  # blue and orange, which colour-blind people tell apart
THRESHOLD_COLOUR = "#000000"


class ScoreCounts:
    """How many scores of each class are in each bin.

    Attributes
    ----------
    counts : bin i has the scores from i / BINS_PER_UNIT on; the last one all above, too
    """

    def __init__(self, classes: int) -> None:
        self.counts: Int64[np.ndarray, "classes bins"] = np.zeros((classes, COUNTED_BINS), np.int64)

    def add(
        self, scores: Float[np.ndarray, "rows classes"], where: Bool[np.ndarray, "rows classes"] | None = None
    ) -> None:
        """Count scores; negative ones (of classes that are not wanted) and NaN are left out.

        Parameters
        ----------
        where : which scores count; None: all
        """
        size = max(1, AT_ONCE // max(1, scores.shape[1]))
        offsets = COUNTED_BINS * np.arange(scores.shape[1])
        for first in range(0, len(scores), size):
            some = np.asarray(scores[first : first + size])
            used = some >= 0  # not NaN
            used &= True if where is None else where[first : first + size]
            bins = (np.where(used, some, 0) * BINS_PER_UNIT + ROUNDING).astype(np.int64).clip(max=COUNTED_BINS - 1)
            found = np.bincount((bins + offsets)[used], minlength=self.counts.size)
            self.counts += found.reshape(self.counts.shape)


@dataclass(frozen=True)
class ScorePanel:
    """The histograms of one class.

    Attributes
    ----------
    name : of the class
    layers : counts of each bin, for each of the legend's texts
    thresholds : scores from which the class is detected, the first the usual one; those that are infinite are not drawn
    """

    name: str
    layers: Sequence[Int64[np.ndarray, " bins"]]
    thresholds: Sequence[float] = ()


def draw_score_panels(path: Path, panels: Sequence[ScorePanel], legend: Sequence[str], *, title: str) -> None:
    """Draw the histograms with logarithmic counts, all with the same axes.

    Parameters
    ----------
    panels : one at least
    legend : what the layers are
    """
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    size = max(6.4, sum(MARGINS[:2]) + PANEL[0] * columns), sum(MARGINS[2:]) + PANEL[1] * rows
    figure = new_figure_of_panels(*size, margins=MARGINS, gaps=GAPS)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    highest = _highest_edge(panels)
    for axes, panel in zip(grid.flat, panels, strict=False):
        _draw_panel(axes, panel, legend)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    most = max(int(layer.max()) for panel in panels for layer in panel.layers)
    make_logarithmic(grid[0, 0], "y")
    grid[0, 0].set(xlim=(0, highest), ylim=(0.7, 2 * max(2, most)))
    grid[0, 0].minorticks_off()
    for axes in grid.flat[: len(panels)][-columns:]:  # in the last row there may be less panels
        axes.tick_params(labelbottom=True)
        axes.set_xlabel("score", fontsize=8)
    for axes in grid[:, 0]:
        axes.set_ylabel("count", fontsize=8)
    figure.legend(*_legend_of(grid.flat), loc="upper right", ncols=4, fontsize=8, frameon=False)
    figure.suptitle(title, x=0.01, y=1 - 0.08 / size[1], ha="left", va="top", fontsize=10)
    write_figure(path, figure)


def _legend_of(panels: Iterable[Axes]) -> tuple[list[Any], list[str]]:
    """Return lines and texts of the legend, each once, whichever panels have them."""
    found: dict[str, Any] = {}
    for axes in panels:
        for line, text in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(text, line)
    return list(found.values()), list(found)


def _highest_edge(panels: Sequence[ScorePanel]) -> float:
    """Return 1, or with a prior the upper edge of the highest bin that has scores."""
    filled = np.any([layer > 0 for panel in panels for layer in panel.layers], axis=0)
    return max(1.0, float(BIN_EDGES[1:][filled].max(initial=0.0)))


def _draw_panel(axes: Axes, panel: ScorePanel, legend: Sequence[str]) -> None:
    for counts, text, colour in zip(panel.layers, legend, LAYER_COLOURS, strict=False):
        axes.stairs(counts, BIN_EDGES, baseline=0.5, fill=True, color=colour, alpha=0.35)
        axes.stairs(counts, BIN_EDGES, baseline=0.5, color=colour, linewidth=1.2, label=text)
    for index, threshold in enumerate(panel.thresholds):
        if np.isfinite(threshold):
            style, text = ((0, (4, 2)), "threshold") if not index else (":", "in recordings that reach it")
            axes.axvline(threshold, color=THRESHOLD_COLOUR, linewidth=1.2, linestyle=style, label=text)
    never = "" if not panel.thresholds or np.isfinite(panel.thresholds[0]) else " (never detected)"
    axes.set_title(f"{tick_name(panel.name)}{never}", loc="left", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
