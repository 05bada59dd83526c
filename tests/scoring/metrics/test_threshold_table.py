"""The best threshold for rows with nocall, and the table of thresholds, against brute force with scikit-learn."""

from itertools import islice

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score

from tests.scoring.cases import cases
from utils.scoring.metrics import row_thresholds
from utils.scoring.metrics.bootstrap import Draws, draw_recordings
from utils.scoring.metrics.detection_metrics import row_f1
from utils.scoring.metrics.row_thresholds import best_row_threshold, row_counts
from utils.scoring.metrics.threshold_table import THRESHOLD_TABLE_SCHEMA, as_good_range, threshold_table
from utils.scoring.metrics.thresholds import curve_of, find_thresholds


def with_nocall(table: np.ndarray, unknown: np.ndarray) -> np.ndarray:
    """Return a table with columns for unknown labels, and nocall where a row is empty."""
    more = np.arange(max(unknown.max(initial=0), 1)) < unknown[:, None]
    table = np.hstack([table, more])
    return np.hstack([table, ~table.any(axis=1, keepdims=True)])


def row_f1_by_sklearn(detected: np.ndarray, truth: np.ndarray, unknown: np.ndarray) -> float:
    nothing = np.zeros_like(unknown)
    wide = with_nocall(truth, unknown)
    hits = np.hstack([detected, np.zeros((len(detected), wide.shape[1] - detected.shape[1] - 1), bool)])
    return f1_score(
        wide,
        np.hstack([hits, with_nocall(detected, nothing)[:, -1:]]),
        average="samples",
        zero_division=0,
    )


def unknown_of(rows: int, case: int) -> np.ndarray:
    return np.random.default_rng(case).integers(0, 3, rows) * (case % 2)


def test_row_wise_f1_by_hand() -> None:
    """Three rows: two species, one species, none.

    From 0.6: {a}, {b}, {} against {a, b}, {b}, {}: 2/3, 1, 1. From 0.4, a false b in the last row: 1, 1, 0.
    """
    scores = np.array([[0.9, 0.4], [0.1, 0.6], [0.2, 0.5]])
    truth = np.array([[True, True], [False, True], [False, False]])
    assert best_row_threshold(scores, truth) == 0.6
    (counts,) = row_counts(scores, truth, np.array([0.4, 0.6, 0.9]))
    np.testing.assert_allclose(counts.f1, [[1, 2 / 3, 2 / 3], [1, 1, 0], [0, 1, 1]])
    found = find_thresholds(scores, truth, ["a", "b"], per_class=False, metric="row_f1", made_from="here")
    assert (found.common, found.values, found.method, found.precision) == (0.6, (0.6, 0.6), "row_f1", None)
    # micro F1 would take the false one: 6 / 7 against 4 / 5
    assert find_thresholds(scores, truth, ["a", "b"], per_class=False, made_from="here").common == 0.4
    # two species of the last row are no classes: it is not silent, and its false detection costs nothing
    assert best_row_threshold(scores, truth, unknown=np.array([0, 0, 2])) == 0.4


def test_where_silence_is_as_good_nothing_is_detected() -> None:
    scores, truth = np.array([[0.9, 0.5], [0.8, 0.1]]), np.array([[False, True], [False, False]])
    assert best_row_threshold(scores, truth) is None
    found = find_thresholds(scores, truth, ["a", "b"], per_class=False, metric="row_f1", made_from="here")
    assert found.values == (None, None)
    assert best_row_threshold(np.full((3, 2), 0.5), np.array([[True, False]] * 3)) is None
    assert best_row_threshold(np.full((3, 2), 0.5), np.ones((3, 2), bool)) == 0.5
    assert best_row_threshold(scores, np.zeros_like(truth)) is None


def test_the_best_threshold_of_rows_is_the_best_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_thresholds, "SCORES_AT_ONCE", 20)  # several blocks
    monkeypatch.setattr(row_thresholds, "COARSE", 3)
    for case, (scores, truth) in enumerate(cases()):
        unknown = unknown_of(len(scores), case)
        values = np.unique(scores)[0 if truth.all() else 1 :].tolist()
        options = {at: row_f1(scores >= at, truth, unknown=unknown).mean() for at in values}
        nothing = row_f1(np.zeros_like(truth), truth, unknown=unknown).mean()
        best = max(options.values(), default=0.0)
        found = best_row_threshold(scores.astype(np.float32), truth, unknown=unknown)
        if best <= nothing + 1e-9 or not truth.any():
            assert found is None
        else:
            assert found == np.float32(max(at for at, f1 in options.items() if f1 >= best - 1e-9))


def test_files_of_row_wise_thresholds_refuse_classes_of_their_own() -> None:
    scores, truth = np.random.default_rng(1).random((9, 2)), np.ones((9, 2), bool)
    with pytest.raises(ValueError, match="only a common threshold"):
        find_thresholds(scores, truth, ["a", "b"], per_class=True, metric="row_f1", made_from="here")
    wanted = find_thresholds(
        scores, truth, ["a", "b"], per_class=True, metric="row_f1", precision=0.9, made_from="here"
    )
    assert wanted.method == "precision"


def test_the_table_is_that_of_brute_force() -> None:
    for case, (scores, truth) in islice(enumerate(cases()), 0, None, 19):
        unknown = unknown_of(len(scores), case)
        draws = draw_recordings(np.arange(len(scores)) // 2, draws=20, seed=case)
        table = threshold_table(scores, truth, draws, unknown=unknown, precision=0.5)
        assert dict(table.schema) == THRESHOLD_TABLE_SCHEMA
        assert table["threshold"].to_list() == np.unique(scores)[0 if truth.all() else 1 :].tolist() * int(truth.any())
        truth_wide = np.hstack([truth, np.arange(2) < unknown[:, None]])
        for row in table.iter_rows(named=True):
            detected = scores >= row["threshold"]
            wide = np.hstack([detected, np.zeros((len(scores), 2), bool)]).ravel()
            expected = {
                "micro_f1": f1_score(truth_wide.ravel(), wide, zero_division=0),
                "micro_precision": precision_score(truth_wide.ravel(), wide, zero_division=0),
                "micro_recall": recall_score(truth_wide.ravel(), wide, zero_division=0),
                "row_f1": row_f1_by_sklearn(detected, truth, unknown),
                "rows_detected": detected.any(axis=1).mean(),
            }
            assert {name: row[name] for name in expected} == pytest.approx(expected, abs=1e-6)


def test_bands_are_those_of_drawn_recordings() -> None:
    rng = np.random.default_rng(3)
    truth = rng.random((60, 3)) < 0.3
    scores = rng.random((60, 3)) + 0.5 * truth
    recording = np.repeat(np.arange(12), 5)
    draws = draw_recordings(recording, draws=60, seed=1)
    table = threshold_table(scores, truth, draws)
    row = table.row(len(table) // 2, named=True)
    detected = scores >= row["threshold"]
    micro, rows = [], []
    for weights in draws.weights.astype(int):
        chosen = np.repeat(np.arange(60), weights[recording])
        micro.append(f1_score(truth[chosen].ravel(), detected[chosen].ravel()))
        rows.append(row_f1(detected[chosen], truth[chosen]).mean())
    for name, values in (("micro_f1", micro), ("row_f1", rows)):
        assert [row[f"{name}_low"], row[f"{name}_high"]] == pytest.approx(np.quantile(values, (0.025, 0.975)), abs=1e-5)


def test_one_recording_has_no_band() -> None:
    scores, truth = np.array([[0.1, 0.9], [0.8, 0.3]]), np.array([[False, True], [True, True]])
    table = threshold_table(scores, truth, draw_recordings(np.zeros(2, int), draws=10, seed=1))
    assert table["micro_f1_low"].null_count() == table["row_f1_high"].null_count() == len(table) == 3
    assert table["micro_f1_as_good"].to_list() == [True, False, False]


def test_which_thresholds_are_as_good() -> None:
    """Between 0.4 and 0.6 nothing changes but in one recording of a hundred; at 0.2 a false detection comes in each."""
    rows = 100
    scores, truth = np.tile([0.6, 0.2, 0.1], (rows, 1)), np.tile([True, False, False], (rows, 1))
    scores[0, 0] = 0.4
    table = threshold_table(scores, truth, draw_recordings(np.arange(rows), draws=200, seed=1))
    assert table["threshold"].to_list() == [0.2, 0.4, 0.6]
    assert table["best"].to_list() == ["", "micro_f1 row_f1", ""]
    assert table["row_f1_as_good"].to_list() == table["micro_f1_as_good"].to_list() == [False, True, True]
    assert as_good_range(table, "row_f1") == as_good_range(table, "micro_f1") == (0.4, 0.6)
    assert as_good_range(table.with_columns(best=pl.lit("precision")), "row_f1") is None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_long_table_is_thinned_but_keeps_the_best_and_their_neighbours(dtype: type) -> None:
    rng = np.random.default_rng(5)
    truth = rng.random((3000, 4)) < 0.2
    scores = (rng.random((3000, 4)) ** 3 + 0.4 * truth).astype(dtype)
    table = threshold_table(scores, truth, draw_recordings(np.arange(3000) // 30, draws=50, seed=1), precision=0.9)
    assert 150 < len(table) <= 200
    curve = curve_of(scores.ravel(), truth.ravel())
    for name, best in (
        ("micro_f1", curve.thresholds[curve.best(precision=None)]),
        ("precision", curve.thresholds[curve.best(precision=0.9)]),
        ("row_f1", best_row_threshold(scores, truth)),
    ):
        assert name in table.filter(threshold=best)["best"].item().split(" ")
        here = int(np.searchsorted(curve.thresholds, best))
        near = curve.thresholds[here - 2 : here + 3]
        assert set(near) <= set(table["threshold"])
        if name != "precision":
            assert table[name].max() == table.filter(threshold=best)[name].item()
    assert table["threshold"].is_sorted()
    assert as_good_range(table, "row_f1") is not None


def test_no_true_pair_gives_an_empty_table() -> None:
    draws = Draws(np.ones((3, 2), np.float32), np.arange(2))
    table = threshold_table(np.array([[0.1], [0.2]]), np.zeros((2, 1), bool), draws)
    assert table.is_empty()
    assert dict(table.schema) == THRESHOLD_TABLE_SCHEMA
    with pytest.raises(ValueError, match="not finite"):
        threshold_table(np.array([[np.nan], [0.2]]), np.ones((2, 1), bool), draws)
