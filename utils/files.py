"""Files that appear whole or not at all, and names that stay in their folder."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

LONGEST_NAME = 200  # bytes; file systems end at 255, and a part's name is a little longer than its file's


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def _sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut (where the system lets one sync a folder)."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open `path` for writing; it appears, complete and on disk, when the block ends without an error.

    The bytes go to a hidden neighbour first, which is then renamed. A neighbour that a killed process left is overwritten by the next.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _part(path)
    try:
        with part.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder to fill; it appears as `path`, which must not exist, when the block ends without an error."""
    part = _part(path)
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        os.rename(part, path)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    _sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8; the file appears whole or not at all."""
    with whole_file(path) as stream:
        stream.write(text.encode())


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write `value` as JSON that a person can read; the file appears whole or not at all."""
    write_text(path, json_text(value))


def json_text(value: dict[str, Any]) -> str:
    """Write `value` as JSON that a person can read."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def check_name(name: str) -> str:
    """Return `name` if it can name one file in any folder.

    Raises
    ------
    ValueError
        If it is empty, has a path's or a control character, is hidden or relative (begins with a dot), or is too long.
    """
    if not name or name != name.strip():
        raise ValueError(f"{name!r} is empty or begins or ends with a space")
    if any(character in "/\\:" or ord(character) < 32 for character in name):
        raise ValueError(f"{name!r} holds a character that no file's name may hold")
    if name.startswith("."):
        raise ValueError(f"{name!r} begins with a dot")
    if len(name.encode("utf-8", "surrogatepass")) > LONGEST_NAME:
        raise ValueError(f"{name[:40]!r}… is longer than {LONGEST_NAME} bytes")
    return name
