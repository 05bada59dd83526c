"""The table per class agrees with the metrics."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from tests.scoring.cases import cases
from utils.scoring.metrics.per_class import PER_CLASS_SCHEMA, per_class_table


def test_by_hand() -> None:
    scores = np.array([[0.9, 0.2, 0.1], [0.1, 0.8, 0.3], [0.2, 0.7, 0.1], [0.1, 0.3, 0.9], [0.1, 0.6, 0.2]])
    truth = np.array([[1, 0, 0], [1, 0, 0], [1, 0, 0], [1, 1, 1], [0, 0, 0]], bool)
    table = per_class_table(
        scores, truth, ["A a", "B b", "C c"], primary=np.array([0, 0, 0, 1, -1]), clips=np.array([1, 2, 3, 4, 5])
    )
    assert table.schema == PER_CLASS_SCHEMA
    assert table["class"].to_list() == ["A a", "B b", "C c"]
    assert table["recordings"].to_list() == [4, 1, 1]
    assert table["clips"].to_list() == [10, 4, 4]
    assert table["confused_with"].to_list() == ["B b", None, None]  # C is correct in the background of B's recording
    assert table["confused"].to_list() == [2, 0, 0]
    assert table["threshold"].to_list() == pytest.approx([0.2, 0.3, 0.9])
    assert table["f1"].to_list() == pytest.approx([2 * 2 / (2 * 2 + 2), 2 / (2 + 3), 1])


def test_metrics_are_scikit_learns() -> None:
    for scores, truth in list(cases())[::3]:
        rows, classes = scores.shape
        table = per_class_table(
            scores,
            truth,
            [str(index) for index in range(classes)],
            primary=np.full(rows, -1),
            clips=np.ones(rows, int),
        )
        assert table["confused"].sum() == 0
        for index, row in enumerate(table.iter_rows(named=True)):
            column, correct = scores[:, index], truth[:, index]
            assert row["recordings"] == row["clips"] == correct.sum()
            assert row["ap"] == (pytest.approx(average_precision_score(correct, column)) if correct.any() else None)
            assert row["auroc"] == (
                pytest.approx(roc_auc_score(correct, column)) if correct.any() and not correct.all() else None
            )
            if row["threshold"] is not None:
                assert row["f1"] == pytest.approx(f1_score(correct, column >= row["threshold"]))
            else:
                assert row["f1"] == (0 if correct.any() else None)


def test_a_class_of_equal_score_is_confused_with_the_primary_one() -> None:
    scores, truth = np.zeros((3, 2)), np.eye(2, dtype=bool)[[0, 0, 1]]
    table = per_class_table(scores, truth, ["a", "b"], primary=np.array([0, 0, 1]), clips=np.ones(3, int))
    assert table.select("confused_with", "confused").rows() == [("b", 2), ("a", 1)]


def test_no_recordings() -> None:
    table = per_class_table(
        np.empty((0, 2)), np.empty((0, 2), bool), ["a", "b"], primary=np.empty(0, int), clips=np.empty(0, int)
    )
    assert table.select("recordings", "ap", "confused_with", "confused").rows() == [(0, None, None, 0)] * 2
