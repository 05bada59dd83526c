"""Matplotlib figures that are saved as PNG files, without a screen."""

import warnings
from pathlib import Path
from typing import Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter, StrMethodFormatter

from utils.files import atomic_file

LONGEST_TICK_NAME = 40  # characters of a name beside an axis

# a name such as 'Aa $x_{$' is not a formula
mpl.rcParams["text.parse_math"] = False


def tick_name(name: str) -> str:
    """Return a name that leaves room for the plot beside it: the end of a long one is cut."""
    return name if len(name) <= LONGEST_TICK_NAME else f"{name[: LONGEST_TICK_NAME - 1]}…"


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of this size in inches, with a layout in which nothing overlaps."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def new_figure_of_panels(
    width: float, height: float, *, margins: tuple[float, float, float, float], gaps: tuple[float, float]
) -> Figure:
    """Return an empty figure for many panels with fixed margins, because a layout that adapts to them is slow.

    Parameters
    ----------
    width, height : inches
    margins : left, right, below and above the panels, inches
    gaps : between panels, across and down, as shares of the size of a panel
    """
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    left, right, below, above = margins
    figure.subplots_adjust(
        left=left / width,
        right=1 - right / width,
        bottom=below / height,
        top=1 - above / height,
        wspace=gaps[0],
        hspace=gaps[1],
    )
    return figure


def make_logarithmic(axes: Axes, which: Literal["x", "y"]) -> None:
    """Make an axis logarithmic, with plain numbers beside it; matplotlib would write powers, which are formulas.

    If the axis is shorter than two decades, some numbers between the powers of ten are written, too.
    """
    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axis.set_minor_formatter(_PlainMinorFormatter())


class _PlainMinorFormatter(LogFormatter):
    """As matplotlib's, which chooses the numbers to write so that they do not overlap, but without a formula."""

    def __init__(self) -> None:
        super().__init__(labelOnlyBase=False, minor_thresholds=(2, 0.4))

    def __call__(self, x: float, pos: int | None = None) -> str:
        return f"{x:,g}" if super().__call__(x, pos) else ""


def write_figure(path: Path, figure: Figure, *, dpi: int = 110) -> None:
    """Write a figure as PNG; it appears whole or not at all. Letters that the font lacks are drawn as boxes."""
    with atomic_file(path) as stream, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # in names of files and species
        figure.savefig(stream, format="png", dpi=dpi)
