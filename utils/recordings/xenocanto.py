"""Reader of downloads from xeno-canto: sounds named by their numbers (XC228435…), with the JSON that the API answered beside them.

Source: xeno-canto.org/explore/api, versions 2 and 3.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from utils.console import Failure
from utils.files import check_name, check_plain
from utils.recordings.audio_files import UNREADABLE, check_readable, files_below, sounds_below
from utils.recordings.recording import Contents, Recording, Taxon, check_label, clean_labels, degrees, refused

# files of JSON that must tell whether it is such an archive: a data set that was sorted holds one a recording
_LOOKED_INTO = 100
_NUMBER = re.compile(r"(?:XC)?(\d+)", re.ASCII | re.IGNORECASE)  # at the begin of a sound's name
_NO_SPECIES = {"mystery": "nobody knows the bird", "sonus naturalis": "a soundscape without a main species"}


def is_xenocanto(archive: Path) -> bool:
    """Tell whether a folder holds JSON with recordings as the API answers them."""
    return any(_answers(file) for file in islice(_json_files(archive), _LOOKED_INTO))


def _answers(file: Path) -> bool:
    try:
        return bool(_records(file))
    except (ValueError, OSError):
        return False


def read_xenocanto(archive: Path, gone: Sequence[Path] = ()) -> Contents:
    """Read all JSON with recordings, and find their sounds; JSON of another form is nobody's fault while there is some of the right one.

    Parameters
    ----------
    gone : files that were in the archive, and were moved
    """
    sounds = [*sounds_below(archive), *gone]
    by_number = _by_number(sounds)
    recordings: dict[str, Recording] = {}
    owners: dict[Path, str] = {}
    failures, others, answered = [], [], False
    read = list(_json_files(archive))
    for file in read:
        place = file.relative_to(archive).as_posix()
        try:
            records = _records(file)
        except (ValueError, OSError) as error:
            failures.append(refused(place, error))
            continue
        answered = answered or bool(records)
        others += [] if records else [Failure(place, "holds no recordings as xeno-canto's API answers them")]
        for number, record in enumerate(records, 1):
            try:
                _add(_recording(record, archive, by_number), recordings, owners)
            except ValueError as error:
                failures.append(refused(place if len(records) == 1 else f"{place} record {number}", error))
    failures += [] if answered else others
    failures += [_unnamed(sound, archive, by_number, owners) for sound in sounds if sound not in owners]
    ordered = sorted(recordings.values(), key=lambda recording: recording.name)
    return Contents(
        "downloads from xeno-canto (sounds + JSON)", ordered, failures, _taxa(ordered), frozenset([*read, *sounds])
    )


def _add(recording: Recording, recordings: dict[str, Recording], owners: dict[Path, str]) -> None:
    """Add a recording; the same one may stand in many answers of the API."""
    known = recordings.get(recording.name, recording)
    if known != recording:
        raise ValueError(f"says something else of {recording.name} than an earlier record")
    owner = owners.setdefault(recording.file, recording.name)
    if owner != recording.name:
        raise ValueError(f"{recording.name} has the same file as {owner}")
    recordings[recording.name] = recording


def _taxa(recordings: Iterable[Recording]) -> list[Taxon]:
    names: dict[str, str] = {}
    for recording in recordings:
        names[recording.species] = names.get(recording.species) or recording.common_name
    return [Taxon(species, common_name=common_name) for species, common_name in names.items()]


def _json_files(archive: Path) -> Iterator[Path]:
    """Yield the files of JSON in a folder and the folders below it."""
    yield from (file for file in files_below(archive) if file.name.lower().endswith(".json"))


def _records(file: Path) -> list[Any]:
    """Return the records in a JSON: a page that the API answered, a list of records, or one record; none where it is of another form.

    Raises
    ------
    ValueError
        If it is no JSON.
    """
    check_plain(file)
    try:
        content = json.loads(file.read_bytes())
    except RecursionError:
        raise ValueError("is nested too deeply to be read") from None
    except ValueError as error:
        raise ValueError(f"broken JSON: {error}") from None
    entries = content.get("recordings", [content]) if isinstance(content, dict) else content
    if not isinstance(entries, list) or not any(
        isinstance(entry, dict) and {"id", "gen", "sp"} <= entry.keys() for entry in entries
    ):
        return []
    return entries


def _by_number(sounds: Iterable[Path]) -> dict[str, Path]:
    """Return the sound of each number; one that can be read, and one that says XC, goes before others."""
    found: dict[str, Path] = {}
    for sound in sorted(
        sounds, key=lambda sound: (sound.suffix.lower() in UNREADABLE, not sound.name.upper().startswith("XC"))
    ):
        number = _NUMBER.match(sound.name)
        if number:
            found.setdefault(number[1], sound)
    return found


def _unnamed(sound: Path, archive: Path, by_number: Mapping[str, Path], owners: Mapping[Path, str]) -> Failure:
    """Say why a sound is not used: no record names it, or it is there twice."""
    found = _NUMBER.match(sound.name)
    first = by_number.get(found[1], sound) if found else sound
    twice = first != sound and first in owners
    reason = f"has the number of {first.relative_to(archive).as_posix()}" if twice else "no usable record names it"
    return Failure(sound.relative_to(archive).as_posix(), reason)


def _recording(record: Any, archive: Path, sounds: Mapping[str, Path]) -> Recording:
    if not isinstance(record, dict):
        raise ValueError("is no record")
    number = re.fullmatch(r"(?:XC)?(\d{1,18})", _text(record, "id"), re.ASCII | re.IGNORECASE)
    if not number:
        raise ValueError(f"its id is {_text(record, 'id')!r}, no number")
    species = _species(record)
    file = _sound(record, number[1], archive, sounds)
    return Recording(
        name=f"XC{number[1]}",
        file=file,
        species=species,
        background=clean_labels(_also(record), without=species),
        common_name=_text(record, "en"),
        author=_text(record, "rec"),
        date=_text(record, "date"),
        time=_text(record, "time"),
        locality=", ".join(place for place in (_text(record, "loc"), _text(record, "cnt")) if place),
        latitude=degrees(_text(record, "lat"), limit=90.0),
        # the third version of the API says lon
        longitude=degrees(_text(record, "lng") or _text(record, "lon"), limit=180.0),
        elevation=_text(record, "alt"),
        quality=_text(record, "q"),
        licence=_text(record, "lic"),
        url=_text(record, "url") or f"https://xeno-canto.org/{number[1]}",
        comments=_text(record, "rmk"),
    )


def _species(record: Mapping[str, Any]) -> str:
    genus, epithet = _text(record, "gen"), _text(record, "sp")
    for name in (genus.lower(), f"{genus} {epithet}".lower()):
        if name in _NO_SPECIES:
            raise ValueError(f"{genus} {epithet}".strip() + f": {_NO_SPECIES[name]}")
    if not genus or not epithet:
        raise ValueError("gen or sp is missing")
    return check_label(f"{genus} {epithet}")


def _sound(record: Mapping[str, Any], number: str, archive: Path, sounds: Mapping[str, Path]) -> Path:
    """Return where a record's sound is, or would be by the name that it was uploaded under."""
    file = sounds.get(number)
    if file is None:
        try:
            file = archive / check_name(_text(record, "file-name"))
        except ValueError as error:
            raise ValueError(f"no sound is named XC{number}, and its file-name cannot be used: {error}") from None
    check_readable(file)
    return Path(_checked(str(file), "the path of its sound"))


def _also(record: Mapping[str, Any]) -> list[str]:
    names = record.get("also") or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("also is no list of names")
    return [check_label(name) for name in names if name.strip()]


def _text(record: Mapping[str, Any], key: str) -> str:
    value = record.get(key)
    if not isinstance(value, str | int | float | None):
        raise ValueError(f"{key} is no text")
    return "" if value is None else _checked(str(value).strip(), key)


def _checked(text: str, what: str) -> str:
    """Return a text that can be written: JSON and names of files may hold halves of characters."""
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError(f"{what} is no Unicode")
    return text
