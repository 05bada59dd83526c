"""Tables as Parquet files: they appear whole or not at all, and are read with the columns that they should have."""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from utils.console import Failure, Trouble
from utils.files import check_plain, whole_file

LONGEST_ROW = 1000  # lines of a CSV; a quotation mark that nobody closes must not swallow the table


def write_table(path: Path, table: pl.DataFrame) -> None:
    """Write a table as Parquet."""
    content = io.BytesIO()  # polars hides the reason when a disk is full
    table.write_parquet(content)
    with whole_file(path) as stream:
        stream.write(content.getbuffer())


def write_csv(path: Path, table: pl.DataFrame) -> None:
    """Write a table as CSV."""
    with whole_file(path) as stream:
        stream.write(table.write_csv().encode())


def read_table(path: Path, schema: Mapping[str, Any], *, missing: str, damaged: str) -> pl.DataFrame:
    """Read a Parquet file whose columns are those of `schema`.

    Parameters
    ----------
    missing, damaged : what the user can do where there is no such file, or it cannot be used

    Raises
    ------
    Trouble
        With that advice.
    """
    try:
        with path.open("rb") as stream:  # polars would take brackets in a path for a pattern
            table = pl.read_parquet(stream)
    except FileNotFoundError:
        raise Trouble(f"{path}: no such file; {missing}") from None
    except (pl.exceptions.PolarsError, OSError) as error:
        raise Trouble(f"{path}: cannot be read ({' '.join(str(error).split())}); {damaged}") from None
    if table.schema != schema:
        raise Trouble(f"{path}: has other columns than this version writes; {damaged}")
    return table


def leads_away(column: str, *, folders: bool) -> pl.Expr:
    """Tell of each path in a column whether it could lead out of the folder that it is taken to lie in.

    Parameters
    ----------
    folders : whether it may be the path of a file in folders below, or must be a single name
    """
    outwards = r"^[/\\]|^[A-Za-z]:|(^|[/\\])\.\.([/\\]|$)|\x00"
    return pl.col(column).str.contains(outwards if folders else rf"[/\\]|^\.|{outwards}")


@dataclass(frozen=True)
class ForeignTable:
    """A table that somebody else wrote, as text.

    Attributes
    ----------
    columns : its headings
    rows : the values by heading, and where each row stands: 'table.csv line 7'
    bad : the rows that cannot be read, and why
    """

    columns: list[str]
    rows: dict[str, dict[str, str]]
    bad: list[Failure]


def read_foreign(path: Path, *, needed: Sequence[str] = (), separators: str = ",;\t") -> ForeignTable:
    """Read a table that somebody else wrote; a bad row costs nobody but itself (polars would refuse the table, and knows no lines).

    Parameters
    ----------
    needed : columns that must be there
    separators : what may stand between two values; the one that the first line has most of is taken

    Raises
    ------
    Trouble
        If it cannot be read, holds nothing, or lacks a needed column.
    """
    try:
        check_plain(path)
        lines = lines_of(path.read_bytes())
    except ValueError as error:
        raise Trouble(f"{path}: {error}") from None
    except OSError as error:
        raise Trouble(f"{path}: cannot be read ({error.strerror})") from None
    first = next((line for line in lines if line.strip()), "")
    parsed = ((line, values) for line, values in csv_rows(lines, separator=max(separators, key=first.count)) if values is None or any(values))
    _, header = next(parsed, (1, None))
    columns = [column.strip() for column in header or []]
    if not any(columns):
        raise Trouble(f"{path}: holds no table")
    if not_utf8("".join(columns)):
        raise Trouble(f"{path}: is not UTF-8")
    for column in needed:
        if column not in columns:
            raise Trouble(f"{path}: has no column {column}; there are {', '.join(columns)[:200]}")
    rows: dict[str, dict[str, str]] = {}
    bad = []
    for line, values in parsed:
        place = f"{path.name} line {line}"
        if values is None:
            bad.append(Failure(place, "broken quoting"))
        elif len(values) != len(columns):
            bad.append(Failure(place, f"has {len(values)} values, the table {len(columns)} columns"))
        elif not_utf8("".join(values)):
            bad.append(Failure(place, "is not UTF-8"))
        else:
            rows[place] = dict(zip(columns, values, strict=True))
    return ForeignTable(columns, rows, bad)


def reason_of(error: Trouble, path: Path) -> str:
    """Return what is wrong with a table, without its path, which a list of failures names already."""
    return str(error).removeprefix(f"{path}: ")


def refuse_bad_rows(path: Path, table: ForeignTable) -> None:
    """Refuse a table in which a row cannot be read, where the user wrote it for us and wants to know.

    Raises
    ------
    Trouble
        That names the row.
    """
    for failure in table.bad:
        raise Trouble(f"{path.parent / failure.name}: {failure.reason}")


def lines_of(content: bytes) -> list[str]:
    """Return the lines of a text with their ends; bytes that are not UTF-8 become marks that `not_utf8` finds."""
    return list(io.StringIO(content.decode("utf-8-sig", "surrogateescape"), newline=""))


def not_utf8(text: str) -> bool:
    """Tell whether a text of `lines_of` was not UTF-8."""
    return any("\udc80" <= character <= "\udcff" for character in set(text))


def csv_rows(lines: Sequence[str], *, separator: str) -> Iterator[tuple[int, list[str] | None]]:
    """Yield the line, counted from 1, and the values of each row; None where the quoting is broken, after which it goes on in the next line."""
    line = 0
    while line < len(lines):
        reader = csv.reader(map(lines.__getitem__, range(line, min(line + LONGEST_ROW, len(lines)))), delimiter=separator, strict=True)
        try:
            values, read = next(reader), reader.line_num
        except csv.Error:
            values, read = None, 1
        yield line + 1, values
        line += read


def find_column(columns: Sequence[str], usual: Sequence[str]) -> str | None:
    """Return the first column that is called one of the `usual` names; case, spaces, underscores and brackets do not matter."""
    by_key = {_plain(column): column for column in reversed(columns)}
    return next((by_key[_plain(name)] for name in usual if _plain(name) in by_key), None)


def _plain(heading: str) -> str:
    return re.sub(r"[^\w]|_", "", heading.lower())
