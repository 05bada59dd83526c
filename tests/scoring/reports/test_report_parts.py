"""The metrics, confusions and thresholds of the report, by hand and against scikit-learn."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score

from config import Config
from utils.recordings.recording import LONG_RECORDINGS
from utils.recordings.splits import SPLIT_SCHEMA
from utils.scoring.evaluation.confusions import confusion_pairs
from utils.scoring.evaluation.recordings import (
    Evaluation,
    HeldOutMetrics,
    compute_metrics,
    evaluate_predictions,
)
from utils.scoring.inference.recordings import Predictions
from utils.scoring.metrics.calibration import Isotonic
from utils.scoring.metrics.registry import METRICS
from utils.scoring.metrics.thresholds import cross_detected, folds_of
from utils.scoring.reports.report_parts import class_table, confusion_of, metric_rows, threshold_charts

CLASSES = ("A", "B", "C")


def evaluated(
    scores: np.ndarray, primary: list[str], background: list[list[str]] | None = None
) -> tuple[Predictions, Evaluation]:
    rows = [
        (f"r{n}", f"val/r{n}.wav", label, others, [], False, None, "val", None, f"r{n}", "")
        for n, (label, others) in enumerate(zip(primary, background or [[]] * len(primary), strict=True))
    ]
    reasons = ["is empty" if np.isnan(row).any() else None for row in scores]
    predictions = Predictions(
        pl.DataFrame(rows, schema=SPLIT_SCHEMA, orient="row"), CLASSES, scores, np.full(len(primary), 4), reasons
    )
    return predictions, evaluate_predictions(scores, predictions, background=True)


def metrics_of_test(predictions: Predictions, evaluation: Evaluation) -> HeldOutMetrics:
    return compute_metrics(predictions, evaluation, Config().testing, made_from="a test")


@pytest.fixture
def many() -> tuple[Predictions, Evaluation]:
    generator = np.random.default_rng(3)
    primary = generator.choice(["A", "B"], 80)
    scores = np.round(generator.uniform(0, 1, (80, 3)), 2)  # with ties
    scores[5] = np.nan
    return evaluated(scores, primary.tolist(), [["C"] if n % 7 == 0 and n % 2 else [] for n in range(80)])


def test_which_classes_are_confused() -> None:
    scores = np.array(
        [[0.1, 0.9, 0.0], [0.2, 0.8, 0.0], [0.0, 0.1, 0.9], [0.9, 0.1, 0.0], [0.1, 0.0, 0.9], [np.nan] * 3]
    )
    predictions, evaluation = evaluated(scores, ["A", "A", "A", "B", "B", "B"], [[], [], [], [], ["C"], []])
    table = class_table(metrics_of_test(predictions, evaluation))
    assert table["confused_with"].to_list() == ["B (2×)", "A (1×)", ""]  # C is in the background of r4: it is correct
    assert table["recordings"].to_list() == [3, 2, 1]
    found = confusion_of(predictions, evaluation)
    assert found.labels == CLASSES
    assert found.counts.tolist() == [[0, 2, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    few = confusion_of(predictions, evaluation, classes=2)
    assert (few.labels, few.left_out, few.counts.tolist()) == (("A", "B"), 1, [[0, 2, 1], [1, 0, 0]])


def test_correct_background_species_are_no_confusion() -> None:
    scores = np.array([[0.1, 0.9, 0.0]] * 4)
    predictions, evaluation = evaluated(scores, ["A", "B", "A", ""], [["B"], [], [], ["B"]])
    long_one = predictions.rows.with_columns(
        events=pl.Series([[], [], [], [{"start": 0.0, "end": 1.0, "species": "B", "low": None, "high": None}]])
    )
    # r0 is left out: B is in its background
    assert confusion_pairs(predictions, evaluation) == [("B", "B"), ("A", "B"), (LONG_RECORDINGS, LONG_RECORDINGS)]
    assert confusion_of(predictions, evaluation).counts.tolist() == [[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0]]
    alone = evaluate_predictions(scores, predictions, background=False)
    assert confusion_pairs(predictions, alone) == [("A", "B"), ("B", "B"), ("A", "B")]
    with_events = replace(predictions, rows=long_one)
    alone = evaluate_predictions(scores, with_events, background=False)
    assert confusion_pairs(with_events, alone)[-1] == (LONG_RECORDINGS, LONG_RECORDINGS)


def test_equal_scores_count_as_errors() -> None:
    predictions, evaluation = evaluated(np.zeros((6, 3)), ["A", "A", "B", "B", "C", "X"])
    found = metrics_of_test(predictions, evaluation)
    top1, top5 = found.metrics["top1_accuracy"].value, found.metrics["top5_accuracy"].value
    assert (evaluation.headline.top1_accuracy, top1, top5) == (0, 0, 1)
    assert confusion_of(predictions, evaluation).counts.diagonal().sum() == 0
    assert class_table(found)["confused_with"].to_list() == ["B (2×)", "A (2×)", "A (1×)"]


def test_the_threshold_chart_is_what_scikit_learn_finds(many: tuple[Predictions, Evaluation]) -> None:
    predictions, evaluation = many
    (chart,) = threshold_charts(predictions, evaluation)
    scored = ~np.isnan(predictions.scores).any(axis=1)
    correct, scores = evaluation.truth[scored].ravel(), predictions.scores[scored].ravel()
    for line, reference in zip(chart.lines, (precision_score, recall_score, f1_score), strict=True):
        for x, y in list(zip(line.x, line.y, strict=True))[1:-1:7]:
            assert y == pytest.approx(reference(correct, scores >= x)), (line.name, x)
    assert max(y for y in chart.lines[2].y) == dict(zip(chart.lines[2].x, chart.lines[2].y, strict=True))[chart.mark]
    assert threshold_charts(predictions, replace(evaluation, truth=np.zeros_like(evaluation.truth))) == []


def test_the_threshold_chart_reaches_scores_that_a_prior_lifts_above_one() -> None:
    (chart,) = threshold_charts(*evaluated(np.array([[1.5, 1.1, 0.2], [1.05, 1.31, 0.3]]), ["A", "B"]))
    assert (chart.mark, chart.mark_text) == (1.11, "best F1: 1.00 at 1.11")
    assert {(len(line.x), line.x[-1]) for line in chart.lines} == {(151, 1.5)}


def test_metric_rows(many: tuple[Predictions, Evaluation]) -> None:
    predictions, evaluation = many
    rows = {row.name: row for row in metric_rows(metrics_of_test(predictions, evaluation), None)}
    assert rows["MLRAP"].value == pytest.approx(evaluation.headline.mlrap)
    assert rows["top-1 accuracy"].value == pytest.approx(evaluation.headline.top1_accuracy)
    mlrap = rows["MLRAP"]
    spread = np.nanstd(evaluation.lrap) / np.sqrt(79)
    assert (mlrap.low, mlrap.high) == pytest.approx(
        (mlrap.value - 1.96 * spread, mlrap.value + 1.96 * spread), abs=0.25 * spread
    )


def test_precision_and_recall_stand_beside_f1(many: tuple[Predictions, Evaluation]) -> None:
    predictions, evaluation = many
    found = metrics_of_test(predictions, evaluation)
    shown = {row.name for row in metric_rows(found, None)}
    scored = ~np.isnan(predictions.scores).any(axis=1)
    settings = Config().testing
    folds = folds_of(np.arange(79), seed=settings.seed)
    detected = cross_detected(
        predictions.scores[scored],
        evaluation.truth[scored],
        folds,
        per_class=False,
        min_positives=settings.min_positives,
    )
    for average in ("micro", "macro", "weighted"):
        for name, theirs in (("precision", precision_score), ("recall", recall_score), ("f1", f1_score)):
            metric = found.metrics[f"{average}_{name}"]
            assert metric.value == pytest.approx(
                theirs(evaluation.truth[scored], detected, average=average, zero_division=0)
            )
            assert metric.low < metric.value < metric.high
            assert METRICS[f"{average}_{name}"].title in shown


def test_metrics_of_one_recording() -> None:
    """One recording, or none of a trained class: metrics that are not defined are left out."""
    for primary in ("A", "X"):
        predictions, evaluation = evaluated(np.array([[0.9, 0.5, 0.1]]), [primary])
        for method in ("none", "platt"):
            settings = replace(Config().testing, calibration=method)  # type: ignore[arg-type]
            found = compute_metrics(predictions, evaluation, settings, made_from="a test")
            assert found.calibration is None
            assert (found.metrics["mlrap"].value is None) == (primary == "X")
            assert "micro_f1" not in found.metrics


def test_calibration_is_fitted_if_asked_for(many: tuple[Predictions, Evaluation]) -> None:
    predictions, evaluation = many
    settings = replace(Config().testing, calibration="isotonic", thresholds="per_class")
    found = compute_metrics(predictions, evaluation, settings, made_from="a test")
    assert isinstance(found.calibration, Isotonic)
    assert set(found.reliability or {}) == {"top predictions", "all predictions"}
    assert all(found.thresholds.per_class)
    assert 0 < (found.metrics["micro_f1"].value or 0) < 1
