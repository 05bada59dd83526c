"""Histograms of scores count like NumPy's, and leave out what is no score."""

from pathlib import Path

import numpy as np
import pytest

from utils.scoring.evaluation.score_histograms import BIN_EDGES, ScoreCounts, ScorePanel, draw_score_panels


def test_counts_are_those_of_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("utils.scoring.evaluation.score_histograms.AT_ONCE", 100)  # in several pieces
    scores = np.random.default_rng(1).uniform(0, 1.5, (500, 7)).astype(np.float32)
    where = np.random.default_rng(2).random(scores.shape) < 0.3
    every, some = ScoreCounts(7), ScoreCounts(7)
    every.add(scores)
    some.add(scores, where)
    for label in range(7):
        np.testing.assert_array_equal(every.counts[label], np.histogram(scores[:, label], BIN_EDGES)[0])
        some_scores = scores[where[:, label], label]
        np.testing.assert_array_equal(some.counts[label], np.histogram(some_scores, BIN_EDGES)[0])


def test_scores_on_edges_are_counted_above_them_and_what_is_no_score_is_left_out() -> None:
    counts = ScoreCounts(2)
    counts.add(np.array([[0.58, np.nan], [0.3, -1.0], [2.0, 0.0]], np.float32))
    assert np.flatnonzero(counts.counts[0]).tolist() == [15, 29, 74]
    assert np.flatnonzero(counts.counts[1]).tolist() == [0]
    counts.add(np.zeros((0, 2)))
    assert counts.counts.sum() == 4


def test_panels_are_drawn_whatever_their_count(tmp_path: Path) -> None:
    layer = np.zeros(len(BIN_EDGES) - 1, np.int64)
    layer[[0, 60]] = 1000, 1
    panels = [ScorePanel(f"Aa $x_{index}$", (layer, layer // 2), [0.5, np.inf]) for index in range(5)]
    draw_score_panels(tmp_path / "five.png", panels, ("wrong", "right"), title="five")
    draw_score_panels(tmp_path / "one.png", [ScorePanel("a", (0 * layer,), [np.inf])], ("all",), title="one")
    assert (tmp_path / "five.png").stat().st_size > 5000
