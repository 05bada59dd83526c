"""The table of `clips.table`: the times on which the clips of each recording are centred.

It may be the `spec/peaks.csv` of another run, or a CSV file of any other program with a column of recordings and one
of times.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import polars as pl

from config import Config
from utils import console
from utils.console import Failure, UserError
from utils.recordings.event_layout import NUMBER_PATTERN
from utils.recordings.sound_finder import SoundFinder
from utils.tables import ForeignTable, find_column, read_foreign

Times = Mapping[str, tuple[float, ...]]  # of each recording, by its name: seconds, in order
NO_TIMES: Times = MappingProxyType({})
# usual headings, in order of preference; case, spaces, underscores and brackets do not matter
RECORDING_HEADINGS = (
    *("recording", "file", "filename", "name", "path", "filepath", "audio_file", "audio_filename", "sound_file"),
    *("begin_file", "begin_path", "audio", "sound", "stem", "recording_id", "file_id"),
)
TIME_HEADINGS = (
    *("seconds", "second", "sec", "s", "time", "time_s", "time_sec", "time_seconds", "peak", "peak_s", "peak_time"),
    *("start", "start_s", "start_sec", "start_seconds", "start_time", "start_time_s", "begin", "begin_time"),
    *("begin_time_s", "onset", "onset_s"),
)
LATEST = 1e9  # seconds; a larger number is no time
SHOWN = 20  # rows that are listed
LONGEST_TEXT = 60  # characters of a cell in a message


@dataclass(frozen=True)
class ClipTable:
    """The content of a table of times.

    Attributes
    ----------
    path : the table; None: clips are not chosen by a table
    times : times of each recording; recordings without a row are missing
    failures : the rows that cannot be used, and why; rows that name no recording of the data set are one of them
    """

    path: Path | None = None
    times: Times = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()


def read_clip_table(split: pl.DataFrame, config: Config) -> ClipTable:
    """Read `clips.table` if `clips.choose` is table, and warn of recordings that have no row.

    Parameters
    ----------
    split : the recordings (`recording`, `file`), which the table names by either, or by a file's name or stem

    Raises
    ------
    UserError
        If the table cannot be read, lacks a column, holds no time of a recording, or is in the folder of the store.
    """
    path = config.clips.table
    if config.clips.choose != "table" or path is None:
        return ClipTable()
    store = config.dataset.store_at
    if isinstance(store, Path) and path.resolve().is_relative_to(store.resolve()):
        raise UserError(
            f"{path}: is in {store}, which spec.py manages and --fresh deletes; copy the table elsewhere, and set "
            "clips.table to the copy"
        )
    table = read_foreign(path, ragged=True)
    columns = _columns(table, path)
    meant = _recordings_meant(table, columns[0], split)
    times, failures = _times(table, columns, meant)
    if not times:
        raise UserError(
            f"{path}: holds no time of a recording of {config.dataset.root}; {_why_none(meant, failures, split)}"
        )
    _warn_of_recordings_without(path, split, times)
    return ClipTable(path, times, (*_without_recording(path, table, columns[0], meant, split), *failures))


def _why_none(meant: Mapping[str, str], failures: Sequence[Failure], split: pl.DataFrame) -> str:
    """Return why no row can be used, and what to do."""
    unknown = next((name for name, recording in meant.items() if name and not recording), "")
    if failures and not unknown:
        return f"{failures[0].name}: {failures[0].reason}"
    written = f"write them as in split.parquet, such as {split['recording'].first()!r}"
    return f"names such as {_short(unknown)} are not in the data set; {written}" if unknown else "it has no rows"


def _columns(table: ForeignTable, path: Path) -> tuple[str, str]:
    """Return the headings of the columns of recordings and of times."""
    found = []
    for what, usual in (("recordings", RECORDING_HEADINGS), ("times", TIME_HEADINGS)):
        column = find_column(table.columns, usual)
        if column is None:
            shown = ", ".join(table.columns)[:200]
            raise UserError(f"{path}: has no column of {what}; the columns are {shown}; name it {usual[0]}")
        found.append(column)
    recording, time = found
    if (recording, time) != ("recording", "seconds"):
        console.info(f"{path}: clips are centred on column {time!r} (seconds) of the recordings in {recording!r}")
    return recording, time


def _recordings_meant(table: ForeignTable, column: str, split: pl.DataFrame) -> dict[str, str]:
    """Return which recording each name in the table means; '' if none, or if several are as likely."""
    by_file = dict(split.select("file", "recording").iter_rows())
    known = {**by_file, **{name: name for name in split["recording"]}}
    names = dict.fromkeys(row[column].strip() for row in table.rows.values())
    meant = {name: known.get(name, "") for name in names}
    finder = SoundFinder(map(Path, by_file))
    others = finder.find_all([name for name, recording in meant.items() if name and not recording], Path("table"))
    found = {name: by_file[file.as_posix()] for name, file in others.items() if isinstance(file, Path)}
    return meant | found


def _times(
    table: ForeignTable, columns: tuple[str, str], meant: Mapping[str, str]
) -> tuple[dict[str, tuple[float, ...]], list[Failure]]:
    """Return the times of each recording, in order, and the rows that cannot be used."""
    found: dict[str, dict[float, str]] = {}  # the line of each time
    failures = [*table.bad]
    for place, row in table.rows.items():
        name, text = (row[column].strip() for column in columns)
        if not name:
            failures.append(Failure(place, "names no recording"))
        elif meant[name]:
            rows = found.setdefault(meant[name], {})
            try:
                time = _seconds(text)
            except ValueError as error:
                failures.append(Failure(place, str(error)))
                continue
            if time in rows:
                failures.append(Failure(place, f"repeats {time:g} s of line {rows[time]}; the time is used once"))
            else:
                rows[time] = place.rsplit(" ", 1)[-1]
    return {name: tuple(sorted(rows)) for name, rows in found.items() if rows}, failures


def _seconds(text: str) -> float:
    """Return a time in seconds, with a decimal point or comma.

    Raises
    ------
    ValueError
        If it is not a number, or negative.
    """
    number = text.replace(",", ".")
    if not NUMBER_PATTERN.fullmatch(number) or abs(float(number)) > LATEST:
        raise ValueError(f"the time {_short(text)} is not a number of seconds")
    if float(number) < 0:
        raise ValueError(f"the time {_short(text)} is negative")
    return abs(float(number))  # -0 is 0


def _short(text: str) -> str:
    return repr(text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…")


def _without_recording(
    path: Path, table: ForeignTable, column: str, meant: Mapping[str, str], split: pl.DataFrame
) -> list[Failure]:
    """Return one line about the rows that name no recording of the data set, if there are any."""
    unknown = [name for row in table.rows.values() if (name := row[column].strip()) and not meant[name]]
    if not unknown:
        return []
    reason = (
        f"{len(unknown):,} of {len(table.rows):,} rows are not used, because they name "
        f"{len(set(unknown)):,} recordings that are not in the data set, or not exactly one, such as "
        f"{_short(unknown[0])}; write names as in split.parquet, such as {split['recording'].first()!r}"
    )
    return [Failure(path.name, reason)]


def _warn_of_recordings_without(path: Path, split: pl.DataFrame, times: Times) -> None:
    without = [name for name in split["recording"] if name not in times]
    if without:
        console.warning(
            f"{path}: has no time of {len(without):,} of {len(split):,} recordings, which have no clips, such as "
            f"{without[0]!r}; add rows for them, or use another clips.choose"
        )


def unused_times(table: ClipTable, recordings: pl.DataFrame, *, rate: int) -> list[Failure]:
    """Print and return the rows that could not be used, and the recordings with times after their end.

    Parameters
    ----------
    recordings : the store's table of recordings
    rate : sample rate of the spectrograms, Hz, to which times are rounded
    """
    lengths = dict(recordings.filter(pl.col("reason").is_null()).select("recording", "seconds").iter_rows())
    failures = [*table.failures]
    for name, times in table.times.items():
        after = [time for time in times if name in lengths and round(time * rate) > round(lengths[name] * rate)]
        if after:
            count = "1 time is" if len(after) == 1 else f"{len(after):,} times are"
            failures.append(
                Failure(name, f"{count} after its end at {lengths[name]:.2f} s, such as {after[0]:g} s, and not used")
            )
    what = f"problems in {table.path}" + (f" (the first {SHOWN} are listed)" if len(failures) > SHOWN else "")
    console.report_failures(failures[:SHOWN], what=what, done="found", count=len(failures))
    return failures
