"""Thresholds are raised until noise has few enough false alarms: by hand, and always."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.scoring.metrics.false_alarms import NoiseScores, count_false_alarms, raise_thresholds
from utils.scoring.metrics.thresholds import Thresholds


def noise_of(scores: list[list[float]] | np.ndarray, *, seconds: float | None = None) -> NoiseScores:
    """Return scores of noise, by default of 0.1 hours for each interval, so that 10 per hour are one interval each."""
    table = np.array(scores, np.float32)
    return NoiseScores(table, 5.0, 360.0 * len(table) if seconds is None else seconds, 1)


def thresholds_of(*values: float | None, common: float | None = 0.5) -> Thresholds:
    names = tuple("abcdefgh"[: len(values)])
    return Thresholds(names, values, (False,) * len(values), common, "f1", None, 5, "here")


def test_a_common_threshold_stands_just_above_the_interval_that_is_too_many() -> None:
    noise = noise_of([[0.9, 0.1], [0.1, 0.7], [0.6, 0.6], [0.2, 0.2]])  # 0.4 hours
    found = thresholds_of(0.5, 0.5)
    assert count_false_alarms(noise, found) == 3
    wanted = {5.0: (2, 0.6), 2.5: (1, 0.7), 2.4: (0, 0.9), 0.0: (0, 0.9)}
    for limit, (alarms, above) in wanted.items():
        raised = raise_thresholds(found, noise, max_per_hour=limit, per_class=False)
        assert count_false_alarms(noise, raised) == alarms
        assert raised.values == (raised.common,) * 2
        assert raised.common == float(np.nextafter(np.float32(above), np.float32(1)))
        assert raised.max_false_alarms == limit
    kept = raise_thresholds(found, noise, max_per_hour=7.5, per_class=False)
    assert (kept.values, kept.common) == (found.values, found.common)


def test_classes_that_noise_never_resembles_keep_their_thresholds() -> None:
    noise = noise_of([[0.9, 0.1, 0.95], [0.8, 0.1, 0.95], [0.7, 0.2, 0.95], [0.1, 0.1, 0.95]])
    found = thresholds_of(0.5, 0.3, None)  # a class that is never detected counts for nothing
    raised = raise_thresholds(found, noise, max_per_hour=2.5, per_class=True)
    assert raised.values == (float(np.nextafter(np.float32(0.8), np.float32(1))), 0.3, None)
    together = raise_thresholds(found, noise, max_per_hour=2.5, per_class=False)
    assert together.values[1] == together.values[0] == raised.values[0]


def test_several_classes_share_the_limit() -> None:
    """Each class may have one interval; but these are three, so that the first ones alone may have one."""
    noise = noise_of(np.diag([0.9, 0.8, 0.7]))
    one, two = (
        raise_thresholds(thresholds_of(0.5, 0.5, 0.5), noise, max_per_hour=limit, per_class=True)
        for limit in (10 / 3, 20 / 3)
    )
    above = [float(np.nextafter(np.float32(score), np.float32(1))) for score in (0.9, 0.8, 0.7)]
    assert one.values == (0.5, above[1], above[2])
    assert two.values == (0.5, 0.5, above[2])
    # in one interval, they are one false alarm
    together = noise_of([[0.9, 0.8, 0.7], [0.1, 0.1, 0.1], [0.6, 0.6, 0.6]])
    raised = raise_thresholds(thresholds_of(0.5, 0.5, 0.5), together, max_per_hour=10 / 3, per_class=True)
    assert count_false_alarms(together, raised) == 1
    assert len(set(raised.values)) == 1


@pytest.mark.parametrize("per_class", [False, True])
def test_above_a_score_of_1_nothing_is_detected(per_class: bool) -> None:
    noise = noise_of([[1.0, 0.2], [0.1, 0.1]])
    raised = raise_thresholds(thresholds_of(0.5, 0.5), noise, max_per_hour=0.0, per_class=per_class)
    assert raised.values == ((None, 0.5) if per_class else (None, None))
    assert raised.common is None


def test_the_limit_counts_hours_and_not_intervals() -> None:
    noise = noise_of([[0.9], [0.8]], seconds=36_000.0)
    assert (noise.hours, noise.allowed(0.1), noise.allowed(0.09)) == (10.0, 1, 0)


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 30),
    st.integers(1, 8),
    st.floats(0, 40),
    st.booleans(),
    st.booleans(),
)
def test_the_limit_holds_and_no_threshold_falls(
    seed: int, intervals: int, classes: int, limit: float, per_class: bool, ties: bool
) -> None:
    rng = np.random.default_rng(seed)
    noise = noise_of(rng.integers(0, 5, (intervals, classes)) / 4 if ties else rng.random((intervals, classes)))
    values = [None if rng.random() < 0.2 else float(value) for value in rng.random(classes)]
    values = values if per_class else [values[0]] * classes
    found = thresholds_of(*values, common=values[0])
    raised = raise_thresholds(found, noise, max_per_hour=limit, per_class=per_class)
    assert count_false_alarms(noise, raised) <= limit * noise.hours + 1e-9
    for before, after in zip([*found.values, found.common], [*raised.values, raised.common], strict=True):
        assert after is None or (before is not None and after >= before)
    if count_false_alarms(noise, found) <= noise.allowed(limit):
        assert raised.values == found.values
    again = raise_thresholds(raised, noise, max_per_hour=limit, per_class=per_class)
    assert again.values == raised.values
