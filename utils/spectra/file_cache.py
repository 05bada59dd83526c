"""Copies on this machine of large files that are elsewhere: each is copied once; the oldest leave if space is short."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from utils.console import UserError
from utils.storage import FolderStorage, Storage

READ_TRIES = 10  # a copy may leave, for the sake of others, before it is read
COPIES_OF_FILES = f"{'[0-9a-f]' * 16}/*-of-*.npy"  # below the cache's folder: copies, and nothing of the user's

RESERVATIONS = f"{'[0-9a-f]' * 16}/.*-of-*.npy.reserved"
ROOM_SECONDS = 0.05  # between looks for room

Found = TypeVar("Found")


class FileCache:
    """Reads files through copies; safe in several threads and processes.

    Parameters
    ----------
    storage : where the files are
    folder : folder of this machine for the copies of these files; the folder above it is the cache, with others'
    limit_gb : largest size of the cache, GB; 0: no limit
    """

    def __init__(self, storage: Storage, folder: Path, limit_gb: float = 0.0) -> None:
        self._storage, self._folder, self._limit = storage, folder, limit_gb * 1e9
        self._copies = FolderStorage(folder)

    def has_copy(self, name: str) -> bool:
        """Tell whether a file was copied."""
        return self._copies.exists(name)

    def where(self, name: str) -> str:
        """Return the path of a copy, for messages."""
        return self._copies.where(name)

    def read(self, name: str) -> bytes:
        """Read a whole file; raises the errors of `Storage.read`."""
        return self._read_copy(name, lambda: self._copies.read(name))

    def read_into(self, name: str, starts: Sequence[int], targets: Sequence[memoryview]) -> None:
        """Fill each of `targets` with the bytes of a file from an offset on; raises the errors of `Storage`."""
        self._read_copy(name, lambda: self._copies.read_into(name, starts, targets))

    def _read_copy(self, name: str, read: Callable[[], Found]) -> Found:
        for _ in range(READ_TRIES):
            self._copy(name)
            try:
                return read()
            except FileNotFoundError:  # it left meanwhile
                continue
        raise UserError(f"{self.where(name)}: left the cache before it was read; increase training.cache_gb")

    def _copy(self, name: str) -> None:
        path = self._folder / name
        if path.is_file():
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        with FileLock(_lock_of(path)):
            if path.is_file():
                return
            with self._room_for(path) if self._limit else nullcontext():
                self._storage.copy_to(name, path)

    @contextmanager
    def _room_for(self, path: Path) -> Iterator[None]:
        """Reserve room for a copy while the block runs; waits while other copies that arrive leave too little."""
        size = self._storage.size(path.name) or 0
        if size > self._limit:
            raise UserError(
                f"training.cache_gb = {self._limit / 1e9:g}: is less than one file of the pack ({size / 1e9:.3g} GB)"
            )
        reserved = path.with_name(f".{path.name}.reserved")
        while not self._reserve(reserved, size):
            time.sleep(ROOM_SECONDS)
        try:
            yield
        finally:
            reserved.unlink(missing_ok=True)

    def _reserve(self, reserved: Path, size: int) -> bool:
        """Remove the oldest copies until another file fits beside those that arrive, and reserve room; tell if it does.

        A reservation is a sparse file of that size, which all processes see.
        """
        cache = self._folder.parent
        with FileLock(cache / ".room.lock"):
            left = self._limit - size - sum(map(_bytes_arriving, set(cache.glob(RESERVATIONS)) - {reserved}))
            if left < 0:
                return False
            copies = [(path, path.stat()) for path in cache.glob(COPIES_OF_FILES)]
            total = sum(status.st_size for _, status in copies)
            for path, status in sorted(copies, key=lambda copy: copy[1].st_mtime_ns):
                if total <= left:
                    break
                path.unlink(missing_ok=True)
                total -= status.st_size
            with reserved.open("wb") as stream:
                stream.truncate(size)
        return True


def _lock_of(path: Path) -> Path:
    """Return the lock that is held while this copy arrives."""
    return path.with_name(f".{path.name}.lock")


def _bytes_arriving(reserved: Path) -> int:
    """Return the bytes that a reservation stands for; one that a killed process left is removed."""
    path = reserved.with_name(reserved.name.removeprefix(".").removesuffix(".reserved"))
    try:
        with FileLock(_lock_of(path), blocking=False):
            reserved.unlink(missing_ok=True)
            return 0
    except Timeout:
        with suppress(FileNotFoundError):
            return 0 if path.is_file() else reserved.stat().st_size
        return 0
