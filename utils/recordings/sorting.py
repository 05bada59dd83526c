"""The steps of sort_data.py that write: metadata, sounds in the folders of their splits, and the log."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import polars as pl

from config import Dataset, is_address
from utils import console
from utils.files import LOCK_FILES, json_text, write_text
from utils.recordings.archive import Archive
from utils.recordings.archive_split import ArchiveSplit
from utils.recordings.audio_files import sounds_below
from utils.recordings.recording import SPLITS, Recording, to_metadata
from utils.recordings.selection import Selection
from utils.recordings.sorted_folders import (
    check_conflicts,
    check_hardlinks,
    check_space,
    copy_linked_recordings,
    sort_recording,
    stays_in_place,
)
from utils.recordings.splits import Assignment


@contextmanager
def alone_in_root(root: Path) -> Iterator[None]:
    """Let only one sort_data at a time use a data set's root; a new root stays away if the archive is refused."""
    is_new = not root.exists()
    with console.alone(root, "sort_data"):
        try:
            yield
        except console.UserError:
            if is_new and all(LOCK_FILES.fullmatch(child.name) for child in root.iterdir()):
                shutil.rmtree(root, ignore_errors=True)
            raise


def check_targets(recordings: Sequence[Recording], settings: Dataset, *, dry_run: bool) -> None:
    """Check, before anything is changed, that the recordings can be sorted; a dry run omits checks that write.

    Raises
    ------
    UserError
        If files of other recordings would be overwritten, the disk is full, or it does not support hard links.
    """
    root = settings.root.resolve()
    to_sort = [recording for recording in recordings if not stays_in_place(recording, root)]
    check_conflicts(to_sort, root, mode=settings.sort_mode)
    if dry_run:
        return
    if settings.sort_mode == "copy":
        check_space(to_sort, root)
    if settings.sort_mode == "hardlink":
        check_hardlinks(to_sort, root)


def write_metadata(recordings: Sequence[Recording], archive: Archive, settings: Dataset) -> None:
    """Write `metadata/<recording>.json` for every recording, unless it exists with the same content.

    All of the archive's metadata are written, also events of classes that the settings leave out: after a move, nothing
    else may be left of the archive.
    """
    complete = {recording.name: recording for recording in archive.recordings}
    root = settings.root.resolve()
    with console.progress("metadata", total=len(recordings), unit="recordings") as advance:
        for recording in (complete[recording.name] for recording in recordings):
            if (
                settings.sort_mode == "move"
                and not recording.moved_from
                and recording.file.is_file()
                and not stays_in_place(recording, root)
            ):
                recording = replace(recording, moved_from=str(recording.file))
            path, text = settings.root / "metadata" / f"{recording.name}.json", json_text(to_metadata(recording))
            if not path.is_file() or path.read_text(encoding="utf-8") != text:
                write_text(path, text)
            advance()


def sort_into_folders(recordings: Sequence[Recording], assignments: Sequence[Assignment], settings: Dataset) -> None:
    """Put the recordings into the folders of their splits."""
    root = settings.root.resolve()
    # if sorting is stopped half-way, an old split.parquet would name files that were moved
    (root / "split.parquet").unlink(missing_ok=True)
    if settings.sort_mode == "move":
        copy_linked_recordings(recordings)
    with console.progress(settings.sort_mode, total=len(recordings), unit="recordings") as advance:
        for recording, assignment in zip(recordings, assignments, strict=True):
            if not stays_in_place(recording, root):
                # a sound that was moved to the root has no other copy: it is moved on, whatever the mode is
                moved_before = recording.file.is_relative_to(root) and recording.moved_from
                mode = "move" if moved_before else settings.sort_mode
                sort_recording(recording, assignment.split, root=root, mode=mode)
            advance()


def warn_of_unused_files(table: pl.DataFrame, root: Path) -> None:
    """Warn of sounds in the folders of the splits that belong to no recording of the split; they are not changed.

    Raises
    ------
    UserError
        If a sound of the split is missing.
    """
    files = set(table["file"])
    missing = [file for file in table["file"] if not is_address(file) and not (root / file).is_file()]
    if missing:
        raise console.UserError(
            f"{root / missing[0]}: is missing after sorting ({len(missing)} such files), so that no split was written; "
            "if the archive has changed, run sort_data.py again"
        )
    present = (file.relative_to(root).as_posix() for split in SPLITS for file in sounds_below(root / split))
    unused = [name for name in present if name not in files]
    if unused:
        some = ", ".join(unused[:3]) + (" …" if len(unused) > 3 else "")
        folders = "/, ".join(SPLITS[:-1]) + f"/ and {SPLITS[-1]}/"
        console.warning(
            f"{len(unused)} files in {folders} belong to no recording of the split and are not used: {some}"
        )


def write_sort_log(
    archive_split: ArchiveSplit, selection: Selection, failures: Sequence[console.Failure], root: Path
) -> Path:
    """Write `sorted.log`: files that cannot be used, what the settings leave out, equal sounds, and what vanished."""
    lines = [
        f"refused: {failure.name}: {failure.reason}" for failure in sorted(failures, key=lambda failure: failure.name)
    ]
    lines += [f"left out: {line}" for line in selection.left_out]
    lines += [f"same sound: {' = '.join(names)}" for names in archive_split.same_sound]
    lines += archive_split.growth.log_lines()
    path = root / "sorted.log"
    write_text(path, "".join(f"{console.one_line(line)}\n" for line in lines))
    return path
