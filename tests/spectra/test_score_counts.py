"""What other thresholds would keep is what counting the clips says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.spectra.score_counts import EDGES, clips_kept_at, clips_kept_from, count_scores, thresholds_around


@given(st.lists(st.one_of(st.floats(0, 1), st.sampled_from(EDGES)), max_size=50))
def test_every_edge_keeps_what_is_at_least_as_high(scores: list[float]) -> None:
    counts = count_scores(scores)
    assert counts.sum() == len(scores)
    assert clips_kept_from(counts).tolist() == [sum(score >= edge for score in scores) for edge in EDGES]
    for edge in EDGES:
        assert clips_kept_at(counts, edge) == sum(score >= edge for score in scores)


def test_usual_thresholds_are_edges() -> None:
    assert {0.0001, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05} <= set(EDGES)
    assert list(EDGES) == sorted(EDGES)


def test_between_two_edges_a_bin_is_shared_out() -> None:
    counts = count_scores([0.0015] * 10)  # between 0.00125 and 0.0016
    assert clips_kept_at(counts, 0.00125) == 10
    assert clips_kept_at(counts, 0.001425) == pytest.approx(5)
    assert clips_kept_at(counts, 0.0016) == 0


def test_around_a_threshold() -> None:
    assert thresholds_around(0.001) == [0.0005, 0.001, 0.002]
    assert thresholds_around(0.0013) == [0.00063, 0.0013, 0.0025]
    assert thresholds_around(0.0)[0] == 0.0
    for threshold in np.geomspace(1e-6, 1, 30):
        assert float(threshold) in thresholds_around(float(threshold))
