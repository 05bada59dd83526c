"""Thresholds are optimal, and are read from their file as they were written."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_recall_curve

from tests.scoring.cases import cases
from utils.console import UserError
from utils.scoring.metrics.thresholds import (
    FULL_CURVE,
    Thresholds,
    cross_detected,
    curve_of,
    detect,
    find_thresholds,
    folds_of,
    read_thresholds,
    rows_text,
    write_thresholds,
)
from utils.scoring.metrics.units import Unit

MADE = Thresholds(
    ("A a", "B b", "C c"),
    (0.25, None, 0.1 + 0.2),
    (True, True, False),
    0.1 + 0.2,
    "precision",
    0.9,
    5,
    "run, val/",
    "0123abcd",
)


def candidates(scores: np.ndarray, correct: np.ndarray) -> np.ndarray:
    """Return possible thresholds: all scores but the lowest, unless every pair is correct."""
    values = np.unique(scores)
    return values if correct.all() else values[1:]


def test_the_common_threshold_is_the_best_there_is() -> None:
    for case, (scores, truth) in enumerate(cases()):
        names = [str(index) for index in range(scores.shape[1])]
        pairs, correct = scores.ravel(), truth.ravel()
        options = {
            float(at): 2 * (correct & (pairs >= at)).sum() / (correct.sum() + (pairs >= at).sum())
            for at in candidates(pairs, correct)
        }
        found = find_thresholds(scores, truth, names, per_class=False, made_from="here")
        if not max(options.values(), default=0):
            assert found.common is None
        else:
            assert found.common == max(
                at for at, f1 in options.items() if f1 == pytest.approx(max(options.values()), abs=1e-12)
            )
        assert set(found.values) == {found.common}
        wanted = (0.3, 0.6, 0.9)[case % 3]
        enough = {at: int((correct & (pairs >= at)).sum()) for at in options if correct[pairs >= at].mean() >= wanted}
        found = find_thresholds(scores, truth, names, per_class=False, precision=wanted, made_from="here")
        assert found.common == (
            max(at for at, hits in enough.items() if hits == max(enough.values())) if any(enough.values()) else None
        )


def test_classes_with_few_rows_get_the_common_threshold() -> None:
    rng = np.random.default_rng(1)
    truth = rng.random((50, 3)) < (0.5, 0.3, 0.0)
    truth[:4, 2] = True
    scores = rng.random((50, 3)) * 0.5 + truth * (0.4, 0.1, 0.2)
    found = find_thresholds(scores, truth, ["a", "b", "c"], per_class=True, min_positives=5, made_from="here")
    assert found.per_class == (True, True, False)
    assert found.values[2] == found.common
    alone = [
        find_thresholds(scores[:, [index]], truth[:, [index]], ["x"], per_class=False, made_from="here").common
        for index in range(2)
    ]
    assert list(found.values[:2]) == alone
    assert found.values[0] != found.values[1]
    assert find_thresholds(
        scores, truth, ["a", "b", "c"], per_class=True, min_positives=1, made_from="here"
    ).per_class == (
        True,
        True,
        True,
    )


def test_points_left_out_of_long_curves_change_no_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    correct = rng.random(400) < 0.1
    scores = rng.random(400) + 0.3 * correct
    curves = [curve_of(scores, correct)]
    monkeypatch.setattr("utils.scoring.metrics.thresholds.FULL_CURVE", 10)
    curves.append(curve_of(scores, correct))
    assert len(curves[1].thresholds) < len(curves[0].thresholds)
    for precision in (None, 0.2, 0.5):
        points = [(curve, curve.best(precision=precision)) for curve in curves]
        assert len({float(curve.thresholds[point]) for curve, point in points}) == 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_curves_are_those_of_scikit_learn(monkeypatch: pytest.MonkeyPatch, dtype: type) -> None:
    """Of many pairs, the same points are left out."""
    for most in (FULL_CURVE, 0):
        monkeypatch.setattr("utils.scoring.metrics.thresholds.FULL_CURVE", most)
        for scores, truth in cases():
            pairs, correct = scores.ravel().astype(dtype), truth.ravel()
            if not correct.any():
                assert not len(curve_of(pairs, correct).thresholds)
                continue
            precision, recall, at = precision_recall_curve(correct, pairs, drop_intermediate=not most)
            first = 0 if correct.all() else 1
            curve = curve_of(pairs, correct)
            np.testing.assert_array_equal(curve.thresholds, at[first:])
            np.testing.assert_array_equal(curve.precision, precision[first:-1])
            np.testing.assert_array_equal(curve.recall, recall[first:-1])


def test_labels_that_are_no_class_are_missed() -> None:
    """Three of four detections from 0.2 on are correct, two of two from 0.8 on; three labels are no class.

    F1 without them: 6 / 7 and 4 / 5; with ten of them, 6 / 17 and 4 / 15; thresholds differ where much is missed.
    """
    scores, truth = np.array([[0.9, 0.8], [0.2, 0.3], [0.1, 0.1]]), np.array([[1, 1], [1, 0], [0, 0]], bool)
    for each, f1 in ((0, (6 / 7, 4 / 5)), (5, (6 / 17, 4 / 15))):
        unknown = np.array([0, each, each])
        curve = curve_of(scores.ravel(), truth.ravel(), unknown=int(unknown.sum()))
        assert curve.f1[[0, 2]].tolist() == pytest.approx(f1)
    # 2 of 2 against 3 of 6: 4 / 5 and 6 / 9 without unknown labels, 4 / 25 and 6 / 29 with 20 of them
    scores = np.array([[0.9, 0.8, 0.2, 0.3, 0.4, 0.5, 0.1]])
    truth = np.array([[True, True, True, False, False, False, False]])
    options = {"per_class": False, "made_from": "here"}
    assert find_thresholds(scores, truth, list("abcdefg"), **options).common == 0.8
    assert find_thresholds(scores, truth, list("abcdefg"), unknown=np.array([20]), **options).common == 0.2


def test_constant_scores_detect_nothing() -> None:
    found = find_thresholds(
        np.full((4, 2), 0.5), np.array([[True, False]] * 4), ["a", "b"], per_class=False, made_from="here"
    )
    assert found.common is None
    assert not detect(np.ones((3, 2)), found).any()


def test_scores_at_or_above_the_threshold_are_detections() -> None:
    detected = detect(np.array([[0.25, 1.0, 0.3], [0.2, 0.9, 0.1 + 0.2], [0.24, 1.0, 0.0]]), MADE)
    assert detected.tolist() == [[True, False, False], [False, False, True], [False, False, False]]


def test_float32_scores_reach_the_thresholds_that_they_gave(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    scores, truth = rng.random((40, 3)).astype(np.float32), rng.random((40, 3)) < 0.3
    found = find_thresholds(scores, truth, ["a", "b", "c"], per_class=True, made_from="here")
    write_thresholds(tmp_path / "thresholds.json", found)
    detected = detect(scores, read_thresholds(tmp_path / "thresholds.json", ["a", "b", "c"]))
    for index, value in enumerate(found.values):
        assert value is not None
        assert detected[:, index].sum() == (scores[:, index] >= np.float32(value)).sum()


def test_rows_use_thresholds_of_the_other_folds() -> None:
    rng = np.random.default_rng(4)
    recordings = np.repeat(np.arange(20), 3)
    folds = folds_of(recordings, seed=1)
    assert sorted(np.bincount(folds).tolist()) == [12] * 5
    assert all(len(set(folds[recordings == recording])) == 1 for recording in range(20))
    scores, truth = rng.random((60, 2)), rng.random((60, 2)) < 0.4
    detected = cross_detected(scores, truth, folds, per_class=True)
    here = folds == 2
    others = find_thresholds(scores[~here], truth[~here], ["a", "b"], per_class=True, made_from="here")
    np.testing.assert_array_equal(detected[here], detect(scores[here], others))
    unknown = recordings % 2
    by_rows = cross_detected(scores, truth, folds, per_class=False, metric="row_f1", unknown=unknown)
    others = find_thresholds(
        scores[~here],
        truth[~here],
        ["a", "b"],
        per_class=False,
        metric="row_f1",
        unknown=unknown[~here],
        made_from="here",
    )
    np.testing.assert_array_equal(by_rows[here], detect(scores[here], others))
    whole = detect(scores, find_thresholds(scores, truth, ["a", "b"], per_class=True, made_from="here"))
    # thresholds look better on the rows they were found on
    assert f1_score(truth, detected, average="macro") < f1_score(truth, whole, average="macro")
    with pytest.raises(ValueError, match="one recording"):
        folds_of(np.zeros(5, int), seed=1)


def test_thresholds_are_read_in_the_requested_order(tmp_path: Path) -> None:
    path = tmp_path / "thresholds.json"
    write_thresholds(path, MADE)
    assert read_thresholds(path, MADE.classes) == MADE
    assert read_thresholds(path, ["C c", "A a"]) == replace(
        MADE, classes=("C c", "A a"), values=(0.1 + 0.2, 0.25), per_class=(False, True)
    )
    saved = json.loads(path.read_text())
    assert saved["made_from"] == "run, val/"
    assert saved.pop("fingerprint") == "0123abcd"
    assert saved["method"] == "precision"
    write_thresholds(path, replace(MADE, method="row_f1", precision=None))
    assert read_thresholds(path, MADE.classes).method == "row_f1"
    saved["own"] = saved.pop("per_class")
    assert [saved.pop(key) for key in ("unit", "interval")] == [None, None]
    path.write_text(json.dumps(saved))  # as earlier versions saved them
    assert read_thresholds(path, MADE.classes) == replace(MADE, fingerprint=None)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"values": [0.25, "0.5", 0.3]}, r"values\.1.*: Input should be a valid number"),
        ({"values": [0.25, 0.3]}, "one threshold per class"),
        ({"classes": ["A a", "A a", "C c"]}, "one threshold per class"),
        ({"classes": ["A a", "B b", "D d"]}, r"no threshold for C c; it was made from run, val/"),
        ({"classes": ["A a", "D d", "E e"]}, "no threshold for B b and 1 others"),
        ({"method": "luck"}, "method: Input should be 'f1', 'row_f1' or 'precision'"),
        ({"made_from": None}, "made_from: Input should be a valid string"),
        ({"fingerprint": 7}, "fingerprint: Input should be a valid string"),
        ({"common": True}, "common: Input should be a valid number"),
        ({"more": 1}, "more: "),
        ({"unit": "call"}, "unit: Input should be 'recording', 'interval' or 'event'"),
        ({"unit": "interval", "interval": 0.0}, "interval: Input should be greater than 0"),
        ({"unit": "interval"}, "should have an interval if its unit is 'interval', and only then"),
        ({"unit": "event", "interval": 5.0}, "should have an interval if its unit is 'interval', and only then"),
    ],
)
def test_files_with_invalid_fields_are_refused(tmp_path: Path, change: dict, reason: str) -> None:
    path = tmp_path / "thresholds.json"
    write_thresholds(path, MADE)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(UserError, match=reason) as caught:
        read_thresholds(path, MADE.classes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"values": [0.25, -0.01, 0.3]}, r"the threshold of B b is -0\.01, but scores are from 0 to 1\.5; "),
        ({"values": [0.25, None, 1.51]}, r"the threshold of C c is 1\.51, but"),
        ({"values": [float("nan"), None, 0.3]}, "the threshold of A a is nan, but"),
        ({"values": [0.1, float("inf"), -1.0]}, "the threshold of B b is inf, but"),
        ({"common": -1}, "the threshold of all classes together is -1, but"),
        ({"common": float("nan"), "values": [0.25, None, 2.0]}, "the threshold of C c is 2, but"),
    ],
)
def test_thresholds_that_no_score_can_have_are_refused(tmp_path: Path, change: dict, reason: str) -> None:
    path = tmp_path / "thresholds.json"
    write_thresholds(path, MADE)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(UserError, match=rf"thresholds\.json: {reason}") as caught:
        read_thresholds(path, ["C c"])  # also if only another class is asked for
    assert "\n" not in str(caught.value)


def test_the_highest_score_depends_on_the_prior(tmp_path: Path) -> None:
    path = tmp_path / "thresholds.json"
    write_thresholds(path, replace(MADE, values=(0.0, 1.5, None)))
    assert read_thresholds(path, MADE.classes).values == (0.0, 1.5, None)
    with pytest.raises(UserError, match=r"of B b is 1\.5, but scores are from 0 to 1 without testing\.prior"):
        read_thresholds(path, MADE.classes, highest=1.0)
    write_thresholds(path, replace(MADE, values=(0.0, 1.0 + 1e-7, None)))
    assert read_thresholds(path, MADE.classes, highest=1.0).values[1] > 1  # rounding of float32


@pytest.mark.parametrize(
    ("unit", "interval", "text"),
    [("recording", None, "whole recordings"), ("interval", 2.5, "intervals of 2.5 s"), ("event", None, "single calls")],
)
def test_thresholds_know_what_they_were_chosen_on(
    tmp_path: Path, unit: Unit, interval: float | None, text: str
) -> None:
    found = find_thresholds(
        np.array([[0.2, 0.9]]), np.array([[False, True]]), ["a", "b"],
        per_class=False, made_from="here", unit=unit, interval=2.5,
    )  # fmt: skip
    write_thresholds(tmp_path / "thresholds.json", found)
    assert read_thresholds(tmp_path / "thresholds.json", ["a", "b"]) == found
    assert (found.unit, found.interval) == (unit, interval)
    assert rows_text(found.unit, found.interval) == text


@pytest.mark.parametrize("content", [None, b"", b"[1, 2]", b"\xff\xfe", b'{"common": NaN}', b"{"])
def test_files_without_thresholds_are_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "thresholds.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"thresholds\.json: .*run test\.py again"):
        read_thresholds(path, MADE.classes)


def test_bad_scores_are_refused() -> None:
    bad, truth = np.array([[np.nan, 0.1]]), np.array([[True, False]])
    with pytest.raises(ValueError, match="not finite"):
        find_thresholds(bad, truth, ["a", "b"], per_class=False, made_from="here")
    with pytest.raises(ValueError, match="not finite"):
        detect(np.array([[np.nan, 0.1, 0.2]]), MADE)
    with pytest.raises(ValueError, match="3 thresholds, but scores of 2 classes"):
        detect(np.array([[0.1, 0.2]]), MADE)
    with pytest.raises(ValueError, match="3 classes, but scores of 2"):
        find_thresholds(np.zeros((1, 2)), truth, ["a", "b", "c"], per_class=False, made_from="here")
