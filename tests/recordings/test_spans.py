"""Which intervals are labelled from start to end."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.recordings.spans import labelled_in, labelled_intervals, merged_spans


def test_an_interval_is_labelled_if_all_of_it_is() -> None:
    starts = np.arange(5) * 5.0
    spans = merged_spans([(5.0, 10.0), (0.0, 5.0), (12.0, 20.0)])
    assert spans == ((0.0, 10.0), (12.0, 20.0))
    assert labelled_intervals(spans, starts, starts + 5).tolist() == [True, True, False, True, False]
    assert labelled_intervals(spans, starts[:1] + 5, starts[:1] + 15).tolist() == [False]  # the hole is in its middle
    assert labelled_intervals(None, starts, starts + 5).all()
    assert not labelled_intervals((), starts, starts + 5).any()


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), max_size=6))
def test_seconds_are_labelled_as_written(windows: list[tuple[int, int]]) -> None:
    spans = merged_spans((float(start), float(start + length)) for start, length in windows)
    assert all(one[1] < other[0] for one, other in pairwise(spans))
    starts = np.arange(60.0)
    expected = [any(start <= second < start + length for start, length in windows) for second in range(60)]
    assert labelled_intervals(spans, starts, starts + 1).tolist() == expected


@pytest.mark.parametrize("entries", [3, [1, 2], [[1, "x"]], [[5, 2]], [[-1, 2]], [[0, float("nan")]], [[0, 1, 2]]])
def test_other_metadata_are_refused(entries: object) -> None:
    with pytest.raises(ValueError, match="labelled"):
        labelled_in({"labelled": entries})
    assert labelled_in({}) is None
    assert labelled_in({"labelled": [[5, 10], [0, 5]]}) == ((0.0, 10.0),)
