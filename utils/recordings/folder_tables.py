"""Tables in an archive of class folders, `metadata.csv` or `recordings.csv`: metadata of each file (column `file`).

In these and in `sites.csv`, rows that name no file but a site (column `site`) hold for all recordings of that site.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from utils.console import Failure, UserError
from utils.recordings.audio_files import path_below
from utils.recordings.labels import SPECIES_COLUMNS
from utils.recordings.metadata_tables import (
    SITE_COLUMNS,
    TABLE_NAMES,
    FileMetadata,
    MetadataRows,
    conflict_problems,
    coordinate_problems,
    counted_problem,
    merge_rows,
    merge_sites,
    metadata_rows,
)
from utils.recordings.recording import NOISE, label_of_folder, species_in_folder
from utils.tables import ForeignTable, find_column, read_foreign, reason_of

_OTHER_SPECIES = "{count} with another species than the folder; the folder's species is used, such as {example}"


@dataclass(frozen=True)
class FolderTables:
    """The content of an archive's tables.

    Attributes
    ----------
    rows : metadata of each file, by its path below the archive
    sites : metadata of each site, by `site_key`
    failures : what cannot be used, and why
    files : the tables
    """

    rows: dict[str, FileMetadata]
    sites: dict[str, FileMetadata]
    failures: list[Failure]
    files: frozenset[Path]


def read_folder_tables(archive: Path, split_names: Collection[str]) -> FolderTables:
    """Read the tables of an archive; upper and lower case do not matter in their names.

    Tables without a column of files or sites are ignored.

    Parameters
    ----------
    split_names : folders of the archive that are splits, not classes
    """
    present = sorted(file for file in archive.iterdir() if file.is_file()) if archive.is_dir() else []
    rows: dict[str, FileMetadata] = {}
    sites: dict[str, FileMetadata] = {}
    failures, files = [], set[Path]()
    for path in (file for name in TABLE_NAMES for file in present if file.name.lower() == name):
        try:
            table = read_foreign(path, ragged=True)
        except UserError as error:
            failures.append(Failure(path.name, reason_of(error, path)))
            files.add(path)
            continue
        columns = find_column(table.columns, ("file", "filename", "path")), find_column(table.columns, SITE_COLUMNS)
        if any(columns):
            named = metadata_rows(table, *columns)
            of_files, problems = _read_files(table, columns[0], named, archive, split_names) if columns[0] else ({}, [])
            of_sites, conflicts = merge_sites(named.sites)
            problems += [*conflict_problems(conflicts, "site"), *coordinate_problems(named.sites)]
            for known, found in ((rows, of_files), (sites, of_sites)):
                known |= {name: known.get(name, {}) | row for name, row in found.items()}
            failures += [*(Failure(path.name, problem) for problem in problems), *table.bad]
            files.add(path)
    return FolderTables(rows, sites, failures, frozenset(files))


def _read_files(
    table: ForeignTable, file_column: str, named: MetadataRows, archive: Path, split_names: Collection[str]
) -> tuple[dict[str, FileMetadata], list[str]]:
    """Return the metadata of each file, by its path, and the problems of the rows that name files."""
    rows = [(_posix_path(name), row) for name, row in named.recordings]
    found, conflicts = merge_rows(rows)
    absent = {name: None for name in found if not _exists(name, archive)}  # a dict keeps the order
    problems = []
    if len(absent) == len(found) and (found or not named.sites):
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
    problems += [*conflict_problems(conflicts), *counted_problem(_OTHER_SPECIES, other)]
    return found, problems + coordinate_problems((name, row) for name, row in rows if name not in absent)


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


def _exists(path: str, archive: Path) -> bool:
    """Tell whether a table's path is a file of the archive; it may be too long, or lead out of the archive."""
    try:
        return path_below(archive, path).is_file()
    except (OSError, ValueError):
        return False


def _posix_path(path: str) -> str:
    return path.strip().replace("\\", "/").removeprefix("./")
