"""Tables of events as people's programs write them: which files are some, how each is laid out, and its rows."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

from config import Columns
from utils.console import UserError
from utils.encodings import decoded
from utils.files import check_plain
from utils.recordings.audio_files import files_below
from utils.recordings.event_layout import FORMS, Head, head_of, values_of
from utils.recordings.event_rows import Row, rows_of
from utils.tables import find_column, first_of

__all__ = [
    "FORMS",
    "Head",
    "Row",
    "blank_for",
    "check_columns",
    "has_rows",
    "is_table",
    "read_head",
    "read_rows",
    "tables_below",
]

ENDINGS = (".txt", ".csv", ".tsv", ".tab")
_HEAD = 65_536  # bytes at a file's begin that must tell what it is
_BLANK = 4096  # bytes; a longer file is not looked through for nothing but spaces
# how a table is called that belongs to a sound, behind the sound's name, if it needs no more than its name to belong to
# it
_EXACTLY = re.compile(
    r"\.txt|\.csv|\.tsv|[_.]labels\.txt|\.Table\.\d+\.selections\.txt|\.selections\.txt|\.BirdNET\.[\w.]*",
    re.IGNORECASE,
)


def is_table(file: Path) -> bool:
    """Tell by its name whether a file may be a table of events."""
    return file.name.lower().endswith(ENDINGS) and not file.name.startswith(".")


def tables_below(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder, then those in the folders below it, that may be tables by their endings; what is hidden is passed over."""
    yield from filter(is_table, files_below(folder))


def read_head(table: Path, columns: Columns) -> Head | None:
    """Return how a table is laid out; None where the file is no table. Columns that `columns` does not name are recognised.

    Raises
    ------
    ValueError
        If its headings cannot be read.
    """
    check_plain(table)
    prose = table.suffix.lower() == ".txt"
    with table.open("rb") as stream:
        content = stream.read(_HEAD)
        head = head_of(decoded(content).lines, columns, prose=prose)
        # which columns are classes, only all values tell
        if head and "start" in head.places and "species" not in head.places and len(content) == _HEAD:
            head = head_of(decoded(content + stream.read()).lines, columns, prose=prose)
    return head


def check_columns(tables: Mapping[Path, Head], columns: Columns) -> None:
    """Refuse settings that name a column which no table has; a table without it is read by the usual names.

    Raises
    ------
    UserError
        With the columns that are there.
    """
    with_headings = {table: head for table, head in tables.items() if head.names}
    for kind, name in asdict(columns).items():
        if name and with_headings and not any(find_column(head.names, [name]) for head in with_headings.values()):
            table, head = next(iter(with_headings.items()))
            raise UserError(
                f"{table}: has no column {name}, which dataset.columns.{kind} names; there are {', '.join(head.names)}"
            )


def read_rows(table: Path, head: Head) -> list[Row]:
    """Read all rows of a table of events, those that cannot be used with what is wrong with them."""
    return rows_of(decoded(table.read_bytes()).lines, head)


def has_rows(table: Path, head: Head) -> bool:
    """Tell whether a table holds more than its headings."""
    return bool(list(values_of(decoded(table.read_bytes()).lines, head)))


def blank_for(table: Path) -> list[str]:
    """Return the stems of the sounds for which an empty file may be named, as programs leave it where nobody is heard; none where it is not empty."""
    stems = [table.name[:end] for end in range(1, len(table.name)) if _EXACTLY.fullmatch(table.name, end)]
    try:
        empty = (
            bool(stems)
            and table.is_file()
            and table.stat().st_size <= _BLANK
            and not first_of(decoded(table.read_bytes()).lines)
        )
    except OSError:
        return []
    return stems if empty else []
