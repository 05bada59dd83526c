"""The archive: from a folder of any known kind to its recordings, with scientific names and without missing files."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from config import Dataset, Location
from utils.console import Failure, UserError
from utils.recordings.archive_readers import READERS, recognise_kind
from utils.recordings.class_names import ClassNames, name_classes, taxa_of_recordings
from utils.recordings.earlier_sort import read_earlier_sort
from utils.recordings.folders import splits_of
from utils.recordings.inventory import Inventory, take_inventory
from utils.recordings.labels import Taxonomy, read_aliases, read_taxonomy
from utils.recordings.names import with_unique_names
from utils.recordings.recorders.archive_recordings import RECORDER_KINDS, read_recorders
from utils.recordings.recording import SPLITS, Contents, Recording
from utils.recordings.remote_archive import RemoteArchive
from utils.recordings.sorted_folders import TOOLKIT_FILES, find_sorted_file


@dataclass(frozen=True)
class Archive:
    """What was found in a folder.

    Attributes
    ----------
    kind : a value of `dataset.kind`
    description : the kind in words
    recordings : those with a sound file, in the order of their names, with scientific names as labels
    failures : files and rows that cannot be used, and why
    has_splits : whether the archive comes divided into train/ and val/ or test/
    taxonomy : the names of species from the archive and the settings
    inventory : how many of the archive's files are used, left out, …
    tables : the tables with the annotations of each sound, by the sound's path below the archive
    names : how classes are named, if not by scientific names
    remote : the archive, if it is elsewhere
    """

    kind: str
    description: str
    recordings: list[Recording]
    failures: list[Failure]
    has_splits: bool
    taxonomy: Taxonomy
    inventory: Inventory = field(default_factory=Inventory)
    tables: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    names: ClassNames = field(default_factory=ClassNames)
    remote: RemoteArchive | None = None

    def location_of_sound(self, file: Path) -> Location:
        """Return where a sound is: at its address, if the archive is elsewhere."""
        return self.remote.location_of(file) if self.remote else file


def read_archive(settings: Dataset, remote: RemoteArchive | None = None) -> Archive:
    """Read the archive that the settings name.

    Parameters
    ----------
    remote : the archive, if it is elsewhere

    Raises
    ------
    UserError
        If the folder does not exist, is of another kind than the settings say, or contains no recording.
    """
    settings = replace(settings, archive=remote.folder) if remote else settings
    given = settings.archive_folder or settings.root
    if not given.is_dir():
        raise UserError(
            f"{given}: no such folder; set dataset.{'archive' if settings.archive else 'root'} "
            "to the folder of your recordings"
        )
    folder, root = given.resolve(), settings.root.resolve()  # one folder may have two names
    earlier = read_earlier_sort(root)
    moved = sorted(file for file in earlier.moved if file.is_relative_to(folder))
    kind = recognise_kind(settings, folder, given, moved)
    has_splits = kind == "folders" and bool(splits_of(folder, moved))
    _check_apart(settings, folder, root, sounds_apart=READERS[kind].sounds_apart or has_splits)
    contents = READERS[kind].read(folder, settings, moved)
    taxonomy, names = _read_taxonomy(settings, contents)
    recordings, failures = _with_scientific_names(contents.recordings, taxonomy)
    recordings, missing = _with_files(with_unique_names(recordings, folder, earlier.names), earlier.moved, root)
    forgotten, unnamed = _forgotten(earlier.moved, recordings, taxonomy)
    applies = kind in RECORDER_KINDS and remote is None  # of an archive elsewhere, the sounds here are empty
    recorded = read_recorders([*recordings, *forgotten], folder, settings, applies=applies)
    recordings = recorded.recordings
    inventory = _inventory_of_archive(contents, folder, root, settings, seen=recorded.files)
    failures += recorded.failures
    failures += contents.failures + earlier.failures + missing + unnamed + inventory.failures
    failures += remote.failures if remote else ()
    if not recordings:
        examples = "; ".join(f"{failure.name}: {failure.reason}" for failure in failures[:2])
        unused = f"; {len(failures)} files or rows cannot be used, such as {examples}" if failures else ""
        raise UserError(f"{given}: no recording found ({contents.description}{unused})")
    ordered = sorted(recordings, key=lambda recording: recording.name)
    tables = {sound.relative_to(folder).as_posix(): names for sound, names in contents.tables.items()}
    return Archive(
        kind, contents.description, ordered, failures, has_splits, taxonomy, inventory, tables, names, remote
    )


def _inventory_of_archive(
    contents: Contents, folder: Path, root: Path, settings: Dataset, *, seen: frozenset[Path]
) -> Inventory:
    """Count what became of the archive's files; files that the toolkit wrote do not count.

    Parameters
    ----------
    seen : files that were used besides those of the contents
    """
    used = {recording.file for recording in contents.recordings}
    written = folder.is_relative_to(root) or (folder / "split.parquet").is_file()
    ours = [folder / name for name in TOOLKIT_FILES] if written else []
    without = [path for path in (root, *ours) if path != folder and path not in contents.folders]
    return take_inventory(
        folder,
        used=used,
        seen=contents.seen | seen,
        columns=settings.columns,
        without=without,
        unlabelled=contents.unlabelled,
    )


def _check_apart(settings: Dataset, folder: Path, root: Path, *, sounds_apart: bool) -> None:
    """Raise if sorted copies would be read as recordings of the archive.

    Raises
    ------
    UserError
        If the archive is a folder that sorting writes to, or contains one; unless its sounds are apart from those.
    """
    given = settings.archive_folder or settings.root
    for split in SPLITS:
        if folder.is_relative_to((root / split).resolve()):
            raise UserError(
                f"{given}: is in the folder {settings.root / split}, to which sort_data.py writes; "
                "to use the splits of dataset.root as they are, leave dataset.archive out"
            )
    if root == folder and not sounds_apart:
        raise UserError(
            f"{given}: contains neither wav/ and xml/ nor train/ and val/, and is not an archive from Kaggle; set "
            "dataset.archive to it and dataset.root to a new folder outside of it, so that recordings and copies do "
            "not get mixed"
        )
    if root != folder and root.is_relative_to(folder) and (not sounds_apart or splits_of(folder)):
        raise UserError(
            f"{given}: contains {settings.root}, whose copies would be read as more recordings; "
            "set dataset.root to a folder outside of it"
        )


def _read_taxonomy(settings: Dataset, contents: Contents) -> tuple[Taxonomy, ClassNames]:
    """Return the names of species, and how classes are named."""
    named = read_taxonomy(settings.taxonomy) if settings.taxonomy else []
    taxa, aliases = [*named, *contents.taxa], read_aliases(settings.aliases) if settings.aliases else {}
    taxonomy = Taxonomy(taxa, aliases)
    if settings.label == "species":
        return taxonomy, ClassNames()
    names = name_classes([*taxa, *taxa_of_recordings(contents.recordings)], taxonomy, by=settings.label)
    return Taxonomy(taxa, aliases, names.labels), names


def _with_scientific_names(
    recordings: Iterable[Recording], taxonomy: Taxonomy
) -> tuple[list[Recording], list[Failure]]:
    translated, failures = [], []
    for recording in recordings:
        try:
            translated.append(taxonomy.translate(recording))
        except ValueError as error:
            failures.append(Failure(_short_path(recording.file), str(error)))
    return translated, failures


def _with_files(
    recordings: Iterable[Recording], moved: Mapping[Path, Recording], root: Path
) -> tuple[list[Recording], list[Failure]]:
    """Return the recordings whose sound is in the archive, or where an earlier sort put it; the others are failures."""
    by_name = {recording.name: recording for recording in moved.values()}
    found, missing = [], []
    for recording in recordings:
        earlier = moved.get(recording.file) or by_name.get(recording.name)
        if recording.file.is_file() or (not earlier and find_sorted_file(recording, root)):
            found.append(recording)
        elif earlier:
            found.append(replace(recording, file=earlier.file, moved_from=earlier.moved_from))
        else:
            missing.append(Failure(_short_path(recording.file), _why_missing(recording.file)))
    return found, missing


def _why_missing(file: Path) -> str:
    if file.is_symlink():
        return "is a broken link"
    return "is not a file" if file.exists() else "does not exist"


def _short_path(file: Path) -> str:
    return f"{file.parent.name}/{file.name}"


def _forgotten(
    moved: Mapping[Path, Recording], known: Iterable[Recording], taxonomy: Taxonomy
) -> tuple[list[Recording], list[Failure]]:
    """Return moved recordings that the archive no longer contains, for example because its tables were deleted."""
    known = list(known)
    files, names = {recording.file for recording in known}, {recording.name for recording in known}
    forgotten, failures = _with_scientific_names(
        (recording for recording in moved.values() if recording.file not in files), taxonomy
    )
    return [recording for recording in forgotten if recording.name not in names], failures
