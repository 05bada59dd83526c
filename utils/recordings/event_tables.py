"""Annotation tables as other programs write them: which files are tables, their layout and their rows."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

from config import Columns
from utils.console import UserError
from utils.encodings import decoded
from utils.files import check_plain
from utils.recordings.audio_files import files_below
from utils.recordings.event_layout import TABLE_FORMATS, TableLayout, find_layout, table_values
from utils.recordings.event_rows import AnnotationRow, parse_rows
from utils.tables import find_column, first_line

__all__ = [
    "TABLE_FORMATS",
    "AnnotationRow",
    "TableLayout",
    "check_columns",
    "has_rows",
    "is_table",
    "read_layout",
    "read_rows",
    "stems_of_blank_table",
    "tables_below",
]

TABLE_SUFFIXES = (".txt", ".csv", ".tsv", ".tab")
_LAYOUT_BYTES = 65_536  # at the start of a file, from which its layout is recognised
_MAX_BLANK_BYTES = 4096  # longer files are not checked for being blank
# what follows the name of an audio file in the name of its table
_SOUND_TABLE_NAME = re.compile(
    r"\.txt|\.csv|\.tsv|[_.]labels\.txt|\.Table\.\d+\.selections\.txt|\.selections\.txt|\.BirdNET\.[\w.]*",
    re.IGNORECASE,
)


def is_table(file: Path) -> bool:
    """Tell by its name whether a file may be an annotation table."""
    return file.name.lower().endswith(TABLE_SUFFIXES) and not file.name.startswith(".")


def tables_below(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder and below that may be tables by their extensions; hidden files are skipped."""
    yield from filter(is_table, files_below(folder))


def read_layout(table: Path, columns: Columns) -> TableLayout | None:
    """Return the layout of a table; None if the file is not a table.

    Parameters
    ----------
    columns : headings from the settings; the others are recognised

    Raises
    ------
    ValueError
        If its headings cannot be read.
    """
    check_plain(table)
    prose = table.suffix.lower() == ".txt"
    with table.open("rb") as stream:
        content = stream.read(_LAYOUT_BYTES)
        layout = find_layout(decoded(content).lines, columns, prose=prose)
        # whether columns are classes depends on all their values
        if (
            layout
            and "start" in layout.positions
            and "species" not in layout.positions
            and len(content) == _LAYOUT_BYTES
        ):
            layout = find_layout(decoded(content + stream.read()).lines, columns, prose=prose)
    return layout


def check_columns(tables: Mapping[Path, TableLayout], columns: Columns) -> None:
    """Refuse settings that name a column which no table has. Tables without it are read by the usual headings.

    Raises
    ------
    UserError
        With the columns that the first table has.
    """
    with_headings = {table: layout for table, layout in tables.items() if layout.headings}
    for kind, name in asdict(columns).items():
        if (
            name
            and with_headings
            and not any(find_column(layout.headings, [name]) for layout in with_headings.values())
        ):
            table, layout = next(iter(with_headings.items()))
            raise UserError(
                f"{table}: has no column {name} (dataset.columns.{kind}); the columns are {', '.join(layout.headings)}"
            )


def read_rows(table: Path, layout: TableLayout) -> list[AnnotationRow]:
    """Read all rows of an annotation table; those that cannot be used have a `problem`."""
    return parse_rows(decoded(table.read_bytes()).lines, layout)


def has_rows(table: Path, layout: TableLayout) -> bool:
    """Tell whether a table has more than its headings."""
    return bool(list(table_values(decoded(table.read_bytes()).lines, layout)))


def stems_of_blank_table(table: Path) -> list[str]:
    """Return the possible stems of the audio file to which a blank table belongs; none if the table is not blank.

    Programs leave a blank table for a recording without detections.
    """
    stems = [table.name[:end] for end in range(1, len(table.name)) if _SOUND_TABLE_NAME.fullmatch(table.name, end)]
    try:
        empty = (
            bool(stems)
            and table.is_file()
            and table.stat().st_size <= _MAX_BLANK_BYTES
            and not first_line(decoded(table.read_bytes()).lines)
        )
    except OSError:
        return []
    return stems if empty else []
