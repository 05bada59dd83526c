"""Calibrated scores are shares of correct predictions; maps equal scikit-learn's, and are read as they were written."""

from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.calibration import calibration_curve
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from utils.console import UserError
from utils.scoring.metrics.calibration import (
    Isotonic,
    Platt,
    cross_fitted,
    fit,
    read_calibration,
    reliabilities,
    reliability,
    write_calibration,
)
from utils.scoring.metrics.thresholds import folds_of

METHODS = ("platt", "isotonic")


def overconfident(rows: int, *, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return scores whose logits are twice too large, what is correct, and how likely that was."""
    rng = np.random.default_rng(seed)
    likely = expit(rng.normal(-1.5, 1.5, (rows, 3)))
    return expit(2 * logit(likely) + 0.5), rng.random((rows, 3)) < likely, likely


def test_platt_recovers_slope_and_intercept() -> None:
    scores, correct, likely = overconfident(20_000, seed=1)
    found = fit(scores, correct, method="platt", made_from="here")
    assert (found.slope, found.intercept) == (pytest.approx(0.5, abs=0.02), pytest.approx(-0.25, abs=0.05))
    np.testing.assert_allclose(found.apply(scores), likely, atol=0.02)


def test_maps_are_scikit_learns() -> None:
    for seed in range(20):
        scores, correct, _ = overconfident(100, seed=seed)
        expected = LogisticRegression(tol=1e-8).fit(logit(scores.ravel())[:, None], correct.ravel())
        platt = fit(scores, correct, method="platt", made_from="here")
        assert (platt.slope, platt.intercept) == (
            pytest.approx(expected.coef_[0, 0], abs=2e-3),
            pytest.approx(expected.intercept_[0], abs=2e-3),
        )
        probabilities = expected.predict_proba(logit(scores.ravel())[:, None])[:, 1]
        np.testing.assert_allclose(platt.apply(scores).ravel(), probabilities, atol=1e-3)
        level = expit(np.rint((logit(scores) - logit(1e-6)) / 0.001) * 0.001 + logit(1e-6))  # as they are counted
        steps = IsotonicRegression(out_of_bounds="clip", y_min=0, y_max=1).fit(level.ravel(), correct.ravel())
        at = np.linspace(0, 1, 101)
        np.testing.assert_allclose(
            fit(scores, correct, method="isotonic", made_from="here").apply(at), steps.predict(at), atol=1e-6
        )


@pytest.mark.parametrize("method", METHODS)
def test_calibration_fixes_overconfidence_on_unseen_rows(method: str) -> None:
    scores, correct, _ = overconfident(3000, seed=2)
    folds = folds_of(np.arange(3000), seed=1)
    calibrated = cross_fitted(scores, correct, folds, method=method)
    here = folds == 0
    np.testing.assert_array_equal(
        calibrated[here], fit(scores[~here], correct[~here], method=method, made_from="here").apply(scores[here])
    )
    for before, after in reliabilities(scores, calibrated, correct).values():
        assert after.expected_error < 0.03 < 0.08 < before.expected_error


@pytest.mark.parametrize("method", METHODS)
def test_blocks_change_nothing(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scores, correct, _ = overconfident(300, seed=2)
    scores[0], scores[1] = 0, 1
    folds = folds_of(np.arange(300), seed=1)
    whole, diagram = cross_fitted(scores, correct, folds, method=method), reliability(scores, correct)
    monkeypatch.setattr("utils.scoring.metrics.calibration.PAIRS_AT_ONCE", 100)
    np.testing.assert_array_equal(cross_fitted(scores, correct, folds, method=method), whole)
    again = reliability(scores, correct)
    assert again.counts.tolist() == diagram.counts.tolist()
    np.testing.assert_allclose((again.scores, again.correct), (diagram.scores, diagram.correct))


@pytest.mark.parametrize("method", METHODS)
def test_maps_keep_the_order_within_zero_and_one(method: str) -> None:
    scores, correct, _ = overconfident(200, seed=3)
    scores[:20], correct[:20] = 0.0, False
    scores[20:40], correct[20:40] = 1.0, True
    calibrated = fit(scores, correct, method=method, made_from="here").apply(np.linspace(0, 1, 1001))
    assert (np.diff(calibrated) >= 0).all()
    assert calibrated.min() >= 0
    assert calibrated.max() <= 1


def test_perfect_scores_have_a_finite_map() -> None:
    correct = np.array([[True, False], [False, False]])
    for method in METHODS:
        calibrated = fit(correct.astype(float), correct, method=method, made_from="here").apply(correct.astype(float))
        assert calibrated[0, 0] > 0.8
        assert np.delete(calibrated, 0).max() < 0.2


def test_reliability_is_scikit_learns() -> None:
    rng = np.random.default_rng(4)
    for _ in range(200):
        size = int(rng.integers(1, 60))
        scores = rng.integers(0, 11, size) / 10 if rng.random() < 0.5 else rng.random(size)
        correct = rng.random(size) < scores
        found = reliability(scores, correct)
        if correct.any() and not correct.all():
            shares, means = calibration_curve(correct, scores, n_bins=10)
            filled = found.counts > 0
            np.testing.assert_allclose(found.correct[filled], shares)
            np.testing.assert_allclose(found.scores[filled], means)
        assert found.counts.sum() == size
        assert np.isnan(found.scores[found.counts == 0]).all()


def test_expected_error_by_hand() -> None:
    found = reliability(np.array([0.1, 0.1, 0.75, 1.0]), np.array([False, True, True, True]), bins=2)
    assert found.counts.tolist() == [2, 2]
    assert found.expected_error == pytest.approx(0.5 * abs(0.1 - 0.5) + 0.5 * abs(0.875 - 1))
    assert reliability(np.empty(0), np.empty(0, bool)).expected_error is None


@pytest.mark.parametrize(
    "made",
    [
        Platt(0.5, -1.25, "run", fingerprint="0123abcd"),
        Isotonic((0.0, 0.1 + 0.2, 1.0), (0.0, 0.5, 0.5), "run", unit="interval", interval=2.5),
    ],
)
def test_a_calibration_is_read_as_written(tmp_path: Path, made: Platt | Isotonic) -> None:
    write_calibration(tmp_path / "calibration.json", made)
    assert read_calibration(tmp_path / "calibration.json") == made


def test_a_calibration_of_an_earlier_version_has_no_unit(tmp_path: Path) -> None:
    (tmp_path / "calibration.json").write_text('{"method": "platt", "slope": 1.5, "intercept": 0.0, "made_from": "x"}')
    assert read_calibration(tmp_path / "calibration.json") == Platt(1.5, 0.0, "x", unit=None, interval=None)


@pytest.mark.parametrize(
    "content",
    [
        None,
        "",
        "[]",
        '{"method": "platt", "slope": "1", "intercept": 0.0, "made_from": "run"}',
        '{"method": "platt", "slope": NaN, "intercept": 0.0, "made_from": "run"}',
        '{"method": "isotonic", "x": [0.1, 0.2], "y": [0.5], "made_from": "run"}',
        '{"method": "isotonic", "x": [0.2, 0.1], "y": [0.5, 0.6], "made_from": "run"}',
        '{"method": "isotonic", "x": [0.1, 0.2], "y": [0.6, 0.5], "made_from": "run"}',
        '{"method": "isotonic", "x": [], "y": [], "made_from": "run"}',
        '{"method": "other", "made_from": "run"}',
        '{"method": "platt", "slope": 1.0, "intercept": 0.0, "made_from": "run", "unit": "interval"}',
        '{"method": "platt", "slope": 1.0, "intercept": 0.0, "made_from": "run", "unit": "event", "interval": 5.0}',
        '{"method": "platt", "slope": 1.0, "intercept": 0.0, "made_from": "run", "unit": "clip"}',
    ],
)
def test_files_without_a_calibration_are_refused(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "calibration.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=r"calibration\.json: .*run test\.py again") as caught:
        read_calibration(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bad", [np.nan, 1.5, -0.1])
def test_bad_scores_are_refused(method: str, bad: float) -> None:
    with pytest.raises(ValueError, match="not between 0 and 1"):
        fit(np.array([[bad, 0.5]]), np.array([[True, False]]), method=method, made_from="here")
    with pytest.raises(ValueError, match="all predictions are correct, or none"):
        fit(np.array([[0.2, 0.5]]), np.array([[False, False]]), method=method, made_from="here")


def test_scores_that_are_missing_stay_missing() -> None:
    for made in (Platt(0.5, -1.25, "run"), Isotonic((0.0, 1.0), (0.0, 0.5), "run")):
        np.testing.assert_array_equal(np.isnan(made.apply(np.array([[np.nan, 0.5]]))), [[True, False]])
