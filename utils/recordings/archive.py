"""From a folder of any known form to its recordings."""

from dataclasses import dataclass, replace
from pathlib import Path

from config import Dataset
from utils.console import Failure, Trouble
from utils.files import check_name
from utils.recordings.birdclef2018 import is_birdclef2018, read_birdclef2018
from utils.recordings.folders import read_folders, sides_of
from utils.recordings.recording import Recording, Side, from_metadata, read_metadata
from utils.recordings.view import placed_file


@dataclass(frozen=True)
class Archive:
    """What was found in a folder.

    Attributes
    ----------
    form : what was recognised, for people
    recordings : those whose sound is there, in the order of their names
    failures : files that cannot be used, and why
    divided : whether the archive says itself which recordings are for training and which are not
    """

    form: str
    recordings: list[Recording]
    failures: list[Failure]
    divided: bool


def read_archive(settings: Dataset) -> Archive:
    """Read the archive that the settings name.

    Raises
    ------
    Trouble
        If the folder does not exist, or nothing in it is of a known form.
    """
    given = settings.archive or settings.root
    if not given.is_dir():
        raise Trouble(f"{given}: no such folder; set dataset.{'archive' if settings.archive else 'root'} to the folder of your recordings")
    folder, root = given.resolve(), settings.root.resolve()  # one folder may have two names
    for side in ("train", "val"):
        if folder.is_relative_to((root / side).resolve()):
            raise Trouble(
                f"{given}: is, or lies in, the folder {settings.root / side} that sorting fills; leave dataset.archive out to use the root as it is divided"
            )
    kind = settings.kind if settings.kind != "auto" else "birdclef2018" if is_birdclef2018(folder) else "folders"
    if kind == "birdclef2018":
        form, divided = "BirdCLEF 2018 archive (wav/ + xml/)", False
        if not is_birdclef2018(folder):
            raise Trouble(f"{folder}: has no wav/ and xml/ folders, as dataset.kind = birdclef2018 says")
        recordings, failures = read_birdclef2018(folder)
    else:
        divided = bool(sides_of(folder))
        form = "folders of classes, " + ("divided into train and val" if divided else "undivided")
        if root == folder and not divided:
            raise Trouble(
                f"{given}: holds neither wav/ + xml/ nor train/ + val/; if its folders are classes, "
                "set dataset.archive to it and dataset.root to a new folder, so that the two are not mixed"
            )
        if root != folder and root.is_relative_to(folder):
            raise Trouble(f"{given}: holds {settings.root}, whose copies would be taken for more recordings; set dataset.root to a folder outside of it")
        recordings, failures = read_folders(folder)
    moved, unreadable = _moved_before(settings, recordings, divided=divided)
    recordings, missing = _with_sound(recordings + moved, root)
    failures += unreadable + missing
    if not recordings:
        raise Trouble(f"{given}: no recording found ({form}{f'; {len(failures)} files were refused' if failures else ''})")
    return Archive(form, recordings, failures, divided)


def _with_sound(recordings: list[Recording], root: Path) -> tuple[list[Recording], list[Failure]]:
    """Divide recordings into those whose sound is in the archive, or where an earlier sort put it, and those without."""
    there, missing = [], []
    for recording in recordings:
        if recording.file.is_file() or placed_file(recording, root):
            there.append(recording)
        else:
            what = "is a link to nothing" if recording.file.is_symlink() else "is no file" if recording.file.exists() else "is not there"
            missing.append(Failure(f"{recording.file.parent.name}/{recording.file.name}", what))
    return there, missing


def _moved_before(settings: Dataset, recordings: list[Recording], *, divided: bool) -> tuple[list[Recording], list[Failure]]:
    """Return the recordings that an earlier sort moved out of the archive, so that a stopped move goes on with the same split."""
    if settings.sort_mode != "move":
        return [], []
    known = {recording.name for recording in recordings}
    root = settings.root.resolve()
    folder = root / "metadata"
    moved, failures = [], []
    for file in sorted(folder.rglob("*.json")):
        name = file.relative_to(folder).as_posix().removesuffix(".json")
        if name in known:
            continue
        try:
            metadata = read_metadata(file)
            recording = from_metadata(metadata, name=name, file=root / check_name(str(metadata.get("filename"))))
        except (OSError, ValueError) as error:
            failures.append(Failure(f"metadata/{name}.json", str(error)))
            continue
        placed = placed_file(recording, root)
        if placed:
            side: Side = "val" if placed.is_relative_to(root / "val") else "train"
            moved.append(replace(recording, file=placed, side=side) if divided else recording)
    return moved, failures
