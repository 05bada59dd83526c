"""Reading and writing of tables (Parquet, CSV) and saved JSON; wrong columns or types are refused in one line."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import polars as pl
from pydantic import TypeAdapter, ValidationError

from utils.console import Failure, UserError, warning
from utils.encodings import Text, decoded, undecoded
from utils.files import atomic_file, check_plain
from utils.storage import FolderStorage, Storage

LONGEST_ROW = 1000  # lines of a CSV; a quotation mark that is never closed must not swallow the table
NONE_LATER: Mapping[str, Any] = MappingProxyType({})
NONE_RENAMED: Mapping[str, str] = MappingProxyType({})
RUN_TEST_AGAIN = "run test.py again"


def write_table(path: Path, table: pl.DataFrame) -> None:
    """Write a table as Parquet."""
    content = _as_parquet(table)  # polars hides the reason when a disk is full
    with atomic_file(path) as stream:
        stream.write(content.getbuffer())


def parquet_bytes(table: pl.DataFrame) -> bytes:
    """Return a table as Parquet."""
    return _as_parquet(table).getvalue()


def _as_parquet(table: pl.DataFrame) -> io.BytesIO:
    content = io.BytesIO()
    table.write_parquet(content)
    return content


def write_csv(path: Path, table: pl.DataFrame) -> None:
    """Write a table as CSV."""
    with atomic_file(path) as stream:
        stream.write(table.write_csv().encode())


def read_table(
    path: Path,
    schema: Mapping[str, Any],
    *,
    missing: str,
    damaged: str,
    later: Mapping[str, Any] = NONE_LATER,
    renamed: Mapping[str, str] = NONE_RENAMED,
) -> pl.DataFrame:
    """Read a Parquet file whose columns are those of `schema`.

    Parameters
    ----------
    missing, damaged : what the user can do if there is no such file, or if it cannot be used
    later : columns that files of earlier versions lack, with the value to fill in
    renamed : columns that files of earlier versions call by another name: old name, new name

    Raises
    ------
    UserError
        With that advice.
    """
    return read_stored_table(
        FolderStorage(path.parent), path.name, schema, missing=missing, damaged=damaged, later=later, renamed=renamed
    )


def read_stored_table(
    storage: Storage,
    name: str,
    schema: Mapping[str, Any],
    *,
    missing: str,
    damaged: str,
    later: Mapping[str, Any] = NONE_LATER,
    renamed: Mapping[str, str] = NONE_RENAMED,
) -> pl.DataFrame:
    """Read a Parquet file of a folder here or elsewhere, as `read_table` does."""
    path = storage.where(name)
    try:
        with storage.open(name) as stream:  # polars reads brackets in a path as a pattern
            table = pl.read_parquet(stream)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; {missing}") from None
    except (pl.exceptions.PolarsError, OSError) as error:
        raise UserError(f"{path}: cannot be read ({' '.join(str(error).split())}); {damaged}") from None
    table = table.rename(
        {old: new for old, new in renamed.items() if old in table.columns and new not in table.columns}
    )
    absent = {name: pl.lit(value, dtype=schema[name]) for name, value in later.items() if name not in table.columns}
    if absent and set(table.columns) | set(absent) == set(schema):
        table = table.with_columns(**absent).select(*schema)
    if table.schema != schema:
        raise UserError(f"{path}: has other columns than this version writes; {damaged}")
    return table


def read_json(path: Path, form: TypeAdapter, *, advice: str = RUN_TEST_AGAIN) -> Any:
    """Read a JSON file whose types are those of `form`.

    Parameters
    ----------
    advice : what the user can do if it cannot be used

    Raises
    ------
    UserError
        If there is no such file, or it has another form; with that advice.
    """
    try:
        return form.validate_json(path.read_bytes(), strict=True, extra="forbid")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {advice}") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{path}: {'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}; {advice}") from None


def leads_outside(column: str, *, folders: bool) -> pl.Expr:
    """Tell for each path in a column whether it could lead out of its folder.

    Parameters
    ----------
    folders : whether a path may name folders below, or must be a single name
    """
    outwards = r"^[/\\]|^[A-Za-z]:|(^|[/\\])\.\.([/\\]|$)|\x00"
    return pl.col(column).str.contains(outwards if folders else rf"[/\\]|^\.|{outwards}")


@dataclass(frozen=True)
class ForeignTable:
    """A table that another program wrote, as text.

    Attributes
    ----------
    columns : its headings
    rows : the values of each row by heading; the key says where it stands: 'table.csv line 7'
    bad : the rows that cannot be read, and why
    """

    columns: list[str]
    rows: dict[str, dict[str, str]]
    bad: list[Failure]


def read_foreign(
    path: Path, *, needed: Sequence[str] = (), separators: str = ",;\t", ragged: bool = False
) -> ForeignTable:
    """Read a table that another program wrote; a bad row does not spoil the others.

    Polars would refuse the whole table, and does not tell lines.

    Parameters
    ----------
    needed : columns that must exist
    separators : possible separators of values; the most frequent one in the first line is used
    ragged : accept rows without their last values, or with additional empty ones, as spreadsheets write them

    Raises
    ------
    UserError
        If the file cannot be read, holds no table, or lacks a needed column.
    """
    columns, parsed = _parse(path, separators)
    for column in needed:
        if column not in columns:
            raise UserError(f"{path}: has no column {column}; there are {', '.join(columns)[:200]}")
    rows: dict[str, dict[str, str]] = {}
    bad = []
    for line, values in parsed:
        if values and ragged and not any(values[len(columns) :]):
            values = (values + [""] * len(columns))[: len(columns)]
        fault = _fault(values, columns)
        place = f"{path.name} line {line}"
        if values is None or fault:
            bad.append(Failure(place, fault))
        else:
            rows[place] = dict(zip(columns, values, strict=True))
    return ForeignTable(columns, rows, bad)


def _parse(path: Path, separators: str) -> tuple[list[str], Iterator[tuple[int, list[str] | None]]]:
    """Return the headings of a table, and the rows below, without blank ones, as `csv_rows` yields them."""
    try:
        check_plain(path)
        lines, declared = without_preamble(read_text(path).lines)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    separator = declared or max(separators, key=first_line(lines).count)
    parsed = ((line, values) for line, values in csv_rows(lines, separator=separator) if values is None or any(values))
    _, header = next(parsed, (1, None))
    columns = [column.strip() for column in header or []]
    if not any(columns):
        raise UserError(f"{path}: holds no table")
    if not_utf8("".join(columns)):
        raise UserError(f"{path}: is not UTF-8")
    return columns, parsed


def _fault(values: list[str] | None, columns: Sequence[str]) -> str:
    """Return why a row cannot be used; '' if it can."""
    if values is None:
        return "broken quoting"
    if len(values) != len(columns):
        return f"has {len(values)} values, the table {len(columns)} columns"
    return "is not UTF-8" if not_utf8("".join(values)) else ""


def reason_of(error: UserError, path: Path) -> str:
    """Return what is wrong with a table, without its path, which the list of failures names already."""
    return str(error).removeprefix(f"{path}: ")


def refuse_bad_rows(path: Path, table: ForeignTable) -> None:
    """Refuse a table with an unreadable row: one that the user wrote for this toolkit.

    Raises
    ------
    UserError
        If there is such a row; it names the first one.
    """
    for failure in table.bad:
        raise UserError(f"{path.parent / failure.name}: {failure.reason}")


def read_text(path: Path) -> Text:
    """Read a text file that another program wrote, with a warning if its encoding was guessed."""
    text = decoded(path.read_bytes())
    if text.guessed:
        warning(f"{path}: is not UTF-8; read as Windows-1252")
    return text


def lines_of(content: bytes) -> list[str]:
    """Return the lines of a text, with their ends; bytes that are not UTF-8 become marks that `not_utf8` finds.

    For files that the user wrote for this toolkit: their encoding is not guessed.
    """
    return decoded(content, guess=False).lines


def not_utf8(text: str) -> bool:
    """Tell whether a text of `lines_of` was neither UTF-8 nor UTF-16."""
    return undecoded(text)


def first_line(lines: Iterable[str]) -> str:
    """Return the first line that is not blank, or ''."""
    return next((line for line in lines if line.strip()), "")


def without_preamble(lines: Sequence[str]) -> tuple[list[str], str]:
    """Blank the lines before a table's headings: Excel's `sep=;`, and comments that begin with #.

    Returns
    -------
    As many lines as there were, and the separator that `sep=` declares; '' if there is no such line.
    """
    declared, first = "", 0
    for first, line in enumerate(lines):
        text = line.strip().strip('"')
        if len(text) == len("sep=") + 1 and text.lower().startswith("sep=") and not declared:
            declared = text[-1]
        elif line.strip().lower() == "sep=":  # and a tab
            declared = "\t" if line.lower().startswith("sep=\t") else declared
        elif text and (not text.startswith("#") or _is_headings(line, lines[first + 1 :])):
            break
    else:
        first = len(lines)
    return ["\n"] * first + list(lines[first:]), declared


def _is_headings(line: str, below: Sequence[str]) -> bool:
    """Tell whether a line that begins with # is no comment, but the headings of the rows below: #file,start,end."""
    following = first_line(below)
    separator = max(",;\t|", key=line.count)
    same_width = line.count(separator) == following.count(separator) > 0
    return same_width and any(re.fullmatch(r"\s*[+-]?\d[\d.,:]*\s*", cell) for cell in following.split(separator))


def csv_rows(lines: Sequence[str], *, separator: str) -> Iterator[tuple[int, list[str] | None]]:
    """Yield the line (counted from 1) and the values of each row; None if its quoting is broken."""
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
    """Return the first column with one of the `usual` names; case, spaces, underscores and brackets do not matter."""
    by_key = {plain_heading(column): column for column in reversed(columns)}
    return next((by_key[plain_heading(name)] for name in usual if plain_heading(name) in by_key), None)


def plain_heading(heading: str) -> str:
    """Return a heading in lower case, without spaces, underscores and brackets."""
    return re.sub(r"[^\w]|_", "", heading.lower())
