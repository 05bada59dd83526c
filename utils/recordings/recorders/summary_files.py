"""The summary that recorders of Wildlife Acoustics write on the SD card: time, place, voltage and temperature.

Lines as `2026-Jan-20,13:47:00,42.43068,N,71.45617,W,4.107,25.1,0` below `DATE,TIME,LAT,NS,LON,EW,POWER(V),TEMP(C),…`,
a line each minute while the recorder is awake; the headings come again at each start. A card's file is
`RECORDER_Summary.txt`, of recorders with two cards `RECORDER_A_Summary.txt` or `RECORDER_Summary_1.txt`. Times are
those of the recorder's clock.

Source: user guides of Song Meter Mini 2, SM4 and SM5, Wildlife Acoustics.
"""

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path

from utils.encodings import decoded
from utils.files import check_plain
from utils.recordings.recorders.metadata import (
    COLDEST,
    HOTTEST,
    MOST_VOLTS,
    RecorderMetadata,
    believable,
)
from utils.recordings.recording import in_range

LARGEST_SUMMARY = 64 << 20  # bytes: a line each minute for years
NEAR_LINE = timedelta(minutes=30)  # temperature and voltage of a line further away say nothing of a recording
_NAME = re.compile(r"(?P<recorder>.+?)(?:_[AB12])?_Summary(?:_\d)?\.txt", re.IGNORECASE)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAY = re.compile(r"(\d{4})-([A-Za-z]{3}|\d\d?)-(\d\d?)", re.ASCII)
_CLOCK_CELL = re.compile(r"(\d\d?):(\d\d)(?::(\d\d))?", re.ASCII)


@dataclass(frozen=True)
class SummaryLine:
    """What a recorder wrote at a time of its clock, without time zone."""

    time: datetime
    metadata: RecorderMetadata


@dataclass(frozen=True)
class Summary:
    """The lines of a recorder's summary, in the order of time, and what could not be used."""

    lines: tuple[SummaryLine, ...]
    problems: tuple[str, ...] = ()

    @cached_property
    def placed(self) -> tuple[SummaryLine, ...]:
        """The lines with a place."""
        return tuple(one for one in self.lines if one.metadata.latitude is not None)

    def at(self, started: datetime | None) -> RecorderMetadata:
        """Return what the summary tells of a recording.

        Place is that of the nearest line; temperature and voltage, too, if it is near. If the time of the recording is
        not known, the place is known only if the recorder never moved.
        """
        placed = self.placed
        if started is None:
            places = {(one.metadata.latitude, one.metadata.longitude) for one in placed}
            return _place_of(placed[0]) if len(places) == 1 else RecorderMetadata()
        clock = started.replace(tzinfo=None)
        near, nearest_placed = _nearest(self.lines, clock), _nearest(placed, clock)
        metadata = near.metadata if near and abs(near.time - clock) <= NEAR_LINE else RecorderMetadata()
        return metadata.completed(_place_of(nearest_placed)) if nearest_placed else metadata


def _place_of(line: SummaryLine) -> RecorderMetadata:
    return RecorderMetadata(latitude=line.metadata.latitude, longitude=line.metadata.longitude)


def _nearest(lines: Sequence[SummaryLine], clock: datetime) -> SummaryLine | None:
    after = bisect_left(lines, clock, key=lambda one: one.time)
    return min(lines[max(0, after - 1) : after + 1], key=lambda one: abs(one.time - clock), default=None)


def recorder_of_summary(name: str) -> str:
    """Return the recorder whose summary a file is, by its name; '' for other files."""
    found = _NAME.fullmatch(name)
    return found["recorder"] if found else ""


def read_summary(path: Path) -> Summary:
    """Read a summary, in whatever encoding; lines that cannot be used cost only themselves.

    Raises
    ------
    OSError, ValueError
        If the file cannot be read, is none, or is too large.
    """
    check_plain(path)
    if path.stat().st_size > LARGEST_SUMMARY:
        raise ValueError(f"is too large for a summary ({path.stat().st_size / 1e6:,.0f} MB)")
    return parse_summary(path.read_bytes())


def parse_summary(content: bytes) -> Summary:
    """Return the lines of a summary, and what could not be used in one line."""
    columns: dict[str, int] = {}
    lines, bad = list[SummaryLine](), list[int]()
    for line_index, text in enumerate(decoded(content).lines, 1):
        cells = [cell.strip().strip('"') for cell in text.strip("\0\r\n ").split(",")]
        if not any(cells):
            continue
        names = [re.sub(r"\W.*|_.*", "", cell.upper()) for cell in cells]
        if {"DATE", "TIME"} <= set(names):
            columns = {name: index for index, name in reversed(list(enumerate(names)))}
        elif line := _line(cells, columns):
            lines.append(line)
        else:
            bad.append(line_index)
    problem = f"{len(bad):,} of {len(bad) + len(lines):,} lines cannot be used, such as line {bad[0]}" if bad else ""
    return Summary(tuple(sorted(lines, key=lambda one: one.time)), (problem,) if problem else ())


def _line(cells: Sequence[str], columns: dict[str, int]) -> SummaryLine | None:
    """Return a line below its headings; None if it has no time."""
    values = {name: cells[index] for name, index in columns.items() if index < len(cells)}
    time = _time_of_line(values.get("DATE", ""), values.get("TIME", ""))
    if time is None:
        return None
    latitude, longitude = (_degrees(cells, columns.get(name), limit=limit) for name, limit in _PLACE_COLUMNS.items())
    placed = latitude is not None and longitude is not None and (latitude, longitude) != (0.0, 0.0)
    metadata = RecorderMetadata(
        temperature=in_range(values.get("TEMP", ""), COLDEST, HOTTEST),
        battery=in_range(values.get("POWER", ""), 0.0, MOST_VOLTS),
        latitude=latitude if placed else None,
        longitude=longitude if placed else None,
    )
    return SummaryLine(time, metadata)


_PLACE_COLUMNS = {"LAT": 90.0, "LON": 180.0}  # columns and their limits, degrees


def _degrees(cells: Sequence[str], column: int | None, *, limit: float) -> float | None:
    """Return a latitude or longitude; the cell behind it tells the hemisphere."""
    if column is None:
        return None
    text, hemisphere = [*cells[column : column + 2], "", ""][:2]
    number = in_range(text, -limit, limit)
    return -abs(number) if number is not None and hemisphere.upper() in ("S", "W") else number


def _time_of_line(day: str, clock: str) -> datetime | None:
    found, of_day = _DAY.fullmatch(day), _CLOCK_CELL.fullmatch(clock)
    if not found or not of_day:
        return None
    month = found[2].lower()
    number = _MONTHS.index(month) + 1 if month in _MONTHS else int(month) if month.isdecimal() else 0
    try:
        time = datetime(int(found[1]), number, int(found[3]), int(of_day[1]), int(of_day[2]), int(of_day[3] or 0))
    except ValueError:
        return None
    return believable(time)
