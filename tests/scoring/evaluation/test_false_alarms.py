"""Noise raises the thresholds that are written, and those by which held-out recordings are judged."""

from dataclasses import replace

import numpy as np

from config import Config
from tests.scoring.evaluation.test_false_detections import rows_of
from utils.scoring.evaluation.recordings import compute_metrics, evaluate_predictions
from utils.scoring.inference.recordings import Predictions
from utils.scoring.metrics.false_alarms import NoiseScores


def test_metrics_of_detections_are_by_raised_thresholds() -> None:
    rows = rows_of({"a": ["A", "B"], "b": ["A", "B"], "c": ["A", "B"]})
    scores = np.tile(np.array([[0.6, 0.1], [0.1, 0.9]], np.float32), (3, 1))
    predictions = Predictions(rows, ("A", "B"), scores, np.ones(6, np.int64), [None] * 6, unit="interval")
    evaluation = evaluate_predictions(scores, predictions, background=True)
    noise = NoiseScores(np.array([[0.7, 0.2]], np.float32), 5.0, 5.0, 1)
    settings = replace(Config().testing, min_positives=1, max_false_alarms=0.0)
    found = compute_metrics(predictions, evaluation, settings, made_from="a test", noise=noise)
    assert found.detected is not None
    assert found.detected[:, 0].sum() == 0
    assert found.detected[:, 1].sum() == 3
    assert found.false_alarms is not None
    assert (found.false_alarms.recall_before, found.false_alarms.recall_after) == (1.0, 0.5)
    assert found.metrics["micro_recall"].value == 0.5
    assert found.thresholds.common == float(np.nextafter(np.float32(0.7), np.float32(1)))
