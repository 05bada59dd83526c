"""The steps of sort_data.py: choose sides, write the metadata, fill the folders, and say what was done."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from config import Config, Dataset
from utils import console
from utils.files import json_text, write_text
from utils.recordings.archive import Archive
from utils.recordings.recording import AUDIO, Recording, Side, to_metadata
from utils.recordings.splits import split_by_recording
from utils.recordings.view import check_conflicts, check_space, place, stays, view_path


def choose_sides(archive: Archive, settings: Dataset) -> list[tuple[Side, str]]:
    """Return the side and the reason of each recording of the archive, by `dataset.split`.

    Raises
    ------
    Trouble
        If the archive's own division is asked for and it has none.
    """
    if settings.split == "given" and not archive.divided:
        raise console.Trouble("dataset.split = given, but the archive is not divided into train/ and val/ (or test/)")
    if archive.divided and settings.split in ("auto", "given"):
        return [(recording.side, "given") for recording in archive.recordings if recording.side]
    return split_by_recording(archive.recordings, val_share=settings.val_share, seed=settings.seed)


def check_places(recordings: Sequence[Recording], settings: Dataset) -> None:
    """Find out before anything is changed whether the recordings can be brought into `train/` and `val/`.

    Raises
    ------
    Trouble
        If other recordings stand in their places, or the disk is too small.
    """
    root = settings.root.resolve()
    to_place = [recording for recording in recordings if not stays(recording, root)]
    check_conflicts(to_place, root)
    if settings.sort_mode == "copy":
        check_space(to_place, root)


def write_metadata(recordings: Sequence[Recording], root: Path) -> None:
    """Write `metadata/<recording>.json` for every recording, where it is not there already with the same content."""
    with console.progress("metadata", total=len(recordings), unit="recordings") as advance:
        for recording in recordings:
            path, text = root / "metadata" / f"{recording.name}.json", json_text(to_metadata(recording))
            if not path.is_file() or path.read_text(encoding="utf-8") != text:
                write_text(path, text)
            advance()


def place_all(recordings: Sequence[Recording], sides: Sequence[tuple[Side, str]], settings: Dataset) -> list[str]:
    """Bring the recordings into `train/` and `val/`.

    Returns
    -------
    Where each recording's sound is now, relative to the data set's root.
    """
    root = settings.root.resolve()
    files = []
    with console.progress(settings.sort_mode, total=len(recordings), unit="recordings") as advance:
        for recording, (side, _) in zip(recordings, sides, strict=True):
            if stays(recording, root):
                files.append(recording.file.relative_to(root).as_posix())
            else:
                place(recording, side, root=root, mode=settings.sort_mode)
                files.append(view_path(recording, side).as_posix())
            advance()
    _name_strangers(root, set(files))
    return files


def _name_strangers(root: Path, files: set[str]) -> None:
    """Say which sounds in `train/` and `val/` are of no recording of the archive; they are left where they are."""
    there = (file for side in ("train", "val") for file in (root / side).rglob("*") if file.suffix.lower() in AUDIO and not file.name.startswith("."))
    strangers = sorted(name for file in there if (name := file.relative_to(root).as_posix()) not in files)
    if strangers:
        some = ", ".join(strangers[:3]) + (" …" if len(strangers) > 3 else "")
        console.warn(f"{len(strangers)} files in train/ and val/ belong to no recording of the archive, and are not used: {some}")


def summarize(table: pl.DataFrame, failures: Sequence[console.Failure], config: Config, *, seconds: float) -> None:
    """Say how the recordings were divided, what was left out, and what comes next."""
    train, val = table.filter(side="train"), table.filter(side="val")
    per_class = train.group_by("class").len().get_column("len").to_list()
    unheard = sorted(set(val["class"]) - set(train["class"]))
    console.show_table(
        "Sorted",
        {
            "recordings": f"{len(train)} train, {len(val)} val",
            "classes": f"{table['class'].n_unique()} ({min(per_class)} to {max(per_class)} recordings in train)",
            "with background": f"{table.filter(pl.col('background').list.len() > 0).height} recordings",
            "split": console.shown(config.dataset.root / "split.parquet"),
            "time": console.clock(seconds),
            "next": "python spec.py, with the same experiment",
        },
    )
    if unheard:
        console.warn(f"{len(unheard)} classes have no recording in train and cannot be learned: {', '.join(unheard[:5])}{' …' if len(unheard) > 5 else ''}")
    console.report_failures(failures, what="files")
