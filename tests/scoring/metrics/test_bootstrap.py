"""Intervals equal those of a slow bootstrap that draws rows."""

import time
from dataclasses import asdict

import numpy as np
import pytest
from scipy.stats import bootstrap

from tests.scoring.cases import cases
from utils.scoring.metrics.bootstrap import (
    Interval,
    difference_interval,
    draw_weights,
    drawn_cmap,
    drawn_macro_auroc,
    drawn_means,
    drawn_micro_ap,
    drawn_precision_recall_f1,
    drawn_ratios,
    interval,
)
from utils.scoring.metrics.detection_metrics import count, macro, micro, weighted
from utils.scoring.metrics.ranking import auroc, average_precision, class_mean, lrap, micro_average_precision


def taken(weights: np.ndarray) -> np.ndarray:
    return np.repeat(np.arange(len(weights)), weights.astype(int))


def test_every_draw_takes_as_many_recordings_and_their_rows_together() -> None:
    weights = draw_weights(np.array([0, 0, 1, 2, 2]), draws=300, seed=1)
    assert (weights[:, [0, 2, 3]].sum(axis=1) == 3).all()
    np.testing.assert_array_equal(weights[:, [0, 3]], weights[:, [1, 4]])
    assert weights.mean() == pytest.approx(1, abs=0.1)
    np.testing.assert_array_equal(weights, draw_weights(np.array([0, 0, 1, 2, 2]), draws=300, seed=1))
    assert (weights != draw_weights(np.array([0, 0, 1, 2, 2]), draws=300, seed=2)).any()


def test_weights_do_what_drawing_rows_does() -> None:
    for case, (scores, truth) in enumerate(cases()):
        least = case % 3
        weights = draw_weights(np.arange(len(scores)), draws=3, seed=case)
        rows = lrap(scores, truth)
        chosen = truth.sum(axis=0) >= max(least, 1)
        found = (
            drawn_means(rows, weights),
            drawn_cmap(scores, truth, weights, min_positives=least),
            drawn_macro_auroc(scores, truth, weights, min_positives=least),
        )
        for draw, row in enumerate(weights):
            again, correct = scores[taken(row)][:, chosen], truth[taken(row)][:, chosen]
            drawn = rows[taken(row)]
            expected = drawn[~np.isnan(drawn)].mean() if (~np.isnan(drawn)).any() else np.nan
            means = (
                [class_mean(metric(again, correct), correct) for metric in (average_precision, auroc)]
                if chosen.any()
                else [None, None]
            )
            for ours, theirs in zip(found, [expected, *means], strict=True):
                assert ours[draw] == pytest.approx(np.nan if theirs is None else theirs, abs=1e-6, nan_ok=True)


def test_weights_do_what_drawing_rows_does_to_all_pairs_together() -> None:
    for case, (scores, truth) in enumerate(cases()):
        weights = draw_weights(np.arange(len(scores)), draws=3, seed=case)
        detected = scores >= 0.5
        found, agreement = drawn_micro_ap(scores, truth, weights), drawn_precision_recall_f1(detected, truth, weights)
        for draw, row in enumerate(weights):
            again, found_again, correct = (part[taken(row)] for part in (scores, detected, truth))
            expected = micro_average_precision(again, correct)
            assert found[draw] == pytest.approx(np.nan if expected is None else expected, abs=1e-6, nan_ok=True)
            for mean, of in (("micro", micro), ("macro", macro), ("weighted", weighted)):
                for key, theirs in asdict(of(count(found_again, correct))).items():
                    assert agreement[mean][key][draw] == pytest.approx(
                        np.nan if theirs is None else theirs, abs=1e-6, nan_ok=True
                    ), (mean, key)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    scores, truth = rng.integers(0, 9, (30, 4)) / 8, rng.random((30, 4)) < 0.4
    weights = draw_weights(np.arange(30), draws=20, seed=1)
    metrics = drawn_cmap, drawn_macro_auroc, drawn_micro_ap
    whole = [metric(scores, truth, weights) for metric in metrics]
    monkeypatch.setattr("utils.scoring.metrics.bootstrap.BLOCK_ELEMENTS", 7 * 30)
    for metric, before in zip(metrics, whole, strict=True):
        np.testing.assert_allclose(metric(scores, truth, weights), before, atol=1e-6)


def test_interval_is_scipys() -> None:
    values = np.random.default_rng(4).random(60) ** 3
    expected = bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(5)
    ).confidence_interval
    found = interval(float(values.mean()), drawn_means(values, draw_weights(np.arange(60), draws=20_000, seed=6)))
    assert (found.low, found.high) == (pytest.approx(expected.low, abs=0.003), pytest.approx(expected.high, abs=0.003))
    assert found.draws == 20_000
    assert found.value == values.mean()


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(7)
    held = 0
    for seed in range(200):
        values = rng.random(40)
        found = interval(float(values.mean()), drawn_means(values, draw_weights(np.arange(40), draws=200, seed=seed)))
        assert found.low is not None
        assert found.high is not None
        held += found.low < 0.5 < found.high
    assert 175 <= held <= 199


def test_ratios() -> None:
    hits, detections = np.array([1.0, 0.0, 2.0]), np.array([1.0, 0.0, 4.0])
    weights = np.array([[1, 1, 1], [0, 3, 0], [2, 0, 1]], np.float32)
    np.testing.assert_allclose(drawn_ratios(hits, detections, weights), [3 / 5, np.nan, 4 / 6])


def test_differences_of_systems_are_paired() -> None:
    rng = np.random.default_rng(8)
    worse = rng.random(100)
    weights = draw_weights(np.arange(100), draws=500, seed=1)
    pairs = {}
    for name, values in (("same", worse), ("better", worse + 0.05), ("other", rng.random(100))):
        pairs[name] = difference_interval(
            float(values.mean()),
            float(worse.mean()),
            drawn_a=drawn_means(values, weights),
            drawn_b=drawn_means(worse, weights),
        )
    assert pairs["same"] == Interval(0.0, 0.0, 0.0, 500)
    assert pairs["better"].value == pytest.approx(0.05)
    assert pairs["better"].low == pytest.approx(0.05, abs=1e-6)  # paired: hard recordings are hard for both
    assert pairs["better"].high == pytest.approx(0.05, abs=1e-6)
    assert pairs["other"].low is not None
    assert pairs["other"].high is not None
    assert pairs["other"].low < 0 < pairs["other"].high


def test_undefined_metrics_have_no_interval() -> None:
    weights = draw_weights(np.arange(2), draws=10, seed=1)
    assert interval(None, drawn_means(np.array([np.nan, np.nan]), weights)) == Interval(None, None, None, 0)
    found = difference_interval(None, 0.5, drawn_a=np.full(3, np.nan), drawn_b=np.ones(3))
    assert found == Interval(None, None, None, 0)
    with pytest.raises(ValueError, match="not finite"):
        drawn_cmap(np.array([[np.nan], [0.0]]), np.array([[True], [False]]), weights)
    assert len(draw_weights(np.arange(0), draws=10, seed=1)) == 10


def test_five_thousand_recordings_take_less_than_a_second() -> None:
    values = np.random.default_rng(9).random(5000)
    start = time.process_time()
    weights = draw_weights(np.arange(5000), seed=1)
    for _ in range(2):
        drawn_means(values, weights)
    assert time.process_time() - start < 1
