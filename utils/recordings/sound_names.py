"""Which sound a table means by a name, or belongs to by its own."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote

from utils.recordings.audio_files import READABLE, UNREADABLE

# what programs write in place of each other where a file's name cannot hold a colon and its like; macOS, Samba and
# Cygwin write letters of their own for them
_CHANGED = re.compile(r'[<>:"|?*\\/_ \-\uf020-\uf07f꞉∶：]')
_CHANGING = re.compile(r'[<>:"|?*\\%\uf020-\uf07f꞉∶：]')


_Key = TypeVar("_Key")


class _Namesakes:
    """Sounds that a name may mean, in as many folders: what is asked of them is sorted once, for there may be thousands.

    Parameters
    ----------
    files : in the order in which they are preferred
    agreed : how many of the last folders of all of them are alike already
    """

    def __init__(self, files: Sequence[Path], agreed: int = 0) -> None:
        self.files = files
        self._agreed = agreed
        self._nearest: dict[Path, list[Path]] = {}

    @cached_property
    def by_folder(self) -> dict[Path, list[Path]]:
        """The sounds by the folder in which they lie."""
        return _grouped((file.parent, file) for file in self.files)

    @cached_property
    def by_name(self) -> dict[str, "_Namesakes"]:
        """The sounds by their names to the letter."""
        return {name: _Namesakes(files) for name, files in _grouped((file.name, file) for file in self.files).items()}

    @cached_property
    def changing(self) -> "_Namesakes":
        """The sounds in whose names something stands that not every system can write."""
        return _Namesakes([file for file in self.files if _CHANGING.search(file.name)])

    @cached_property
    def _by_last(self) -> dict[str, "_Namesakes"]:
        """The sounds by the last folder in which not all are alike."""
        parts = ((file.parent.parts, file) for file in self.files)
        found = _grouped(
            (_key(folders[-1 - self._agreed]), file) for folders, file in parts if len(folders) > self._agreed
        )
        return {name: _Namesakes(files, self._agreed + 1) for name, files in found.items()}

    @cached_property
    def _highest(self) -> dict[tuple[str, ...], list[Path]]:
        """The sounds that lie least deep below each folder."""
        found: dict[tuple[str, ...], list[Path]] = {}
        for file in sorted(self.files, key=lambda file: len(file.parts)):
            for depth in range(len(file.parent.parts) + 1):
                below = found.setdefault(file.parent.parts[:depth], [])
                if not below or len(below[0].parts) == len(file.parts):
                    below.append(file)
        return found

    def sharing(self, folders: Sequence[str]) -> "_Namesakes":
        """Return the sounds whose folders, from the last one upwards, have most in common with those of a path."""
        found = self
        for folder in reversed(folders):
            if _key(folder) not in found._by_last:
                break
            found = found._by_last[_key(folder)]
        return found

    def nearest(self, folder: Path) -> list[Path]:
        """Return the sounds to which the way through the folders is shortest."""
        if folder not in self._nearest:
            self._nearest[folder] = self.by_folder.get(folder) or self._seek_nearest(folder)
        return self._nearest[folder]

    def _seek_nearest(self, folder: Path) -> list[Path]:
        tops = [folder.parts[:depth] for depth in range(len(folder.parts) + 1)]
        ways = {top: len(self._highest[top][0].parts) - 2 * len(top) for top in tops if top in self._highest}
        shortest = min(ways.values(), default=0)
        return [file for top, way in ways.items() if way == shortest for file in self._highest[top]]


class Sounds:
    """The sounds of an archive, by the names that tables may have for them.

    Upper and lower case do not matter, for Windows does not know them apart; nor how accents are put together, for
    macOS takes them to pieces.
    """

    def __init__(self, files: Iterable[Path]) -> None:
        self.files = list(files)
        self.folders = {file.parent for file in self.files}
        # where one name fits several, one that can be read
        best = sorted(self.files, key=lambda file: file.suffix.lower() in UNREADABLE)
        self._by_name = _named((_key(file.name), file) for file in best)
        self._by_stem = _named((_key(file.stem), file) for file in best)
        self._by_look = _named(
            (name, file) for file in best for name in dict.fromkeys((_look(file.name), _look(file.stem)))
        )

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
        nearest = found.sharing(_folders(text)).nearest(table.parent)
        if any(file.parent != nearest[0].parent or _key(file.stem) != _key(nearest[0].stem) for file in nearest):
            raise ValueError(f"names {text!r}, of which there are {len(nearest)}")
        return nearest[0]

    def meant_by(self, names: Iterable[str], table: Path) -> dict[str, Path | str]:
        """Return the sound that each name in a table means ('': the one for which the table is named), or why there is none."""
        found: dict[str, Path | str] = {}
        for name in dict.fromkeys(names):
            try:
                found[name] = self.named(name, table) if name else self.owner(table)
            except ValueError as error:
                found[name] = str(error)
        return self._elsewhere(found)

    def may_be(self, text: str) -> bool:
        """Tell whether a name is that of a sound, or of several."""
        return self._candidates(text) is not None

    def _candidates(self, text: str) -> _Namesakes | None:
        """Return the sounds that are called so, in whichever folder."""
        # a backslash may be part of a name
        for name in dict.fromkeys((text.rsplit("/", 1)[-1], re.split(r"[\\/]", text)[-1])):
            ending = Path(name).suffix.lower() in READABLE | UNREADABLE  # sounds may have been converted since
            stem = Path(name).stem if ending else name
            if found := self._by_name.get(_key(name)) or self._by_stem.get(_key(name)) or self._by_stem.get(_key(stem)):
                return found.by_name.get(name, found)
            if alike := self._by_look.get(_look(name)) or self._by_look.get(_look(stem)):
                found = alike if _CHANGING.search(name) else alike.changing
                if found.files:
                    return found
        return None

    def _elsewhere(self, found: Mapping[str, Path | str]) -> dict[str, Path | str]:
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
                checked |= {
                    name: f"names {name!r}, which is not there"
                    for name in others
                    if _shared(sound, _folders(name)) < _shared(sound, _folders(best))
                }
            elif others:
                checked |= {name: f"names {name!r}, of which there may be several; one is there" for name in of_it}
        return checked

    def in_folder(self, folder: Path, stem: str) -> list[Path]:
        """Return the sounds of a name that lie directly in a folder."""
        found = self._by_stem.get(_key(stem))
        return found.by_folder.get(folder, []) if found else []

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
        for namesakes in found:
            if table.parent in namesakes.by_folder:
                return namesakes.by_folder[table.parent][0]
        nearest = found[0].nearest(table.parent) if found else []
        if not nearest or any(file.parent != nearest[0].parent for file in nearest):
            raise ValueError(
                f"is named for {len(nearest)} sounds" if nearest else "neither names a sound nor is named for one"
            )
        return nearest[0]


def _grouped(pairs: Iterable[tuple[_Key, Path]]) -> dict[_Key, list[Path]]:
    found: dict[_Key, list[Path]] = {}
    for key, file in pairs:
        found.setdefault(key, []).append(file)
    return found


def _named(pairs: Iterable[tuple[str, Path]]) -> dict[str, _Namesakes]:
    return {name: _Namesakes(files) for name, files in _grouped(pairs).items()}


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


def _alike(one: Iterable[str], other: Iterable[str]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
