"""Tables as Parquet files: they appear whole or not at all, and are read with the columns that they should have."""

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from utils.console import Trouble
from utils.files import whole_file


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


def read_foreign_csv(path: Path) -> pl.DataFrame:
    """Read a table that somebody else wrote: separated by commas, semicolons or tabs, all columns as text, without spaces around the headings.

    Raises
    ------
    Trouble
        If it cannot be read, or holds no line.
    """
    try:
        content = path.read_bytes()
        first = content.split(b"\n", 1)[0]
        separator = max(",;\t", key=lambda mark: first.count(mark.encode()))
        table = pl.read_csv(io.BytesIO(content), separator=separator, infer_schema=False, truncate_ragged_lines=True)
        return table.rename({name: name.strip() for name in table.columns})
    except (pl.exceptions.PolarsError, OSError) as error:
        raise Trouble(f"{path}: cannot be read as a table ({' '.join(str(error).split())[:120]})") from None


def find_column(columns: Sequence[str], usual: Sequence[str]) -> str | None:
    """Return the first column that is called one of the `usual` names; case, spaces, underscores and brackets do not matter."""
    by_key = {_plain(column): column for column in reversed(columns)}
    return next((by_key[_plain(name)] for name in usual if _plain(name) in by_key), None)


def _plain(heading: str) -> str:
    return re.sub(r"[^\w]|_", "", heading.lower())
