"""Files and folders that appear whole or not at all, locks, and names that cannot lead out of a folder."""

import errno
import json
import os
import re
import shutil
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

NEVER_IN_NAMES = {"Cc", "Cs", "Zl", "Zp"}  # control characters, surrogates, line and paragraph separators
# reserved on Windows, with any extension
DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]) *(\..*)?", re.IGNORECASE | re.DOTALL)
DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}  # of writing, which tells no name of a file
LOCK_FILES = re.compile(r"\..+\.lock")  # names of the files of `try_lock`
LONGEST_NAME = 200  # bytes; file systems allow 255, and the hidden file's name is a little longer


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def sync(path: Path) -> None:
    """Make a file, or the renames in a folder, survive a power cut."""
    if os.name == "posix":  # elsewhere a folder cannot be synced
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Let errors of the disk name the file that was written."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno in DISK_ERRORS:
            error.filename = str(path)
        raise


@contextmanager
def atomic_file(path: Path, *, lasting: bool = True) -> Iterator[BinaryIO]:
    """Open `path` for writing; it appears, complete and on disk, if the block ends without an error.

    The bytes go to a hidden file beside it first, which is then renamed. A hidden file that a killed process left is
    removed and not opened: it may be a link to a file elsewhere.

    Parameters
    ----------
    lasting : False does not wait for the disk, which saves some milliseconds per file: after a power cut, the file may
        be there without its bytes
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _part(path)
    part.unlink(missing_ok=True)
    with _naming(path):
        try:
            with part.open("xb") as stream:
                yield stream
                if lasting:
                    stream.flush()
                    os.fsync(stream.fileno())
            os.replace(part, path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        if lasting:
            sync(path.parent)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder to fill; it appears as `path`, which must not exist, if the block ends without an error."""
    part = _part(path)
    remove_path(part)
    part.mkdir(parents=True)
    with _naming(path):
        try:
            yield part
            for file in part.rglob("*"):
                if file.is_file():
                    sync(file)
            os.rename(part, path)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        sync(path.parent)


def remove_folder(path: Path) -> None:
    """Remove a folder and all that is in it; it is renamed first, so that nobody finds half of it.

    If `path` is a link to a folder, for example on a larger disk, that folder is emptied and the link stays.
    """
    if path.is_symlink():
        for child in path.iterdir():
            remove_path(child)
        return
    part = _part(path)
    remove_path(part)
    if path.exists():
        os.rename(path, part)
        shutil.rmtree(part)


def empty_folder(path: Path, *, first: str) -> None:
    """Remove all that is in a folder, the file `first` before all else; the folder and the locks on it stay."""
    (path / first).unlink(missing_ok=True)
    for child in sorted(path.iterdir()) if path.is_dir() else ():
        if not LOCK_FILES.fullmatch(child.name):
            remove_path(child)


def remove_leftovers(folder: Path) -> None:
    """Remove the hidden files and folders that killed processes left half written or half removed."""
    for part in folder.glob(_part(Path("*")).name):
        remove_path(part)


def remove_path(path: Path) -> None:
    """Remove a file, a link, or a folder and all that is in it, if it is there."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


def unrelated_names(folder: Path, ours: Iterable[str]) -> list[str]:
    """Return the names in a folder that match none of the patterns `ours`; hidden names do not count."""
    names = sorted(child.name for child in folder.iterdir()) if folder.is_dir() else []
    return [name for name in names if not name.startswith(".") and not any(fnmatch(name, pattern) for pattern in ours)]


@contextmanager
def try_lock(folder: Path, stage: str) -> Iterator[bool]:
    """Hold the lock of a stage on a folder, if it is free; it is released when the process ends, however that ends.

    Yields
    ------
    Whether the lock is held; False if another process holds it.

    Raises
    ------
    OSError
        If the folder cannot be written, or its file system has no locks.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f".{stage}.lock"
    if path.is_symlink():  # it came with a folder of someone else, and FileLock refuses it
        path.unlink()
    # a soft lock, FileLock's fallback, would outlive a killed process
    lock = FileLock(path, blocking=False, fallback_to_soft=False, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8; the file appears whole or not at all."""
    with atomic_file(path) as stream:
        stream.write(text.encode())


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write `value` as JSON that a person can read; the file appears whole or not at all."""
    write_text(path, json_text(value))


def json_text(value: dict[str, Any]) -> str:
    """Write `value` as JSON that a person can read."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def check_plain(path: Path) -> None:
    """Refuse a pipe, a socket or a device, because opening one may block forever; a missing file passes.

    Raises
    ------
    ValueError
        If it is one of these.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise ValueError("is not a file, but a pipe, a socket or a device")


def check_name(name: str) -> str:
    """Return `name` if it can name one file in any folder.

    Raises
    ------
    ValueError
        If it is empty or too long, begins with a dot, has a slash, colon or control character, or names a device on
        Windows.
    """
    if not name or name != name.strip():
        raise ValueError(f"{name!r} is empty, or begins or ends with a space")
    never = next(
        (character for character in name if character in "/\\:" or unicodedata.category(character) in NEVER_IN_NAMES),
        None,
    )
    if never:
        raise ValueError(f"{name!r} holds {never!r}, which file names cannot hold on every system")
    if name.startswith("."):
        raise ValueError(f"{name!r} begins with a dot")
    if DEVICES.fullmatch(name):
        raise ValueError(f"{name!r} is the name of a device on Windows")
    if len(name.encode()) > LONGEST_NAME:
        raise ValueError(f"{name[:40]!r}… is longer than {LONGEST_NAME} bytes")
    return name


def digest_file(folder: Path) -> Path:
    """Return the file that holds the SHA-256 of what is in a folder: beside it."""
    return folder.with_name(f"{folder.name}.sha256")
