"""Clocks count seconds through midnight, and jump where summer time begins or ends."""

from datetime import UTC, datetime

import numpy as np

from utils.recordings.recorders.clocks import clock_seconds, time_zone

DAY = 86_400


def hours(started: datetime, after: list[float], zone: str = "") -> list[float]:
    """Return hours since the midnight of the day on which it started."""
    midnight = DAY * started.toordinal()
    return ((clock_seconds(started, np.array(after), time_zone(zone)) - midnight) / 3600).tolist()


def test_a_clock_without_a_zone_shows_its_own_time() -> None:
    assert hours(datetime(2021, 3, 27, 23, 30, 0, 999_999), [0.0, 1800.0, 5400.0]) == [23.5, 24.0, 25.0]
    assert hours(datetime(2021, 3, 27, 23, 30), [1800.0], "Europe/Berlin") == [24.0]


def test_a_zone_moves_the_clock() -> None:
    assert hours(datetime(2021, 6, 21, 20, tzinfo=UTC), [0.0, 3600.0], "+02:00") == [22.0, 23.0]


def test_summer_time_begins_and_ends() -> None:
    begins, ends = datetime(2021, 3, 28, 0, 30, tzinfo=UTC), datetime(2021, 10, 31, 0, 30, tzinfo=UTC)
    assert hours(begins, [0.0, 1799.0, 1800.0, 3600.0], "Europe/Berlin")[::2] == [1.5, 3.0]
    assert hours(ends, [0.0, 1800.0, 3600.0], "Europe/Berlin") == [2.5, 2.0, 2.5]
