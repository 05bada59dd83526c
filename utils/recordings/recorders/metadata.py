"""What a recorder wrote about one of its files."""

from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime
from typing import NamedTuple

FIRST_YEAR, LAST_YEAR = 2000, 2100  # clocks that were never set start in 1970, or show anything
COLDEST, HOTTEST = -80.0, 100.0  # degrees Celsius, of a sensor that works
MOST_VOLTS = 100.0


@dataclass(frozen=True)
class RecorderMetadata:
    """What a recorder wrote about a recording; None and '' if it did not.

    Attributes
    ----------
    started : by the recorder's clock, with its time zone if that is known
    site : where the recorder stood
    recorder, serial : its kind, such as AudioMoth, and its serial number
    gain : as written, such as medium or 12 dB
    temperature, battery : degrees Celsius, volts
    latitude, longitude : degrees, both or none
    elevation : metres
    date : of the start, YYYY-MM-DD; it may be known where the time of day is not
    """

    started: datetime | None = None
    site: str = ""
    recorder: str = ""
    serial: str = ""
    gain: str = ""
    temperature: float | None = None
    battery: float | None = None
    latitude: float | None = None
    longitude: float | None = None
    elevation: float | None = None
    date: str = ""

    @property
    def utc(self) -> datetime | None:
        """Return when it started, in UTC; None if the time zone is not known."""
        return in_utc(self.started)

    def completed(self, other: "RecorderMetadata") -> "RecorderMetadata":
        """Return this metadata, and what is missing here from another source; coordinates are taken as a pair."""
        missing = {
            field.name: getattr(other, field.name)
            for field in fields(self)
            if getattr(self, field.name) in (None, "") and field.name not in _OF_PLACE
        }
        if self.latitude is None and other.latitude is not None:
            missing |= {name: getattr(other, name) for name in _OF_PLACE}
        return replace(self, **missing)


_OF_PLACE = ("latitude", "longitude")


class ReadMetadata(NamedTuple):
    """What a reader found, and what it could not use, one line each."""

    metadata: RecorderMetadata
    problems: tuple[str, ...] = ()


NOTHING = ReadMetadata(RecorderMetadata())


def in_utc(started: datetime | None) -> datetime | None:
    """Return a time in UTC; None if there is none, its time zone is not known, or it is beyond the calendar."""
    try:
        return started.astimezone(UTC) if started and started.tzinfo else None
    except OverflowError:
        return None


def believable(moment: datetime) -> datetime | None:
    """Return a time; None if no recorder's clock that was set shows it."""
    return moment if FIRST_YEAR <= moment.year <= LAST_YEAR else None


def believable_day(text: str) -> str:
    """Return a day, YYYY-MM-DD; '' if the calendar has none such, or no recorder's clock that was set shows it."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return ""
    return text if text == day.isoformat() and FIRST_YEAR <= day.year <= LAST_YEAR else ""


def iso_text(moment: datetime | None) -> str:
    """Return a time as 2021-10-02T19:00:00+02:00, in UTC with Z; '' for None; parts of a second are cut."""
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z") if moment else ""


def parsed_time(text: str) -> datetime | None:
    """Return the time that `iso_text` wrote; None for other texts."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
