"""Intervals equal those of a slow bootstrap that draws rows."""

import time
from dataclasses import asdict
from functools import partial

import numpy as np
import pytest
from scipy.stats import bootstrap
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from tests.scoring.cases import cases
from utils.scoring.metrics.bootstrap import (
    DRAWS,
    Draws,
    Interval,
    difference_interval,
    draw_recordings,
    drawn_means,
    drawn_precision_recall_f1,
    drawn_ratios,
    drawn_top_class_f1,
    interval,
)
from utils.scoring.metrics.detection_metrics import count, macro, micro, weighted
from utils.scoring.metrics.drawn_ranking import drawn_cmap, drawn_macro_auroc, drawn_micro_ap
from utils.scoring.metrics.ranking import auroc, average_precision, class_mean, lrap, micro_average_precision


def taken(draws: Draws, draw: int) -> np.ndarray:
    """Return the rows of a draw, each as often as it was taken."""
    return np.repeat(np.arange(len(draws.recording)), draws.weights[draw, draws.recording].astype(int))


def recordings_of(rows: int, *, case: int) -> np.ndarray:
    """Return a recording for each row: each its own, in twos, or in no order."""
    half = np.arange(rows) // 2
    return [np.arange(rows), half, np.random.default_rng(case).permutation(half)][case % 3]


def test_every_draw_takes_as_many_recordings_and_their_rows_together() -> None:
    recording = np.array([0, 0, 1, 2, 2])
    draws = draw_recordings(recording, draws=300, seed=1)
    assert draws.weights.shape == (300, 3)
    assert (draws.weights.sum(axis=1) == 3).all()
    taken = draws.sums(np.eye(5))  # how often each row
    np.testing.assert_array_equal(taken, draws.weights[:, recording])
    assert taken.mean() == pytest.approx(1, abs=0.1)
    np.testing.assert_array_equal(draws.weights, draw_recordings(recording, draws=300, seed=1).weights)
    assert (draws.weights != draw_recordings(recording, draws=300, seed=2).weights).any()


def test_weights_do_what_drawing_rows_does() -> None:
    for case, (scores, truth) in enumerate(cases()):
        least = case // 3 % 3
        draws = draw_recordings(recordings_of(len(scores), case=case), draws=3, seed=case)
        rows = lrap(scores, truth)
        chosen = truth.sum(axis=0) >= max(least, 1)
        found = (
            drawn_means(rows, draws),
            drawn_cmap(scores, truth, draws, min_positives=least),
            drawn_macro_auroc(scores, truth, draws, min_positives=least),
        )
        for draw in range(3):
            again, correct = scores[taken(draws, draw)][:, chosen], truth[taken(draws, draw)][:, chosen]
            drawn = rows[taken(draws, draw)]
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
        draws = draw_recordings(recordings_of(len(scores), case=case), draws=3, seed=case)
        detected, unknown = scores >= 0.5, np.arange(len(scores)) % 3
        found = drawn_micro_ap(scores, truth, draws)
        agreement = drawn_precision_recall_f1(detected, truth, draws, unknown=unknown)
        for draw in range(3):
            rows = taken(draws, draw)
            again, found_again, correct = scores[rows], detected[rows], truth[rows]
            expected = micro_average_precision(again, correct)
            assert found[draw] == pytest.approx(np.nan if expected is None else expected, abs=1e-6, nan_ok=True)
            with_unknown = partial(micro, unknown=int(unknown[rows].sum()))
            for mean, of in (("micro", with_unknown), ("macro", macro), ("weighted", weighted)):
                for key, theirs in asdict(of(count(found_again, correct))).items():
                    assert agreement[mean][key][draw] == pytest.approx(
                        np.nan if theirs is None else theirs, abs=1e-6, nan_ok=True
                    ), (mean, key)


def test_the_top_classes_of_drawn_rows_are_scikit_learns() -> None:
    rng = np.random.default_rng(2)
    for case in range(60):
        rows, classes = int(rng.integers(1, 20)), int(rng.integers(1, 6))
        top1, primary = rng.integers(0, classes, (2, rows))
        draws = draw_recordings(recordings_of(rows, case=case), draws=2, seed=case)
        found = drawn_top_class_f1(top1, primary, draws, classes=classes)
        for draw in range(2):
            again = taken(draws, draw)
            for average, metrics in found.items():
                expected = f1_score(primary[again], top1[again], average=average)
                assert metrics["f1"][draw] == pytest.approx(expected, abs=1e-6), average


def test_weights_are_scikit_learns_sample_weights() -> None:
    rng = np.random.default_rng(11)
    scores, truth = rng.integers(0, 50, (300, 4)) / 50, rng.random((300, 4)) < 0.1
    draws = draw_recordings(rng.permutation(np.arange(300) % 12), draws=3, seed=1)
    for draw in range(3):
        weight = draws.weights[draw, draws.recording]
        for drawn, theirs in ((drawn_cmap, average_precision_score), (drawn_macro_auroc, roc_auc_score)):
            each = [theirs(truth[:, index], scores[:, index], sample_weight=weight) for index in range(4)]
            assert drawn(scores, truth, draws)[draw] == pytest.approx(np.mean(each), abs=1e-6)
        micro_ap = average_precision_score(truth.ravel(), scores.ravel(), sample_weight=np.repeat(weight, 4))
        assert drawn_micro_ap(scores, truth, draws)[draw] == pytest.approx(micro_ap, abs=1e-6)


def test_rows_that_are_recordings_are_drawn_as_ever_and_not_copied() -> None:
    draws = draw_recordings(np.arange(5), draws=2, seed=3)
    rng = np.random.default_rng(3)
    expected = [np.bincount(rng.integers(5, size=5), minlength=5) for _ in range(2)]
    np.testing.assert_array_equal(draws.weights, expected)
    values = np.arange(5.0)
    assert draws.by_recording(values) is values
    assert draws.sums(values).tolist() == (np.array(expected) @ values).tolist()


def test_some_of_the_rows_keep_their_draws() -> None:
    draws = draw_recordings(np.array([2, 0, 1, 2]), draws=4, seed=3)
    some = draws.of_rows(np.array([True, False, False, True]))  # recordings 0 and 1 have no row left
    assert some.by_recording(np.array([1.0, 5.0])).tolist() == [0, 0, 6]
    assert some.sums(np.array([1.0, 5.0])).tolist() == (6 * draws.weights[:, 2]).tolist()
    assert draws.of_rows(np.empty(0, np.int64)).sums(np.empty((0, 2), bool)).tolist() == [[0, 0]] * 4


def test_memory_grows_with_recordings_and_not_with_their_rows() -> None:
    assert draw_recordings(np.repeat(np.arange(3), 10_000), seed=1).weights.shape == (DRAWS, 3)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    scores, truth = rng.integers(0, 9, (30, 4)) / 8, rng.random((30, 4)) < 0.4
    weights = draw_recordings(np.arange(30) // 2, draws=20, seed=1)
    metrics = drawn_cmap, drawn_macro_auroc, drawn_micro_ap
    whole = [metric(scores, truth, weights) for metric in metrics]
    monkeypatch.setattr("utils.scoring.metrics.drawn_ranking.BLOCK_ELEMENTS", 7 * 30)
    for metric, before in zip(metrics, whole, strict=True):
        np.testing.assert_allclose(metric(scores, truth, weights), before, atol=1e-6)


def test_interval_is_scipys() -> None:
    values = np.random.default_rng(4).random(60) ** 3
    expected = bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(5)
    ).confidence_interval
    found = interval(float(values.mean()), drawn_means(values, draw_recordings(np.arange(60), draws=20_000, seed=6)))
    assert (found.low, found.high) == (pytest.approx(expected.low, abs=0.003), pytest.approx(expected.high, abs=0.003))
    assert found.draws == 20_000
    assert found.value == values.mean()


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(7)
    held = 0
    for seed in range(200):
        values = rng.random(40)
        found = interval(
            float(values.mean()), drawn_means(values, draw_recordings(np.arange(40), draws=200, seed=seed))
        )
        assert found.low is not None
        assert found.high is not None
        held += found.low < 0.5 < found.high
    assert 175 <= held <= 199


def test_ratios() -> None:
    hits, detections = np.array([1.0, 0.0, 2.0]), np.array([1.0, 0.0, 4.0])
    weights = Draws(np.array([[1, 1, 1], [0, 3, 0], [2, 0, 1]], np.float32), np.arange(3))
    np.testing.assert_allclose(drawn_ratios(hits, detections, weights), [3 / 5, np.nan, 4 / 6])


def test_differences_of_systems_are_paired() -> None:
    rng = np.random.default_rng(8)
    worse = rng.random(100)
    weights = draw_recordings(np.arange(100), draws=500, seed=1)
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
    weights = draw_recordings(np.arange(2), draws=10, seed=1)
    assert interval(None, drawn_means(np.array([np.nan, np.nan]), weights)) == Interval(None, None, None, 0)
    found = difference_interval(None, 0.5, drawn_a=np.full(3, np.nan), drawn_b=np.ones(3))
    assert found == Interval(None, None, None, 0)
    with pytest.raises(ValueError, match="not finite"):
        drawn_cmap(np.array([[np.nan], [0.0]]), np.array([[True], [False]]), weights)
    assert len(draw_recordings(np.arange(0), draws=10, seed=1)) == 10


def test_five_thousand_recordings_take_less_than_a_second() -> None:
    values = np.random.default_rng(9).random(5000)
    start = time.process_time()
    weights = draw_recordings(np.arange(5000), seed=1)
    for _ in range(2):
        drawn_means(values, weights)
    assert time.process_time() - start < 1
