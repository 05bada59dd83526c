"""Text files and folders of them that appear whole or not at all, whatever names are in them."""

import csv
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from utils.console import UserError
from utils.files import atomic_file, atomic_folder, remove_folder


@contextmanager
def text_file(path: Path, *, lasting: bool = True) -> Iterator[io.TextIOWrapper]:
    """Open `path` for text in UTF-8, with line endings as written; it appears when the block ends without an error.

    Names that are not valid Unicode are written with escapes.

    Parameters
    ----------
    lasting : as for `atomic_file`; `table_folder` waits for the disk itself
    """
    with atomic_file(path, lasting=lasting) as stream:
        text = io.TextIOWrapper(stream, "utf-8", errors="backslashreplace", newline="")
        yield text
        text.detach()  # writes the rest, and leaves closing to atomic_file


def csv_line(values: Sequence[str]) -> str:
    """Return values as one row of CSV, quoted if they must be."""
    text = io.StringIO(newline="")
    # with this terminator \r is quoted as well as \n; Python's writer only quotes characters of its line terminator
    csv.writer(text, lineterminator="\r\n").writerow(values)
    return text.getvalue().removesuffix("\r\n") + "\n"


@contextmanager
def table_folder(path: Path, *, ending: str) -> Iterator[Path]:
    """Yield an empty folder to fill; when the block ends without an error, it replaces an earlier one at `path`.

    Parameters
    ----------
    ending : of the files in such a folder

    Raises
    ------
    UserError
        If the folder at `path` has other files.
    """
    other = (
        next((file for file in sorted(path.rglob("*")) if file.is_file() and not file.name.endswith(ending)), None)
        if path.is_dir()
        else None
    )
    if other or path.is_file():
        raise UserError(
            f"{other or path}: is not a file of this format; move it elsewhere, "
            f"because {path.name} is replaced as a whole"
        )
    fresh = path.with_name(f".{path.name}.new")
    remove_folder(fresh)
    with atomic_folder(fresh) as folder:
        yield folder
    remove_folder(path)
    os.rename(fresh, path)
