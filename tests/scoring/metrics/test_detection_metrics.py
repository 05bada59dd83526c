"""Metrics of detections equal scikit-learn's."""

from dataclasses import astuple

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support

from tests.scoring.cases import cases
from utils.scoring.metrics.detection_metrics import (
    AVERAGES,
    PrecisionRecallF1,
    confusion,
    count,
    count_top_classes,
    macro,
    micro,
    row_f1,
    weighted,
)


def expected_of(truth: np.ndarray, detected: np.ndarray, average: str) -> tuple[float, ...]:
    return precision_recall_fscore_support(truth, detected, average=average, zero_division=0)[:3]


def columns(values: np.ndarray) -> np.ndarray:
    """Add a class that is never present or detected, without which scikit-learn would take one class for two."""
    return np.column_stack([values, np.zeros(len(values), bool)])


def test_micro_macro_weighted_are_scikit_learns() -> None:
    for scores, truth in cases():
        detected = scores >= 0.5
        counts, occurs = count(detected, truth), (detected | truth).any(axis=0)
        if not occurs.any():
            assert micro(counts) == macro(counts) == weighted(counts) == PrecisionRecallF1(None, None, None)
            continue
        assert astuple(micro(counts)) == pytest.approx(
            expected_of(columns(truth), columns(detected), "micro"), abs=1e-12
        )
        each = precision_recall_fscore_support(columns(truth), columns(detected), average=None, zero_division=0)
        for ours, theirs in zip((counts.precision, counts.recall, counts.f1), each, strict=False):
            np.testing.assert_allclose(ours[occurs], theirs[:-1][occurs], atol=1e-12)
            assert np.isnan(ours[~occurs]).all()
        assert astuple(macro(counts)) == pytest.approx([values[:-1][occurs].mean() for values in each[:3]], abs=1e-12)
        if truth.any():
            assert astuple(weighted(counts)) == pytest.approx(
                expected_of(columns(truth), columns(detected), "weighted"), abs=1e-12
            )
        else:
            assert weighted(counts) == PrecisionRecallF1(None, None, None)


def test_row_f1_is_scikit_learns_with_nocall_as_a_class() -> None:
    for scores, truth in cases():
        detected = scores >= 0.75
        with_nocall = [np.column_stack([values, ~values.any(axis=1)]) for values in (truth, detected)]
        assert row_f1(detected, truth).mean() == pytest.approx(
            f1_score(*with_nocall, average="samples", zero_division=0), abs=1e-12
        )


def test_row_f1_by_hand() -> None:
    truth = np.array([[1, 1, 0], [0, 0, 0], [0, 0, 0], [1, 0, 0], [1, 0, 0]], bool)
    detected = np.array([[1, 0, 0], [0, 0, 0], [0, 1, 0], [0, 0, 0], [1, 1, 1]], bool)
    assert row_f1(detected, truth).tolist() == pytest.approx([2 / 3, 1, 0, 0, 1 / 2])


def test_unknown_labels_are_misses() -> None:
    truth = np.array([[1, 0], [0, 0], [0, 0], [1, 0]], bool)
    detected = np.array([[1, 0], [0, 0], [0, 1], [0, 0]], bool)
    unknown = np.array([1, 1, 0, 0])
    assert row_f1(detected, truth, unknown=unknown).tolist() == pytest.approx([2 / 3, 0, 0, 0])
    assert astuple(micro(count(detected, truth), unknown=2)) == pytest.approx((1 / 2, 1 / 4, 2 / 6))
    assert row_f1(detected, truth, unknown=0 * unknown).tolist() == row_f1(detected, truth).tolist()
    nothing = count(np.zeros((1, 2), bool), np.zeros((1, 2), bool))
    assert astuple(micro(nothing, unknown=1)) == (0, 0, 0)


def test_top_classes_are_scikit_learns() -> None:
    rng = np.random.default_rng(3)
    for _ in range(100):
        rows, classes = int(rng.integers(1, 20)), int(rng.integers(1, 6))
        top1, primary = rng.integers(0, classes, (2, rows))
        counts = count_top_classes(top1, primary, classes=classes)
        for average, mean in AVERAGES.items():
            assert mean(counts).f1 == pytest.approx(f1_score(primary, top1, average=average))
        assert micro(counts).f1 == pytest.approx((top1 == primary).mean())


def test_macro_leaves_out_only_what_is_neither_present_nor_detected() -> None:
    counts = count(np.array([[True, True, False, False]]), np.array([[True, False, True, False]]))
    assert counts.f1[:3].tolist() == [1, 0, 0]
    assert np.isnan(counts.f1[3])
    assert astuple(macro(counts)) == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert micro(counts) == PrecisionRecallF1(0.5, 0.5, 0.5)
    assert weighted(counts) == PrecisionRecallF1(0.5, 0.5, 0.5)


def test_confusion_is_scikit_learns_without_unknown_species() -> None:
    rng = np.random.default_rng(2)
    for _ in range(200):
        rows, classes = int(rng.integers(1, 20)), int(rng.integers(2, 6))
        top1, primary = rng.integers(0, classes, rows), rng.integers(-1, classes, rows)
        known = primary >= 0
        expected = (
            confusion_matrix(primary[known], top1[known], labels=np.arange(classes))
            if known.any()
            else np.zeros((classes, classes))
        )
        np.testing.assert_array_equal(confusion(top1, primary, classes=classes), expected)
