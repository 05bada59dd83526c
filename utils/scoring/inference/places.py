"""Where and when recordings were made that are to be predicted: from the table `submission.places`, and from recorders.

The table has a row for each recording (column `recording`, `file`, …: its name, file or path) or site (column `site`),
with the columns `latitude` and `longitude` (degrees), and if known `date` (2023-06-15) or `week` (1 to 48), and
`elevation` (metres). What the row of a recording lacks is taken from that of its site. The site of a recording is in
its row, or in the name of its file (`dataset.site_pattern`). Recorders tell place and date in headers and names of
files, and in summaries on their cards.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from config import Config
from utils.console import Failure, UserError
from utils.recordings.metadata_tables import (
    METADATA_COLUMNS,
    RECORDING_COLUMNS,
    SITE_COLUMNS,
    is_given,
    parse_coordinates,
    plain_date,
    site_key,
)
from utils.recordings.recorders.file_names import read_recorder_names
from utils.recordings.recorders.metadata import RecorderMetadata
from utils.recordings.recorders.survey import metadata_of_name
from utils.recordings.sound_finder import SoundFinder
from utils.scoring.inference.prior_metadata import WEEKS, PlaceAndWeek, day_of_year, metres, week_of
from utils.tables import find_column, read_foreign

SHOWN_ROWS = 5  # of the rows that cannot be used
_UNKNOWN = PlaceAndWeek(None, None, None)
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "recording": RECORDING_COLUMNS,
    "site": SITE_COLUMNS,
    "latitude": ("latitude", "lat"),
    "longitude": ("longitude", "lon", "lng"),
    "date": ("date",),
    "week": ("week",),
    "elevation": METADATA_COLUMNS["elevation"],
}


@dataclass(frozen=True)
class Places:
    """Where and when recordings were made, by their names.

    Attributes
    ----------
    given : from the table: of a recording, and the coordinates and elevation of its site
    named : from the recorder and the name of its file, and the date of its site
    failures : what of the table cannot be used, or names nothing that is predicted
    """

    given: Mapping[str, PlaceAndWeek] = field(default_factory=dict)
    named: Mapping[str, PlaceAndWeek] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()

    def of(self, name: str, known: PlaceAndWeek | None) -> PlaceAndWeek:
        """Return place and week of a recording: from the table, else from its metadata, else from its recorder."""
        return _completed(self.given.get(name), known, self.named.get(name))


def read_places(
    names: Sequence[str], files: Sequence[str], config: Config, recorders: Sequence[RecorderMetadata] | None = None
) -> Places:
    """Read the places of recordings.

    Parameters
    ----------
    names, files : of the recordings; the files relative to their folder
    recorders : what recorders wrote about them; None: only what the names of their files tell

    Raises
    ------
    UserError
        If the table `submission.places` cannot be read, or lacks a column.
    """
    found = recorders
    if found is None:
        found = [metadata_of_name(one) for one in read_recorder_names(files, config.dataset.site_pattern)]
    rows = _read_rows(config.submission.places, names, files, [one.site for one in found])
    given, named = {}, {}
    for name, one in zip(names, found, strict=True):
        row = rows.recordings.get(name, _NO_ROW)
        site = rows.sites.get(site_key(row.site or one.site), _NO_ROW)
        given[name] = replace(_completed(row.place, site.place), week=row.place.week, day=row.place.day)
        in_name = PlaceAndWeek(one.latitude, one.longitude, week_of(one.date), day_of_year(one.date), one.elevation)
        named[name] = _completed(in_name, site.place)
    return Places(given, named, rows.failures)


def _completed(*sources: PlaceAndWeek | None) -> PlaceAndWeek:
    """Return the first coordinates, the first date (or week) and the first elevation that are known."""
    known = [one for one in sources if one]
    placed = next((one for one in known if None not in (one.latitude, one.longitude)), _UNKNOWN)
    dated = next((one for one in known if one.week is not None), _UNKNOWN)
    elevation = next((one.elevation for one in (placed, *known) if one.elevation is not None), None)
    return replace(placed, week=dated.week, day=dated.day, elevation=elevation)


@dataclass(frozen=True)
class _Row:
    """A row that can be used: the recording or the site that it names, and where and when that is."""

    recording: str
    site: str
    place: PlaceAndWeek


_NO_ROW = _Row("", "", _UNKNOWN)


@dataclass(frozen=True)
class _PlaceRows:
    """The rows of recordings, by name, and of sites, by `site_key`; and what of the others is told to the user."""

    recordings: dict[str, _Row] = field(default_factory=dict)
    sites: dict[str, _Row] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()


def _read_rows(path: Path | None, names: Sequence[str], files: Sequence[str], sites: Iterable[str]) -> _PlaceRows:
    """Read the table of places; `sites`: those of the recordings, from their files' names."""
    if path is None:
        return _PlaceRows()
    rows, failures = _rows_by_line(path)
    sounds, name_of = SoundFinder(map(Path, files)), dict(zip(map(Path, files), names, strict=True))
    found, unmatched = _PlaceRows(), dict[str, str]()
    targets = sounds.find_all((row.recording for row in rows.values() if row.recording), Path(path.name))
    for line, row in rows.items():
        target = targets.get(row.recording)
        if isinstance(target, Path):
            failures += _add(found.recordings, name_of[target], row, line)
        elif not row.recording:
            failures += _add(found.sites, site_key(row.site), row, line)
        elif sounds.knows(row.recording):
            failures.append(Failure(line, str(target)))
        else:
            unmatched[line] = row.recording
    wanted = {site_key(site) for site in (*sites, *(row.site for row in found.recordings.values()))}
    unmatched |= {
        line: row.site for line, row in rows.items() if not row.recording and site_key(row.site) not in wanted
    }
    return replace(found, failures=(*_first_failures(path, failures), *_unmatched(path, unmatched, count=len(rows))))


def _add(known: dict[str, _Row], key: str, row: _Row, line: str) -> list[Failure]:
    """Add a row, unless another row tells something else of the same recording or site."""
    earlier = known.setdefault(key, row)
    return (
        []
        if earlier.place == row.place
        else [Failure(line, f"tells of {key!r}, which an earlier row places elsewhere")]
    )


def _rows_by_line(path: Path) -> tuple[dict[str, _Row], list[Failure]]:
    table = read_foreign(path, ragged=True)
    columns = {name: find_column(table.columns, usual) for name, usual in _COLUMNS.items()}
    named = columns["recording"] or columns["site"]
    missing = [] if named else ["recording or site"]
    missing += [name for name in ("latitude", "longitude") if not columns[name]]
    if missing:
        raise UserError(
            f"{path}: has no column {' and no column '.join(missing)}; there are {', '.join(table.columns)[:200]}"
        )
    rows, failures = {}, list(table.bad)
    for line, values in table.rows.items():
        try:
            rows[line] = _parsed_row({name: values[column].strip() for name, column in columns.items() if column})
        except ValueError as error:
            failures.append(Failure(line, str(error)))
    return rows, failures


def _parsed_row(values: Mapping[str, str]) -> _Row:
    """Return a row.

    Raises
    ------
    ValueError
        If it cannot be used.
    """
    recording, site = values.get("recording", ""), values.get("site", "")
    if not recording and not site:
        raise ValueError("names neither a recording nor a site")
    coordinates, bad = parse_coordinates(values)
    if bad:
        raise ValueError(f"its coordinates {bad} cannot be used; they should be degrees, as 52.5 and 13.4")
    week = _week_of_row(values)
    if not coordinates and week is None and not (recording and site):
        raise ValueError("has no coordinates")
    day = None if is_given(values, "week") else day_of_year(plain_date(values.get("date", "")))
    elevation = metres(values.get("elevation", ""))
    place = PlaceAndWeek(coordinates.get("latitude"), coordinates.get("longitude"), week, day, elevation)
    return _Row(recording, site, place)


def _week_of_row(values: Mapping[str, str]) -> int | None:
    if is_given(values, "week"):
        text = values["week"]
        if not text.isdecimal() or not 1 <= int(text) <= WEEKS:
            raise ValueError(f"its week {text[:20]!r} is not a whole number from 1 to {WEEKS}")
        return int(text)
    if not is_given(values, "date"):
        return None
    week = week_of(plain_date(values["date"]))
    if week is None:
        raise ValueError(f"its date {values['date'][:20]!r} cannot be used; it should be as 2023-06-15")
    return week


def _first_failures(path: Path, failures: Sequence[Failure]) -> list[Failure]:
    """Return the first rows that cannot be used, and one line about the others."""
    more = len(failures) - SHOWN_ROWS
    others = f"{more:,} more {'row' if more == 1 else 'rows'} cannot be used"
    return [*failures[:SHOWN_ROWS], *([Failure(path.name, others)] if more > 0 else [])]


def _unmatched(path: Path, names: Mapping[str, str], *, count: int) -> list[Failure]:
    """Return one line about the rows that name something else.

    Parameters
    ----------
    names : what such rows name, by their lines
    count : of all rows
    """
    if not names:
        return []
    line, name = next(iter(names.items()))
    some = f"{len(names):,} of {count:,} rows name neither a recording that is predicted nor the site of one"
    return [Failure(path.name, f"{some}, such as {name!r} (line {line.rsplit(' ', 1)[-1]})")]
