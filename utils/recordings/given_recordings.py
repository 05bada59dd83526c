"""The recordings that a call names: files, folders with all that is in them, and patterns of names."""

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from utils.console import Failure, UserError, printable
from utils.recordings.audio_files import READABLE, has_text_name, is_sound, walk

NOTHING_THERE = "no such file or folder, and no recording has a name of that pattern"


@dataclass(frozen=True)
class GivenRecordings:
    """The recordings at the places of a call.

    Attributes
    ----------
    root, files : the folder that holds them all, and the recordings below it, in the order of their names
    failures : places where nothing is, folders that cannot be read, and files whose names no table can hold
    others : how many files of the folders are no recordings
    """

    root: Path
    files: list[Path]
    failures: list[Failure] = field(default_factory=list)
    others: int = 0


def find_recordings(places: Sequence[str]) -> GivenRecordings:
    """Return the recordings at files, in folders and by patterns of names, each once.

    Raises
    ------
    UserError
        If there are no recordings at all.
    """
    if not places:
        raise UserError("name recordings first: files, folders, or patterns of names; flags come after them")
    files, others, unread = dict[Path, None](), set[Path](), dict[str, Failure]()
    found = {place: _paths_at(place) for place in places}
    missing = [Failure(place, NOTHING_THERE) for place, paths in found.items() if not paths]
    if len(missing) == len(found):
        raise UserError("; ".join(f"{failure.name}: {failure.reason}" for failure in missing))
    for path in (path for paths in found.values() for path in paths):
        if not path.is_dir():
            files[path] = None
            continue
        content = walk(path)
        unread |= {failure.name: failure for failure in content.unread}
        files |= {file: None for file in content.files if is_sound(file)}
        others |= {file for file in content.files if not is_sound(file)}
    nameless = [Failure(str(file), "has a name that is not text") for file in files if not has_text_name(file)]
    named = [file for file in files if has_text_name(file)]
    if not named:
        raise UserError(f"no recordings in {' or '.join(map(printable, places))} ({', '.join(sorted(READABLE))})")
    root = Path(os.path.commonpath([file.parent for file in named]))
    ordered = sorted(named, key=lambda file: file.relative_to(root).as_posix())
    return GivenRecordings(root, ordered, [*missing, *unread.values(), *nameless], len(others))


def _paths_at(place: str) -> list[Path]:
    """Return the path that a word names, or the folders and audio files that it is a pattern of; none: nothing is."""
    path = Path(os.path.expanduser(place))  # noqa: PTH111 — Path raises an error for users that are not known
    if path.exists():
        return [_absolute(path)]
    matches = sorted(map(Path, glob.glob(str(path), recursive=True)))  # noqa: PTH207 — patterns may be absolute
    return [_absolute(match) for match in matches if match.is_dir() or is_sound(match)]


def _absolute(path: Path) -> Path:
    """Return the whole path, by the names that the user gave; only `..` follows links."""
    return path.resolve() if ".." in path.parts else path.absolute()
