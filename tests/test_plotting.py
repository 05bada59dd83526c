"""Axes of figures: plain numbers, since names with a dollar sign must not be read as formulas."""

import pytest

from utils.plotting import make_logarithmic, new_figure


@pytest.mark.parametrize(
    ("ends", "labels"),
    [((1e-6, 1e-3), {"1e-06", "1e-05", "0.0001", "0.001"}), ((0.9, 7.0), {"1", "2", "3", "4", "6"})],
)
def test_logarithmic_axes_have_plain_numbers(ends: tuple[float, float], labels: set[str]) -> None:
    figure = new_figure(4.0, 3.0)
    axes = figure.subplots()
    axes.plot([0, 1], ends)
    make_logarithmic(axes, "y")
    axes.set_ylim(ends)
    figure.canvas.draw()
    inside = [text for text in axes.get_yticklabels(which="both") if ends[0] <= text.get_position()[1] <= ends[1]]
    assert {text.get_text().replace("−", "-") for text in inside} - {""} == labels
