"""What recordings are called: once in a data set, so that the name can be that of a file anywhere, and stays when recordings are added."""

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote

from utils.files import DEVICES, LONGEST_NAME, NEVER_IN_NAMES, check_name
from utils.recordings.recording import Recording

_HASHED = 16  # hexadecimal digits that stand for the end of a name that is too long


def plain_name(text: str) -> str:
    """Return a text as one that can name a file anywhere: what no name may hold is written as in addresses of the web (`:` as %3A).

    Names that can be used stay as they are. The end of what is too long becomes a hash.

    Raises
    ------
    ValueError
        If it is empty or no Unicode.
    """
    first, last = len(text) - len(text.lstrip()), len(text.rstrip())
    plain = "".join(_escaped(letter) if _never(letter) or not first <= place < last else letter for place, letter in enumerate(text))
    if plain.startswith(".") or DEVICES.fullmatch(plain):
        plain = _escaped(plain[0]) + plain[1:]
    return check_name(shortened(plain, of=text))


def _never(letter: str) -> bool:
    return letter in "/\\:" or (unicodedata.category(letter) in NEVER_IN_NAMES and not "\ud800" <= letter <= "\udfff")


def _escaped(letter: str) -> str:
    return "%2E" if letter == "." else quote(letter, safe="") if quote(letter, safe="") != letter else f"%{ord(letter):02X}"


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
    others : names of which that is not kept, as of earlier versions: they gave each name to the first sound that it fits
    """

    by_source: Mapping[str, str] = field(default_factory=dict)
    others: frozenset[str] = frozenset()


def named_apart(recordings: Sequence[Recording], archive: Path, known: Known) -> list[Recording]:
    """Give recordings that are called alike the names of their paths below the archive; names of an earlier sort stay.

    Of one path with several endings, the ending becomes part of the name.
    """
    alike: dict[str, list[Recording]] = {}
    for recording in recordings:
        alike.setdefault(recording.name, []).append(replace(recording, source=_source(recording, archive)))
    named: list[Recording] = []
    for name, group in alike.items():
        taken = _keeper(name, group, known)
        named += [one if one is taken or (len(group) == 1 and not _was_apart(one, known)) else replace(one, name=_path_name(one)) for one in group]
    counts = Counter(recording.name for recording in named)
    named = [replace(one, name=f"{one.name} ({one.file.suffix[1:].lower()})") if counts[one.name] > 1 else one for one in named]
    counts = Counter(recording.name for recording in named)
    return [replace(one, name=f"{one.name} ({_digest(one.source)})") if counts[one.name] > 1 else one for one in named]


def _keeper(name: str, group: Sequence[Recording], known: Known) -> Recording | None:
    """Return which of several recordings that are called alike has the name already, or is the only one whose sound is there."""
    for recording in group:
        if known.by_source.get(recording.source) == name:
            return recording
    if name in known.others:
        return group[0]
    there = [recording for recording in group if recording.file.is_file()] if len(group) > 1 else []
    return there[0] if len(there) == 1 else None


def _was_apart(recording: Recording, known: Known) -> bool:
    """Tell whether an earlier sort called a recording by its path, for another was there that is gone now."""
    return known.by_source.get(recording.source) == _path_name(recording) != recording.name


def _source(recording: Recording, archive: Path) -> str:
    return recording.file.relative_to(archive).as_posix() if recording.file.is_relative_to(archive) else recording.file.as_posix()


def _path_name(recording: Recording) -> str:
    """Return the path without its ending, after `class/` where classes are folders."""
    *folders, file = recording.source.split("/")
    parts = [plain_name(f"{part}_" if part.lower().endswith(".json") else part) for part in folders if part] + [plain_name(Path(file).stem)]
    of_class = recording.species and recording.name.startswith(f"{recording.species}/")
    return "/".join([recording.species, *parts] if of_class else parts)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]
