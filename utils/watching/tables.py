"""The tables of detections, one for each day, to which the rows of each recording are appended."""

import os
import re
from io import FileIO
from itertools import count
from pathlib import Path

from utils.console import printable, warning
from utils.files import sync
from utils.watching.state import Unwritten


def rows_for(folder: Path, day: str, header: str, lines: str) -> Unwritten:
    """Return where and how the rows of a recording are appended to the table of a day.

    A table that somebody gave other columns, or that another model did, stays as it is: `<day>_2.csv` follows.

    Parameters
    ----------
    header, lines : of the table, with their line ends
    """
    for index in count(1):
        path = folder / (f"{day}.csv" if index == 1 else f"{day}_{index}.csv")
        start, last, size = _ends_of(path, len(header.encode()))
        if not size:
            return Unwritten(path.name, 0, header, lines)
        if start == header.encode():
            return Unwritten(path.name, size, header, lines if last == b"\n" else f"\n{lines}")
    raise AssertionError("unreachable")


def tables_of(folder: Path, day: str) -> list[Path]:
    """Return the tables of a day, as `rows_for` names them; other files beside them, such as copies, are left out."""
    found = re.compile(rf"{re.escape(day)}(_\d+)?\.csv", re.ASCII)
    return sorted(path for path in folder.iterdir() if found.fullmatch(path.name) and path.is_file())


def _ends_of(path: Path, length: int) -> tuple[bytes, bytes, int]:
    """Return the first bytes of a file, the last one, and its size; nothing if there is no file."""
    if not path.exists():
        return b"", b"", 0
    with path.open("rb") as stream:
        start, size = stream.read(length), stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - 1))
        return start, stream.read(1), size


def append_rows(folder: Path, rows: Unwritten) -> None:
    """Write rows to their table, on disk when this returns; what is there of them already is not written twice.

    If another program has changed the table meanwhile, they are appended at its end, unless it has them.
    """
    path = folder / rows.file
    is_new = not path.exists()
    position = 0 if is_new else rows.position
    content = f"{'' if position else rows.header}{rows.lines}".encode()
    with path.open("xb" if is_new else "r+b", buffering=0) as stream:
        there = _from(stream, position) if path.stat().st_size else b""
        if stream.seek(0, os.SEEK_END) >= position and content.startswith(there):
            stream.truncate(position)
            stream.seek(position)
            _write_all(stream, content)
        elif not there.startswith(content) and content.strip() not in _from(stream, 0):
            warning(f"{printable(path)}: was changed by another program; rows are appended at its end")
            _write_all(stream, content)
        os.fsync(stream.fileno())
    if is_new:
        sync(folder)


def _from(stream: FileIO, position: int) -> bytes:
    stream.seek(position)
    return stream.readall()


def _write_all(stream: FileIO, content: bytes) -> None:
    while content:
        content = content[stream.write(content) :]
