"""Onset errors by hand."""

import numpy as np
import pytest

from utils.scoring.metrics.onsets import OnsetMetrics, onset_errors, onset_metrics

EVENTS = np.array([[1.0, 2.0], [3.0, 3.5], [6.0, 9.0]])


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ((1.2, 1.8), 0.2),
        ((0.4, 1.5), 0.6),
        ((2.9, 6.5), 0.1),  # two events: the nearest start counts
        ((2.0, 3.0), np.nan),  # between two, which it touches
        ((9.0, 12.0), np.nan),
        ((0.0, 0.5), np.nan),
        ((3.0, 3.0), 0.0),  # a point
        ((3.2, 3.2), 0.2),
        ((3.5, 3.5), np.nan),
    ],
)
def test_the_error_of_one_call(call: tuple[float, float], error: float) -> None:
    np.testing.assert_allclose(onset_errors(np.array([call]), EVENTS), [error], atol=1e-12)


def test_all_calls_of_all_recordings() -> None:
    errors = [
        onset_errors(np.array([[1.2, 1.8], [0.4, 1.5], [9.0, 12.0]]), EVENTS),
        onset_errors(np.array([[5.0, 7.0]]), EVENTS),
        onset_errors(np.array([[5.0, 7.0]]), np.zeros((0, 2))),
    ]
    found = onset_metrics(errors)
    assert (found.calls, found.found) == (5, 3)
    assert found.median_error == pytest.approx(0.6)  # of 0.2, 0.6 and 1
    assert found.text == "3 of 5 annotated calls found; median onset error 0.60 s"
    assert onset_metrics(errors[2:]) == OnsetMetrics(1, 0, None)
    assert onset_metrics(errors[2:]).text == "0 of 1 annotated calls found"
