"""The folders `train/<species>/`, `val/<species>/` and `test/<species>/`: one division of the recordings, to look at and to listen to."""

import filecmp
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from utils.console import UserError
from utils.files import whole_file
from utils.recordings.recording import SIDES, Recording, Side, read_metadata

SortMode = Literal["copy", "hardlink", "move", "symlink"]


def view_path(recording: Recording, side: Side) -> Path:
    """Return where a recording belongs, below the data set's root; long recordings of many species lie in no species' folder."""
    name = recording.name.removeprefix(recording.species + "/") + recording.file.suffix
    return Path(side, recording.species, name)


def placed_file(recording: Recording, root: Path) -> Path | None:
    """Return where an earlier sort put a recording, whichever side it was on then."""
    return next((path for side in SIDES if (path := root / view_path(recording, side)).is_file()), None)


def sound_of(recording: Recording, root: Path) -> Path:
    """Return where a recording's sound is: in the archive, or where an earlier sort moved it."""
    return recording.file if recording.file.is_file() else placed_file(recording, root) or recording.file


def stays(recording: Recording, root: Path) -> bool:
    """Tell whether a recording already stands in a divided data set, where it is left as it is."""
    return recording.side is not None and recording.file.is_relative_to(root) and not recording.moved_from


def place(recording: Recording, side: Side, *, root: Path, mode: SortMode) -> None:
    """Bring a recording's sound to its place on a side; what is there already is left alone.

    `check_conflicts` must have found nothing: what stands in the recording's place, on any side, is then an earlier
    copy of it, or a link.
    """
    source, target = recording.file, root / view_path(recording, side)
    if _one_place(target, source):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    # an earlier split may have had it there
    others = [root / view_path(recording, other) for other in SIDES if other != side]
    before = [path for path in others if (path.is_symlink() or path.is_file()) and not _one_place(path, source)]
    for path in before:
        if (
            path.is_file()
            and not path.is_symlink()
            and not target.exists()
            and (not source.is_file() or _is_copy(path, source))
        ):
            os.replace(path, target)
    if mode == "symlink":
        _link(source, target, root=root)
    elif mode == "hardlink":
        _hardlink(source, target)
    elif mode == "move":
        _move(source, target, root=root)
    elif source.is_file() and (target.is_symlink() or not _is_copy(target, source) or _one_inode(target, source)):
        _copy(source, target)
    for path in before:
        if target.is_file() and (path.is_symlink() or (path.is_file() and _same_bytes(path, target))):
            path.unlink()


def check_conflicts(recordings: list[Recording], root: Path, *, mode: SortMode) -> None:
    """Refuse to sort where another recording of the same name was placed before: it may have been moved there, and be the only one.

    A copy is known by its size and time. Where one of the two may be the only one, every byte is compared.

    Raises
    ------
    UserError
        With the first of them, and how many there are; also where the archive only links to what stands in the root.
    """
    conflicts = []
    for recording in recordings:
        if not recording.file.is_file():
            continue
        real = recording.file.resolve()
        if not recording.file.is_relative_to(root) and any(
            real.is_relative_to((root / side).resolve()) for side in SIDES
        ):
            raise UserError(
                f"{recording.file}: is a link into {root}, which sorting fills; nothing was changed: remove such links from the archive"
            )
        for side in SIDES:
            there = root / view_path(recording, side)
            ours = (
                there.is_file()
                and not there.is_symlink()
                and not _one_place(there, recording.file)
                and not _one_inode(there, real)
            )
            only_a_copy = (
                ours and mode != "move" and _is_copy(there, recording.file) and not _was_moved(recording, root)
            )
            if ours and not only_a_copy and not _same_bytes(there, recording.file):
                conflicts.append(there)
    if conflicts:
        raise UserError(
            f"{conflicts[0]}: is another recording than that of the same name in the archive ({len(conflicts)} such files); "
            "nothing was changed: rename the new ones, or remove the old ones if they are only old copies"
        )


def _was_moved(recording: Recording, root: Path) -> bool:
    """Tell whether an earlier sort moved the recording of this name, whose file may then be the only one."""
    file = root / "metadata" / f"{recording.name}.json"
    try:
        return file.is_file() and bool(read_metadata(file).get("moved_from"))
    except (OSError, ValueError):
        return True  # not known: compare


def check_space(recordings: list[Recording], root: Path) -> None:
    """Refuse to begin copying what the disk cannot hold.

    Raises
    ------
    UserError
        With what is needed and what is free.
    """
    needed = sum(
        recording.file.stat().st_size
        for recording in recordings
        if recording.file.is_file() and not placed_file(recording, root)
    )
    root.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(root).free
    if needed > free:
        raise UserError(
            f"{root}: copying needs {needed / 1e6:,.0f} MB, {free / 1e6:,.0f} MB are free; --dataset.sort_mode symlink needs none"
        )


def check_hardlinks(recordings: list[Recording], root: Path) -> None:
    """Refuse hard links to another disk, or where the file system has none.

    Raises
    ------
    UserError
        With what does instead.
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
            f"{root}: cannot hold hard links to {source.parent} ({error.strerror}); use --dataset.sort_mode symlink or copy"
        ) from None
    trial.unlink()


def _one_place(one: Path, other: Path) -> bool:
    """Tell whether two paths are one place, though a folder on the way may have two names."""
    return (
        one.name == other.name and one.parent.is_dir() and other.parent.is_dir() and one.parent.samefile(other.parent)
    )


def _one_inode(one: Path, other: Path) -> bool:
    """Tell whether two paths, neither a symbolic link, are hard links to one file."""
    return one.is_file() and other.is_file() and not one.is_symlink() and not other.is_symlink() and one.samefile(other)


def _same_bytes(one: Path, other: Path) -> bool:
    return one.stat().st_size == other.stat().st_size and filecmp.cmp(one, other, shallow=False)


def _is_copy(file: Path, original: Path) -> bool:
    """Tell whether `file` is `original`'s copy, by size and time; an original that is gone was moved or is no longer needed."""
    if not original.is_file():
        return True
    if not file.is_file():
        return False
    ours, theirs = file.stat(), original.stat()
    return ours.st_size == theirs.st_size and ours.st_mtime_ns == theirs.st_mtime_ns


def _copy(source: Path, target: Path) -> None:
    with whole_file(target) as stream, source.open("rb") as original:
        shutil.copyfileobj(original, stream, 1 << 20)
        stream.flush()
        times = os.stat(source)
        os.utime(stream.fileno(), ns=(times.st_atime_ns, times.st_mtime_ns))


def _link(source: Path, target: Path, *, root: Path) -> None:
    wanted = os.path.relpath(source, target.parent.resolve()) if source.is_relative_to(root) else str(source.absolute())
    if not source.is_file() or (target.is_symlink() and os.readlink(target) == wanted):
        return
    with _new_link(target) as link:
        link.symlink_to(wanted)


@contextmanager
def _new_link(target: Path) -> Iterator[Path]:
    """Yield a free name beside the target for a link, which then takes the target's place; nothing is left behind."""
    link = target.with_name(f".{target.name}.link")
    link.unlink(missing_ok=True)
    try:
        yield link
        os.replace(link, target)
    finally:
        link.unlink(missing_ok=True)


def _hardlink(source: Path, target: Path) -> None:
    original = source.resolve()
    if not original.is_file() or _one_inode(target, original):
        return
    with _new_link(target) as link:
        os.link(original, link)


def take_links_first(recordings: Sequence[Recording]) -> None:
    """Turn links of an archive to other recordings of it into copies, before those are moved away and leave the links pointing to nothing."""
    real = {recording.file for recording in recordings if recording.file.is_file() and not recording.file.is_symlink()}
    for recording in recordings:
        if recording.file.is_symlink() and recording.file.is_file() and recording.file.resolve() in real:
            _copy(recording.file.resolve(), recording.file)


def _move(source: Path, target: Path, *, root: Path) -> None:
    if not source.is_file():
        return
    if source.is_symlink():  # a relative link would point elsewhere from its new place
        _link(source.resolve(), target, root=root)
        source.unlink()
        return
    if _one_inode(target, source):  # hard links to one file: renaming one to the other would leave both
        source.unlink()
        return
    try:
        os.replace(source, target)
    except OSError:  # another disk: the original goes only after its copy is whole and on disk
        _copy(source, target)
        if not _same_bytes(source, target):
            raise
        source.unlink()
