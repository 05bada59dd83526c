"""Predictions of folds are joined; those of several seeds are averaged; both are saved and read back."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from utils.scoring.evaluation.out_of_fold import Spread, mean_over_seeds, pool_folds, spread_over_folds
from utils.scoring.evaluation.saved_predictions import read_predictions, write_predictions
from utils.scoring.inference.recordings import Predictions


def predictions(names: list[str], classes: str, scores: list[list[float]], **more: object) -> Predictions:
    rows = pl.DataFrame(
        {
            "recording": names,
            "file": [f"{name}.wav" for name in names],
            "class": [name[0] for name in names],
            "reason": ["drawn"] * len(names),
        }
    )
    reasons = ["is empty" if np.isnan(row).any() else None for row in scores]
    clips = np.array([0 if reason else 3 for reason in reasons], np.int64)
    return Predictions(rows, tuple(classes), np.array(scores, np.float32), clips, reasons, **more)


def test_scores_are_averaged_over_the_models_that_know_the_class() -> None:
    one = predictions(["A1", "B1"], "AB", [[0.8, 0.2], [0.4, 0.6]], warnings={"A1": ("odd",)})
    other = predictions(["A1", "B1"], "BD", [[0.6, 0.1], [0.0, 0.3]], warnings={"A1": ("odd", "short")})
    mean = mean_over_seeds([one, other], "ABCD")
    np.testing.assert_allclose(mean.scores, [[0.8, 0.4, 0.0, 0.1], [0.4, 0.3, 0.0, 0.3]], atol=1e-7)
    assert mean.warnings == {"A1": ("odd", "short")}
    assert mean.reasons == [None, None]
    with pytest.raises(ValueError, match="different rows"):
        mean_over_seeds([one, predictions(["B1", "A1"], "AB", [[0, 0], [0, 0]])], "AB")


def test_a_recording_that_one_model_could_not_read_has_no_scores() -> None:
    one = predictions(["A1", "B1"], "AB", [[0.8, 0.2], [0.4, 0.6]])
    other = predictions(["A1", "B1"], "AB", [[np.nan, np.nan], [0.2, 0.4]])
    mean = mean_over_seeds([one, other], "ABC")
    assert np.isnan(mean.scores[0]).all()
    np.testing.assert_allclose(mean.scores[1], [0.3, 0.5, 0.0], atol=1e-7)
    assert mean.reasons == ["is empty", None]


def test_folds_are_joined_in_the_order_of_the_split() -> None:
    first = predictions(["A2", "B1"], "AB", [[0.1, 0.2], [0.3, 0.4]], fingerprint="first")
    second = predictions(["A1", "A1", "B2"], "AC", [[0.5, 0.6], [0.7, 0.8], [np.nan, np.nan]])
    pooled = pool_folds([[first], [second]], ["A1", "A2", "B1", "B2"], fingerprint="all")
    assert pooled.rows["recording"].to_list() == ["A1", "A1", "A2", "B1", "B2"]
    assert pooled.classes == ("A", "B", "C")
    expected = [[0.5, 0, 0.6], [0.7, 0, 0.8], [0.1, 0.2, 0], [0.3, 0.4, 0], [np.nan] * 3]
    np.testing.assert_allclose(pooled.scores, expected, atol=1e-7)
    assert pooled.reasons == [None, None, None, None, "is empty"]
    assert pooled.clips.tolist() == [3, 3, 3, 3, 0]
    assert pooled.fingerprint == "all"
    with pytest.raises(ValueError, match="in two folds"):
        pool_folds([[first], [first]], ["A2", "B1"], fingerprint=None)


def test_mean_and_deviation_over_folds() -> None:
    folds = [[{"f1": 0.2, "ap": 0.5}, {"f1": 0.4, "ap": None}], [{"f1": 0.5, "ap": None}], [{"f1": 0.7, "none": None}]]
    found = spread_over_folds(folds)
    assert (found["f1"].mean, found["f1"].folds) == (pytest.approx(0.5), 3)
    assert found["f1"].deviation == pytest.approx(np.std([0.3, 0.5, 0.7], ddof=1))
    assert found["ap"] == Spread(0.5, None, 1)
    assert "none" not in found


def test_saved_predictions_are_read_back(tmp_path: Path) -> None:
    saved = predictions(["A1", "B1"], "ABC", [[0.8, 0.2, 0.1], [np.nan] * 3], warnings={"A1": ("odd",)})
    saved = replace(saved, fingerprint="0123", unit="interval")
    path = tmp_path / "parts" / "run.1"
    description = write_predictions(path, saved, key="key", metrics={"mlrap": 0.5, "ap": None}, seconds=2.5)
    found = read_predictions(path, key="key")
    assert found
    read, told = found
    assert told == description
    assert told.metrics == {"mlrap": 0.5, "ap": None}
    assert read.rows.equals(saved.rows)
    np.testing.assert_array_equal(read.scores, saved.scores)
    assert read.clips.tolist() == saved.clips.tolist()
    for name in ("classes", "reasons", "fingerprint", "warnings", "unit"):
        assert getattr(read, name) == getattr(saved, name)


def test_saved_predictions_that_cannot_be_used_are_none(tmp_path: Path) -> None:
    path, one = tmp_path / "run", predictions(["A1"], "AB", [[0.8, 0.2]])
    assert read_predictions(path, key="key") is None
    write_predictions(path, one, key="key", metrics={}, seconds=0.0)
    assert read_predictions(path, key="other") is None
    whole = (tmp_path / "run.parquet").read_bytes()
    (tmp_path / "run.parquet").write_bytes(whole[:50])
    assert read_predictions(path, key="key") is None
    (tmp_path / "run.parquet").write_bytes(whole)
    assert read_predictions(path, key="key")
    (tmp_path / "run.json").write_text("{}")
    assert read_predictions(path, key="key") is None
