"""The rows of a Darwin Core Archive: their terms, and what would be refused of one."""

from collections.abc import Mapping
from datetime import date, datetime

from utils.recordings.recording import degrees

DWC = "http://rs.tdwg.org/dwc/terms/"
TERMS: Mapping[str, str] = {
    name: f"{DWC}{name}"
    for name in (
        "occurrenceID",
        "basisOfRecord",
        "occurrenceStatus",
        "scientificName",
        "vernacularName",
        "eventDate",
        "locality",
        "decimalLatitude",
        "decimalLongitude",
        "geodeticDatum",
        "samplingProtocol",
        "identifiedBy",
        "identificationRemarks",
        "occurrenceRemarks",
        "associatedMedia",
    )
}
NEEDED = ("occurrenceID", "scientificName")  # besides those with fixed values

Occurrence = Mapping[str, str]


def occurrence_faults(row: Occurrence) -> list[str]:
    """Return why an occurrence would be refused; empty if it would not."""
    faults = [f"{name} is empty" for name in NEEDED if not row[name]]
    if row["basisOfRecord"] != "MachineObservation":
        faults.append(f"basisOfRecord is {row['basisOfRecord']!r}, it should be MachineObservation")
    if row["occurrenceStatus"] != "present":
        faults.append(f"occurrenceStatus is {row['occurrenceStatus']!r}, it should be present")
    if row["eventDate"] and not _is_event_date(row["eventDate"]):
        faults.append(f"eventDate is {row['eventDate']!r}, it should be a time, a day, or from/to (ISO 8601)")
    latitude, longitude = row["decimalLatitude"], row["decimalLongitude"]
    if bool(latitude) != bool(longitude):
        faults.append("one of decimalLatitude and decimalLongitude is empty")
    for name, limit in (("decimalLatitude", 90.0), ("decimalLongitude", 180.0)):
        if row[name] and degrees(row[name], limit=limit) is None:
            faults.append(f"{name} is {row[name]!r}, it should be degrees from {-limit:g} to {limit:g}")
    return faults


def _is_event_date(text: str) -> bool:
    """Tell whether a text is a day, a time, or two of them, in order, with a slash between."""
    try:
        moments = [datetime.fromisoformat(part) for part in text.split("/")]
    except ValueError:
        return False
    if len({moment.tzinfo is None for moment in moments}) > 1:
        return False
    return len(moments) == 1 or (len(moments) == 2 and moments[0] <= moments[1])


class Extent:
    """Where and when occurrences are: from west to east, from south to north, from the first day to the last."""

    def __init__(self) -> None:
        self.latitudes: tuple[float, float] | None = None
        self.longitudes: tuple[float, float] | None = None
        self.days: tuple[date, date] | None = None

    def add(self, row: Occurrence) -> None:
        """Take in an occurrence."""
        if row["decimalLatitude"]:
            self.latitudes = _wider(self.latitudes, float(row["decimalLatitude"]))
            self.longitudes = _wider(self.longitudes, float(row["decimalLongitude"]))
        for part in filter(None, row["eventDate"].split("/")):
            day = date.fromisoformat(part[:10])
            self.days = (min(self.days[0], day), max(self.days[1], day)) if self.days else (day, day)


def _wider(known: tuple[float, float] | None, value: float) -> tuple[float, float]:
    return (min(known[0], value), max(known[1], value)) if known else (value, value)
