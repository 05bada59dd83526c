"""The registry of metrics: unique entries, correct values, used by result files, report and comparison alike."""

import ast
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import f1_score, label_ranking_average_precision_score

from config import Config
from tests.conftest import REPOSITORY
from tests.scoring.cases import cases
from utils.recordings.recording import NOISE
from utils.recordings.splits import SPLIT_SCHEMA
from utils.scoring.comparison import compare_runs
from utils.scoring.evaluation.recordings import compute_metrics, evaluate_predictions
from utils.scoring.evaluation.result_files import write_result_files
from utils.scoring.inference.recordings import Predictions
from utils.scoring.metrics.bootstrap import Draws, draw_recordings
from utils.scoring.metrics.metric_kinds import ScoredRows
from utils.scoring.metrics.registry import METRICS, NOISE_DETECTED, metrics_of, note_for, value_text
from utils.scoring.reports.report_parts import metric_rows


def rows_of(scores: np.ndarray, truth: np.ndarray, **more: object) -> ScoredRows:
    draws = draw_recordings(np.arange(len(scores)), draws=50, seed=0)
    return ScoredRows(scores, truth, truth.argmax(axis=1), draws, **more)  # type: ignore[arg-type]


def test_keys_and_titles_are_unique() -> None:
    assert [metric.key for metric in METRICS.values()] == list(METRICS)
    assert len({metric.title for metric in METRICS.values()}) == len(METRICS)


def test_every_metric_is_the_mean_over_all_rows_in_a_draw_that_takes_each_row_once() -> None:
    checked = set()
    for scores, truth in list(cases(correct_in_each_row=True))[::7]:
        data = rows_of(scores, truth, detected=scores >= 0.5, without_background=truth, with_background=truth)
        data = replace(data, novelty=scores[:, 0], novel=np.arange(len(scores)) == 0)
        data = replace(data, draws=Draws(np.ones((1, len(scores)), np.float32), np.arange(len(scores))))
        for key, metric in METRICS.items():
            if (resampled := metric.resampled(data)) is not None:
                value, drawn = resampled
                assert drawn[0] == pytest.approx(np.nan if value is None else value, abs=1e-6, nan_ok=True), key
                checked.add(key)
    assert checked == METRICS.keys() - {NOISE_DETECTED.key}


def test_values_are_those_of_scikit_learn() -> None:
    for scores, truth in list(cases(correct_in_each_row=True))[::7]:
        detected = scores >= 0.5
        found = metrics_of(rows_of(scores, truth, detected=detected))
        assert found["mlrap"].value == pytest.approx(label_ranking_average_precision_score(truth, scores))
        if scores.shape[1] > 1:
            assert found["micro_f1"].value == pytest.approx(f1_score(truth, detected, average="micro"))


def test_top_predictions_are_compared_with_primary_labels_only() -> None:
    scores = np.array([[0.9, 0.1, 0.0], [0.5, 0.5, 0.0], [0.2, 0.1, 0.9], [0.0, 0.9, 0.1], [0.9, 0.0, 0.0]])
    truth = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 1], [0, 1, 0], [1, 0, 0]], bool)
    primary = np.array([0, 0, 1, 1, -1])  # a tie in the second row; a background species on top of the third
    data = ScoredRows(scores, truth, primary, draw_recordings(np.array([0, 0, 1, 1, 1]), draws=20, seed=1))
    found = metrics_of(data)
    for average in ("macro", "weighted", "micro"):
        expected = f1_score([0, 0, 1, 1], [0, 1, 2, 1], average=average)
        assert found[f"argmax_{average}_f1"].value == pytest.approx(expected), average
        assert found[f"argmax_{average}_f1"].draws == 20
    assert found["argmax_micro_f1"] == found["top1_accuracy"]
    assert not {"argmax_micro_f1", "argmax_macro_f1"} & metrics_of(replace(data, primary=np.full(5, -1))).keys()


def test_unknown_labels_count_in_row_wise_and_micro_metrics_only() -> None:
    changed = set()
    for scores, truth in list(cases(correct_in_each_row=True))[::25]:
        data = rows_of(scores, truth, detected=scores >= 0.5)
        before = metrics_of(data)
        assert repr(metrics_of(replace(data, unknown=np.zeros(len(scores), np.int64)))) == repr(before)
        after = metrics_of(replace(data, unknown=np.ones(len(scores), np.int64)))
        changed |= {key for key in before if repr(before[key]) != repr(after[key])}
    assert changed == {"row_f1", "micro_f1", "micro_recall"}


def test_notes_are_in_the_words_of_the_unit() -> None:
    for unit, word in (("recording", "recordings"), ("interval", "intervals"), ("event", "calls")):
        notes = [note_for(metric, unit) for metric in METRICS.values()]
        assert not any("{" in note or "}" in note for note in notes)
        assert note_for(METRICS["mlrap"], unit).endswith(f"over {word}")
    assert note_for(METRICS["micro_recall"], "recording") == "share of the species present that are detected"
    assert "does not know" in note_for(METRICS["micro_recall"], "event")


def test_metrics_that_lack_data_are_left_out() -> None:
    scores, truth = next(cases(correct_in_each_row=True))
    known = metrics_of(rows_of(scores, truth)).keys()
    assert {"mlrap", "cmap", "micro_ap"} <= known
    assert not {"micro_f1", "row_f1", "mlrap_with_background", "mlrap_without_background", "noise_detected"} & known
    assert metrics_of(rows_of(scores, truth, with_background=truth)).keys() - known == {"mlrap_with_background"}


def test_the_share_of_noise_detected_by_hand() -> None:
    draws = Draws(np.array([[1, 1], [2, 0], [0, 2]], np.float32), np.arange(2))
    value, drawn = NOISE_DETECTED.share_of(np.array([1, 0]), np.array([4, 6]), draws)
    assert value == pytest.approx(0.1)
    np.testing.assert_allclose(drawn, [0.1, 0.25, 0.0])
    nothing = np.zeros(1, np.int64)
    value, _ = NOISE_DETECTED.share_of(nothing, nothing, Draws(np.ones((3, 1), np.float32), np.arange(1)))
    assert value is None


def predictions_of(scores: np.ndarray) -> Predictions:
    labels = ["A", "B", "C", "D"] * 10
    rows = [
        (f"r{index}", "", label, ["B"] if index % 7 == 0 else [], [], False, None, "val", None, "", "")
        for index, label in enumerate([*labels[:-1], NOISE])
    ]
    recordings = pl.DataFrame(rows, schema=SPLIT_SCHEMA, orient="row")
    return Predictions(recordings, ("A", "B", "C", "D"), scores, np.full(40, 3), [None] * 40)


@pytest.mark.parametrize("background", [True, False])
def test_result_files_report_and_comparison_use_the_registry(tmp_path: Path, background: bool) -> None:
    generator = np.random.default_rng(1)
    settings = replace(Config().testing, background=background, min_positives=1)
    expected, folders = [], []
    for name in ("a", "b"):
        predictions = predictions_of(generator.random((40, 4)).astype(np.float32).astype(float))
        evaluation = evaluate_predictions(predictions.scores, predictions, background=background)
        found = compute_metrics(predictions, evaluation, settings, made_from="a test")
        other = "mlrap_without_background" if background else "mlrap_with_background"
        left_out = {NOISE_DETECTED.key, "novelty_auroc", "mlrap_without_background", "mlrap_with_background"} - {other}
        assert list(found.metrics) == [key for key in METRICS if key not in left_out]
        assert [row.name for row in metric_rows(found, None)] == [METRICS[key].title for key in found.metrics]
        write_result_files(tmp_path / name / "test", predictions, evaluation, found, {})
        folders.append(tmp_path / name)
        expected.append(found.metrics)
    compared = compare_runs(folders).metrics
    titles = {metric.title: key for key, metric in METRICS.items()}
    assert titles.keys() >= compared.keys() >= {"MLRAP", "class-mean AP", "micro AP", "macro AUROC"}
    for title, differences in compared.items():
        assert [one.value for one in differences] == pytest.approx(
            [metrics[titles[title]].value for metrics in expected]
        ), title


def test_no_other_module_defines_titles_of_metrics() -> None:
    titles = {metric.title for metric in METRICS.values()}
    for path in (REPOSITORY / "utils" / "scoring").rglob("*.py"):
        if path.name != "registry.py":
            texts = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
            assert not texts & titles, f"{path} has a title of its own: {texts & titles}"


def test_value_text() -> None:
    assert [value_text(0.12345), value_text(None), value_text(None, otherwise="no data")] == [
        "0.123",
        "none",
        "no data",
    ]
