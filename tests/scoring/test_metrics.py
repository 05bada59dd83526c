"""LRAP is scikit-learn's, but for rows without a right answer."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import label_ranking_average_precision_score

from utils.scoring.metrics import lrap, mean_of_defined


def test_golden(golden: Path) -> None:
    expected = np.load(golden / "mlrap.npz")
    rows = lrap(expected["scores"], expected["targets"].astype(bool))
    np.testing.assert_allclose(rows, expected["lrap"], atol=1e-12)
    assert mean_of_defined(rows) == pytest.approx(float(expected["mlrap"]), abs=1e-12)


def test_scikit_learn_on_200_cases() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        shape = (int(rng.integers(1, 8)), int(rng.integers(2, 12)))
        scores = rng.integers(0, 4, shape) / 4 if rng.random() < 0.5 else rng.random(shape)
        truth = rng.random(shape) < rng.random()
        truth[np.arange(shape[0]), rng.integers(0, shape[1], shape[0])] = True
        assert lrap(scores, truth).mean() == pytest.approx(label_ranking_average_precision_score(truth, scores), abs=1e-12)


def test_by_hand() -> None:
    scores = np.array([[0.9, 0.5, 0.1], [0.5, 0.5, 0.1], [0.3, 0.2, 0.1]])
    truth = np.array([[False, True, True], [True, False, False], [False, False, False]])
    assert lrap(scores, truth)[:2].tolist() == pytest.approx([(1 / 2 + 2 / 3) / 2, 1 / 2])
    assert np.isnan(lrap(scores, truth)[2])
    assert mean_of_defined(np.array([np.nan])) is None


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        lrap(np.array([[np.nan, 0.1]]), np.array([[True, False]]))
