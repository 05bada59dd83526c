"""Events of hand size: where they start and end, which gaps are closed, and in how many tables cells come."""

import numpy as np
import pytest

from utils.scoring.inference.frame_events import FrameEvent, find_events

#         0    1    2    3    4    5    6    7    8    9    10   11
LOUD = [0.9, 0.1, 0.1, 0.7, 0.5, 0.1, 0.1, 0.1, 0.8, 0.1, 0.6, 0.6]
SCORES = np.array([LOUD, [0.45] * 12, [-1.0] * 12]).T  # the last class is not on the whitelist


@pytest.mark.parametrize("sizes", [[12], [1] * 12, [4, 0, 4, 4], [2, 9, 1]])
def test_events_of_hand_size(sizes: list[int]) -> None:
    tables = np.split(SCORES, np.cumsum(sizes)[:-1])
    # two cells below the threshold are closed, three are not
    assert find_events(tables, 0.5) == [FrameEvent(0, 5, 0, 0.9), FrameEvent(8, 12, 0, 0.8)]
    assert find_events(tables, np.array([0.75, 0.4, 0.0])) == [
        FrameEvent(0, 1, 0, 0.9),
        FrameEvent(0, 12, 1, 0.45),
        FrameEvent(8, 9, 0, 0.8),
    ]
    assert find_events(tables, np.inf) == []
    assert find_events(tables, 0.0)[-1] == FrameEvent(0, 12, 1, 0.45)


def test_a_score_that_is_the_threshold_counts_and_times_are_tenths_of_a_second() -> None:
    (event,) = find_events([np.array([[0.4], [0.5], [0.5], [0.4]])], 0.5)
    assert (event.start_time, event.end_time) == (0.1, 0.3)
    assert find_events([], 0.5) == []
    assert find_events([np.zeros((0, 3))], 0.5) == []


@pytest.mark.parametrize("sizes", [[160], [1] * 160, [20, 0, 70, 70], [100, 60]])
def test_an_event_is_where_the_score_is_near_the_highest_within_three_seconds(sizes: list[int]) -> None:
    scores = np.full(160, 0.05)
    scores[10:30] = 0.3  # rises slowly before a call
    scores[30:40] = 0.8
    scores[40:50] = 0.4  # exactly half of it
    scores[50:60] = 0.39
    scores[100:110] = 0.2  # a quiet call, far from the loud one
    scores[140:150] = 0.2  # and one that is 30 cells behind it
    tables = np.split(scores[:, None], np.cumsum(sizes)[:-1])
    spans = [(event.first, event.end) for event in find_events(tables, 0.1, level=0.5)]
    assert spans == [(30, 50), (100, 110), (140, 150)]
    # without it, the threshold alone decides
    assert [(event.first, event.end) for event in find_events(tables, 0.1)] == [(10, 60), (100, 110), (140, 150)]
