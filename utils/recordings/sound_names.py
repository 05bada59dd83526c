"""Which sound a table means by a name, or belongs to by its own."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from urllib.parse import unquote

from utils.recordings.audio_files import READABLE, UNREADABLE

# what programs write in place of each other where a file's name cannot hold a colon and its like; macOS, Samba and Cygwin write letters of their own for them
_CHANGED = re.compile(r'[<>:"|?*\\/_ \-\uf020-\uf07f꞉∶：]')
_CHANGING = re.compile(r'[<>:"|?*\\%\uf020-\uf07f꞉∶：]')


class Sounds:
    """The sounds of an archive, by the names that tables may have for them.

    Upper and lower case do not matter, for Windows does not know them apart; nor how accents are put together, for macOS takes them to pieces.
    """

    def __init__(self, files: Iterable[Path]) -> None:
        self.files = list(files)
        self.folders = {file.parent for file in self.files}
        self._by_name: dict[str, list[Path]] = {}
        self._by_stem: dict[str, list[Path]] = {}
        self._by_look: dict[str, list[Path]] = {}
        for file in sorted(self.files, key=lambda file: file.suffix.lower() in UNREADABLE):  # where one name fits several, one that can be read
            self._by_name.setdefault(_key(file.name), []).append(file)
            self._by_stem.setdefault(_key(file.stem), []).append(file)
            for name in {_look(file.name), _look(file.stem)}:
                self._by_look.setdefault(name, []).append(file)

    def named(self, text: str, table: Path) -> Path:
        """Return the sound that a table names, with or without its ending or folders, which may be those of another computer.

        Raises
        ------
        ValueError
            If there is none, or several are as likely.
        """
        found = self._candidates(text)
        if not found:
            raise ValueError(f"names {text!r}, which is not there")
        folders = _folders(text)
        most = max(_shared(file, folders) for file in found)
        nearest = _nearest([file for file in found if _shared(file, folders) == most], table)
        if len({(file.parent, _key(file.stem)) for file in nearest}) > 1:
            raise ValueError(f"names {text!r}, of which there are {len(nearest)}")
        return nearest[0]

    def may_be(self, text: str) -> bool:
        """Tell whether a name is that of a sound, or of several."""
        return bool(self._candidates(text))

    def _candidates(self, text: str) -> list[Path]:
        """Return the sounds that are called so, in whichever folder."""
        for name in dict.fromkeys((text.rsplit("/", 1)[-1], re.split(r"[\\/]", text)[-1])):  # a backslash may be part of a name
            ending = Path(name).suffix.lower() in READABLE | UNREADABLE  # sounds may have been converted since
            stem = Path(name).stem if ending else name
            if found := self._by_name.get(_key(name)) or self._by_stem.get(_key(name)) or self._by_stem.get(_key(stem)):
                return [file for file in found if file.name == name] or found
            alike = self._by_look.get(_look(name)) or self._by_look.get(_look(stem)) or []
            if found := [file for file in alike if _CHANGING.search(name + file.name)]:
                return found
        return []

    def elsewhere(self, found: Mapping[str, Path | str]) -> dict[str, Path | str]:
        """Return what the names of a table mean, or why they mean none, where those in several folders cannot all mean the one sound that is there."""
        checked = dict(found)
        names: dict[Path, list[str]] = {}
        for name, sound in found.items():
            if isinstance(sound, Path) and _folders(name):
                names.setdefault(sound, []).append(name)
        for sound, of_it in names.items():
            best = max(of_it, key=lambda name: _shared(sound, _folders(name)))
            others = [name for name in of_it if not _agree(_folders(name), _folders(best))]
            if _shared(sound, _folders(best)):
                checked |= {name: f"names {name!r}, which is not there" for name in others if _shared(sound, _folders(name)) < _shared(sound, _folders(best))}
            elif others:
                checked |= {name: f"names {name!r}, of which there may be several; one is there" for name in of_it}
        return checked

    def in_folder(self, folder: Path, stem: str) -> list[Path]:
        """Return the sounds of a name that lie directly in a folder."""
        return [file for file in self._by_stem.get(_key(stem), []) if file.parent == folder]

    def may_own(self, table: Path) -> bool:
        """Tell whether a table is named for a sound."""
        return any(prefix in self._by_stem for prefix in _prefixes(table))

    def owner(self, table: Path) -> Path:
        """Return the sound for which a table is named: the longest name counts, and one in the table's folder before all others.

        Raises
        ------
        ValueError
            If there is none, or several are as likely.
        """
        found = [self._by_stem[prefix] for prefix in _prefixes(table) if prefix in self._by_stem]
        here = [file for files in found for file in files if file.parent == table.parent]
        if here:
            return here[0]
        nearest = _nearest(found[0], table) if found else []
        if len({file.parent for file in nearest}) != 1:
            raise ValueError(f"is named for {len(nearest)} sounds" if nearest else "neither names a sound nor is named for one")
        return nearest[0]


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _look(name: str) -> str:
    """Return a name as it is alike for all ways to write what not every system can."""
    return _CHANGED.sub("_", _key(unquote(name)))


def _folders(text: str) -> list[str]:
    """Return the folders of a path, on whichever system it was written."""
    return [folder for folder in re.split(r"[\\/]", text)[:-1] if folder not in ("", ".", "..")]


def _agree(one: Sequence[str], other: Sequence[str]) -> bool:
    """Tell whether two lists of folders can be one way, of which the longer begins further up."""
    return _alike(map(_key, reversed(one)), map(_key, reversed(other))) == min(len(one), len(other))


def _prefixes(table: Path) -> list[str]:
    """Return all that a table's name begins with and that may be a sound's, the longest first."""
    name = _key(table.name)
    return [name[:end] for end in range(len(name) - 1, 0, -1) if not name[end].isalnum()]


def _shared(file: Path, folders: Sequence[str]) -> int:
    """Return how many folders, from the last one upwards, a path has in common with a file."""
    return _alike(map(_key, reversed(file.parent.parts)), map(_key, reversed(folders)))


def _nearest(files: Sequence[Path], table: Path) -> list[Path]:
    """Return those of the files to which the way through the folders is shortest."""
    ways = [len(file.parent.parts) - 2 * _alike(file.parent.parts, table.parent.parts) for file in files]
    return [file for file, way in zip(files, ways, strict=True) if way == min(ways)]


def _alike(one: Iterable[str], other: Iterable[str]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
