"""Which sound files of a folder of recordings without birds are used, and which of them are known under other names."""

import filecmp
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import polars as pl

from config import Config, Location
from utils.console import Failure, UserError, printable
from utils.recordings.audio_files import is_sound, walk
from utils.sound.remote import name_of_file, sizes_and_times, sounds_at

NO_FILE = "is no file: a link without a target, a pipe or a device"
FIRST_COMPARED = 2**16  # bytes of files of the same size; whole files are compared only if these are equal


def advice_for(setting: str) -> str:
    """Return what to do if a setting names a folder that cannot be used."""
    return f"set {setting} to a folder of recordings without birds"


def noise_files(folder: Path, setting: str) -> tuple[list[Path], list[Failure]]:
    """Return the sound files of a folder and its subfolders, in the order of their paths, and unreadable subfolders.

    Parameters
    ----------
    setting : the setting that names the folder

    Raises
    ------
    UserError
        If there is no folder, or no sound file in it.
    """
    shown = printable(folder)
    if not folder.is_dir():
        reason = "is not a folder" if folder.exists() else "there is no such folder"
        raise UserError(f"{shown}: {reason}; {advice_for(setting)}")
    found = walk(folder)
    sounds = sorted(file for file in found.files if is_sound(file))
    files = [file for file in sounds if file.is_file()]
    unread = [Failure(file.relative_to(folder).as_posix(), NO_FILE) for file in sounds if not file.is_file()]
    if not files:
        raise UserError(f"{shown}: neither it nor its subfolders contain sound files; {advice_for(setting)}")
    return files, [*found.unread, *unread]


def distinct_files(files: Sequence[Path]) -> tuple[list[Path], list[Failure]]:
    """Return files without those whose content an earlier one has, and why these are left out."""
    used, left_out, seen = list[Path](), list[Failure](), dict[tuple[int, bytes], list[Path]]()
    for file in files:
        same = seen.setdefault((file.stat().st_size, _start_of(file)), [])
        twin = next((other for other in same if filecmp.cmp(file, other, shallow=False)), None)
        if twin is not None:
            left_out.append(Failure(str(file), f"has the same content as {twin.name}, and does not count again"))
            continue
        same.append(file)
        used.append(file)
    return used, left_out


def known_recordings(files: Sequence[Path], split: pl.DataFrame, config: Config) -> dict[Path, tuple[str, str]]:
    """Return split and class of the files that are recordings of the data set, whatever their names: of equal content.

    Recordings at an address have to have the same name and size.
    """
    sizes = dict(zip(files, [size for size, _ in sizes_and_times(files)], strict=True))
    wanted, by_content = set(sizes.values()), dict[tuple[int, bytes | str], list[tuple[Location, str, str]]]()
    sounds = sounds_at(config.dataset.root, split["file"])
    rows = zip(sounds, sizes_and_times(sounds), split["split"], split["class"], strict=True)
    for sound, (size, _), part, label in sorted(rows, key=lambda row: row[2] != "train"):  # held out counts
        if size in wanted:
            start = _start_of(sound) if isinstance(sound, Path) else name_of_file(sound)
            by_content.setdefault((size, start), []).append((sound, part, label))
    known = {}
    for file, size in sizes.items():
        for key in ((size, _start_of(file)), (size, file.name)) if by_content else ():
            for sound, part, label in by_content.get(key, ()):
                if not isinstance(sound, Path) or filecmp.cmp(file, sound, shallow=False):
                    known[file] = part, label
    return known


def refuse_shared_noise(learned: Path | None, tested: Path | None) -> None:
    """Refuse that a model is tested on noise that it learns: one file in both folders, or two of equal content.

    Parameters
    ----------
    learned, tested : `training.noise_folder` and `testing.noise_folder`; one that is not there shares nothing

    Raises
    ------
    UserError
        That names a file and says what to set.
    """
    if learned is None or tested is None or not (learned.is_dir() and tested.is_dir()):
        return
    shared = next(_shared_files(_files_of(learned), _files_of(tested)), None)
    if shared:
        raise UserError(
            f"training.noise_folder and testing.noise_folder share recordings, such as {printable(shared)}, so false "
            "alarms would be counted on what was learned; set testing.noise_folder to a folder of other recordings"
        )


def _files_of(folder: Path) -> list[Path]:
    return sorted(file for file in walk(folder).files if is_sound(file) and file.is_file())


def _shared_files(learned: Sequence[Path], tested: Sequence[Path]) -> Iterator[Path]:
    """Yield the tested files that are learned, first those with the same path."""
    paths = {file.resolve() for file in learned}
    yield from (file for file in tested if file.resolve() in paths)
    by_size = _by_size(learned)
    for size, files in _by_size(tested).items():
        starts = {other: _start_of(other) for other in by_size.get(size, ())}
        for file in files if starts else ():
            start = _start_of(file)
            if any(start == other and filecmp.cmp(file, path, shallow=False) for path, other in starts.items()):
                yield file


def _by_size(files: Sequence[Path]) -> Mapping[int, list[Path]]:
    """Return files by their size in bytes; empty ones, which hold no noise, are left out."""
    sizes: dict[int, list[Path]] = {}
    for file in files:
        sizes.setdefault(file.stat().st_size, []).append(file)
    sizes.pop(0, None)
    return sizes


def _start_of(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(FIRST_COMPARED)
    except OSError:  # is reported where it is decoded
        return b""
