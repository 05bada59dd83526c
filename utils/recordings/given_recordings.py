"""The recordings that a call names: files, folders with all that is in them, and patterns of names."""

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from utils.console import Failure, UserError, printable
from utils.recordings.audio_files import READABLE, has_text_name, is_sound, walk


@dataclass(frozen=True)
class GivenRecordings:
    """The recordings at the places of a call.

    Attributes
    ----------
    root, files : the folder that holds them all, and the recordings below it, in the order of their names
    failures : folders that cannot be read, and files whose names no table can hold
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
        If there is nothing at a place, or there are no recordings at all.
    """
    files, failures, others = dict[Path, None](), list[Failure](), 0
    for path in (path for place in places for path in _paths_at(place)):
        if not path.is_dir():
            files[_absolute(path)] = None
            continue
        content = walk(path)
        failures += content.unread
        sounds = [file for file in content.files if is_sound(file)]
        others += len(content.files) - len(sounds)
        files |= {_absolute(file): None for file in sounds}
    failures += [Failure(str(file), "has a name that is not text") for file in files if not has_text_name(file)]
    named = [file for file in files if has_text_name(file)]
    if not named:
        where = " or ".join(map(printable, places)) or "this call; name files, folders, or patterns of names"
        raise UserError(f"no recordings in {where} ({', '.join(sorted(READABLE))})")
    root = Path(os.path.commonpath([file.parent for file in named]))
    ordered = sorted(named, key=lambda file: file.relative_to(root).as_posix())
    return GivenRecordings(root, ordered, failures, others)


def _paths_at(place: str) -> list[Path]:
    """Return the path that a word names, or the files that it is a pattern of."""
    path = Path(place).expanduser()
    if path.exists():
        return [path]
    matches = sorted(map(Path, glob.glob(str(path), recursive=True)))  # noqa: PTH207 — patterns may be absolute
    if not matches:
        raise UserError(f"{place}: no such file or folder, and no file has a name of that pattern")
    return matches


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 — `resolve` would follow links, and show other names
