"""The folders `train/<species>/`, `val/<species>/` and `test/<species>/`: sounds are copied, linked or moved there."""

import filecmp
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from utils.console import UserError
from utils.files import atomic_file
from utils.recordings.recording import SPLITS, Recording, Split, read_metadata

SortMode = Literal["copy", "hardlink", "move", "symlink"]
# what the toolkit writes to a data set's root, if the archive is in the root or was one itself
TOOLKIT_FILES = (
    *SPLITS,
    *("metadata", "spec", "remote_spec", "snapshots", "submissions", "soundscapes", "test_soundscapes", "test_audio"),
    *("split.parquet", "split.png", "audit.csv", "annotations.png", "events.csv", "sorted.log", "timings.json"),
    *("recorders.csv", "assigned.parquet"),
)


def sorted_path(recording: Recording, split: Split) -> Path:
    """Return a recording's path after sorting, below the data set's root; long recordings are in no species' folder."""
    name = recording.name.removeprefix(recording.species + "/") + recording.file.suffix
    return Path(split, recording.species, name)


def find_sorted_file(recording: Recording, root: Path) -> Path | None:
    """Return the file of a recording that an earlier sort made, in whichever split; None if there is none."""
    return next((path for split in SPLITS if (path := root / sorted_path(recording, split)).is_file()), None)


def sound_file_of(recording: Recording, root: Path) -> Path:
    """Return the path of a recording's sound: in the archive, or where an earlier sort moved it."""
    return recording.file if recording.file.is_file() else find_sorted_file(recording, root) or recording.file


def stays_in_place(recording: Recording, root: Path) -> bool:
    """Tell whether a recording is not sorted because the root is an archive that comes with splits."""
    return recording.split is not None and recording.file.is_relative_to(root) and not recording.moved_from


def sort_recording(recording: Recording, split: Split, *, root: Path, mode: SortMode) -> None:
    """Copy, link or move a recording's sound to the folder of its split, unless it is there already.

    Call `check_conflicts` first. Then a file at its path, in any split, is an earlier copy of it, or a link.
    """
    source, target = recording.file, root / sorted_path(recording, split)
    if _is_same_path(target, source):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    # the recording may have been in another split before
    others = [root / sorted_path(recording, other) for other in SPLITS if other != split]
    before = [path for path in others if (path.is_symlink() or path.is_file()) and not _is_same_path(path, source)]
    for path in before:
        if (
            path.is_file()
            and not path.is_symlink()
            and not target.exists()
            and (not source.is_file() or _is_copy(path, source))
        ):
            os.replace(path, target)
    if mode == "symlink":
        _symlink(source, target, root=root)
    elif mode == "hardlink":
        _hardlink(source, target)
    elif mode == "move":
        _move(source, target, root=root)
    elif source.is_file() and (target.is_symlink() or not _is_copy(target, source) or _is_same_inode(target, source)):
        _copy(source, target)
    for path in before:
        if target.is_file() and (path.is_symlink() or (path.is_file() and _has_same_bytes(path, target))):
            path.unlink()


def check_conflicts(recordings: list[Recording], root: Path, *, mode: SortMode) -> None:
    """Check that no file of another recording would be overwritten: it may have been moved there, without a copy.

    Copies are recognised by size and modification time. If one of the two files may be the only one, all bytes are
    compared.

    Raises
    ------
    UserError
        With the first such file, and their number; also if the archive links to a file in the folders of the splits.
    """
    conflicts = []
    for recording in recordings:
        if not recording.file.is_file():
            continue
        real = recording.file.resolve()
        if not recording.file.is_relative_to(root) and any(
            real.is_relative_to((root / split).resolve()) for split in SPLITS
        ):
            raise UserError(
                f"{recording.file}: is a link into {root}, to which sort_data.py writes; nothing was changed: "
                "remove such links from the archive"
            )
        for split in SPLITS:
            there = root / sorted_path(recording, split)
            ours = (
                there.is_file()
                and not there.is_symlink()
                and not _is_same_path(there, recording.file)
                and not _is_same_inode(there, real)
            )
            only_a_copy = (
                ours and mode != "move" and _is_copy(there, recording.file) and not _was_moved_before(recording, root)
            )
            if ours and not only_a_copy and not _has_same_bytes(there, recording.file):
                conflicts.append(there)
    if conflicts:
        raise UserError(
            f"{conflicts[0]}: differs from the recording of the same name in the archive ({len(conflicts)} such files)"
            "; nothing was changed: rename the new ones, or remove the old ones if they are only old copies"
        )


def _was_moved_before(recording: Recording, root: Path) -> bool:
    """Tell whether an earlier sort moved the recording of this name: then its file may be the only one."""
    file = root / "metadata" / f"{recording.name}.json"
    try:
        return file.is_file() and bool(read_metadata(file).get("moved_from"))
    except (OSError, ValueError):
        return True  # not known, so that the bytes are compared


def check_space(recordings: list[Recording], root: Path) -> None:
    """Check that the disk has enough space for the copies.

    Raises
    ------
    UserError
        With the space that is needed and the space that is free.
    """
    needed = sum(
        recording.file.stat().st_size
        for recording in recordings
        if recording.file.is_file() and not find_sorted_file(recording, root)
    )
    root.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(root).free
    if needed > free:
        raise UserError(
            f"{root}: copying needs {needed / 1e6:,.0f} MB, but {free / 1e6:,.0f} MB are free; "
            "--dataset.sort_mode symlink needs none"
        )


def check_hardlinks(recordings: list[Recording], root: Path) -> None:
    """Check that hard links to the archive are possible: not to another disk, and not on every file system.

    Raises
    ------
    UserError
        With the alternatives.
    """
    source = next((recording.file for recording in recordings if recording.file.is_file()), None)
    if source is None:
        return
    root.mkdir(parents=True, exist_ok=True)
    trial = root / ".hardlink.part"
    trial.unlink(missing_ok=True)
    try:
        os.link(source.resolve(), trial)
    except OSError as error:
        raise UserError(
            f"{root}: hard links to {source.parent} are not possible here ({error.strerror}); "
            "use --dataset.sort_mode symlink or copy"
        ) from None
    trial.unlink()


def _is_same_path(one: Path, other: Path) -> bool:
    """Tell whether two paths are the same; a folder in them may have two names."""
    return (
        one.name == other.name and one.parent.is_dir() and other.parent.is_dir() and one.parent.samefile(other.parent)
    )


def _is_same_inode(one: Path, other: Path) -> bool:
    """Tell whether two paths, neither of them a symbolic link, are hard links to one file."""
    return one.is_file() and other.is_file() and not one.is_symlink() and not other.is_symlink() and one.samefile(other)


def _has_same_bytes(one: Path, other: Path) -> bool:
    return one.stat().st_size == other.stat().st_size and filecmp.cmp(one, other, shallow=False)


def _is_copy(file: Path, original: Path) -> bool:
    """Tell whether `file` is a copy of `original`, by size and time; if the original is missing, it counts as one."""
    if not original.is_file():
        return True
    if not file.is_file():
        return False
    ours, theirs = file.stat(), original.stat()
    return ours.st_size == theirs.st_size and ours.st_mtime_ns == theirs.st_mtime_ns


def _copy(source: Path, target: Path) -> None:
    with atomic_file(target) as stream, source.open("rb") as original:
        shutil.copyfileobj(original, stream, 1 << 20)
        stream.flush()
        times = os.stat(source)
        os.utime(stream.fileno(), ns=(times.st_atime_ns, times.st_mtime_ns))


def _symlink(source: Path, target: Path, *, root: Path) -> None:
    wanted = os.path.relpath(source, target.parent.resolve()) if source.is_relative_to(root) else str(source.absolute())
    if not source.is_file() or (target.is_symlink() and os.readlink(target) == wanted):
        return
    with _temporary_link(target) as link:
        link.symlink_to(wanted)


@contextmanager
def _temporary_link(target: Path) -> Iterator[Path]:
    """Yield a free path next to the target; the link that is made there then replaces the target, or is removed."""
    link = target.with_name(f".{target.name}.link")
    link.unlink(missing_ok=True)
    try:
        yield link
        os.replace(link, target)
    finally:
        link.unlink(missing_ok=True)


def _hardlink(source: Path, target: Path) -> None:
    original = source.resolve()
    if not original.is_file() or _is_same_inode(target, original):
        return
    with _temporary_link(target) as link:
        os.link(original, link)


def copy_linked_recordings(recordings: Sequence[Recording]) -> None:
    """Replace links of an archive to other recordings of it by copies, before a move of those breaks the links."""
    real = {recording.file for recording in recordings if recording.file.is_file() and not recording.file.is_symlink()}
    for recording in recordings:
        if recording.file.is_symlink() and recording.file.is_file() and recording.file.resolve() in real:
            _copy(recording.file.resolve(), recording.file)


def _move(source: Path, target: Path, *, root: Path) -> None:
    if not source.is_file():
        return
    if source.is_symlink():  # a relative link would point elsewhere after the move
        _symlink(source.resolve(), target, root=root)
        source.unlink()
        return
    if _is_same_inode(target, source):  # os.replace does nothing between hard links to one file
        source.unlink()
        return
    try:
        os.replace(source, target)
    except OSError:  # on another disk; the original is removed only after its copy is complete and on disk
        _copy(source, target)
        if not _has_same_bytes(source, target):
            raise
        source.unlink()
