"""Plots are drawn of any scores, also of few or none."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from utils.scoring.evaluation.plots import draw_reliability
from utils.scoring.metrics.calibration import Reliability, reliabilities

BLUE, ORANGE, GREEN = (31, 119, 180), (255, 127, 14), (44, 160, 44)


def seen(path: Path, colors: Sequence[tuple[int, int, int]], *, pixels: int = 300) -> bool:
    """Tell whether a PNG file has many pixels of each colour, more than a legend has."""
    image = cv2.imread(str(path))
    assert image is not None
    return all((image == color[::-1]).all(axis=2).sum() > pixels for color in colors)


def test_reliability_is_drawn(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    scores = rng.random((200, 3))
    panels = reliabilities(scores, scores**2, rng.random((200, 3)) < scores**2)
    draw_reliability(tmp_path / "reliability.png", panels, title="run")
    assert seen(tmp_path / "reliability.png", [BLUE, ORANGE])
    empty = Reliability(np.zeros(10, int), np.full(10, np.nan), np.full(10, np.nan))
    draw_reliability(tmp_path / "empty.png", {"nothing": (empty, empty)}, title="run")
    assert not seen(tmp_path / "empty.png", [BLUE])
