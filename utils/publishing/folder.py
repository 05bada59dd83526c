"""The published folder: it appears whole or not at all, and writing it again replaces only what was written before."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from utils.console import UserError, printable
from utils.files import atomic_folder, remove_path, write_text
from utils.models.published import read_sums, sha256_of, sums_text
from utils.portable_settings import SUMS
from utils.publishing.call import CardFlags

NAMED_FILES = 3  # files that a message names
CACHED = "epoch_*/network.onnx*"  # that inference puts beside a snapshot


@dataclass(frozen=True)
class PublishedFile:
    """A file of a published folder: its name there, and its size in bytes."""

    name: str
    size: int


def checked_out(out: Path, flags: CardFlags) -> None:
    """Refuse a folder that is not ours, or in which somebody changed files that would be replaced.

    Raises
    ------
    UserError
        That says what to do.
    """
    restore_interrupted(out)
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise UserError(f"--out {printable(out)}: is there already, and is not a folder; choose another name")
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not (out / SUMS).is_file():
        raise UserError(f"--out {printable(out)}: has other files, and is not a published model; choose another folder")
    changed = [] if flags.overwrite else changed_files(out)
    if changed:
        more = f" and {len(changed) - NAMED_FILES} more" if len(changed) > NAMED_FILES else ""
        raise UserError(
            f"--out {printable(out)}: {', '.join(changed[:NAMED_FILES])}{more} changed since card.py wrote them; move "
            "the folder away, or add --overwrite to lose these changes"
        )


def changed_files(folder: Path) -> list[str]:
    """Return the files that differ from their sums; files that are gone do not count."""
    return [
        name
        for name, digest in read_sums(folder / SUMS).items()
        if _is_inside(folder, name) and _differs(folder / name, digest)
    ]


def _differs(path: Path, digest: str) -> bool:
    return path.is_symlink() or (path.is_file() and sha256_of(path) != digest)


def check_no_links(folder: Path) -> None:
    """Refuse a published folder in which a listed file is a link, or lies in a linked folder that leads out.

    Raises
    ------
    UserError
        If one is, or the list cannot be read.
    """
    for name in read_sums(folder / SUMS):
        if (folder / name).is_symlink() or not _is_inside(folder, name):
            raise UserError(f"{printable(folder / name)}: is a link; publish the file itself")


def _is_inside(folder: Path, name: str) -> bool:
    return (folder / name).resolve().is_relative_to(folder.resolve())


@contextmanager
def new_folder(out: Path, check: Callable[[Path], None]) -> Iterator[Path]:
    """Yield an empty folder to fill; it takes the place of `out` if the block ends without an error.

    Files of others that were in `out` are copied to it, unless one of the new files has their name.

    Parameters
    ----------
    check : called with the folder when all is there but the sums and files of others; what it raises ends the work
    """
    made = out.with_name(f".{out.name}.new")
    remove_path(made)
    with atomic_folder(made) as folder:
        yield folder
        write_text(folder / SUMS, sums_text({name: sha256_of(folder / name) for name in names_in(folder)}))
        check(folder)
        _copy_others(out, folder)
    _swap(out, made)


def names_in(folder: Path) -> list[str]:
    """Return the names of all files in a folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def published_files(folder: Path) -> list[PublishedFile]:
    """Return the files that card.py wrote, with the sums."""
    names = [*read_sums(folder / SUMS), SUMS]
    return [PublishedFile(name, (folder / name).stat().st_size) for name in sorted(names)]


def _copy_others(before: Path, folder: Path) -> None:
    if not before.is_dir() or not (before / SUMS).is_file():
        return
    ours = {*read_sums(before / SUMS), SUMS}
    for path in sorted(before.rglob("*")):
        name = path.relative_to(before).as_posix()
        target = folder / name
        if name in ours or fnmatch(name, CACHED) or target.exists() or (path.is_dir() and not path.is_symlink()):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target, follow_symlinks=False)


def _before(out: Path) -> Path:
    return out.with_name(f".{out.name}.before")


def _swap(out: Path, made: Path) -> None:
    before = _before(out)
    remove_path(before)
    if out.exists():
        os.rename(out, before)
    os.rename(made, out)
    remove_path(before)


def restore_interrupted(out: Path) -> None:
    """Finish what a killed call left between two renames, so that the folder is there again."""
    before = _before(out)
    if before.is_dir() and not out.exists():
        os.rename(before, out)


def with_new_card(folder: Path, card: str) -> None:
    """Take over a model card that somebody edited: its sum is written anew.

    Raises
    ------
    UserError
        If another file changed, or one is missing.
    """
    check_no_links(folder)
    sums = read_sums(folder / SUMS)
    wrong = [name for name in changed_files(folder) if name != card]
    wrong += [name for name in sums if not (folder / name).is_file()]
    if wrong:
        raise UserError(f"{printable(folder / wrong[0])}: is missing or changed since card.py wrote it; write it again")
    sums[card] = sha256_of(folder / card)
    write_text(folder / SUMS, sums_text(sums))
