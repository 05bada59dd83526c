"""From a folder of any known form to its recordings."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from config import Dataset
from utils.console import Failure, UserError
from utils.recordings.account import Account, account_of
from utils.recordings.annotations import is_annotations, read_annotations, why_none
from utils.recordings.birdclef2018 import is_birdclef2018, read_birdclef2018
from utils.recordings.folders import read_folders, sides_of
from utils.recordings.kaggle import is_kaggle, read_kaggle
from utils.recordings.labels import Taxonomy, read_aliases, read_taxonomy
from utils.recordings.names import Known, named_apart
from utils.recordings.recording import SIDES, Contents, Recording, from_metadata, read_metadata
from utils.recordings.view import placed_file
from utils.recordings.xenocanto import is_xenocanto, read_xenocanto

# by the folder, the settings, and the files that were moved out of it
Recognise = Callable[[Path, Dataset, Sequence[Path]], bool]
# how each kind is recognised, and what it needs to be read; a folder may look like several, then the first has it
KINDS: Mapping[str, tuple[Recognise, str]] = {
    "birdclef2018": (lambda folder, _settings, _gone: is_birdclef2018(folder), "has no wav/ and xml/ folders"),
    "kaggle": (
        lambda folder, _settings, _gone: is_kaggle(folder),
        "has no train_metadata.csv (or train.csv) with train_audio/ (or train_short_audio/)",
    ),
    "folders": (lambda folder, _settings, gone: bool(sides_of(folder, gone)), ""),
    "xenocanto": (lambda folder, _settings, _gone: is_xenocanto(folder), "has no JSON files of xeno-canto's form"),
    "annotations": (
        lambda folder, settings, gone: is_annotations(folder, settings.columns, gone),
        "has no table of annotations that belongs to its sounds",
    ),
}
# kinds that keep their sounds in folders of their own, so that the root may be the archive
OWN_FOLDERS = ("birdclef2018", "kaggle")
REASONS = 3  # that are told why tables are not understood


@dataclass(frozen=True)
class Archive:
    """What was found in a folder.

    Attributes
    ----------
    kind : what was recognised, a value of dataset.kind
    form : the same in more words, for people
    recordings : those whose sound is there, in the order of their names, with scientific names as labels
    failures : files and rows that cannot be used, and why
    divided : whether the archive says itself which recordings are for training and which are not
    taxonomy : the names of species that the archive and the settings know
    account : what became of the archive's files
    tables : where the annotations of a sound stand, by its path below the archive
    """

    kind: str
    form: str
    recordings: list[Recording]
    failures: list[Failure]
    divided: bool
    taxonomy: Taxonomy
    account: Account = field(default_factory=Account)
    tables: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def read_archive(settings: Dataset) -> Archive:
    """Read the archive that the settings name.

    Raises
    ------
    UserError
        If the folder does not exist, or nothing in it is of a known form.
    """
    given = settings.archive or settings.root
    if not given.is_dir():
        raise UserError(
            f"{given}: no such folder; set dataset.{'archive' if settings.archive else 'root'} to the folder of your recordings"
        )
    folder, root = given.resolve(), settings.root.resolve()  # one folder may have two names
    before = _sorted_before(root)
    gone = sorted(file for file in before.moved if file.is_relative_to(folder))  # to readers they are where they were
    kind = _kind(settings, folder, given, gone)
    divided = kind == "folders" and bool(sides_of(folder, gone))
    _check_apart(settings, folder, root, apart=kind not in OWN_FOLDERS and not divided)
    contents = _read(kind, folder, settings, gone)
    account = _account(contents, folder, root, settings)
    taxonomy = _taxonomy(settings, contents)
    recordings, failures = _translated(contents.recordings, taxonomy)
    recordings, missing = _with_sound(named_apart(recordings, folder, before.names), before.moved, root)
    forgotten, unnamed = _forgotten(before.moved, recordings, taxonomy)
    recordings += forgotten
    failures += contents.failures + before.failures + missing + unnamed + account.failures
    if not recordings:
        some = "; ".join(f"{failure.name}: {failure.reason}" for failure in failures[:2])
        refused = f"; {len(failures)} refused, such as {some}" if failures else ""
        raise UserError(f"{given}: no recording found ({contents.form}{refused})")
    ordered = sorted(recordings, key=lambda recording: recording.name)
    tables = {sound.relative_to(folder).as_posix(): places for sound, places in contents.tables.items()}
    return Archive(kind, contents.form, ordered, failures, divided, taxonomy, account, tables)


# what the toolkit keeps in a data set's root, where the archive may lie in the root or have been one
OURS = (
    *(
        "train",
        "val",
        "test",
        "metadata",
        "spec",
        "snapshots",
        "submissions",
        "soundscapes",
        "test_soundscapes",
        "test_audio",
    ),
    *("split.parquet", "split.png", "audit.csv", "sorted.log", "timings.json"),
)


def _account(contents: Contents, folder: Path, root: Path, settings: Dataset) -> Account:
    """Return what became of the archive's files; what the toolkit made is none of them."""
    used = {recording.file for recording in contents.recordings}
    ours = (
        [folder / name for name in OURS] if folder.is_relative_to(root) or (folder / "split.parquet").is_file() else []
    )
    without = [path for path in (root, *ours) if path != folder and path not in contents.folders]
    return account_of(
        folder, used=used, seen=contents.seen, columns=settings.columns, without=without, spare=contents.spare
    )


def _kind(settings: Dataset, folder: Path, given: Path, gone: Sequence[Path]) -> str:
    """Return the kind of the archive: that of the settings, where it can be, or the one that is recognised."""
    kind: str = settings.kind
    if kind == "auto":
        kind = next((kind for kind, (recognised, _) in KINDS.items() if recognised(folder, settings, gone)), "folders")
        if kind != "folders" or not any(asdict(settings.columns).values()):
            return kind
        kind = "annotations"  # who names columns has a table
    recognised, needed = KINDS[kind]
    if kind != "folders" and not recognised(folder, settings, gone):
        why = why_none(folder, settings.columns)[:REASONS] if kind == "annotations" else []
        told = "".join(f"; {failure.name}: {failure.reason}" for failure in why)
        setting = f"dataset.kind = {kind}" if settings.kind == kind else "dataset.columns"
        raise UserError(f"{given}: {needed}, as {setting} says{told}")
    return kind


def _check_apart(settings: Dataset, folder: Path, root: Path, *, apart: bool) -> None:
    """Refuse an archive in which copies would be taken for recordings; `apart`: its sounds may be anywhere in it."""
    given = settings.archive or settings.root
    for side in SIDES:
        if folder.is_relative_to((root / side).resolve()):
            raise UserError(
                f"{given}: is, or lies in, the folder {settings.root / side} that sorting fills; leave dataset.archive out to use the root as it is divided"
            )
    if apart and root == folder:
        raise UserError(
            f"{given}: holds neither wav/ + xml/ nor train/ + val/, nor is it of Kaggle's form; set dataset.archive to it and dataset.root to a new folder "
            "outside of it, so that recordings and their copies are not mixed"
        )
    if root != folder and root.is_relative_to(folder) and (apart or sides_of(folder)):
        raise UserError(
            f"{given}: holds {settings.root}, whose copies would be taken for more recordings; set dataset.root to a folder outside of it"
        )


def _read(kind: str, folder: Path, settings: Dataset, gone: Sequence[Path]) -> Contents:
    if kind == "annotations":
        return read_annotations(folder, settings.columns, gone)
    if kind == "xenocanto":
        return read_xenocanto(folder, gone)
    if kind == "folders":
        return read_folders(folder, gone)
    return read_kaggle(folder) if kind == "kaggle" else read_birdclef2018(folder)


def _taxonomy(settings: Dataset, contents: Contents) -> Taxonomy:
    named = read_taxonomy(settings.taxonomy) if settings.taxonomy else []
    return Taxonomy([*named, *contents.taxa], read_aliases(settings.aliases) if settings.aliases else {})


def _translated(recordings: Iterable[Recording], taxonomy: Taxonomy) -> tuple[list[Recording], list[Failure]]:
    """Give the recordings the scientific names of their species."""
    translated, failures = [], []
    for recording in recordings:
        try:
            translated.append(taxonomy.translate(recording))
        except ValueError as error:
            failures.append(Failure(f"{recording.file.parent.name}/{recording.file.name}", str(error)))
    return translated, failures


def _with_sound(
    recordings: Iterable[Recording], moved: Mapping[Path, Recording], root: Path
) -> tuple[list[Recording], list[Failure]]:
    """Divide recordings into those whose sound is in the archive, or where an earlier sort put it, and those without."""
    by_name = {recording.name: recording for recording in moved.values()}
    there, missing = [], []
    for recording in recordings:
        before = moved.get(recording.file) or by_name.get(recording.name)
        if recording.file.is_file() or (not before and placed_file(recording, root)):
            there.append(recording)
        elif before:
            there.append(replace(recording, file=before.file, moved_from=before.moved_from))
        else:
            what = (
                "is a link to nothing"
                if recording.file.is_symlink()
                else "is no file"
                if recording.file.exists()
                else "is not there"
            )
            missing.append(Failure(f"{recording.file.parent.name}/{recording.file.name}", what))
    return there, missing


@dataclass(frozen=True)
class Before:
    """What an earlier sort left in the root.

    Attributes
    ----------
    moved : the recordings that it moved here, by where they were, with the file that they have now
    names : what it called recordings
    failures : metadata that cannot be read
    """

    moved: dict[Path, Recording]
    names: Known
    failures: list[Failure]


def _sorted_before(root: Path) -> Before:
    """Read the metadata of an earlier sort.

    The JSON of a recording that was moved has `moved_from`, which is written before the file is moved: one that is
    still there was not.
    """
    folder = root / "metadata"
    moved: dict[Path, Recording] = {}
    by_source: dict[str, str] = {}
    others: set[str] = set()
    failures = []
    for file in sorted(folder.rglob("*.json")):
        name = file.relative_to(folder).as_posix().removesuffix(".json")
        try:
            metadata = read_metadata(file)
            if source := metadata.get("source"):
                by_source[str(source)] = name
            else:
                others.add(name)
            if not metadata.get("moved_from"):
                continue
            side = next((side for side in SIDES if side == metadata.get("side")), None)
            sound = root / f"sound{_ending(str(metadata.get('filename')))}"  # where it is now follows from its name
            recording = from_metadata(metadata, name=name, file=sound, side=side)
        except (OSError, ValueError) as error:
            failures.append(Failure(f"metadata/{name}.json", str(error)))
            continue
        placed, original = placed_file(recording, root), Path(recording.moved_from)
        if placed and not placed.is_symlink() and not original.is_file():
            moved[original] = replace(recording, file=placed)
    return Before(moved, Known(by_source, frozenset(others)), failures)


def _ending(filename: str) -> str:
    found = re.search(r"\.\w+$", filename, re.ASCII)
    return found[0] if found else ""


def _forgotten(
    moved: Mapping[Path, Recording], known: Iterable[Recording], taxonomy: Taxonomy
) -> tuple[list[Recording], list[Failure]]:
    """Return the moved recordings that the archive does not know any more, as when it was mounted elsewhere or its tables are gone."""
    there = {recording.file for recording in known}
    names = {recording.name for recording in known}
    forgotten, failures = _translated(
        (recording for recording in moved.values() if recording.file not in there), taxonomy
    )
    return [recording for recording in forgotten if recording.name not in names], failures
