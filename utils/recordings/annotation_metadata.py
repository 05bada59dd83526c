"""Metadata of annotated recordings: from tables beside those of annotations, and from the names of the sounds.

The tables are `metadata.csv`, `recordings.csv` and `sites.csv`, in the folder of the archive or of an annotation table.
Their rows name a recording (column `recording`, `file`, …) or, for all its recordings, a site (column `site`, …).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from utils.console import Failure, UserError
from utils.recordings.annotation_source import AnnotationSource
from utils.recordings.metadata_tables import (
    RECORDING_COLUMNS,
    SITE_COLUMNS,
    TABLE_NAMES,
    FileMetadata,
    MetadataRows,
    conflict_problems,
    coordinate_problems,
    date_problems,
    is_given,
    merge_rows,
    merge_sites,
    metadata_rows,
    parse_coordinates,
    plain_date,
    with_metadata,
    with_sites,
)
from utils.recordings.recorders.file_names import read_recorder_names, with_recorder_name
from utils.recordings.recording import Recording, failure_of
from utils.tables import find_column, read_foreign, reason_of

_COORDINATES = ("latitude", "longitude")
_USED = ("author", "date", "time", "locality", *_COORDINATES, "elevation", "quality", "licence", "url", "comments")


@dataclass(frozen=True)
class AnnotationMetadata:
    """What the tables of an archive tell of its recordings.

    Attributes
    ----------
    recordings : metadata of each recording, by its file
    sites : metadata of each site, by `site_key`
    failures : what cannot be used, and why
    files : the tables
    """

    recordings: dict[Path, FileMetadata] = field(default_factory=dict)
    sites: dict[str, FileMetadata] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    files: set[Path] = field(default_factory=set)

    def complete(self, recordings: Sequence[Recording], source: AnnotationSource, site_pattern: str) -> list[Recording]:
        """Return the recordings with their metadata: of their own row, else of their name, else of their site."""
        described = [with_metadata(one, self.recordings.get(one.file, {})) for one in recordings]
        paths = [source.name_of(one.file) for one in described]
        species = {label for one in described for label in one.labels}
        names = read_recorder_names(paths, site_pattern, no_sites=species)
        named = [with_recorder_name(one, name) for one, name in zip(described, names, strict=True)]
        return with_sites(named, self.sites)


def read_annotation_metadata(source: AnnotationSource, annotations: Collection[Path]) -> AnnotationMetadata:
    """Read the tables of metadata beside annotation tables. Tables that name neither recordings nor sites are left out.

    Parameters
    ----------
    annotations : the annotation tables
    """
    found = AnnotationMetadata()
    folders = {source.home, *(table.parent for table in annotations)}
    beside = [table for table in source.tables if table.parent in folders]
    for table in (one for name in TABLE_NAMES for one in beside if one.name.lower() == name):
        if table not in annotations:
            _add_table(found, table, source)
    return found


def _add_table(found: AnnotationMetadata, table: Path, source: AnnotationSource) -> None:
    path = source.name_of(table)
    try:
        read = read_foreign(table, ragged=True)
    except UserError as error:
        found.failures.append(failure_of(path, reason_of(error, table)))
        found.files.add(table)
        return
    columns = find_column(read.columns, RECORDING_COLUMNS), find_column(read.columns, SITE_COLUMNS)
    if not any(columns):
        return
    named = metadata_rows(read, *columns)
    of_recordings, problems = _of_recordings(named, table, source)
    of_sites, conflicts = merge_sites(named.sites)
    problems += [*conflict_problems(conflicts, "site"), *coordinate_problems(named.sites)]
    for sound, row in of_recordings.items():
        found.recordings[sound] = found.recordings.get(sound, {}) | row
    for site, row in of_sites.items():
        found.sites[site] = found.sites.get(site, {}) | row
    found.failures.extend(Failure(path, problem) for problem in problems)
    found.failures.extend(Failure(f"{path}{one.name.removeprefix(table.name)}", one.reason) for one in read.bad)
    found.files.add(table)


def _of_recordings(
    named: MetadataRows, table: Path, source: AnnotationSource
) -> tuple[dict[Path, FileMetadata], list[str]]:
    """Return what the rows say of each recording, and their problems."""
    names = dict.fromkeys(name for name, _ in named.recordings)
    found = source.sounds.find_all((name for name in names if name), table)
    files = {name: sound for name, sound in found.items() if isinstance(sound, Path)}
    missing = [name for name in names if name not in files]
    paths = {source.name_of(file): file for file in files.values()}
    rows = [(source.name_of(files[name]), row) for name, row in named.recordings if name in files]
    merged, conflicts = merge_rows(rows)
    problems = [_missing_problem(missing, count=len(names))] if missing else []
    problems += [*conflict_problems(conflicts, "recording"), *coordinate_problems(rows), *date_problems(rows)]
    return {paths[path]: _usable(row) for path, row in merged.items()}, problems


def _missing_problem(missing: Sequence[str], *, count: int) -> str:
    some = f"{len(missing)} of its {count}" if len(missing) < count else f"all {count} of its"
    return f"{some} recordings cannot be found, such as {missing[0]!r}"


def _usable(row: Mapping[str, str]) -> FileMetadata:
    """Return the values of a row that can be used."""
    usable = {name: row[name] for name in _USED if is_given(row, name)}
    if "date" in usable:
        usable["date"] = plain_date(usable["date"])
    if parse_coordinates(row)[1]:
        usable = {name: text for name, text in usable.items() if name not in _COORDINATES}
    return {name: text for name, text in usable.items() if text}
