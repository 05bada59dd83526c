"""False detections in noise: of the intervals of recordings without birds, by hand."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from config import Config
from utils.scoring.evaluation.false_detections import false_detections_in_rows, share_of_noise_detected
from utils.scoring.evaluation.recordings import compute_metrics, evaluate_predictions
from utils.scoring.inference.recordings import Predictions
from utils.scoring.inference.unit_rows import ROWS
from utils.scoring.metrics.units import Unit


def rows_of(species: dict[str, list[str]], *, label: str = "") -> pl.DataFrame:
    """Return the intervals of recordings, each a letter for each species in it; `label`: of those without birds."""
    rows = [
        {
            "recording": name,
            "class": "" if any(intervals) else label,
            "background": [],
            "events": [{"species": letter} for letter in letters],
            "start": 5.0 * index,
            "end": 5.0 * index + 5,
        }
        for name, intervals in species.items()
        for index, letters in enumerate(intervals)
    ]
    return pl.DataFrame(rows, schema=ROWS)


def test_the_share_of_intervals_by_hand() -> None:
    """Empty intervals of a recording with birds do not count, nor do two detections in one interval count twice."""
    rows = rows_of({"wind": ["", "", ""], "bird": ["A", ""], "rain": [""]})
    detected = np.array([[1, 1], [0, 0], [0, 1], [1, 0], [1, 1], [0, 0]], bool)
    table = false_detections_in_rows(rows, detected)
    assert table.rows() == [("rain", 1, 0), ("wind", 3, 2)]
    found = share_of_noise_detected(table, seed=0)
    assert found.value == 2 / 4
    assert (found.low, found.high) == (0.0, pytest.approx(2 / 3))  # only rain was drawn, only wind was


def test_one_recording_has_no_interval_and_none_no_share() -> None:
    table = false_detections_in_rows(rows_of({"wind": ["", ""], "x": ["A"]}), np.ones((3, 1), bool))
    found = share_of_noise_detected(table, seed=0)
    assert (found.value, found.low, found.high) == (1.0, None, None)
    assert false_detections_in_rows(rows_of({"x": ["A", ""]}), np.ones((2, 1), bool)).is_empty()


@pytest.mark.parametrize("label", ["", "Noise"])
@pytest.mark.parametrize("unit", ["interval", "event"])
def test_it_is_a_metric_of_intervals(unit: Unit, label: str) -> None:
    """Rows of soundscapes say nothing of noise but that nobody sings there; a row without scores does not count."""
    rows = rows_of({"a": ["A", "", "B"], "b": ["B", "A"], "wind": [""] * 4, "c": ["A"]}, label=label)
    scores = np.full((10, 2), 0.1, np.float32)
    scores[[0, 4, 9], 0] = scores[[2, 3], 1] = 0.9
    scores[[5, 6], 0], scores[7] = 0.95, np.nan
    reasons = ["is empty" if row == 7 else None for row in range(10)]
    predictions = Predictions(rows, ("A", "B"), scores, np.ones(10, np.int64), reasons, unit=unit)
    evaluation = evaluate_predictions(scores, predictions, background=True)
    found = compute_metrics(predictions, evaluation, replace(Config().testing, min_positives=1), made_from="a test")
    assert found.detected is not None
    assert not found.detected[7].any()
    if unit == "event":
        assert "noise_detected" not in found.metrics
    else:
        assert found.metrics["noise_detected"].value == pytest.approx(found.detected[[5, 6, 8]].any(axis=1).mean())
        assert found.metrics["noise_detected"].value > 0
