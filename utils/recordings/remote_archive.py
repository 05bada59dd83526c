"""An archive elsewhere: its tables are copied to a scratch folder, where empty files stand for its sounds.

So every reader of archives reads it as one on this machine. The sounds stay where they are: `split.parquet` holds their
addresses, and whoever needs one copies it (utils/sound/remote.py).
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from config import Dataset, Location
from utils import console
from utils.recordings.audio_files import is_sound, path_below
from utils.scratch import scratch_folder
from utils.storage import Entry, Storage, open_storage
from utils.workers.worker_processes import is_fatal

LARGEST_TABLE = 256 * 2**20  # bytes; larger files are no tables about sounds, and are not copied
COPIES_AT_ONCE = 16


@dataclass(frozen=True)
class RemoteArchive:
    """An archive elsewhere, and the folder that stands for it.

    Attributes
    ----------
    folder : the folder of this machine with its tables
    address : the archive as users write it
    failures : its files that the folder lacks, and why
    """

    folder: Path
    address: str
    failures: tuple[console.Failure, ...] = ()

    def location_of(self, file: Path) -> Location:
        """Return the address of a file of the archive; other files stay."""
        if not file.is_relative_to(self.folder):
            return file
        return f"{self.address.rstrip('/')}/{file.relative_to(self.folder).as_posix()}"


@contextmanager
def archive_elsewhere(settings: Dataset) -> Iterator[RemoteArchive | None]:
    """Yield the archive, if it is elsewhere, with a folder for it that exists until the block ends.

    Raises
    ------
    UserError
        If the archive cannot be reached, or has no files; errors that name the folder name the archive instead.
    """
    if settings.archive is None or isinstance(settings.archive, Path):
        yield None
        return
    with scratch_folder() as scratch:
        folder = scratch.resolve() / "archive"
        failures = _copy_tables(open_storage(settings.archive), folder)
        remote = RemoteArchive(folder, settings.archive, tuple(failures))
        console.info(f"{remote.address}: its recordings stay there; dataset.sort_mode has no effect")
        try:
            yield remote
        except console.UserError as error:
            raise console.UserError(str(error).replace(str(remote.folder), remote.address)) from None


def _copy_tables(storage: Storage, folder: Path) -> list[console.Failure]:
    """Fill the folder; return the files that it lacks, and why."""
    entries = storage.entries()
    if not entries:
        raise console.UserError(
            f"{storage.address}: has no files; set dataset.archive to the folder of your recordings"
        )
    failures: list[console.Failure] = []
    tables = _make_files(entries, folder, failures)

    def copy(name: str) -> None:
        try:
            storage.copy_to(name, folder / name)
        except FileNotFoundError:
            (folder / name).unlink()
            failures.append(console.Failure(name, "was removed while the archive was read"))

    with (
        console.progress("tables of the archive", total=len(tables), unit="files") as advance,
        ThreadPoolExecutor(COPIES_AT_ONCE, thread_name_prefix="tables") as threads,
    ):
        for _ in threads.map(copy, tables):
            advance()
    return sorted(failures, key=lambda failure: failure.name)


def _make_files(entries: Sequence[Entry], folder: Path, failures: list[console.Failure]) -> list[str]:
    """Make empty files of the size of those in an archive; return the names of those whose content is needed."""
    tables = []
    for entry in entries:
        try:
            path = path_below(folder, entry.name)
            _make_empty(path, entry.size)
        except (ValueError, OSError) as error:  # a name that folders cannot have
            if is_fatal(error):
                raise
            failures.append(console.Failure(entry.name, str(error)))
            continue
        if is_sound(path):
            continue
        if entry.size > LARGEST_TABLE:
            failures.append(console.Failure(entry.name, f"is no sound, and too large ({entry.size / 1e6:,.0f} MB)"))
        else:
            tables.append(entry.name)
    return tables


def _make_empty(path: Path, size: int) -> None:
    """Make a file of a size that takes no room on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as stream:
        try:
            stream.truncate(size)
        except OSError:
            path.unlink()
            raise
