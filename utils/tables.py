"""Tables as Parquet files: they appear whole or not at all, and are read with the columns that they should have."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import polars as pl

from utils.console import Failure, UserError, warn
from utils.encodings import Text, decoded, undecoded
from utils.files import check_plain, whole_file

LONGEST_ROW = 1000  # lines of a CSV; a quotation mark that nobody closes must not swallow the table
NONE_LATER: Mapping[str, Any] = MappingProxyType({})


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


def read_table(
    path: Path, schema: Mapping[str, Any], *, missing: str, damaged: str, later: Mapping[str, Any] = NONE_LATER
) -> pl.DataFrame:
    """Read a Parquet file whose columns are those of `schema`.

    Parameters
    ----------
    missing, damaged : what the user can do where there is no such file, or it cannot be used
    later : columns that files of earlier versions lack, and what stands in them then

    Raises
    ------
    UserError
        With that advice.
    """
    try:
        with path.open("rb") as stream:  # polars would take brackets in a path for a pattern
            table = pl.read_parquet(stream)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; {missing}") from None
    except (pl.exceptions.PolarsError, OSError) as error:
        raise UserError(f"{path}: cannot be read ({' '.join(str(error).split())}); {damaged}") from None
    absent = {name: pl.lit(value, dtype=schema[name]) for name, value in later.items() if name not in table.columns}
    if absent and set(table.columns) | set(absent) == set(schema):
        table = table.with_columns(**absent).select(*schema)
    if table.schema != schema:
        raise UserError(f"{path}: has other columns than this version writes; {damaged}")
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


def read_foreign(
    path: Path, *, needed: Sequence[str] = (), separators: str = ",;\t", ragged: bool = False
) -> ForeignTable:
    """Read a table that somebody else wrote; a bad row costs nobody but itself (polars would refuse the table, and knows no lines).

    Parameters
    ----------
    needed : columns that must be there
    separators : what may stand between two values; the one that the first line has most of is taken
    ragged : take rows that lack their last values, or have empty ones too many, as spreadsheets write them

    Raises
    ------
    UserError
        If it cannot be read, holds nothing, or lacks a needed column.
    """
    try:
        check_plain(path)
        lines, said = without_preamble(read_text(path).lines)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    separator = said or max(separators, key=first_of(lines).count)
    parsed = ((line, values) for line, values in csv_rows(lines, separator=separator) if values is None or any(values))
    _, header = next(parsed, (1, None))
    columns = [column.strip() for column in header or []]
    if not any(columns):
        raise UserError(f"{path}: holds no table")
    if not_utf8("".join(columns)):
        raise UserError(f"{path}: is not UTF-8")
    for column in needed:
        if column not in columns:
            raise UserError(f"{path}: has no column {column}; there are {', '.join(columns)[:200]}")
    rows: dict[str, dict[str, str]] = {}
    bad = []
    for line, values in parsed:
        place = f"{path.name} line {line}"
        if values is None:
            bad.append(Failure(place, "broken quoting"))
            continue
        if ragged and not any(values[len(columns) :]):
            values = (values + [""] * len(columns))[: len(columns)]
        if len(values) != len(columns):
            bad.append(Failure(place, f"has {len(values)} values, the table {len(columns)} columns"))
        elif not_utf8("".join(values)):
            bad.append(Failure(place, "is not UTF-8"))
        else:
            rows[place] = dict(zip(columns, values, strict=True))
    return ForeignTable(columns, rows, bad)


def reason_of(error: UserError, path: Path) -> str:
    """Return what is wrong with a table, without its path, which a list of failures names already."""
    return str(error).removeprefix(f"{path}: ")


def refuse_bad_rows(path: Path, table: ForeignTable) -> None:
    """Refuse a table in which a row cannot be read, where the user wrote it for us and wants to know.

    Raises
    ------
    UserError
        That names the row.
    """
    for failure in table.bad:
        raise UserError(f"{path.parent / failure.name}: {failure.reason}")


def read_text(path: Path) -> Text:
    """Read a table of others; where its encoding had to be guessed, the user is told."""
    text = decoded(path.read_bytes())
    if text.guessed:
        warn(f"{path}: is not UTF-8; read as Windows-1252")
    return text


def lines_of(content: bytes) -> list[str]:
    """Return the lines of a text with their ends, which the user wrote for us and can write in UTF-8; bytes that are not become marks that `not_utf8` finds."""
    return decoded(content, guess=False).lines


def not_utf8(text: str) -> bool:
    """Tell whether a text of `lines_of` was not UTF-8 (nor UTF-16)."""
    return undecoded(text)


def first_of(lines: Iterable[str]) -> str:
    """Return the first line that holds something, or ''."""
    return next((line for line in lines if line.strip()), "")


def without_preamble(lines: Sequence[str]) -> tuple[list[str], str]:
    """Empty the lines before a table's headings that are none: `sep=;` as of Excel, and comments that begin with #.

    Returns
    -------
    The lines, as many as there were, and the separator that they say; '' where none is said.
    """
    said, first = "", 0
    for first, line in enumerate(lines):
        text = line.strip().strip('"')
        if len(text) == len("sep=") + 1 and text.lower().startswith("sep=") and not said:
            said = text[-1]
        elif line.strip().lower() == "sep=":  # and a tab
            said = "\t" if line.lower().startswith("sep=\t") else said
        elif text and (not text.startswith("#") or _is_headings(line, lines[first + 1 :])):
            break
    else:
        first = len(lines)
    return ["\n"] * first + list(lines[first:]), said


def _is_headings(line: str, below: Sequence[str]) -> bool:
    """Tell whether a line that begins with # has the headings of the rows below it (#file,start,end), as some programs write them, and is no comment."""
    following = first_of(below)
    separator = max(",;\t|", key=line.count)
    alike = line.count(separator) == following.count(separator) > 0
    return alike and any(re.fullmatch(r"\s*[+-]?\d[\d.,:]*\s*", cell) for cell in following.split(separator))


def csv_rows(lines: Sequence[str], *, separator: str) -> Iterator[tuple[int, list[str] | None]]:
    """Yield the line, counted from 1, and the values of each row; None where the quoting is broken, after which it goes on in the next line."""
    line = 0
    while line < len(lines):
        reader = csv.reader(
            map(lines.__getitem__, range(line, min(line + LONGEST_ROW, len(lines)))), delimiter=separator, strict=True
        )
        try:
            values, read = next(reader), reader.line_num
        except csv.Error:
            values, read = None, 1
        yield line + 1, values
        line += read


def find_column(columns: Sequence[str], usual: Sequence[str]) -> str | None:
    """Return the first column that is called one of the `usual` names; case, spaces, underscores and brackets do not matter."""
    by_key = {plain_heading(column): column for column in reversed(columns)}
    return next((by_key[plain_heading(name)] for name in usual if plain_heading(name) in by_key), None)


def plain_heading(heading: str) -> str:
    """Return a heading as it is alike whatever its case, spaces, underscores and brackets."""
    return re.sub(r"[^\w]|_", "", heading.lower())
