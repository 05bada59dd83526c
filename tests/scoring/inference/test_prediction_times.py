"""How fast clips were predicted: only what was measured is told."""

import numpy as np
import pytest

from utils.scoring.inference import prediction_times
from utils.scoring.inference.prediction_times import KEPT, NOT_MEASURED, BatchTimer, PredictionTimes


def predicted(timer: BatchTimer, batches: list[tuple[int, float]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Predict batches of so many clips, each in so many seconds."""
    clock = [0.0]
    monkeypatch.setattr(prediction_times.time, "perf_counter", lambda: clock[0])
    for clips, seconds in batches:

        def predict(pixels: np.ndarray, seconds: float = seconds) -> np.ndarray:
            clock[0] += seconds
            return np.full((len(pixels), 2), seconds, np.float32)

        scores = timer.timed(predict)(np.zeros((clips, 3, 4), np.uint8))
        assert scores.shape == (clips, 2)


@pytest.mark.parametrize(
    ("batches", "median"),
    [
        ([], None),
        ([(3, 2.0)], 2.0),  # the only one
        ([(8, 9.0), (8, 1.0), (8, 2.0), (8, 4.0), (3, 0.1)], 2.0),  # neither the first, nor the rest
        ([(8, 9.0), (3, 0.1)], 9.0),
    ],
)
def test_median_of_full_batches(
    batches: list[tuple[int, float]], median: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    timer = BatchTimer()
    predicted(timer, batches, monkeypatch)
    assert timer.times(clips=30, seconds=4.0) == PredictionTimes(median, 7.5)


def test_nothing_predicted_has_no_speed() -> None:
    assert BatchTimer().times(clips=0, seconds=1.0) == PredictionTimes(None, None)
    assert NOT_MEASURED.text == ""
    assert NOT_MEASURED.facts == {"seconds_per_batch": None, "clips_per_second": None}
    assert PredictionTimes(0.12345678, 7.129).facts == {"seconds_per_batch": 0.123457, "clips_per_second": 7.13}
    assert PredictionTimes(0.01234, 1234.5).text == "0.0123 s per batch (median), 1,234.5 clips per second in all"


def test_memory_does_not_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    timer = BatchTimer()
    predicted(timer, [(1, 0.0)] * (KEPT + 5), monkeypatch)
    assert len(timer._batches) == KEPT
