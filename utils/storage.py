"""A folder here or elsewhere: a path, or `gs://`, `s3://`, `az://`, `file://` by obstore (extra `remote`).

Files are named by their path below the folder, with slashes: `shards/Turdus merula-000/key.txt`. Credentials are those
that the clouds' own tools leave (environment variables, files, metadata services). Errors are one line in which no key
and no query string stands.
"""

import errno
import io
import os
import re
import secrets
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from config import ADDRESS_MARK, SCHEMES, Location, is_address
from utils.address_checks import fault_of_folder, without_credentials
from utils.console import UserError
from utils.files import atomic_file

BLOCK = 8 * 2**20  # bytes of a request, of files that are copied; a request ends after 30 s
HIDDEN = re.compile(r"(^|/)\.")  # a file, or a folder above
CREDENTIALS = "check the credentials that your cloud's own tools use (docs/cluster.md)"


class DamagedFile(UserError):
    """A file that is shorter than it should be."""


class Version(NamedTuple):
    """What changes when a file is replaced: bytes, time of the change (ns since 1970), and the store's own mark."""

    size: int
    time: int
    mark: str = ""


class Entry(NamedTuple):
    """A file below a folder: its name there, bytes, and time of its last change (ns since 1970)."""

    name: str
    size: int
    time: int


class Storage(ABC):
    """A folder here or elsewhere; safe in several threads.

    A missing file raises FileNotFoundError with its address, as a local one does; other trouble with a remote folder
    (no permission, no network, a timeout) is a UserError.

    Attributes
    ----------
    address : the folder as users write it
    folder : the folder on this machine; None: it is elsewhere
    """

    address: str
    folder: Path | None = None

    def where(self, name: str) -> str:
        """Return a file's address, for messages."""
        return f"{self.address.removesuffix('/')}/{name}" if name else self.address

    def read_ranges(self, name: str, starts: Sequence[int], ends: Sequence[int]) -> list[bytearray]:
        """Read ranges of bytes of a file; raises the errors of `read_into`."""
        found = [bytearray(end - start) for start, end in zip(starts, ends, strict=True)]
        self.read_into(name, starts, [memoryview(content) for content in found])
        return found

    def size(self, name: str) -> int | None:
        """Return the bytes of a file; None: there is no such file."""
        version = self.version(name)
        return None if version is None else version.size

    def exists(self, name: str) -> bool:
        """Tell whether there is such a file."""
        return self.version(name) is not None

    def names(self, prefix: str = "") -> list[str]:
        """Return the sorted names of all files below a folder in this one; '': of all."""
        return [entry.name for entry in self.entries(prefix)]

    def copy_to(self, name: str, path: Path) -> None:
        """Copy a file to this machine, where it appears whole or not at all.

        Raises
        ------
        UserError
            If it is replaced meanwhile: the copy would be of two versions.
        """
        version = self.version(name)
        if version is None:
            raise self.missing(name)
        with atomic_file(path, lasting=False) as stream:
            for start in range(0, version.size, BLOCK):
                stream.write(self.read_ranges(name, [start], [min(start + BLOCK, version.size)])[0])
            if self.version(name) != version:
                raise UserError(f"{self.where(name)}: was changed while it was copied; the same command tries again")

    def missing(self, name: str) -> FileNotFoundError:
        """Return the error for a file that is not there."""
        return FileNotFoundError(errno.ENOENT, "there is no such file", self.where(name))

    def shortened(self, name: str) -> DamagedFile:
        """Return the error for a file that ends too early."""
        return DamagedFile(f"{self.where(name)}: is shorter than it should be")

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Read a whole file."""

    @abstractmethod
    def open(self, name: str) -> io.BufferedReader | io.BytesIO:
        """Open a file for reading; a remote one is read whole."""

    @abstractmethod
    def read_into(self, name: str, starts: Sequence[int], targets: Sequence[memoryview]) -> None:
        """Fill each of `targets` with the bytes of a file from an offset on.

        Raises
        ------
        DamagedFile
            If the file ends before.
        """

    @abstractmethod
    def version(self, name: str) -> Version | None:
        """Return what tells this version of a file from others; None: there is no such file."""

    @abstractmethod
    def entries(self, prefix: str = "") -> list[Entry]:
        """Return all files below a folder in this one, by name, without hidden ones; '': below this one itself."""

    @abstractmethod
    def write(self, name: str, content: bytes | Path) -> None:
        """Write bytes, or a file of this machine; it appears whole or not at all, in place of an earlier one."""

    @abstractmethod
    def create(self, name: str, content: bytes) -> bool:
        """Write a small file if there is none, for locks; return whether there was none."""

    @abstractmethod
    def remove(self, *names: str) -> None:
        """Remove files; they need not be there."""


class FolderStorage(Storage):
    """A folder on this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder: Path = folder
        self.address = str(folder)
        self._start = f"{str(folder).rstrip('/')}/"

    def path(self, name: str) -> Path:
        """Return the path of a file.

        Raises
        ------
        ValueError
            If it would lie outside of the folder.
        """
        return Path(self._path_of_name(name))

    def _path_of_name(
        self, name: str
    ) -> str:  # a text, because paths are slow: training reads a hundred thousand files a second
        if name.startswith("/") or (".." in name and ".." in name.split("/")):
            raise ValueError(f"{name} leads out of its folder")
        return f"{self._start}{name}"

    def read(self, name: str) -> bytes:
        """Read a whole file."""
        return self.path(name).read_bytes()

    def open(self, name: str) -> io.BufferedReader | io.BytesIO:
        """Open a file for reading."""
        return self.path(name).open("rb")

    def where(self, name: str) -> str:
        """Return a file's path, for messages."""
        return str(self.folder / name)

    def read_into(self, name: str, starts: Sequence[int], targets: Sequence[memoryview]) -> None:
        """Fill each of `targets` with the bytes of a file from an offset on."""
        with io.FileIO(self._path_of_name(name)) as stream:
            for start, target in zip(starts, targets, strict=True):
                stream.seek(start)
                if stream.readinto(target) != len(target):
                    raise self.shortened(name)

    def version(self, name: str) -> Version | None:
        """Return what tells this version of a file from others; None: there is no such file."""
        path = self.path(name)
        if not path.is_file():
            return None
        found = path.stat()
        return Version(found.st_size, found.st_mtime_ns, str(found.st_ino))

    def entries(self, prefix: str = "") -> list[Entry]:
        """Return all files below a folder in this one, by name, without hidden ones."""
        return sorted(self._entries_below(self.path(prefix)))

    def _entries_below(self, folder: Path) -> Iterator[Entry]:
        for parent, folders, names in os.walk(folder):
            folders[:] = [name for name in folders if not HIDDEN.search(name)]
            for path in (Path(parent, name) for name in names if not HIDDEN.search(name)):
                try:
                    if path.is_file():
                        found = path.stat()
                        yield Entry(path.relative_to(self.folder).as_posix(), found.st_size, found.st_mtime_ns)
                except FileNotFoundError:  # removed meanwhile, as by the process that writes here
                    continue

    def write(self, name: str, content: bytes | Path) -> None:
        """Write bytes, or a file of this machine."""
        with atomic_file(self.path(name)) as stream:
            if isinstance(content, bytes):
                stream.write(content)
            else:
                with content.open("rb") as source:
                    shutil.copyfileobj(source, stream, BLOCK)

    def create(self, name: str, content: bytes) -> bool:
        """Write a small file if there is none; return whether there was none."""
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        beside.write_bytes(content)
        try:
            os.link(beside, path)
        except FileExistsError:
            return False
        finally:
            beside.unlink()
        return True

    def remove(self, *names: str) -> None:
        """Remove files; they need not be there."""
        for name in names:
            self.path(name).unlink(missing_ok=True)


def open_storage(address: Location) -> Storage:
    """Open a folder; raises UserError if its scheme is unknown, it holds credentials, or the extra is missing."""
    if not is_address(address):
        return FolderStorage(Path(address))
    scheme, _, rest = address.partition(ADDRESS_MARK)
    if scheme not in (*SCHEMES, "memory"):  # memory://: within one process, for tests
        raise UserError(f"{scheme}:// is not known; there are gs://, s3://, az:// and file://")
    folder = without_credentials(rest)
    if folder != rest:
        raise UserError(f"{scheme}://{folder}: addresses hold no credentials; {CREDENTIALS}")
    fault = fault_of_folder(scheme, folder)
    if fault:
        raise UserError(f"{address}: {fault}")
    from utils.object_storage import object_storage  # it builds on this module

    return object_storage(address)


def split_address(file: str) -> tuple[str, str]:
    """Split the address of a file: the folder of all files there, such as `s3://bucket/`, and the file's name in it."""
    scheme, _, rest = file.partition(ADDRESS_MARK)
    bucket, _, name = rest.partition("/")
    return f"{scheme}://{bucket}/", name
