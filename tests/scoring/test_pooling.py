"""Pooling is the 2018 baseline's."""

from pathlib import Path

import numpy as np
import pytest

from utils.scoring.pooling import median_filtered


def test_golden(golden: Path) -> None:
    expected = np.load(golden / "pooling.npz")
    for scores, pooled in zip(expected["scores"], expected["pooled"], strict=True):
        np.testing.assert_allclose(median_filtered(scores), pooled, atol=1e-6)


def test_by_hand() -> None:
    scores = np.array([[0.1, 0.2, 0.7], [0.4, 0.3, 0.3]])
    # medians 0.2 and 0.3: what stands out is 0.7 in the first clip; 0.4 is under 0.45 in the second
    assert median_filtered(scores).tolist() == pytest.approx([0.0, 0.0, 1.4**2 / 2])
    assert scores[0].tolist() == [0.1, 0.2, 0.7]


def test_high_scores_are_scaled_to_one() -> None:
    assert median_filtered(np.array([[0.02, 0.02, 0.96]])).max() == 1.0


def test_no_clips() -> None:
    with pytest.raises(ValueError, match="no clips"):
        median_filtered(np.zeros((0, 3)))
