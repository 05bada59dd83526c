"""Which audio file a table means by a name, or belongs to by its own name."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote

from utils.recordings.audio_files import READABLE, UNREADABLE

# characters that programs replace by each other, because not every system allows them in file names; macOS, Samba and
# Cygwin use special letters for them
_REPLACED_CHARACTERS = re.compile(r'[<>:"|?*\\/_ \-\uf020-\uf07f꞉∶：]')
_UNPORTABLE_CHARACTERS = re.compile(r'[<>:"|?*\\%\uf020-\uf07f꞉∶：]')


_GroupKey = TypeVar("_GroupKey")


class _Namesakes:
    """Audio files of one name in several folders; indexed once, because there may be thousands.

    Parameters
    ----------
    files : in order of preference
    agreed : number of last folders that all of them have in common
    """

    def __init__(self, files: Sequence[Path], agreed: int = 0) -> None:
        self.files = files
        self._agreed = agreed
        self._nearest: dict[Path, list[Path]] = {}

    @cached_property
    def by_folder(self) -> dict[Path, list[Path]]:
        """The files by their folder."""
        return _grouped((file.parent, file) for file in self.files)

    @cached_property
    def by_name(self) -> dict[str, "_Namesakes"]:
        """The files by their exact names."""
        return {name: _Namesakes(files) for name, files in _grouped((file.name, file) for file in self.files).items()}

    @cached_property
    def unportable(self) -> "_Namesakes":
        """The files whose names have characters that not every system allows."""
        return _Namesakes([file for file in self.files if _UNPORTABLE_CHARACTERS.search(file.name)])

    @cached_property
    def _by_last(self) -> dict[str, "_Namesakes"]:
        """The files by the last folder that they do not have in common."""
        parts = ((file.parent.parts, file) for file in self.files)
        found = _grouped(
            (_normalized(folders[-1 - self._agreed]), file) for folders, file in parts if len(folders) > self._agreed
        )
        return {name: _Namesakes(files, self._agreed + 1) for name, files in found.items()}

    @cached_property
    def _highest(self) -> dict[tuple[str, ...], list[Path]]:
        """The files that are least deep below each folder."""
        found: dict[tuple[str, ...], list[Path]] = {}
        for file in sorted(self.files, key=lambda file: len(file.parts)):
            for depth in range(len(file.parent.parts) + 1):
                nearest = found.setdefault(file.parent.parts[:depth], [])
                if not nearest or len(nearest[0].parts) == len(file.parts):
                    nearest.append(file)
        return found

    def sharing(self, folders: Sequence[str]) -> "_Namesakes":
        """Return the files that have the most last folders in common with a path."""
        found = self
        for folder in reversed(folders):
            if _normalized(folder) not in found._by_last:
                break
            found = found._by_last[_normalized(folder)]
        return found

    def nearest(self, folder: Path) -> list[Path]:
        """Return the files with the shortest way through the folders."""
        if folder not in self._nearest:
            self._nearest[folder] = self.by_folder.get(folder) or self._seek_nearest(folder)
        return self._nearest[folder]

    def _seek_nearest(self, folder: Path) -> list[Path]:
        tops = [folder.parts[:depth] for depth in range(len(folder.parts) + 1)]
        ways = {top: len(self._highest[top][0].parts) - 2 * len(top) for top in tops if top in self._highest}
        shortest = min(ways.values(), default=0)
        return [file for top, way in ways.items() if way == shortest for file in self._highest[top]]


class SoundFinder:
    """Finds the audio files of an archive by the names that tables use for them.

    Upper and lower case are not distinguished, because Windows does not; nor are composed and decomposed accents,
    because macOS decomposes them.
    """

    def __init__(self, files: Iterable[Path]) -> None:
        self.files = list(files)
        self.folders = {file.parent for file in self.files}
        # if one name fits several files, readable ones come first
        best = sorted(self.files, key=lambda file: file.suffix.lower() in UNREADABLE)
        self._by_name = _group_namesakes((_normalized(file.name), file) for file in best)
        self._by_stem = _group_namesakes((_normalized(file.stem), file) for file in best)
        self._by_sanitized = _group_namesakes(
            (name, file) for file in best for name in dict.fromkeys((_sanitized(file.name), _sanitized(file.stem)))
        )

    def find(self, text: str, table: Path) -> Path:
        """Return the audio file that a table names, with or without extension or folders.

        The folders may be those of another computer.

        Raises
        ------
        ValueError
            If there is none, or several are as likely.
        """
        found = self._namesakes(text)
        if not found:
            raise ValueError(f"names {text!r}, which was not found")
        nearest = found.sharing(_folders(text)).nearest(table.parent)
        if any(
            file.parent != nearest[0].parent or _normalized(file.stem) != _normalized(nearest[0].stem)
            for file in nearest
        ):
            raise ValueError(f"names {text!r}, but the number of such files is {len(nearest)}")
        return nearest[0]

    def find_all(self, names: Iterable[str], table: Path) -> dict[str, Path | str]:
        """Return the audio file that each name in a table means, or why none was found.

        The name '' means the file after which the table is named.
        """
        found: dict[str, Path | str] = {}
        for name in dict.fromkeys(names):
            try:
                found[name] = self.find(name, table) if name else self.find_for_table(table)
            except ValueError as error:
                found[name] = str(error)
        return self._without_contradictions(found)

    def knows(self, text: str) -> bool:
        """Tell whether a name is that of one or more audio files."""
        return self._namesakes(text) is not None

    def _namesakes(self, text: str) -> _Namesakes | None:
        """Return the audio files with a name, in any folder; None if there are none."""
        # a backslash may be part of a name
        for name in dict.fromkeys((text.rsplit("/", 1)[-1], re.split(r"[\\/]", text)[-1])):
            ending = Path(name).suffix.lower() in READABLE | UNREADABLE  # the files may have been converted since
            stem = Path(name).stem if ending else name
            if (
                found := self._by_name.get(_normalized(name))
                or self._by_stem.get(_normalized(name))
                or self._by_stem.get(_normalized(stem))
            ):
                return found.by_name.get(name, found)
            if alike := self._by_sanitized.get(_sanitized(name)) or self._by_sanitized.get(_sanitized(stem)):
                found = alike if _UNPORTABLE_CHARACTERS.search(name) else alike.unportable
                if found.files:
                    return found
        return None

    def _without_contradictions(self, found: Mapping[str, Path | str]) -> dict[str, Path | str]:
        """Check names in several folders that seem to mean the same audio file: only the best match can mean it.

        Returns
        -------
        `found`, with the reason in place of the file for names that cannot mean it.
        """
        checked = dict(found)
        names: dict[Path, list[str]] = {}
        for name, sound in found.items():
            if isinstance(sound, Path) and _folders(name):
                names.setdefault(sound, []).append(name)
        for sound, names_of_sound in names.items():
            best = max(names_of_sound, key=lambda name: _shared_folders(sound, _folders(name)))
            others = [name for name in names_of_sound if not _folders_agree(_folders(name), _folders(best))]
            if _shared_folders(sound, _folders(best)):
                checked |= {
                    name: f"names {name!r}, which was not found"
                    for name in others
                    if _shared_folders(sound, _folders(name)) < _shared_folders(sound, _folders(best))
                }
            elif others:
                checked |= {
                    name: f"names {name!r}: the table names several such files, but only one was found"
                    for name in names_of_sound
                }
        return checked

    def in_folder(self, folder: Path, stem: str) -> list[Path]:
        """Return the audio files with a stem that are directly in a folder."""
        found = self._by_stem.get(_normalized(stem))
        return found.by_folder.get(folder, []) if found else []

    def has_sound_for(self, table: Path) -> bool:
        """Tell whether a table is named after an audio file."""
        return any(prefix in self._by_stem for prefix in _prefixes(table))

    def find_for_table(self, table: Path) -> Path:
        """Return the audio file after which a table is named.

        The longest name counts, and files in the table's folder come first.

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
                f"is named after {len(nearest)} audio files"
                if nearest
                else "neither names an audio file nor is named after one"
            )
        return nearest[0]


def _grouped(pairs: Iterable[tuple[_GroupKey, Path]]) -> dict[_GroupKey, list[Path]]:
    found: dict[_GroupKey, list[Path]] = {}
    for key, file in pairs:
        found.setdefault(key, []).append(file)
    return found


def _group_namesakes(pairs: Iterable[tuple[str, Path]]) -> dict[str, _Namesakes]:
    return {name: _Namesakes(files) for name, files in _grouped(pairs).items()}


def _normalized(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _sanitized(name: str) -> str:
    """Return a name with all characters that systems replace written in one way."""
    return _REPLACED_CHARACTERS.sub("_", _normalized(unquote(name)))


def _folders(text: str) -> list[str]:
    """Return the folders of a path, from any operating system."""
    return [folder for folder in re.split(r"[\\/]", text)[:-1] if folder not in ("", ".", "..")]


def _folders_agree(one: Sequence[str], other: Sequence[str]) -> bool:
    """Tell whether one list of folders is the end of the other."""
    return _common_start(map(_normalized, reversed(one)), map(_normalized, reversed(other))) == min(
        len(one), len(other)
    )


def _prefixes(table: Path) -> list[str]:
    """Return the starts of a table's name that may be the name of an audio file, longest first."""
    name = _normalized(table.name)
    return [name[:end] for end in range(len(name) - 1, 0, -1) if not name[end].isalnum()]


def _shared_folders(file: Path, folders: Sequence[str]) -> int:
    """Return how many last folders a path has in common with a file."""
    return _common_start(map(_normalized, reversed(file.parent.parts)), map(_normalized, reversed(folders)))


def _common_start(one: Iterable[str], other: Iterable[str]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
