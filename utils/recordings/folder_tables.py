"""Tables in an archive of class folders, `metadata.csv` or `recordings.csv`: metadata of each file (column `file`)."""

import dataclasses
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.console import Failure, UserError
from utils.recordings.audio_files import path_below
from utils.recordings.labels import SPECIES_COLUMNS
from utils.recordings.recording import NOISE, Recording, clean_labels, degrees, label_of_folder, species_in_folder
from utils.tables import ForeignTable, find_column, read_foreign, reason_of

TABLE_NAMES = ("metadata.csv", "recordings.csv")
_METADATA_COLUMNS: Mapping[str, tuple[str, ...]] = {  # attributes of a recording, with the names of their columns
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
_LIMITS = {"latitude": 90.0, "longitude": 180.0}  # degrees
_MISSING_VALUES = frozenset({"", "-", "na", "n/a", "nan", "none", "null", "unknown"})
_CONFLICT = "{count} for a file that an earlier row describes differently; the first row is used, such as for {example}"
_OTHER_SPECIES = "{count} with another species than the folder; the folder's species is used, such as {example}"
_BAD_COORDINATES = (
    "{count} with coordinates that cannot be used (they should be degrees, as 52.5 and 13.4), such as {example}"
)

FileMetadata = dict[str, str]  # of one file: attributes of a recording, as text


@dataclass(frozen=True)
class FolderTables:
    """The content of an archive's tables.

    Attributes
    ----------
    rows : metadata of each file, by its path below the archive
    failures : what cannot be used, and why
    files : the tables
    """

    rows: dict[str, FileMetadata]
    failures: list[Failure]
    files: frozenset[Path]


def read_folder_tables(archive: Path, split_names: Collection[str]) -> FolderTables:
    """Read the tables of an archive; upper and lower case do not matter in their names.

    Tables without a column of files are ignored.

    Parameters
    ----------
    split_names : folders of the archive that are splits, not classes
    """
    present = sorted(file for file in archive.iterdir() if file.is_file()) if archive.is_dir() else []
    rows: dict[str, FileMetadata] = {}
    failures, files = [], set[Path]()
    for path in (file for name in TABLE_NAMES for file in present if file.name.lower() == name):
        try:
            table = read_foreign(path, ragged=True)
        except UserError as error:
            failures.append(Failure(path.name, reason_of(error, path)))
            files.add(path)
            continue
        if file_column := find_column(table.columns, ("file", "filename", "path")):
            found, problems = _read_table(table, file_column, archive, split_names)
            for name, row in found.items():
                rows[name] = rows.get(name, {}) | row
            failures += [*(Failure(path.name, problem) for problem in problems), *table.bad]
            files.add(path)
    return FolderTables(rows, failures, frozenset(files))


def _read_table(
    table: ForeignTable, file_column: str, archive: Path, split_names: Collection[str]
) -> tuple[dict[str, FileMetadata], list[str]]:
    """Return the metadata of each file, by its path, and the problems of the table."""
    columns = {
        name: column for name, usual in _METADATA_COLUMNS.items() if (column := find_column(table.columns, usual))
    }
    rows = [
        (
            _posix_path(row[file_column]),
            {name: text for name, column in columns.items() if (text := row[column].strip())},
        )
        for row in table.rows.values()
    ]
    found, conflicts = _merge_rows(rows)
    absent = {name: None for name in found if not _exists(name, archive)}  # a dict keeps the order
    problems = []
    if len(absent) == len(found):
        problems.append(
            f"names no file of the archive ({file_column} should be a path in it, such as 'Turdus merula/1.wav')"
        )
    elif absent:
        problems.append(f"{len(absent)} of its {len(found)} rows name missing files, such as {next(iter(absent))!r}")
    species = find_column(table.columns, SPECIES_COLUMNS)
    labels = [(_posix_path(row[file_column]), row[species].strip()) for row in table.rows.values()] if species else []
    other = [
        f"{label!r} of {name!r}"
        for name, label in labels
        if name not in absent and _differs_from_folder(name, label, archive, split_names)
    ]
    bad = [f"{text} of {name!r}" for name, row in rows if name not in absent and (text := parse_coordinates(row)[1])]
    for message, examples in ((_CONFLICT, conflicts), (_OTHER_SPECIES, other), (_BAD_COORDINATES, bad)):
        if examples:
            count = f"{len(examples)} {'row' if len(examples) == 1 else 'rows'}"
            problems.append(message.format(count=count, example=examples[0]))
    return found, problems


def _merge_rows(rows: Iterable[tuple[str, FileMetadata]]) -> tuple[dict[str, FileMetadata], list[str]]:
    """Merge the rows of each file: the background of all, of other metadata the first; and name rows that differ."""
    found: dict[str, FileMetadata] = {}
    conflicts = []
    for name, row in rows:
        earlier = found.setdefault(name, {})
        backgrounds = [text for text in (earlier.get("background"), row.get("background")) if text]
        conflicts += [
            f"the {key} of {name!r}"
            for key, text in row.items()
            if key != "background" and earlier.get(key, text) != text
        ][:1]
        found[name] = row | earlier | ({"background": ";".join(dict.fromkeys(backgrounds))} if backgrounds else {})
    return found, conflicts


def _differs_from_folder(path: str, label: str, archive: Path, split_names: Collection[str]) -> bool:
    """Tell whether a table gives a file another species than its folder does.

    Only if both are binomials, or if the label names another class folder: else it may be another name of the species.
    """
    parts = path.split("/")
    top, parts = (archive / parts[0], parts[1:]) if parts[0] in split_names else (archive, parts)
    try:
        of_folder = {label_of_folder(part) for part in species_in_folder(parts[0])}
        of_table = label_of_folder(label)
    except ValueError:
        return False
    if not label or NOISE in of_folder or of_table.casefold() in {name.casefold() for name in of_folder}:
        return False
    binomials = [re.fullmatch(r"[A-Z][a-z]+ [a-z-]+\b", " ".join(name.split()[:2])) for name in (of_table, *of_folder)]
    same_species = any(name.split()[:2] == of_table.split()[:2] for name in of_folder)
    return (all(binomials) and not same_species) or (top / label).is_dir()


def parse_coordinates(row: Mapping[str, str]) -> tuple[dict[str, Any], str]:
    """Return the latitude and longitude of a row, and its text if one of them is missing or cannot be used; else ''."""
    texts = {name: text for name in _LIMITS if (text := row.get(name, "")).lower() not in _MISSING_VALUES}
    found = {name: degrees(text.replace(",", "."), limit=_LIMITS[name]) for name, text in texts.items()}
    bad = bool(texts) and (len(texts) < len(_LIMITS) or None in found.values())
    return found, repr(", ".join(texts.values())) if bad else ""


def _exists(path: str, archive: Path) -> bool:
    """Tell whether a table's path is a file of the archive; it may be too long, or lead out of the archive."""
    try:
        return path_below(archive, path).is_file()
    except (OSError, ValueError):
        return False


def _posix_path(path: str) -> str:
    return path.strip().replace("\\", "/").removeprefix("./")


def with_metadata(recording: Recording, row: FileMetadata) -> Recording:
    """Return a recording with the metadata of a table; its class stays that of the folder."""
    background = clean_labels(re.findall(r"[^\[\]'\",;|]+", row.get("background", "")), without=recording.species)
    texts: dict[str, Any] = {name: text for name, text in row.items() if name not in ("background", *_LIMITS)}
    return dataclasses.replace(
        recording, background=background or recording.background, **parse_coordinates(row)[0], **texts
    )
