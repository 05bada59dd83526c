"""Reader of downloads from xeno-canto: sounds named by their catalogue numbers (XC228435…), and JSON from the API.

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
from utils.recordings.recording import Contents, Recording, Taxon, check_label, clean_labels, degrees, failure_of

# JSON files that are read to recognise an archive: a data set that was sorted has one for every recording
_MAX_INSPECTED = 100
_CATALOGUE_NUMBER = re.compile(r"(?:XC)?(\d+)", re.ASCII | re.IGNORECASE)  # at the start of a sound's name
_CATALOGUE_ID = re.compile(r"(?:XC)?(\d{1,18})", re.ASCII | re.IGNORECASE)
_NO_SPECIES = {"mystery": "the species is unknown", "sonus naturalis": "a soundscape without a main species"}


def is_xenocanto(archive: Path) -> bool:
    """Tell whether a folder has JSON files with recordings in the format of the API."""
    return any(_has_records(file) for file in islice(_json_files(archive), _MAX_INSPECTED))


def _has_records(file: Path) -> bool:
    try:
        return bool(_read_records(file))
    except (ValueError, OSError):
        return False


def read_xenocanto(archive: Path, moved: Sequence[Path] = ()) -> Contents:
    """Read all JSON files with recordings, and find their sounds.

    JSON files of another format are failures only if there is none of the API's.

    Parameters
    ----------
    moved : files that were in the archive, and were moved
    """
    sounds = [*sounds_below(archive), *moved]
    by_number = _sounds_by_number(sounds)
    recordings: dict[str, Recording] = {}
    names_of_files: dict[Path, str] = {}
    failures, others, found_records = [], [], False
    json_files = list(_json_files(archive))
    for file in json_files:
        path = file.relative_to(archive).as_posix()
        try:
            records = _read_records(file)
        except (ValueError, OSError) as error:
            failures.append(failure_of(path, error))
            continue
        found_records = found_records or bool(records)
        others += [] if records else [Failure(path, "has no recordings in the format of xeno-canto's API")]
        for index, record in enumerate(records, 1):
            try:
                _add_record(recording_of_record(record, archive, by_number), recordings, names_of_files)
            except ValueError as error:
                failures.append(failure_of(path if len(records) == 1 else f"{path} record {index}", error))
    failures += [] if found_records else others
    failures += [
        _unused_sound(sound, archive, by_number, names_of_files) for sound in sounds if sound not in names_of_files
    ]
    ordered = sorted(recordings.values(), key=lambda recording: recording.name)
    seen = frozenset([*json_files, *sounds])
    return Contents("downloads from xeno-canto (sounds + JSON)", ordered, failures, _taxa_of_recordings(ordered), seen)


def _add_record(recording: Recording, recordings: dict[str, Recording], names_of_files: dict[Path, str]) -> None:
    """Add a recording; the same one may be in several JSON files."""
    known = recordings.get(recording.name, recording)
    if known != recording:
        raise ValueError(f"differs from an earlier record of {recording.name}")
    other = names_of_files.setdefault(recording.file, recording.name)
    if other != recording.name:
        raise ValueError(f"{recording.name} has the same file as {other}")
    recordings[recording.name] = recording


def _taxa_of_recordings(recordings: Iterable[Recording]) -> list[Taxon]:
    """Return each species with the first common name that a recording of it gives."""
    names: dict[str, str] = {}
    for recording in recordings:
        names[recording.species] = names.get(recording.species) or recording.common_name
    return [Taxon(species, common_name=common_name) for species, common_name in names.items()]


def _json_files(archive: Path) -> Iterator[Path]:
    """Yield the JSON files in a folder and the folders below it."""
    yield from (file for file in files_below(archive) if file.name.lower().endswith(".json"))


def _read_records(file: Path) -> list[Any]:
    """Return the records in a JSON file: a page of the API, a list of records, or one record; [] for other formats.

    Raises
    ------
    ValueError
        If it is not JSON.
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


def _sounds_by_number(sounds: Iterable[Path]) -> dict[str, Path]:
    """Return the sound of each catalogue number; of several, readable ones and names that start with XC come first."""
    found: dict[str, Path] = {}
    for sound in sorted(
        sounds, key=lambda sound: (sound.suffix.lower() in UNREADABLE, not sound.name.upper().startswith("XC"))
    ):
        number = _CATALOGUE_NUMBER.match(sound.name)
        if number:
            found.setdefault(number[1], sound)
    return found


def _unused_sound(
    sound: Path, archive: Path, by_number: Mapping[str, Path], names_of_files: Mapping[Path, str]
) -> Failure:
    """Return why a sound is not used: no record names it, or another sound has its number."""
    found = _CATALOGUE_NUMBER.match(sound.name)
    first = by_number.get(found[1], sound) if found else sound
    reason = (
        f"has the number of {first.relative_to(archive).as_posix()}"
        if first != sound and first in names_of_files
        else "no usable record names it"
    )
    return Failure(sound.relative_to(archive).as_posix(), reason)


def catalogue_id(record: Any) -> str:
    """Return the catalogue number of a record, in digits.

    Raises
    ------
    ValueError
        If it has none, or is not a record.
    """
    if not isinstance(record, dict):
        raise ValueError("is not a record")
    found = _CATALOGUE_ID.fullmatch(_record_text(record, "id"))
    if not found:
        raise ValueError(f"its id is {_record_text(record, 'id')!r}, not a number")
    return found[1]


def recording_of_record(record: Any, archive: Path, by_number: Mapping[str, Path]) -> Recording:
    """Return what a record of the API tells of a recording.

    Parameters
    ----------
    archive : folder of the sound, if it is named as its upload was
    by_number : the sound of each catalogue number

    Raises
    ------
    ValueError
        With the reason why it cannot be used.
    """
    identifier = catalogue_id(record)
    species = _species_of_record(record)
    file = _sound_of_record(record, identifier, archive, by_number)
    return Recording(
        name=f"XC{identifier}",
        file=file,
        species=species,
        background=clean_labels(_background_labels(record), without=species),
        common_name=_record_text(record, "en"),
        author=_record_text(record, "rec"),
        date=_record_text(record, "date"),
        time=_record_text(record, "time"),
        locality=", ".join(text for text in (_record_text(record, "loc"), _record_text(record, "cnt")) if text),
        latitude=degrees(_record_text(record, "lat"), limit=90.0),
        # `lon` in version 3 of the API
        longitude=degrees(_record_text(record, "lng") or _record_text(record, "lon"), limit=180.0),
        elevation=_record_text(record, "alt"),
        quality=_record_text(record, "q"),
        licence=_record_text(record, "lic"),
        url=_record_text(record, "url") or f"https://xeno-canto.org/{identifier}",
        comments=_record_text(record, "rmk"),
    )


def _species_of_record(record: Mapping[str, Any]) -> str:
    genus, epithet = _record_text(record, "gen"), _record_text(record, "sp")
    for name in (genus.lower(), f"{genus} {epithet}".lower()):
        if name in _NO_SPECIES:
            raise ValueError(f"{genus} {epithet}".strip() + f": {_NO_SPECIES[name]}")
    if not genus or not epithet:
        raise ValueError("gen or sp is missing")
    return check_label(f"{genus} {epithet}")


def _sound_of_record(record: Mapping[str, Any], number: str, archive: Path, by_number: Mapping[str, Path]) -> Path:
    """Return the path of a record's sound; if none has its number, the path of the file name of the upload."""
    file = by_number.get(number)
    if file is None:
        try:
            file = archive / check_name(_record_text(record, "file-name"))
        except ValueError as error:
            raise ValueError(f"no sound is named XC{number}, and its file-name cannot be used: {error}") from None
    check_readable(file)
    return Path(_check_unicode(str(file), "the path of its sound"))


def _background_labels(record: Mapping[str, Any]) -> list[str]:
    names = record.get("also") or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("also is not a list of names")
    return [check_label(name) for name in names if name.strip()]


def _record_text(record: Mapping[str, Any], key: str) -> str:
    value = record.get(key)
    if not isinstance(value, str | int | float | None):
        raise ValueError(f"{key} is not a text")
    return "" if value is None else _check_unicode(str(value).strip(), key)


def _check_unicode(text: str, what: str) -> str:
    """Return a text that can be encoded: in JSON and names of files, there may be lone surrogates."""
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError(f"{what} is not valid Unicode")
    return text
