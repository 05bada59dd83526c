"""Names of recordings: unique in a data set, valid as file names everywhere, and stable when recordings are added."""

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from utils.files import DEVICES, LONGEST_NAME, NEVER_IN_NAMES, check_name
from utils.recordings.recording import SPLITS, Recording

_HASH_DIGITS = 16  # hexadecimal digits in place of the end of a name that is too long


def plain_name(text: str) -> str:
    """Return a text as a file name that is valid everywhere: other characters are percent-encoded (`:` as %3A).

    Valid names stay as they are. The end of a name that is too long becomes a hash.

    Raises
    ------
    ValueError
        If it is empty or not valid Unicode.
    """
    start, end = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
    plain = (
        percent_encoded(start) + escaped_name(text.strip()) + percent_encoded(end)
        if text.strip()
        else percent_encoded(text)
    )
    if plain.startswith(".") or DEVICES.fullmatch(plain):
        plain = percent_encoded(plain[0]) + plain[1:]
    return check_name(shortened_name(plain, of=text))


def escaped_name(text: str, *, also: str = "") -> str:
    """Percent-encode the characters that a file name may not hold, and those of `also`; invalid Unicode stays."""
    return "".join(
        percent_encoded(letter)
        if letter in f"/\\:{also}" or unicodedata.category(letter) in NEVER_IN_NAMES - {"Cs"}
        else letter
        for letter in text
    )


def percent_encoded(text: str) -> str:
    """Percent-encode every byte of a text: `:` becomes %3A."""
    return "".join(f"%{byte:02X}" for byte in text.encode())


def shortened_name(name: str, *, of: str) -> str:
    """Return a name of at most `LONGEST_NAME` bytes: the end of a longer one becomes a hash of `of`."""
    if len(name.encode(errors="surrogatepass")) <= LONGEST_NAME:
        return name
    start = name.encode(errors="surrogatepass")[: LONGEST_NAME - _HASH_DIGITS - 1].decode(errors="ignore")
    return f"{start}~{hashlib.sha256(of.encode(errors='surrogatepass')).hexdigest()[:_HASH_DIGITS]}"


@dataclass(frozen=True)
class EarlierNames:
    """The names from an earlier sort.

    Attributes
    ----------
    by_source : by the paths of the audio files below the archive
    others : names whose path was not saved, by earlier versions; each goes to the first recording that it fits
    """

    by_source: Mapping[str, str] = field(default_factory=dict)
    others: frozenset[str] = frozenset()


def with_unique_names(recordings: Sequence[Recording], archive: Path, earlier: EarlierNames) -> list[Recording]:
    """Give recordings with the same name different ones; names from an earlier sort stay.

    In two splits of an archive that comes split, all but the first get the split added. Otherwise all are named by
    their path below the archive; if that is not enough, with their extension, or with a hash of the path.
    """
    recordings = [replace(recording, source=_source(recording, archive)) for recording in recordings]
    candidates = [_name_candidates(recording) for recording in recordings]
    names = _earlier_names(recordings, candidates, earlier)
    keep_short = _keep_short_name(recordings)
    for level in range(len(candidates[0]) if candidates else 0):
        unnamed = [index for index in range(len(recordings)) if index not in names]
        counts = (
            Counter(options[level] for options in candidates)
            if level == 0
            else Counter(candidates[index][level] for index in unnamed)
        )
        taken = set(names.values())
        for index in unnamed:
            name = candidates[index][level]
            if name and name not in taken and (counts[name] == 1 or (level == 0 and index in keep_short)):
                names[index] = name
    return [replace(recording, name=names[index]) for index, recording in enumerate(recordings)]


def _name_candidates(recording: Recording) -> tuple[str, ...]:
    """Return possible names of a recording, in order of preference; '' for those that do not apply."""
    path = _path_name(recording)
    split = f"{recording.name} ({recording.split})" if recording.split else ""
    ending = f"{path} ({recording.file.suffix[1:].lower()})"
    return recording.name, split, path, ending, f"{path} ({_path_digest(recording.source)})"


def _earlier_names(
    recordings: Sequence[Recording], candidates: Sequence[tuple[str, ...]], earlier: EarlierNames
) -> dict[int, str]:
    """Return the names from the earlier sort, by the index of the recording."""
    names: dict[int, str] = {}
    taken: set[str] = set()
    for index, recording in enumerate(recordings):
        name = earlier.by_source.get(recording.source, "")
        if name and name in candidates[index] and name not in taken:
            names[index] = name
            taken.add(name)
    unassigned = set(earlier.others)
    for index, recording in enumerate(recordings):
        if index not in names and recording.name in unassigned and recording.name not in taken:
            names[index] = recording.name
            unassigned.remove(recording.name)
    return names


def _keep_short_name(recordings: Sequence[Recording]) -> set[int]:
    """Return the indices of recordings that keep a name which several have.

    It is the only one whose file exists, or the only one in the first split.
    """
    alike: dict[str, list[int]] = {}
    for index, recording in enumerate(recordings):
        alike.setdefault(recording.name, []).append(index)
    keep_short = set()
    for rows in (rows for rows in alike.values() if len(rows) > 1):
        existing = [index for index in rows if recordings[index].file.is_file()] or rows
        earliest = min((SPLITS.index(split) for index in existing if (split := recordings[index].split)), default=None)
        in_first_split = (
            existing
            if earliest is None
            else [index for index in existing if recordings[index].split == SPLITS[earliest]]
        )
        keep_short |= set(in_first_split) if len(in_first_split) == 1 else set()
    return keep_short


def _source(recording: Recording, archive: Path) -> str:
    return (
        recording.file.relative_to(archive).as_posix()
        if recording.file.is_relative_to(archive)
        else recording.file.as_posix()
    )


def _path_name(recording: Recording) -> str:
    """Return the path without extension, after `class/` if classes are folders."""
    *folders, file = recording.source.split("/")
    parts = [plain_name(f"{part}_" if part.lower().endswith(".json") else part) for part in folders if part] + [
        plain_name(Path(file).stem)
    ]
    of_class = recording.species and recording.name.startswith(f"{recording.species}/")
    return "/".join([recording.species, *parts] if of_class else parts)


def _path_digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]
