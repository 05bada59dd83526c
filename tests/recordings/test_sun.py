"""Sunrise and sunset by NOAA's formula, against other programs and where the sun does not rise or set."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.recordings.sun import sun_times

# by astral 3.2, UTC
GOLDEN = [
    (date(2021, 6, 21), 52.52, 13.405, "2021-06-21T02:43:30", "2021-06-21T19:32:56"),
    (date(2021, 12, 21), 52.52, 13.405, "2021-12-21T07:15:24", "2021-12-21T14:53:42"),
    (date(2024, 2, 29), -33.87, 151.21, "2024-02-28T19:43:14", "2024-02-29T08:32:21"),
    (date(2021, 3, 20), 0.0, 0.0, "2021-03-20T06:04:17", "2021-03-20T18:10:27"),
    (date(2023, 10, 2), -1.29, 36.82, "2023-10-02T03:18:47", "2023-10-02T15:25:36"),
    (date(2021, 5, 1), 64.15, -21.94, "2021-05-01T04:59:53", "2021-05-01T21:52:06"),
    (date(2030, 8, 15), 19.9, -155.6, "2030-08-15T16:02:51", "2030-08-16T04:51:11"),
]


@pytest.mark.parametrize(("day", "latitude", "longitude", "sunrise", "sunset"), GOLDEN)
def test_times_are_those_of_another_program(
    day: date, latitude: float, longitude: float, sunrise: str, sunset: str
) -> None:
    found = sun_times(day, latitude=latitude, longitude=longitude)
    for moment, text in zip(found, (sunrise, sunset), strict=True):
        assert moment is not None
        assert abs(moment - datetime.fromisoformat(text).replace(tzinfo=UTC)) < timedelta(seconds=90)


@pytest.mark.parametrize("day", [date(2021, 6, 21), date(2021, 12, 21)])
def test_beyond_the_polar_circle_there_may_be_none(day: date) -> None:
    for latitude in (70.0, -70.0, 90.0):
        assert sun_times(day, latitude=latitude, longitude=20.0) == (None, None)


@given(
    st.dates(date(2000, 1, 1), date(2100, 12, 31)),
    st.floats(-90, 90, allow_nan=False),
    st.floats(-180, 180, allow_nan=False),
)
def test_any_place_and_day(day: date, latitude: float, longitude: float) -> None:
    sunrise, sunset = sun_times(day, latitude=latitude, longitude=longitude)
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC) - timedelta(hours=longitude / 15)
    if sunrise:
        assert timedelta(0) <= noon - sunrise + timedelta(minutes=20) < timedelta(hours=13)
    if sunset:
        assert timedelta(0) <= sunset - noon + timedelta(minutes=20) < timedelta(hours=13)
