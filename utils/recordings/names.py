"""What recordings are called: once in a data set, so that the name can be that of a file anywhere, and stays when recordings are added."""

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from utils.files import DEVICES, LONGEST_NAME, NEVER_IN_NAMES, check_name
from utils.recordings.recording import SIDES, Recording

_HASHED = 16  # hexadecimal digits that stand for the end of a name that is too long


def plain_name(text: str) -> str:
    """Return a text as one that can name a file anywhere: what no name may hold is written as in addresses of the web (`:` as %3A).

    Names that can be used stay as they are. The end of what is too long becomes a hash.

    Raises
    ------
    ValueError
        If it is empty or no Unicode.
    """
    begin, end = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
    plain = percent(begin) + escaped(text.strip()) + percent(end) if text.strip() else percent(text)
    if plain.startswith(".") or DEVICES.fullmatch(plain):
        plain = percent(plain[0]) + plain[1:]
    return check_name(shortened(plain, of=text))


def escaped(text: str, *, also: str = "") -> str:
    """Return a text in which what no file's name may hold, and the letters of `also`, are written as in addresses of the web; what is no Unicode stays."""
    return "".join(
        percent(letter)
        if letter in f"/\\:{also}" or unicodedata.category(letter) in NEVER_IN_NAMES - {"Cs"}
        else letter
        for letter in text
    )


def percent(text: str) -> str:
    """Write a text as its bytes are in addresses of the web: `:` as %3A."""
    return "".join(f"%{byte:02X}" for byte in text.encode())


def shortened(name: str, *, of: str) -> str:
    """Return a name of at most `LONGEST_NAME` bytes: of a longer one, the begin and a hash of what it is the name of."""
    if len(name.encode(errors="surrogatepass")) <= LONGEST_NAME:
        return name
    begin = name.encode(errors="surrogatepass")[: LONGEST_NAME - _HASHED - 1].decode(errors="ignore")
    return f"{begin}~{hashlib.sha256(of.encode(errors='surrogatepass')).hexdigest()[:_HASHED]}"


@dataclass(frozen=True)
class Known:
    """The names that an earlier sort gave.

    Attributes
    ----------
    by_source : by the sounds' paths below the archive
    others : names of which that is not kept, as of earlier versions: they gave each name to the first sound that it
        fits
    """

    by_source: Mapping[str, str] = field(default_factory=dict)
    others: frozenset[str] = frozenset()


def named_apart(recordings: Sequence[Recording], archive: Path, known: Known) -> list[Recording]:
    """Give recordings that are called alike names of their own; names of an earlier sort stay.

    On two sides of a divided archive, all but the first get the side's name; else all are called by their path below
    the archive, and where that is not enough, by their ending besides, or by a hash of the path.
    """
    recordings = [replace(recording, source=_source(recording, archive)) for recording in recordings]
    forms = [_forms(recording) for recording in recordings]
    names = _names_before(recordings, forms, known)
    first = _first_of_equals(recordings)
    for level in range(len(forms[0]) if forms else 0):
        ahead = [row for row in range(len(recordings)) if row not in names]
        counts = Counter(form[level] for form in forms) if level == 0 else Counter(forms[row][level] for row in ahead)
        taken = set(names.values())
        for row in ahead:
            name = forms[row][level]
            if name and name not in taken and (counts[name] == 1 or (level == 0 and row in first)):
                names[row] = name
    return [replace(recording, name=names[row]) for row, recording in enumerate(recordings)]


def _forms(recording: Recording) -> tuple[str, ...]:
    """Return what a recording may be called, the shortest first; '' where it has no such form."""
    path = _path_name(recording)
    side = f"{recording.name} ({recording.side})" if recording.side else ""
    ending = f"{path} ({recording.file.suffix[1:].lower()})"
    return recording.name, side, path, ending, f"{path} ({_digest(recording.source)})"


def _names_before(recordings: Sequence[Recording], forms: Sequence[tuple[str, ...]], known: Known) -> dict[int, str]:
    """Return, by their rows, the recordings that have a name already."""
    names: dict[int, str] = {}
    taken: set[str] = set()
    for row, recording in enumerate(recordings):
        name = known.by_source.get(recording.source, "")
        if name and name in forms[row] and name not in taken:
            names[row] = name
            taken.add(name)
    left = set(known.others)
    for row, recording in enumerate(recordings):
        if row not in names and recording.name in left and recording.name not in taken:
            names[row] = recording.name
            left.remove(recording.name)
    return names


def _first_of_equals(recordings: Sequence[Recording]) -> set[int]:
    """Return the rows of those that may be called as several are: the only one whose sound is there, or that stands on the first side."""
    alike: dict[str, list[int]] = {}
    for row, recording in enumerate(recordings):
        alike.setdefault(recording.name, []).append(row)
    first = set()
    for rows in (rows for rows in alike.values() if len(rows) > 1):
        there = [row for row in rows if recordings[row].file.is_file()] or rows
        earliest = min((SIDES.index(side) for row in there if (side := recordings[row].side)), default=None)
        of_it = there if earliest is None else [row for row in there if recordings[row].side == SIDES[earliest]]
        first |= set(of_it) if len(of_it) == 1 else set()
    return first


def _source(recording: Recording, archive: Path) -> str:
    return (
        recording.file.relative_to(archive).as_posix()
        if recording.file.is_relative_to(archive)
        else recording.file.as_posix()
    )


def _path_name(recording: Recording) -> str:
    """Return the path without its ending, after `class/` where classes are folders."""
    *folders, file = recording.source.split("/")
    parts = [plain_name(f"{part}_" if part.lower().endswith(".json") else part) for part in folders if part] + [
        plain_name(Path(file).stem)
    ]
    of_class = recording.species and recording.name.startswith(f"{recording.species}/")
    return "/".join([recording.species, *parts] if of_class else parts)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]
