"""Scores of exactly 0 are told, with what to set, if the pooling makes them of what a weak model predicts."""

from dataclasses import replace

import numpy as np
import pytest

from config import Config
from utils.scoring.inference.pooling import median_filtered
from utils.scoring.inference.zero_scores import ZeroScores, zero_scores_of

WEAK = np.array([[0.011, 0.010, 0.012, 0.009]])  # of a binary loss: no class stands out
STRONG = np.array([[0.9, 0.02, 0.01, 0.015]])


def warned(scores: ZeroScores, capsys: pytest.CaptureFixture[str], settings: Config | None = None) -> str:
    scores.warn((settings or Config()).testing)
    return " ".join(capsys.readouterr().err.split())


def test_recordings_without_order_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    pooled = np.stack([median_filtered(WEAK), median_filtered(STRONG)])
    found = zero_scores_of(pooled, np.array([0, 1]))
    assert (found.scores, found.zeros, found.recordings, found.without_order) == (8, 7, 2, 1)
    text = warned(found, capsys)
    assert "88% of all scores are exactly 0, in 1 of 2 recordings all of them" in text
    assert text.endswith("set testing.pooling to mean")
    mean = replace(Config().testing, pooling="mean")
    assert not warned(found, capsys, Config(testing=mean))
    assert not warned(zero_scores_of(median_filtered(STRONG)[None], np.array([0])), capsys)


def test_intervals_count_for_their_recording(capsys: pytest.CaptureFixture[str]) -> None:
    """A silent interval is no reason to warn; a table whose recordings take turns is grouped."""
    rows = np.array([[0.0, 0.0], [0.3, 0.2], [0.0, 0.4], [np.nan, np.nan]])
    found = zero_scores_of(rows, np.array([0, 1, 0, 2]))
    assert (found.scores, found.zeros, found.recordings, found.without_order) == (6, 3, 2, 0)
    assert not warned(found, capsys)


def test_almost_all_scores(capsys: pytest.CaptureFixture[str]) -> None:
    found = ZeroScores()
    found.add(np.concatenate([np.zeros((19, 1)), [[0.5]], np.full((100, 1), -1.0)]))  # −1: not on the whitelist
    assert (found.scores, found.zeros) == (20, 19)
    assert "95% of all scores are exactly 0, in 0 of 1 recordings" in warned(found, capsys)
    assert not warned(ZeroScores(), capsys)
