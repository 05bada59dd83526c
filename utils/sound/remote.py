"""Sounds in remote folders: each is copied to this machine by the process that needs it, and removed afterwards."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache, wraps
from pathlib import Path, PurePosixPath
from posixpath import commonpath
from typing import Any, TypeVar

from config import Location, is_address
from utils.console import UserError
from utils.scratch import scratch_folder
from utils.sound.opening import AudioError
from utils.sound.spot_checks import SPOT_WINDOW, spot_check_positions
from utils.storage import Storage, open_storage, split_address

SMALL_SOUND = 2**21  # bytes; smaller sounds are copied whole
# bytes of a larger one in which its header, its first samples and what stands after its sound are looked for
FIRST_BYTES, LAST_BYTES = 2**18, 2**20
# of formats that are usually not compressed: a header, and COMPARED_FRAMES of eight channels of 32 bits
FIRST_BYTES_UNCOMPRESSED = FIRST_BYTES + 8 * 4 * 2**15
UNCOMPRESSED = (".wav", ".wave", ".w64", ".rf64", ".bwf", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".sph")
SPOT_CHECKED = (".flac", ".ogg", ".oga", ".opus")  # files in which another one may start
SoundJob = TypeVar("SoundJob")
JobOutcome = TypeVar("JobOutcome")
NOT_THERE = (-1, -1)  # size and time of a file that is missing or cannot be accessed


def sound_at(root: Path, file: str) -> Location:
    """Return where the sound of a recording is: below the root of its data set, or at its address."""
    return file if is_address(file) else root / file


def sounds_at(root: Path, files: Iterable[str]) -> list[Location]:
    """Return where the sounds of recordings are, as `sound_at`."""
    return [sound_at(root, file) for file in files]


def name_of_file(file: Location) -> str:
    """Return the last part of a path or an address."""
    return PurePosixPath(file).name


@contextmanager
def local_copy(file: Location) -> Iterator[Path]:
    """Yield a file of this machine with the bytes of a sound: its own, or a copy that exists until the block ends.

    Raises
    ------
    AudioError
        If there is no such file.
    ConnectionError
        If it cannot be copied; another try may succeed.
    """
    if isinstance(file, Path):
        yield file
        return
    with scratch_folder() as scratch:
        path = scratch / name_of_file(file)
        with _errors_of_sound():
            storage, name = _storage_and_name(file)
            storage.copy_to(name, path)
        yield path


@contextmanager
def header_copy(file: str) -> Iterator[Path]:
    """Yield a file of the size of a remote sound with only the bytes that a quick look at it reads, if it is large.

    Raises the errors of `local_copy`.
    """
    with scratch_folder() as scratch:
        path = scratch / name_of_file(file)
        with _errors_of_sound():
            storage, name = _storage_and_name(file)
            size = storage.size(name)
            if size is None:
                raise FileNotFoundError(file)
            starts, ends = zip(*_header_ranges(size, path.suffix.lower()), strict=True)
            contents = storage.read_ranges(name, starts, ends)
        with path.open("wb") as stream:
            stream.truncate(size)
            for start, content in zip(starts, contents, strict=True):
                stream.seek(start)
                stream.write(content)
        yield path


def _header_ranges(size: int, suffix: str) -> list[tuple[int, int]]:
    """Return the ranges of bytes that a quick look at a sound reads."""
    if size <= SMALL_SOUND:
        return [(0, size)]
    spots = spot_check_positions(0, size) if suffix in SPOT_CHECKED else ()
    around = [(max(0, spot - SPOT_WINDOW), min(size, spot + SPOT_WINDOW)) for spot in spots]
    first = FIRST_BYTES_UNCOMPRESSED if suffix in UNCOMPRESSED else FIRST_BYTES
    return [(0, min(first, size)), *around, (size - LAST_BYTES, size)]


@contextmanager
def _errors_of_sound() -> Iterator[None]:
    """Turn the errors of storage into those of sounds."""
    try:
        yield
    except FileNotFoundError:
        raise AudioError("no such file") from None
    except UserError as error:
        raise ConnectionError(str(error)) from None


def on_local_copy(work: Callable[[SoundJob], JobOutcome]) -> Callable[[SoundJob], JobOutcome]:
    """Let a function of a job, whose `file` is a sound, find it on this machine."""

    @wraps(work)
    def with_copy(item: SoundJob) -> JobOutcome:
        job: Any = item
        with local_copy(job.file) as file:
            return work(item if file is job.file else replace(job, file=file))

    return with_copy


def sizes_and_times(files: Sequence[Location]) -> list[tuple[int, int]]:
    """Return size and time of the last change (ns) of sounds, to notice changes; `NOT_THERE` for those not there.

    Remote folders are listed once.

    Raises
    ------
    UserError
        If a remote folder cannot be listed.
    """
    listed: dict[str, tuple[int, int]] = {}
    remote = [file for file in files if not isinstance(file, Path)]
    for bucket in sorted({split_address(file)[0] for file in remote}):
        names = [split_address(file)[1] for file in remote if file.startswith(bucket)]
        folder = commonpath([name.rpartition("/")[0] for name in names])
        entries = _bucket_storage(bucket).entries(folder)
        listed |= {f"{bucket}{entry.name}": (entry.size, entry.time) for entry in entries}
    return [_size_and_time_here(file) if isinstance(file, Path) else listed.get(file, NOT_THERE) for file in files]


def _size_and_time_here(file: Path) -> tuple[int, int]:
    try:
        return file.stat().st_size, file.stat().st_mtime_ns
    except OSError:
        return NOT_THERE


def _storage_and_name(file: str) -> tuple[Storage, str]:
    bucket, name = split_address(file)
    return _bucket_storage(bucket), name


@lru_cache(maxsize=4)
def _bucket_storage(bucket: str) -> Storage:
    """Open a bucket, once per process: a client keeps its connections and its credentials."""
    return open_storage(bucket)
