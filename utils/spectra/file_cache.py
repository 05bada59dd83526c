"""Copies on this machine of large files that are elsewhere: each is copied once; the oldest leave if space is short."""

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import TypeVar

from filelock import FileLock

from utils.console import UserError
from utils.storage import FolderStorage, Storage

READ_TRIES = 10  # a copy may leave, for the sake of others, before it is read
COPIES_OF_FILES = f"{'[0-9a-f]' * 16}/*-of-*.npy"  # below the cache's folder: copies, and nothing of the user's

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
        self._lock, self._arriving = Lock(), dict[str, int]()  # bytes of files that are being copied

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
        with FileLock(self._folder / f".{name}.lock"):
            if path.is_file():
                return
            try:
                if self._limit:
                    self._make_room(name)
                self._storage.copy_to(name, path)
            finally:
                self._arriving.pop(name, None)

    def _make_room(self, name: str) -> None:
        """Remove the oldest copies until another file fits beside those that are being copied."""
        size = self._storage.size(name) or 0
        if size > self._limit:
            raise UserError(
                f"training.cache_gb = {self._limit / 1e9:g}: is less than one file of the pack ({size / 1e9:.3g} GB)"
            )
        with self._lock:
            self._arriving[name] = size
            copies = [(path, path.stat()) for path in self._folder.parent.glob(COPIES_OF_FILES)]
            total = sum(status.st_size for _, status in copies) + sum(self._arriving.values())
            for path, status in sorted(copies, key=lambda copy: copy[1].st_mtime_ns):
                if total <= self._limit:
                    return
                path.unlink(missing_ok=True)
                total -= status.st_size
