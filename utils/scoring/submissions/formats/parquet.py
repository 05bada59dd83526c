"""All detections as one Parquet file: the columns of the CSV of detections, with types.

recording (String), start, end (Float64, seconds), species (String), score (Float64). With `testing.novelty`, novelty
(Float64). If recorders tell sites or times of any recording: site (String), and when the interval starts, `local` (as
clocks there show it, without a time zone) and `utc`; null where it is not known.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from utils.console import UserError
from utils.files import remove_path
from utils.recordings.recorders.clocks import time_after
from utils.recordings.recorders.metadata import RecorderMetadata, in_utc
from utils.scoring.submissions.formats.detections import RecordingDetections
from utils.scoring.submissions.formats.layout import SubmissionLayout
from utils.scoring.submissions.formats.problems import Problems, check_event, check_score, quoted
from utils.tables import write_table

PARQUET_ROWS = 100_000  # rows in memory, and of a row group

_TypedRow = tuple[Any, ...]


def parquet_schema(layout: SubmissionLayout) -> dict[str, Any]:
    """Return the columns and their types."""
    number, text = pl.Float64(), pl.String()
    schema: dict[str, Any] = {"recording": text, "start": number, "end": number, "species": text, "score": number}
    schema |= {"novelty": number} if layout.novelty else {}
    if any(one.site or one.started for one in layout.recorders.values()):
        schema |= {"site": text, "local": pl.Datetime("us"), "utc": pl.Datetime("us", "UTC")}
    return schema


def write_parquet(path: Path, recordings: Iterable[RecordingDetections], layout: SubmissionLayout) -> int:
    """Write the file; return its number of rows. Memory does not grow with them.

    Raises
    ------
    UserError
        If it cannot be written.
    """
    rows, count, schema = _typed_rows(recordings, layout), 0, parquet_schema(layout)
    with _empty_folder(path.with_name(f".{path.name}.part")) as folder:  # as unfinished files are called
        parts = [folder / "0"]
        while some := list(islice(rows, PARQUET_ROWS)):
            parts[-1] = folder / f"{count}"
            write_table(parts[-1], pl.DataFrame(some, schema=schema, orient="row"))
            parts.append(folder / f"{count + len(some)}")
            count += len(some)
        write_table(parts[-1], pl.DataFrame(schema=schema))
        _join(parts, path)
    return count


@contextmanager
def _empty_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder, and remove it at the end."""
    remove_path(path)
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        remove_path(path)


def _join(parts: list[Path], path: Path) -> None:
    """Write the rows of all parts as one file, which appears when it is whole and on disk."""
    joined = parts[0].with_name("all")
    try:
        pl.scan_parquet(parts, glob=False).sink_parquet(joined, row_group_size=PARQUET_ROWS)
    except pl.exceptions.PolarsError as error:
        raise UserError(f"{path}: cannot be written ({' '.join(str(error).split())})") from None
    with joined.open("rb+") as stream:
        os.fsync(stream.fileno())
    os.replace(joined, path)


def _typed_rows(recordings: Iterable[RecordingDetections], layout: SubmissionLayout) -> Iterator[_TypedRow]:
    schema, digits = parquet_schema(layout), layout.time_digits
    for file, detections in recordings:
        name = file.encode("utf-8", "backslashreplace").decode()
        for one in detections:
            novelty = [one.novelty] if "novelty" in schema else []
            origin = _origin(file, one.start, layout) if "site" in schema else ()
            times = round(one.start, digits), round(one.end, digits)
            yield (name, *times, layout.classes[one.class_index], one.score, *novelty, *origin)


def _origin(file: str, start: float, layout: SubmissionLayout) -> tuple[str | None, datetime | None, datetime | None]:
    """Return the site of a recording, and when an interval of it starts, by clocks there and in UTC."""
    told = layout.recorders.get(file, RecorderMetadata())
    local = time_after(told.started, start, layout.zone)
    return told.site or None, local.replace(tzinfo=None) if local else None, in_utc(local)


def check_parquet(path: Path, layout: SubmissionLayout) -> Problems:
    """Check a Parquet file of detections; problems are told by row, counted from 1."""
    problems, schema = Problems(), parquet_schema(layout)
    try:
        with path.open("rb") as stream:
            found = pl.read_parquet_schema(stream)
    except pl.exceptions.PolarsError as error:
        problems.add(f"cannot be read as Parquet ({' '.join(str(error).split())})")
        return problems
    if found != pl.Schema(schema):
        problems.add(f"the columns should be {', '.join(f'{name} ({form})' for name, form in schema.items())}")
        return problems
    known = {file.encode("utf-8", "backslashreplace").decode(): file for file in layout.files}
    labels = set(layout.classes)
    for index, row in enumerate(_written_rows(path), 1):
        _check_row(row, known, labels, layout, problems, index)
    return problems


def _written_rows(path: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the rows; memory does not grow with their number."""
    start = 0
    while len(some := pl.scan_parquet(path, glob=False).slice(start, PARQUET_ROWS).collect()):
        yield from some.iter_rows(named=True)
        start += len(some)


def _check_row(
    row: Mapping[str, Any],
    known: Mapping[str, str],
    labels: set[str],
    layout: SubmissionLayout,
    problems: Problems,
    index: int,
) -> None:
    empty = [name for name in ("recording", "start", "end", "species", "score") if row[name] is None]
    if empty:
        problems.add(f"{', '.join(empty)} should not be empty", index)
        return
    check_event(repr(row["start"]), repr(row["end"]), row["species"], labels, layout, problems, index)
    for name in {"score", "novelty"} & row.keys():
        check_score(repr(row[name]), problems, index)
    if row["recording"] not in known:
        problems.add(f"no recording has the path {quoted(row['recording'])}", index)
    elif "site" in row:
        origin = _origin(known[row["recording"]], row["start"], layout)
        if (row["site"], row["local"], row["utc"]) != origin:
            problems.add(f"site or times are not those of {quoted(row['recording'])}", index)
