"""Figures of matplotlib that become PNG files, drawn without a screen."""

from pathlib import Path

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from utils.files import whole_file

# texts are what they say: a species may be called 'Aa $x_{$', which is no formula
mpl.rcParams["text.parse_math"] = False


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of so many inches, whose parts make room for each other."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def write_figure(path: Path, figure: Figure, *, dpi: int = 110) -> None:
    """Write a figure as PNG; it appears whole or not at all."""
    with whole_file(path) as stream:
        figure.savefig(stream, format="png", dpi=dpi)
