"""The recordings of an archive with what recorders wrote about them, and the table of it, `recorders.csv`."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from config import Dataset
from utils.console import Failure
from utils.formula_cells import defused
from utils.recordings.recorders.clocks import in_zone, time_zone
from utils.recordings.recorders.file_names import RecorderName
from utils.recordings.recorders.metadata import RecorderMetadata, in_utc, iso_text, parsed_time
from utils.recordings.recorders.survey import NamedSound, survey_recorders
from utils.recordings.recording import Recording
from utils.tables import write_csv

RECORDER_KINDS = ("folders", "annotations")  # of archives: those that people make of recorders' files
RECORDER_SCHEMA = pl.Schema(
    {
        "recording": pl.String(),
        "site": pl.String(),
        "local": pl.String(),  # when it started, in dataset.time_zone, else by the recorder's clock
        "utc": pl.String(),  # the same in UTC; '' if the time zone is not known
        "recorder": pl.String(),
        "serial": pl.String(),
        "gain": pl.String(),
        "temperature": pl.Float64(),  # degrees Celsius
        "battery": pl.Float64(),  # volts
        "latitude": pl.Float64(),
        "longitude": pl.Float64(),
    }
)


class Recorded(NamedTuple):
    """Recordings with what recorders wrote, what cannot be used of it, and the files that were read for it."""

    recordings: list[Recording]
    failures: list[Failure]
    files: frozenset[Path]


def read_recorders(recordings: Sequence[Recording], folder: Path, settings: Dataset, *, applies: bool) -> Recorded:
    """Return recordings with what recorders wrote about them, where nothing else tells it.

    Parameters
    ----------
    folder : of the archive
    applies : whether it may hold recorders' files, and their headers can be read; else nothing is changed
    """
    if not applies:
        return Recorded(list(recordings), [], frozenset())
    found = survey_recorders([_named(one, folder) for one in recordings], folder, settings)
    known = [_with_metadata(one, told) for one, told in zip(recordings, found.metadata, strict=True)]
    table = {settings.deployments.resolve()} if settings.deployments else set[Path]()
    return Recorded(known, found.failures, found.summaries | table)


def _named(recording: Recording, folder: Path) -> NamedSound:
    """Return a recording's file, with what is known of it already."""
    home = Path(recording.moved_from) if recording.moved_from else recording.file
    label = home.relative_to(folder).as_posix() if home.is_relative_to(folder) else recording.name
    name = RecorderName(recording.locality, recording.date, recording.time, recording.latitude, recording.longitude)
    return NamedSound(recording.file, label, name, moved_from=home)


def _with_metadata(recording: Recording, told: RecorderMetadata) -> Recording:
    day, clock = recording.date, recording.time
    if told.started:
        day = day or told.started.date().isoformat()
        written = f"{told.started:%H:%M}{iso_text(told.started)[19:]}"
        clock = written if clock in ("", written[:5]) and day == told.started.date().isoformat() else clock
    changes: dict[str, Any] = {
        "date": day,
        "time": clock,
        "locality": told.site,
        "started": iso_text(told.started) or recording.started,
        "latitude": told.latitude,
        "longitude": told.longitude,
        "elevation": recording.elevation or ("" if told.elevation is None else f"{told.elevation:g}"),
        **{name: getattr(told, name) or getattr(recording, name) for name in ("recorder", "serial", "gain")},
    }
    for name in ("temperature", "battery"):
        changes[name] = getattr(recording, name) if getattr(told, name) is None else getattr(told, name)
    return replace(recording, **changes)


def recorder_table(recordings: Sequence[Recording], settings: Dataset) -> pl.DataFrame:
    """Return what is known of each recording that was made by a recorder, or whose time of day is known.

    Cells that a spreadsheet would run as a formula are made texts.
    """
    zone = time_zone(settings.time_zone)
    rows = []
    for one in recordings:
        if one.started or one.recorder or one.serial:
            started = parsed_time(one.started)
            times = (iso_text(in_zone(started, zone)), iso_text(in_utc(started)))
            numbers = (one.temperature, one.battery, one.latitude, one.longitude)
            texts = (one.name, one.locality, *times, one.recorder, one.serial, one.gain)
            rows.append((*map(defused, texts), *numbers))
    return pl.DataFrame(rows, schema=RECORDER_SCHEMA, orient="row").sort("recording")


def write_recorder_table(path: Path, recordings: Sequence[Recording], settings: Dataset) -> None:
    """Write the table, if any recording is in it; else remove that of an earlier sort."""
    table = recorder_table(recordings, settings)
    if len(table):
        write_csv(path, table)
    else:
        path.unlink(missing_ok=True)
