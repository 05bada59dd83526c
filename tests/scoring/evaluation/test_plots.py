"""Plots are drawn of any scores, also of few or none."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from utils.scoring.evaluation.plots import draw_reliability, draw_thresholds
from utils.scoring.metrics.calibration import Reliability, reliabilities
from utils.scoring.metrics.thresholds import curve_of, find_thresholds

BLUE, ORANGE, GREEN = (31, 119, 180), (255, 127, 14), (44, 160, 44)


def seen(path: Path, colors: Sequence[tuple[int, int, int]], *, pixels: int = 300) -> bool:
    """Tell whether a PNG file has many pixels of each colour, more than a legend has."""
    image = cv2.imread(str(path))
    assert image is not None
    return all((image == color[::-1]).all(axis=2).sum() > pixels for color in colors)


@pytest.mark.parametrize(
    ("rows", "share", "per_class", "low"),
    [(300, 0.3, True, 0.0), (300, 0.3, False, 0.0), (30, 0.2, True, -2.0), (1, 1.0, False, 0.0), (5, 0.0, False, 0.0)],
)
def test_thresholds_are_drawn(tmp_path: Path, rows: int, share: float, per_class: bool, low: float) -> None:
    rng = np.random.default_rng(1)
    truth = rng.random((rows, 4)) < share
    scores = rng.random((rows, 4)) * 0.5 + 0.3 * truth + low
    found = find_thresholds(scores, truth, list("abcd"), per_class=per_class, made_from="here")
    draw_thresholds(tmp_path / "thresholds.png", curve_of(scores.ravel(), truth.ravel()), found, title="run")
    assert seen(tmp_path / "thresholds.png", [BLUE, ORANGE, GREEN]) == (share > 0)


def test_a_curve_of_many_points_looks_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    truth = rng.random((2000, 4)) < 0.3
    scores = rng.random((2000, 4)) ** 4 * (1 + truth) / 2
    found, curve = (
        find_thresholds(scores, truth, list("abcd"), per_class=False, made_from="here"),
        curve_of(scores.ravel(), truth.ravel()),
    )
    assert len(curve.thresholds) > 2000
    draw_thresholds(tmp_path / "thin.png", curve, found, title="run")
    monkeypatch.setattr("utils.scoring.evaluation.plots.POINTS", 10**6)
    draw_thresholds(tmp_path / "full.png", curve, found, title="run")
    thin, full = (cv2.imread(str(tmp_path / f"{name}.png")).astype(float) for name in ("thin", "full"))
    assert np.abs(thin - full).mean() < 1


def test_reliability_is_drawn(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    scores = rng.random((200, 3))
    panels = reliabilities(scores, scores**2, rng.random((200, 3)) < scores**2)
    draw_reliability(tmp_path / "reliability.png", panels, title="run")
    assert seen(tmp_path / "reliability.png", [BLUE, ORANGE])
    empty = Reliability(np.zeros(10, int), np.full(10, np.nan), np.full(10, np.nan))
    draw_reliability(tmp_path / "empty.png", {"nothing": (empty, empty)}, title="run")
    assert not seen(tmp_path / "empty.png", [BLUE])
