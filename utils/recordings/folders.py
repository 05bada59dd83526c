"""Reader of plain folders: one folder a class, either directly in the archive or divided into `train/` and `val/` (or `test/`).

A data set that the 2018 baseline sorted is such an archive; its `metadata/<recording>.json` files are read for the background species.
"""

from collections.abc import Iterator
from pathlib import Path

from utils.console import Failure
from utils.files import check_name
from utils.recordings.recording import AUDIO, OTHER_AUDIO, Recording, Side, from_metadata, label_of_folder, read_metadata


def sides_of(archive: Path) -> dict[Side, Path]:
    """Return the folders of an archive that came divided: 'train' and 'val', or nothing where it did not."""
    held_out = [archive / name for name in ("val", "test") if (archive / name).is_dir()]
    if not (archive / "train").is_dir() or not held_out:
        return {}
    return {"train": archive / "train", "val": held_out[0]}


def read_folders(archive: Path) -> tuple[list[Recording], list[Failure]]:
    """Read the classes and recordings of an archive of folders.

    Returns
    -------
    The recordings in the order of their names, with their side where the archive is divided, and the files that cannot be used.
    """
    recordings: dict[str, Recording] = {}
    failures = [Failure(file.relative_to(archive).as_posix(), "lies in no class's folder") for file in _loose_files(archive)]
    if (archive / "val").is_dir() and (archive / "test").is_dir() and sides_of(archive):
        failures.append(Failure("test/", "is left aside, for there is val/, too"))
    places: list[tuple[Side | None, Path]] = [*sides_of(archive).items()] or [(None, archive)]
    for side, folder in places:
        for file in _audio_files(folder):
            try:
                recording = _recording(file, archive=archive, folder=folder, side=side)
                if recording.name in recordings:
                    raise ValueError(f"has the same name as {recordings[recording.name].file.relative_to(archive).as_posix()}")
                recordings[recording.name] = recording
            except (ValueError, OSError) as error:
                failures.append(Failure(file.relative_to(archive).as_posix(), str(error)))
    return sorted(recordings.values(), key=lambda recording: recording.name), failures


def _loose_files(archive: Path) -> list[Path]:
    """Return the files of sound that lie beside the classes' folders instead of in one."""
    folders = sides_of(archive).values() or [archive]
    files = (file for folder in folders for file in folder.iterdir() if not file.is_dir() and not file.name.startswith("."))
    return sorted(file for file in files if file.suffix.lower() in AUDIO)


def _audio_files(folder: Path) -> Iterator[Path]:
    """Yield the files of sound below every class's folder; hidden files and folders are not looked into."""
    for kind in sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith(".")):
        for file in sorted(kind.rglob("*")):
            hidden = any(part.startswith(".") for part in file.relative_to(kind).parts)
            if file.suffix.lower() in AUDIO | OTHER_AUDIO and not hidden and not file.is_dir():
                yield file


def _recording(file: Path, *, archive: Path, folder: Path, side: Side | None) -> Recording:
    if file.suffix.lower() in OTHER_AUDIO:
        raise ValueError(f"{file.suffix} cannot be read; convert it to FLAC, WAV, Ogg or MP3")
    first, *rest = file.relative_to(folder).parts
    species = label_of_folder(first)
    name = "/".join([species, *(check_name(part) for part in rest[:-1]), check_name(file.stem)])
    metadata = archive / "metadata" / f"{file.stem}.json"
    if metadata.is_file():
        return from_metadata({**read_metadata(metadata), "sci-name": species}, name=name, file=file, side=side)
    return Recording(name=name, file=file, species=species, side=side)
