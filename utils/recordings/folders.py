"""Reader of plain folders: one folder a class, either directly in the archive or divided into `train/`, `val/` and `test/`.

More may be known of the recordings: a data set that the 2018 baseline sorted has `metadata/<recording>.json` files, and a table `metadata.csv` or
`recordings.csv` in the archive may name each file (column `file`) with its author, date, time, place, background species, and so on.
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from utils.console import Failure, Trouble
from utils.files import check_name
from utils.recordings.audio_files import check_readable, sounds_below, sounds_in
from utils.recordings.recording import SIDES, Contents, Recording, Side, clean_labels, degrees, from_metadata, label_of_folder, read_metadata
from utils.tables import find_column, read_foreign, reason_of

TABLES = ("metadata.csv", "recordings.csv")
_COLUMNS: Mapping[str, tuple[str, ...]] = {  # attributes of a recording, by the names of columns
    "author": ("author", "recordist", "rec"),
    "date": ("date",),
    "time": ("time",),
    "locality": ("locality", "location", "site", "place"),
    "latitude": ("latitude", "lat"),
    "longitude": ("longitude", "lng", "lon"),
    "elevation": ("elevation", "altitude"),
    "quality": ("quality", "rating"),
    "licence": ("licence", "license"),
    "url": ("url",),
    "comments": ("comments", "remarks"),
    "common_name": ("common_name",),
    "class_id": ("class_id", "code"),
    "background": ("background", "background_species", "secondary_labels"),
}


def sides_of(archive: Path, gone: Sequence[Path] = ()) -> dict[Side, Path]:
    """Return the folders of an archive that came divided, by side: `train/` and at least one of `val/` and `test/`; nothing where it did not.

    Parameters
    ----------
    gone : files that were in the archive, and were moved
    """
    sides = {side: archive / side for side in SIDES if (archive / side).is_dir() or any(file.is_relative_to(archive / side) for file in gone)}
    return sides if "train" in sides and len(sides) > 1 else {}


def read_folders(archive: Path, gone: Sequence[Path] = ()) -> Contents:
    """Read the classes and recordings of an archive of folders; each recording has its side where the archive is divided.

    Parameters
    ----------
    gone : files that were in the archive, and were moved
    """
    recordings: dict[str, Recording] = {}
    sides = sides_of(archive, gone)
    loose = [file for folder in (sides.values() or [archive]) for file in sounds_in(folder)]
    failures = [Failure(file.relative_to(archive).as_posix(), "lies in no class's folder") for file in loose]
    known, unusable = _read_tables(archive)
    places: list[tuple[Side | None, Path]] = [*sides.items()] or [(None, archive)]
    for side, folder in places:
        moved = (file for file in gone if file.is_relative_to(folder) and len(file.relative_to(folder).parts) > 1)
        for file in sorted({*_class_sounds(folder), *moved}):
            path = file.relative_to(archive).as_posix()
            try:
                recording = _recording(file, archive=archive, folder=folder, side=side)
                if path in known:
                    recording = _with_row(recording, known[path])
                if recording.name in recordings and recordings[recording.name].side != side:  # `1.wav` may be another one in each
                    recording = dataclasses.replace(recording, name=f"{recording.name} ({side})")
                if recording.name in recordings:
                    raise ValueError(f"has the same name as {recordings[recording.name].file.relative_to(archive).as_posix()}")
                recordings[recording.name] = recording
            except (ValueError, OSError) as error:
                failures.append(Failure(path, str(error)))
    form = f"folders of classes, {'divided into ' + ', '.join(sides) if sides else 'undivided'}"
    return Contents(form, sorted(recordings.values(), key=lambda recording: recording.name), failures + unusable)


def _class_sounds(folder: Path) -> Iterator[Path]:
    """Yield the files of sound below every class's folder; hidden ones are not looked into."""
    kinds = sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith(".")) if folder.is_dir() else []
    for kind in kinds:
        yield from sounds_below(kind)


def _recording(file: Path, *, archive: Path, folder: Path, side: Side | None) -> Recording:
    check_readable(file)
    first, *rest = file.relative_to(folder).parts
    species = label_of_folder(first)
    name = "/".join([species, *(check_name(part) for part in rest[:-1]), check_name(file.stem)])
    if any(part.endswith(".json") for part in (species, *rest[:-1])):
        raise ValueError("lies in a folder whose name ends in .json, as the metadata of a recording does")
    for metadata in (archive / "metadata" / f"{name}.json", archive / "metadata" / f"{file.stem}.json"):  # ours, and the 2018 baseline's
        if metadata.is_file():
            known = {**read_metadata(metadata), "sci-name": species, "moved_from": ""}  # the JSON may be of another sort
            return from_metadata(known, name=name, file=file, side=side)
    return Recording(name=name, file=file, species=species, side=side)


def _read_tables(archive: Path) -> tuple[dict[str, dict[str, str]], list[Failure]]:
    """Return what the archive's tables say of its files, by their paths; tables without a column of files are not ours."""
    known: dict[str, dict[str, str]] = {}
    failures = []
    for path in (archive / name for name in TABLES if (archive / name).is_file()):
        try:
            table = read_foreign(path)
        except Trouble as error:
            failures.append(Failure(path.name, reason_of(error, path)))
            continue
        files = find_column(table.columns, ("file", "filename", "path"))
        columns = {name: column for name, usual in _COLUMNS.items() if (column := find_column(table.columns, usual))}
        if files:
            found = {_tidy(row[files]): {name: row[column].strip() for name, column in columns.items() if row[column]} for row in table.rows.values()}
            if not any((archive / name).is_file() for name in found):
                failures.append(Failure(path.name, f"names no file of the archive ({files} should be a path in it, such as 'Turdus merula/1.wav')"))
            known |= found
            failures += table.bad
    return known, failures


def _tidy(path: str) -> str:
    return path.strip().replace("\\", "/").removeprefix("./")


def _with_row(recording: Recording, row: Mapping[str, str]) -> Recording:
    """Return a recording with what a table says of it; its class is its folder's."""
    background = clean_labels(re.findall(r"[^\[\]'\",;]+", row.get("background", "")), without=recording.species)
    texts: dict[str, Any] = {name: text for name, text in row.items() if name not in ("background", "latitude", "longitude")}
    return dataclasses.replace(
        recording,
        background=background or recording.background,
        latitude=degrees(row["latitude"], limit=90.0) if "latitude" in row else recording.latitude,
        longitude=degrees(row["longitude"], limit=180.0) if "longitude" in row else recording.longitude,
        **texts,
    )
