"""Ranking metrics equal scikit-learn's, but undefined ones are NaN, and ties of top predictions count as errors."""

import time
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    label_ranking_average_precision_score,
    roc_auc_score,
    top_k_accuracy_score,
)

from tests.scoring.cases import cases
from utils.scoring.metrics.ranking import (
    auroc,
    average_precision,
    class_mean,
    first_correct_ranks,
    lrap,
    mean_of_defined,
    micro_average_precision,
    reciprocal_ranks,
    top1_classes,
    top1_ties_as_errors,
    top_k_correct,
)


def test_golden(golden: Path) -> None:
    expected = np.load(golden / "mlrap.npz")
    rows = lrap(expected["scores"], expected["targets"].astype(bool))
    np.testing.assert_allclose(rows, expected["lrap"], atol=1e-12)
    assert mean_of_defined(rows) == pytest.approx(float(expected["mlrap"]), abs=1e-12)


def test_lrap_is_scikit_learns() -> None:
    for scores, truth in cases(correct_in_each_row=True):
        expected = label_ranking_average_precision_score(truth, scores)
        assert lrap(scores, truth).mean() == pytest.approx(expected, abs=1e-12)


def test_rows_without_truth_have_no_lrap() -> None:
    for scores, truth in cases():
        rows = lrap(scores, truth)
        np.testing.assert_array_equal(np.isnan(rows), ~truth.any(axis=1))
        np.testing.assert_array_equal(np.isnan(first_correct_ranks(scores, truth)), ~truth.any(axis=1))


def test_average_precision_is_scikit_learns() -> None:
    for scores, truth in cases():
        values = average_precision(scores, truth)
        correct = truth.any(axis=0)
        np.testing.assert_array_equal(np.isnan(values), ~correct)
        expected = [average_precision_score(truth[:, index], scores[:, index]) for index in np.flatnonzero(correct)]
        np.testing.assert_allclose(values[correct], expected, atol=1e-12)
        assert class_mean(values, truth) == (pytest.approx(np.mean(expected)) if correct.any() else None)
        micro = average_precision_score(truth.ravel(), scores.ravel()) if truth.any() else None
        assert micro_average_precision(scores, truth) == (None if micro is None else pytest.approx(micro, abs=1e-12))


def test_auroc_is_scikit_learns() -> None:
    for scores, truth in cases():
        areas = auroc(scores, truth)
        defined = truth.any(axis=0) & ~truth.all(axis=0)
        np.testing.assert_array_equal(np.isnan(areas), ~defined)
        expected = [roc_auc_score(truth[:, index], scores[:, index]) for index in np.flatnonzero(defined)]
        np.testing.assert_allclose(areas[defined], expected, atol=1e-12)
        assert class_mean(areas, truth) == (pytest.approx(np.mean(expected)) if defined.any() else None)


def test_top_k_is_scikit_learns_without_ties() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        rows, classes = int(rng.integers(1, 10)), int(rng.integers(3, 8))
        scores, labels, k = rng.random((rows, classes)), rng.integers(0, classes, rows), int(rng.integers(1, classes))
        correct = top_k_correct(first_correct_ranks(scores, np.eye(classes, dtype=bool)[labels]), k)
        assert correct.mean() == pytest.approx(top_k_accuracy_score(labels, scores, k=k, labels=np.arange(classes)))


def test_ranks_are_those_of_the_worst_order_of_ties() -> None:
    for scores, truth in cases():
        for row, correct, rank in zip(scores, truth, first_correct_ranks(scores, truth), strict=True):
            order = sorted(range(len(row)), key=lambda index: (-row[index], correct[index]))  # wrong ones first
            ranks = [place for place, index in enumerate(order, 1) if correct[index]]
            assert rank == ranks[0] if ranks else np.isnan(rank)


def test_of_equal_scores_a_wrong_class_comes_first_and_the_primary_one_last() -> None:
    scores = np.array(
        [[0.0, 0.0, 0.0], [0.5, 0.5, 0.1], [0.2, 0.2, 0.2], [0.1, 0.4, 0.4], [0.9, 0.5, 0.1], [0.3, 0.3, 0.1]]
    )
    truth = np.array([[1, 0, 0], [1, 1, 0], [1, 1, 0], [0, 1, 0], [1, 0, 0], [0, 1, 0]], bool)
    assert top1_ties_as_errors(scores, truth, np.array([0, 0, 0, 1, 0, -1])).tolist() == [1, 1, 2, 2, 0, 0]
    for scores, truth in cases(correct_in_each_row=True):
        primary = truth.argmax(axis=1)
        top1, ranks = top1_ties_as_errors(scores, truth, primary), first_correct_ranks(scores, truth)
        assert (scores[np.arange(len(primary)), top1] == scores.max(axis=1)).all()
        assert (ranks[top1 == primary] == 1).all()
        assert (truth[np.arange(len(primary)), top1] == (ranks == 1)).all()


def test_by_hand() -> None:
    scores = np.array([[0.9, 0.5, 0.1], [0.5, 0.5, 0.1], [0.3, 0.2, 0.1]])
    truth = np.array([[False, True, True], [True, False, False], [False, False, False]])
    assert lrap(scores, truth)[:2].tolist() == pytest.approx([(1 / 2 + 2 / 3) / 2, 1 / 2])
    assert np.isnan(lrap(scores, truth)[2])
    assert mean_of_defined(np.array([np.nan])) is None
    ranks = first_correct_ranks(scores, np.array([[False, True, True], [True, False, False], [True, False, False]]))
    assert ranks.tolist() == [2, 2, 1]
    assert mean_of_defined(reciprocal_ranks(ranks)) == pytest.approx((1 / 2 + 1 / 2 + 1) / 3)
    assert [mean_of_defined(top_k_correct(ranks, k)) for k in (1, 2)] == [pytest.approx(1 / 3), 1.0]
    assert top1_classes(scores).tolist() == [0, 0, 0]


def test_classes_with_few_rows_can_be_left_out() -> None:
    truth = np.array([[True, True, False], [True, False, False]])
    assert class_mean(np.array([0.2, 0.8, np.nan]), truth) == pytest.approx(0.5)
    assert class_mean(np.array([0.2, 0.8, np.nan]), truth, min_positives=2) == pytest.approx(0.2)
    assert class_mean(np.array([0.2, 0.8, np.nan]), truth, min_positives=3) is None


def test_no_rows_have_no_metric() -> None:
    scores, truth = np.empty((0, 3)), np.empty((0, 3), bool)
    assert mean_of_defined(lrap(scores, truth)) is None
    assert mean_of_defined(reciprocal_ranks(first_correct_ranks(scores, truth))) is None
    assert micro_average_precision(scores, truth) is None
    assert np.isnan(auroc(scores, truth)).all()
    assert np.isnan(average_precision(scores, truth)).all()


@pytest.mark.parametrize("metric", [lrap, first_correct_ranks, average_precision, micro_average_precision, auroc])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_bad_input_is_refused(metric, bad: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        metric(np.array([[bad, 0.1]]), np.array([[True, False]]))


def test_five_thousand_recordings_of_fifteen_hundred_species_take_seconds() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random((5000, 1500), np.float32)
    truth = rng.random((5000, 1500), np.float32) < 2 / 1500
    start = time.process_time()  # others on the machine do not count
    values = lrap(scores, truth)
    assert time.process_time() - start < 2
    assert np.nanmean(values) < 0.02
