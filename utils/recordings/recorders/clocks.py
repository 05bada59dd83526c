"""The clocks of recorders: their time zones, and which of two times of a recording is used if they differ."""

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from re import ASCII, fullmatch
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from jaxtyping import Float, Float64

SAME_START = timedelta(minutes=2)  # between the start in a header and in a name, which may be written later


def time_zone(text: str) -> tzinfo | None:
    """Return a time zone, such as UTC, +02:00 or Europe/Berlin; None for ''.

    Raises
    ------
    ValueError
        If there is no such time zone.
    """
    if text in ("", "UTC", "Z"):
        return UTC if text else None
    if found := fullmatch(r"([+-])(\d\d):?([0-5]\d)", text, ASCII):
        offset = timedelta(hours=int(found[2]), minutes=int(found[3]))
        if offset <= timedelta(hours=14):
            return timezone(-offset if found[1] == "-" else offset)
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("is no time zone, such as UTC, +02:00 or Europe/Berlin") from None


def zone_fault(text: str) -> str:
    """Return why a text cannot be `dataset.time_zone`; '' if it can."""
    try:
        time_zone(text)
    except ValueError as error:
        return str(error)
    return ""


def with_zone(started: datetime | None, zone: tzinfo | None) -> datetime | None:
    """Return a time with a time zone, if its own is not known."""
    return started.replace(tzinfo=zone) if started and zone and not started.tzinfo else started


def in_zone(started: datetime | None, zone: tzinfo | None) -> datetime | None:
    """Return a time as clocks of a time zone show it; unchanged without one, or if its own is not known."""
    try:
        return started.astimezone(zone) if started and started.tzinfo and zone else started
    except OverflowError:
        return started


def time_after(started: datetime | None, seconds: float, zone: tzinfo | None) -> datetime | None:
    """Return the time some seconds after a start, as clocks of a time zone show it; None if the start is not known."""
    if started is None:
        return None
    if started.tzinfo:  # not by the clock, which jumps when summer time begins or ends
        return in_zone((started.astimezone(UTC) + timedelta(seconds=seconds)), zone or started.tzinfo)
    return started + timedelta(seconds=seconds)


def clock_seconds(
    started: datetime, after: Float[np.ndarray, " times"], zone: tzinfo | None
) -> Float64[np.ndarray, " times"]:
    """Return what clocks show some seconds after a start: seconds since the midnight at which day 0 began.

    Days are those of `date.toordinal`. What is left of a day's 86,400 seconds is the time of day, whole seconds of the
    start and parts of `after`.

    Parameters
    ----------
    after : seconds, ascending, at least one
    zone : of the clocks; None: as the recorder's clock showed it
    """
    first, last = (time_after(started, float(after[index]), zone) or started for index in (0, -1))
    if first.utcoffset() == last.utcoffset():
        return _on_clock(first) + (after - after[0])
    moments = (
        time_after(started, seconds, zone) or started for seconds in after.tolist()
    )  # summer time begins or ends
    return np.array([float(_on_clock(moment)) for moment in moments])


def _on_clock(moment: datetime) -> int:
    return 86_400 * moment.toordinal() + 3600 * moment.hour + 60 * moment.minute + moment.second


def agreed_start(
    in_header: datetime | None, in_name: datetime | None, day: str, zone: tzinfo | None = None
) -> tuple[datetime | None, str]:
    """Return when a recording started, and why its header is not believed; '' if it is.

    The header knows the seconds and the time zone. If it tells another time than the name of the file, or a table, it
    is not used: people rename files when a clock was wrong, they do not rewrite headers.

    Parameters
    ----------
    day : YYYY-MM-DD, of the name or table; '' if it has none
    zone : of names and tables that do not tell theirs; None if it is not known
    """
    if in_header is None:
        return in_name, ""
    local = in_zone(in_header, zone) or in_header
    if in_name is None and day in ("", in_header.date().isoformat(), local.date().isoformat()):
        return in_header or in_name, ""
    in_zone_of_names = with_zone(in_name, zone)
    if in_zone_of_names is not None and in_header.tzinfo and _are_same(in_header, in_zone_of_names):
        return in_header, ""
    if in_name is not None and _are_same(in_header, in_name):
        return in_header if in_header.tzinfo or not in_name.tzinfo else in_header.replace(tzinfo=in_name.tzinfo), ""
    told = in_name.isoformat(" ", timespec="minutes") if in_name else day
    return in_name, f"its header says {in_header.isoformat(' ', timespec='seconds')}, its name {told}, which is used"


def _are_same(one: datetime, other: datetime) -> bool:
    """Tell whether two times are the same on the clock, or, where both time zones are known, in truth."""
    if abs(one.replace(tzinfo=None) - other.replace(tzinfo=None)) <= SAME_START:
        return not (one.tzinfo and other.tzinfo) or one.utcoffset() == other.utcoffset()
    return bool(one.tzinfo and other.tzinfo) and abs(one - other) <= SAME_START
