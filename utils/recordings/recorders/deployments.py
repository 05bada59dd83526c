"""The table of deployments, `dataset.deployments`: which recorder stood where, from when to when.

A CSV with the columns `latitude` and `longitude` (degrees), `site` or `serial` (of the recorder) or both, and if known
`from` and `to` (2021-10-02 or 2021-10-02 19:00, by the recorder's clock; a `to` without a time includes its day) and
`elevation` (metres). A row is a recording's if its serial number, or without one its site, is the same, and it was made
in the row's time; of two rows, the later one, as on the day on which a recorder was moved. The site of a row with a
serial number counts more than the name of a folder.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from pathlib import Path

from utils.console import Failure, UserError
from utils.recordings.metadata_tables import METADATA_COLUMNS, SITE_COLUMNS, is_given, parse_coordinates, site_key
from utils.recordings.recorders.metadata import RecorderMetadata
from utils.recordings.recording import in_range
from utils.tables import find_column, read_foreign

_DEPLOYMENT_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "site": SITE_COLUMNS,
    "serial": ("serial", "serial_number", "recorder_serial", "recorder_id", "device_id"),
    "latitude": METADATA_COLUMNS["latitude"],
    "longitude": METADATA_COLUMNS["longitude"],
    "elevation": METADATA_COLUMNS["elevation"],
    "from": ("from", "start", "deployed", "deployment_start", "start_date"),
    "to": ("to", "end", "retrieved", "deployment_end", "end_date"),
}

DAY_OF_MOVE = timedelta(days=1)


@dataclass(frozen=True)
class Deployment:
    """A row: a recorder, or a site, from when to when, and where that is."""

    line: str
    site: str
    serial: str
    start: datetime
    end: datetime
    place: RecorderMetadata

    @property
    def key(self) -> str:
        """What rows must share to speak of the same recordings."""
        return _serial_key(self.serial) if self.serial else _site_key(self.site)

    def overlaps(self, other: "Deployment") -> bool:
        """Tell whether both hold for more than a day; less is the day on which a recorder was moved."""
        return min(self.end, other.end) - max(self.start, other.start) > DAY_OF_MOVE


class Deployments:
    """The rows of a table, and what cannot be used of it, one line each."""

    def __init__(self, path: Path, rows: Sequence[Deployment] = (), failures: Sequence[Failure] = ()) -> None:
        self._path = path
        self._by_key: dict[str, list[Deployment]] = {}
        self._recorders_at: dict[str, list[Deployment]] = {}
        self._matched: set[str] = set()
        self._failures = list(failures)
        for row in rows:
            same = self._by_key.setdefault(row.key, [])
            if earlier := next((one for one in same if one.overlaps(row)), None):
                reason = f"tells of {row.serial or row.site!r} at a time of which {earlier.line} tells already"
                self._failures.append(Failure(row.line, reason))
                continue
            same.append(row)
            if row.serial and row.site:
                self._recorders_at.setdefault(_site_key(row.site), []).append(row)

    def complete(self, told: RecorderMetadata) -> RecorderMetadata:
        """Return what is known of a recording with the place of its deployment, if it has none, and with its site."""
        found = self._row_for(told)
        if found is None:
            return told
        self._matched.add(found.line)
        site = found.site if found.site and found.serial else told.site
        return replace(told, site=site).completed(found.place)

    def _row_for(self, told: RecorderMetadata) -> Deployment | None:
        """Return the row of a recording's recorder, else of its site, else of the only recorder there; the latest."""
        serial, site = _serial_key(told.serial) if told.serial else "", _site_key(told.site) if told.site else ""
        for rows in (self._by_key.get(serial, ()), self._by_key.get(site, ())):
            holding = [row for row in rows if _holds(row, told)]
            if holding:
                return max(holding, key=lambda row: row.start)
        there = [] if serial else [row for row in self._recorders_at.get(site, ()) if _holds(row, told)]
        recorders = {row.key for row in there}
        return max(there, key=lambda row: row.start) if len(recorders) == 1 else None

    @property
    def failures(self) -> list[Failure]:
        """The rows that cannot be used, and in one line those that are no recording's; ask when all are completed."""
        unused = [row for rows in self._by_key.values() for row in rows if row.line not in self._matched]
        if not unused:
            return self._failures
        count = sum(map(len, self._by_key.values()))
        example = unused[0].site or unused[0].serial
        reason = f"{len(unused):,} of {count:,} rows hold for no recording, such as {example!r} ({unused[0].line})"
        return [*self._failures, Failure(self._path.name, reason)]


def _holds(row: Deployment, told: RecorderMetadata) -> bool:
    """Tell whether a recording was made in the time of a row; without a time, only if the row holds for ever."""
    if told.started:
        return row.start <= told.started.replace(tzinfo=None) <= row.end
    if told.date:
        return row.start.date().isoformat() <= told.date <= row.end.date().isoformat()
    return (row.start, row.end) == (datetime.min, datetime.max)


def _serial_key(serial: str) -> str:
    return f"serial {serial.strip().casefold()}"


def _site_key(site: str) -> str:
    return f"site {site_key(site)}"


def read_deployments(path: Path | None) -> Deployments | None:
    """Read the table of deployments; None if there is none.

    Raises
    ------
    UserError
        If it cannot be read, or lacks a column.
    """
    if path is None:
        return None
    table = read_foreign(path, ragged=True)
    columns = {name: find_column(table.columns, usual) for name, usual in _DEPLOYMENT_COLUMNS.items()}
    missing = [] if columns["site"] or columns["serial"] else ["site or serial"]
    missing += [name for name in ("latitude", "longitude") if not columns[name]]
    if missing:
        found = ", ".join(table.columns)[:200]
        raise UserError(f"{path}: has no column {' and no column '.join(missing)}; there are {found}")
    rows, failures = [], list(table.bad)
    for line, values in table.rows.items():
        try:
            rows.append(_parsed(line, {name: values[column].strip() for name, column in columns.items() if column}))
        except ValueError as error:
            failures.append(Failure(line, str(error)))
    return Deployments(path, rows, failures)


def _parsed(line: str, values: Mapping[str, str]) -> Deployment:
    """Return a row.

    Raises
    ------
    ValueError
        If it cannot be used.
    """
    site, serial = (values[name] if is_given(values, name) else "" for name in ("site", "serial"))
    if not site and not serial:
        raise ValueError("names neither a site nor a recorder's serial number")
    coordinates, bad = parse_coordinates(values)
    if bad or not coordinates:
        fault = f"{bad} cannot be used" if bad else "are missing"
        raise ValueError(f"its coordinates {fault}; they should be degrees, as 52.5 and 13.4")
    start = _moment(values, "from", time.min) or datetime.min
    end = _moment(values, "to", time.max) or datetime.max
    if end < start:
        raise ValueError(f"ends ({values['to']}) before it starts ({values['from']})")
    elevation = in_range(values.get("elevation", "").removesuffix("m").strip(), -500.0, 9000.0)
    place = RecorderMetadata(latitude=coordinates["latitude"], longitude=coordinates["longitude"], elevation=elevation)
    return Deployment(line, site, serial, start, end, place)


def _moment(values: Mapping[str, str], name: str, of_day: time) -> datetime | None:
    """Return the time in a column; of a day without a time, the time `of_day`."""
    if not is_given(values, name):
        return None
    text = values[name]
    try:
        with suppress(ValueError):
            return datetime.combine(date.fromisoformat(text), of_day)
        moment = datetime.fromisoformat(text)
    except ValueError:
        wanted = "it should be as 2021-10-02 or 2021-10-02 19:00"
        raise ValueError(f"its {name} {text[:30]!r} cannot be used; {wanted}") from None
    if moment.tzinfo:
        raise ValueError(f"its {name} {text[:30]!r} has a time zone; it should be by the recorder's clock")
    return moment
