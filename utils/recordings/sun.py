"""When the sun rises and sets, by NOAA's formula: within a minute or two between 72 degrees north and south.

Source: NOAA Global Monitoring Laboratory, Solar Calculation Details (gml.noaa.gov/grad/solcalc/calcdetails.html), after
Meeus, Astronomical Algorithms.
"""

from datetime import UTC, date, datetime, timedelta
from math import acos, asin, cos, degrees, radians, sin, tan
from typing import NamedTuple

ZENITH = 90.833  # degrees: the upper edge of the sun on the horizon, with refraction
ROUNDS = 3  # the sun moves on until it rises: its place at noon is corrected so often


class SunTimes(NamedTuple):
    """When the sun rises and sets on a day, UTC; None if it does not."""

    sunrise: datetime | None
    sunset: datetime | None


def sun_times(day: date, *, latitude: float, longitude: float) -> SunTimes:
    """Return sunrise and sunset on either side of the noon, by the sun, of a day.

    Parameters
    ----------
    latitude, longitude : degrees
    """
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)

    def event(sign: int) -> datetime | None:
        minutes = 720.0 - 4.0 * longitude
        for _ in range(ROUNDS):
            declination, equation = _sun_at(midnight + timedelta(minutes=minutes))
            angle = _hour_angle(latitude, declination)
            if angle is None:
                return None
            minutes = 720.0 - 4.0 * (longitude - sign * angle) - equation
        return midnight + timedelta(minutes=minutes)

    return SunTimes(event(-1), event(1))


def _hour_angle(latitude: float, declination: float) -> float | None:
    """Return how far the earth turns from sunrise to noon, degrees; None if the sun does not rise or does not set."""
    north = radians(min(max(latitude, -89.99), 89.99))
    cosine = cos(radians(ZENITH)) / (cos(north) * cos(declination)) - tan(north) * tan(declination)
    return degrees(acos(cosine)) if -1.0 <= cosine <= 1.0 else None


def _sun_at(moment: datetime) -> tuple[float, float]:
    """Return the declination of the sun, radians, and the equation of time, minutes."""
    century = ((moment - datetime(2000, 1, 1, 12, tzinfo=UTC)) / timedelta(days=1)) / 36525.0
    mean_longitude = radians((280.46646 + century * (36000.76983 + century * 0.0003032)) % 360.0)
    anomaly = radians(357.52911 + century * (35999.05029 - 0.0001537 * century))
    eccentricity = 0.016708634 - century * (0.000042037 + 0.0000001267 * century)
    centre = (
        sin(anomaly) * (1.914602 - century * (0.004817 + 0.000014 * century))
        + sin(2 * anomaly) * (0.019993 - 0.000101 * century)
        + sin(3 * anomaly) * 0.000289
    )
    node = radians(125.04 - 1934.136 * century)
    longitude = mean_longitude + radians(centre - 0.00569 - 0.00478 * sin(node))
    seconds = 21.448 - century * (46.815 + century * (0.00059 - century * 0.001813))
    obliquity = radians(23.0 + (26.0 + seconds / 60.0) / 60.0 + 0.00256 * cos(node))
    half = tan(obliquity / 2) ** 2
    equation = (
        half * sin(2 * mean_longitude)
        - 2 * eccentricity * sin(anomaly)
        + 4 * eccentricity * half * sin(anomaly) * cos(2 * mean_longitude)
        - 0.5 * half**2 * sin(4 * mean_longitude)
        - 1.25 * eccentricity**2 * sin(2 * anomaly)
    )
    return asin(sin(obliquity) * sin(longitude)), 4.0 * degrees(equation)
