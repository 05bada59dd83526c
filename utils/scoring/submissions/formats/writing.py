"""Files and folders of text that appear whole or not at all, whatever stands in them."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from utils.console import UserError
from utils.files import remove_folder, whole_file, whole_folder


@contextmanager
def text_file(path: Path, *, lasting: bool = True) -> Iterator[io.TextIOWrapper]:
    """Open `path` for text in UTF-8, lines ending as written; it appears when the block ends without an error. Names that are no Unicode are written out.

    Parameters
    ----------
    lasting : as for `whole_file`; `table_folder` waits for the disk itself
    """
    with whole_file(path, lasting=lasting) as stream:
        text = io.TextIOWrapper(stream, "utf-8", errors="backslashreplace", newline="")
        yield text
        text.detach()  # writes what is left, and leaves closing to whole_file


@contextmanager
def table_folder(path: Path, *, ending: str) -> Iterator[Path]:
    """Yield an empty folder to fill; it replaces the one that an earlier call left at `path` when the block ends without an error.

    Parameters
    ----------
    ending : of the files that such a folder holds

    Raises
    ------
    UserError
        If something else is in the folder at `path`.
    """
    other = (
        next((file for file in sorted(path.rglob("*")) if file.is_file() and not file.name.endswith(ending)), None)
        if path.is_dir()
        else None
    )
    if other or path.is_file():
        raise UserError(
            f"{other or path}: is none of the files that this format writes; move it away, for {path.name} is replaced as a whole"
        )
    fresh = path.with_name(f".{path.name}.new")
    remove_folder(fresh)
    with whole_folder(fresh) as folder:
        yield folder
    remove_folder(path)
    os.rename(fresh, path)
