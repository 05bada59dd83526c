"""Matplotlib figures that are saved as PNG files, without a screen."""

from pathlib import Path

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

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


def write_figure(path: Path, figure: Figure, *, dpi: int = 110) -> None:
    """Write a figure as PNG; it appears whole or not at all."""
    with atomic_file(path) as stream:
        figure.savefig(stream, format="png", dpi=dpi)
