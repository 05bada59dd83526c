"""Reader of class folders: one folder for each class, in the archive or in its `train/`, `val/` and `test/`.

Metadata of the recordings are optional: `metadata/<recording>.json`, which an earlier sort or the 2018 baseline wrote,
the tables that `utils.recordings.folder_tables` reads, and what the names of recorders' files tell.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from utils.console import Failure
from utils.recordings.audio_files import check_readable, is_sound, walk
from utils.recordings.folder_tables import FolderTables, read_folder_tables
from utils.recordings.metadata_tables import FileMetadata, with_metadata, with_sites
from utils.recordings.names import plain_name
from utils.recordings.recorders.file_names import read_recorder_names, with_recorder_name
from utils.recordings.recording import (
    NOISE,
    Contents,
    Recording,
    Split,
    Taxon,
    absent_species_in,
    clean_labels,
    from_metadata,
    label_of_folder,
    read_metadata,
    species_in_folder,
    split_common_name,
)

SPLIT_NAMES: Mapping[Split, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
_ABSENT = (
    "{count} recordings without {species}, as the minus says, are not used; "
    "if they contain no bird at all, put them into a folder Noise"
)


def splits_of(archive: Path, moved: Sequence[Path] = ()) -> dict[Split, Path]:
    """Return the folders of an archive that comes with splits; {} for others.

    It has `train/` and at least one of `val/` and `test/`, in upper or lower case, or under another of `SPLIT_NAMES`.

    Parameters
    ----------
    moved : files that were in the archive, and were moved
    """
    present = sorted(child.name for child in archive.iterdir() if child.is_dir()) if archive.is_dir() else []
    present += [file.relative_to(archive).parts[0] for file in moved if file.is_relative_to(archive)]
    splits: dict[Split, Path] = {}
    for split, usual in SPLIT_NAMES.items():
        names = [name for name in (*usual, *present) if name in present and name.lower() in usual]
        splits |= {split: archive / names[0]} if names else {}
    return splits if "train" in splits and len(splits) > 1 else {}


def read_folders(archive: Path, moved: Sequence[Path] = (), *, site_pattern: str = "") -> Contents:
    """Read the classes and recordings of an archive of class folders, with their splits if it comes with them.

    Names of recordings need not be unique: `1.wav` and `1.mp3` of one class have the same.

    Parameters
    ----------
    moved : files that were in the archive, and were moved
    site_pattern : `dataset.site_pattern`; it is searched in names, and in paths below the class folders
    """
    splits = splits_of(archive, moved)
    tables = read_folder_tables(archive, {folder.name for folder in splits_of(archive).values()})
    tops: list[tuple[Split | None, Path]] = [*splits.items()] or [(None, archive)]
    found = [_read_classes(archive, top, split, moved, tables.rows) for split, top in tops]
    paths = {file: path for classes in found for file, path in classes.paths.items()}
    recordings = sorted(
        (recording for classes in found for recording in classes.recordings), key=lambda recording: recording.name
    )
    recordings = _with_names_and_sites(recordings, paths, tables, site_pattern)
    failures = [failure for classes in found for failure in classes.failures] + tables.failures
    noise = sorted({folder for classes in found for folder in classes.noise})
    description = f"class folders {'in ' + ', '.join(splits) if splits else 'without splits'}"
    description += f"; {', '.join(noise)} as {NOISE}" if noise else ""
    json_files = (archive / "metadata").rglob("*.json")
    seen = frozenset().union(tables.files, json_files, *(classes.sounds for classes in found))
    return Contents(description, recordings, failures, _taxa_of_folder_names(recordings), seen, tuple(splits.values()))


@dataclass(frozen=True)
class _ClassFolders:
    """The content of the class folders of one split.

    Attributes
    ----------
    sounds : all of them, used or not
    noise : folders of the class Noise that have another name
    paths : of the recordings below their class folders, by their files
    """

    recordings: list[Recording]
    failures: list[Failure]
    sounds: frozenset[Path]
    noise: frozenset[str]
    paths: dict[Path, str] = field(default_factory=dict)


def _with_names_and_sites(
    recordings: Sequence[Recording], paths: Mapping[Path, str], tables: FolderTables, site_pattern: str
) -> list[Recording]:
    """Return the recordings with what their names tell, and with the metadata of their sites."""
    species = {recording.species for recording in recordings}
    names = read_recorder_names([paths[one.file] for one in recordings], site_pattern, no_sites=species)
    named = [with_recorder_name(one, name) for one, name in zip(recordings, names, strict=True)]
    return with_sites(named, tables.sites)


def _read_classes(
    archive: Path, top: Path, split: Split | None, moved: Sequence[Path], rows: Mapping[str, FileMetadata]
) -> _ClassFolders:
    """Read the class folders in `top`; `rows`: metadata from tables, by path below the archive."""
    looked = walk(top)
    sounds = sorted(
        {*(file for file in looked.files if is_sound(file)), *(file for file in moved if file.is_relative_to(top))}
    )
    recordings, noise, absent, paths = [], set[str](), Counter[str](), dict[Path, str]()
    failures = [
        Failure(link.relative_to(archive).as_posix(), f"is a link to {link.resolve()}, which is read as another class")
        for link in looked.repeated
        if link.parent == top
    ]
    for file in sounds:
        folder, *rest = file.relative_to(top).parts
        path = file.relative_to(archive).as_posix()
        try:
            if not rest:
                raise ValueError("is not in the folder of a class")
            if absent_species_in(folder):
                absent[folder] += 1
                continue
            recording = _recording_in_folder(file, archive=archive, top=top, split=split)
            noise |= {folder} if recording.species == NOISE and folder.lower() != NOISE.lower() else set()
            recordings.append(with_metadata(recording, rows[path]) if path in rows else recording)
            paths[file] = "/".join(rest)
        except (ValueError, OSError) as error:
            failures.append(Failure(path, str(error)))
    failures += [
        Failure(
            (top / folder).relative_to(archive).as_posix(),
            _ABSENT.format(count=count, species=absent_species_in(folder)),
        )
        for folder, count in absent.items()
    ]
    return _ClassFolders(recordings, failures, frozenset(sounds), frozenset(noise), paths)


def _recording_in_folder(file: Path, *, archive: Path, top: Path, split: Split | None) -> Recording:
    check_readable(file)
    folder, *rest = file.relative_to(top).parts
    species, *others = (label_of_folder(part) for part in species_in_folder(folder))
    name = "/".join([species, *(plain_name(part) for part in rest[:-1]), plain_name(file.stem)])
    if any(part.endswith(".json") for part in (species, *rest[:-1])):
        raise ValueError("is in a folder whose name ends in .json, which is reserved for metadata files; rename it")
    # written by an earlier sort, and by the 2018 baseline
    for metadata in (archive / "metadata" / f"{name}.json", archive / "metadata" / f"{file.stem}.json"):
        if metadata.is_file():
            # the file may have been written for another archive: class and path are those of the folder
            known = {**read_metadata(metadata), "moved_from": ""}
            if known.get("class") != species:
                known |= {"sci-name": species, "class": ""}
            return from_metadata(known, name=name, file=file, split=split)
    return Recording(
        name=name,
        file=file,
        species=species,
        background=clean_labels(others, without=species),
        split=split,
        common_name=split_common_name(species_in_folder(folder)[0])[1],
    )


def _taxa_of_folder_names(recordings: Sequence[Recording]) -> list[Taxon]:
    """Return the species whose folder gives a common name."""
    return [
        Taxon(species, common_name=name)
        for species, name in dict.fromkeys((one.species, one.common_name) for one in recordings if one.common_name)
    ]
