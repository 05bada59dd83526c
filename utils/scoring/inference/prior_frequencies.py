"""eBird's frequencies: which species are reported at a place, by week of the year."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from utils.console import UserError
from utils.recordings.labels import Taxonomy, read_species_table
from utils.scoring.inference.prior_metadata import WEEKS, PlaceAndWeek
from utils.tables import find_column

LIMITS = {
    "frequency": (0.0, 100.0),
    "latitude": (-90.0, 90.0),
    "longitude": (-180.0, 180.0),
    "week": (1.0, float(WEEKS)),
}
NAMES = {
    "frequency": ("frequency", "freq"),
    "latitude": ("latitude", "lat"),
    "longitude": ("longitude", "lon", "lng"),
    "week": ("week",),
}

Spot = tuple[float, float] | None  # latitude and longitude, degrees; None: everywhere


@dataclass(frozen=True)
class Frequencies:
    """Which species are reported where and when.

    Attributes
    ----------
    species : all species in the table
    by_place : the species with a frequency above 0, by place and week (None: the whole year)
    """

    species: frozenset[str]
    by_place: Mapping[Spot, Mapping[int | None, frozenset[str]]]

    @property
    def by_week(self) -> bool:
        """Whether some frequencies are of a week."""
        return any(week is not None for weeks in self.by_place.values() for week in weeks)

    def reported(self, place: PlaceAndWeek | None) -> frozenset[str] | None:
        """Return the species that are reported at the nearest place in that week, or in any week if it is unknown.

        None if the table has places and that of the recording is unknown.
        """
        if None in self.by_place:
            weeks = self.by_place[None]
        elif place is None or place.latitude is None or place.longitude is None:
            return None
        else:
            here = (place.latitude, place.longitude)
            weeks = self.by_place[
                min((spot for spot in self.by_place if spot), key=lambda spot: _haversine(here, spot))
            ]
        week = place.week if place else None
        always = weeks.get(None, frozenset())
        return always.union(*weeks.values()) if week is None else always | weeks.get(week, frozenset())


def read_frequencies(path: Path, taxonomy: Taxonomy) -> Frequencies:
    """Read eBird frequencies, in the forms that `prior.py` describes.

    Raises
    ------
    UserError
        If the table cannot be read, or a row cannot be used.
    """
    species: set[str] = set()
    found: dict[Spot, dict[int | None, set[str]]] = {}
    for where, name, numbers in _json_rows(path) if path.suffix.lower() == ".json" else _csv_rows(path):
        label, spot = taxonomy.label(name), _spot(where, numbers)
        species.add(label)
        week = numbers["week"]
        reported = found.setdefault(spot, {}).setdefault(None if week is None else int(week), set())
        if numbers["frequency"]:
            reported.add(label)
    if None in found and len(found) > 1:
        raise UserError(f"{path}: some rows have coordinates and others have none")
    if not found:
        raise UserError(f"{path}: has no species")
    return Frequencies(
        frozenset(species),
        {spot: {week: frozenset(labels) for week, labels in weeks.items()} for spot, weeks in found.items()},
    )


def _spot(where: str, numbers: Mapping[str, float | None]) -> Spot:
    latitude, longitude = numbers["latitude"], numbers["longitude"]
    if (latitude is None) != (longitude is None):
        raise UserError(f"{where}: has only one of latitude and longitude")
    return None if latitude is None or longitude is None else (latitude, longitude)


def _haversine(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Return the haversine of the angle between two places on the globe, which grows with their distance."""
    (south, west), (north, east) = np.radians(one), np.radians(other)
    return float(
        math.sin((north - south) / 2) ** 2 + math.cos(south) * math.cos(north) * math.sin((east - west) / 2) ** 2
    )


def _csv_rows(path: Path) -> Iterable[tuple[str, str, dict[str, float | None]]]:
    table, column = read_species_table(path)
    columns = {key: find_column(table.columns, names) for key, names in NAMES.items()}
    for location, row in table.rows.items():
        where = str(path.parent / location)
        yield (
            where,
            _name(where, row[column]),
            {key: _parsed_value(where, key, row[heading] if heading else "") for key, heading in columns.items()},
        )


def _json_rows(path: Path) -> Iterable[tuple[str, str, dict[str, float | None]]]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read ({' '.join(str(error).split())})") from None
    if not isinstance(entries, list):
        raise UserError(f"{path}: should be a list of objects with speciesCode and frequency")
    for position, entry in enumerate(entries, start=1):
        where = f"{path} entry {position}"
        if not isinstance(entry, Mapping):
            raise UserError(f"{where}: is not an object with speciesCode and frequency")
        name = next((entry[key] for key in ("speciesCode", "sciName", "comName") if key in entry), "")
        yield where, _name(where, name), {key: _parsed_value(where, key, entry.get(key)) for key in NAMES}


def _name(where: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{where}: has no species")
    return value.strip()


def _parsed_value(where: str, key: str, value: Any) -> float | None:
    """Return a value within its limits; None if it is missing, which only a frequency must not be."""
    if value is None or (isinstance(value, str) and not value.strip()):
        if key == "frequency":
            raise UserError(f"{where}: has no frequency")
        return None
    low, high = LIMITS[key]
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not low <= number <= high or isinstance(value, bool) or (key == "week" and number != int(number)):
        raise UserError(
            f"{where}: the {key} {str(value)[:20]!r} is not a {'whole ' if key == 'week' else ''}number "
            f"from {low:g} to {high:g}"
        )
    return number
