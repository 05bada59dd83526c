"""The steps of sort_data.py: divide the recordings, write the metadata, fill the folders, and say what was done."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from config import Config, Dataset
from utils import console
from utils.files import json_text, write_text
from utils.recordings.archive import Archive
from utils.recordings.audio_files import sounds_below
from utils.recordings.audit import unknown_groups
from utils.recordings.dividing import divide
from utils.recordings.duplicates import Sound, find_duplicates, glance_all
from utils.recordings.grouping import Groups, group, kept_together, keys_of
from utils.recordings.lengths import true_lengths, within
from utils.recordings.recording import SIDES, Recording, to_metadata
from utils.recordings.selection import Selection
from utils.recordings.splits import Place, split_table
from utils.recordings.view import (
    check_conflicts,
    check_hardlinks,
    check_space,
    place,
    sound_of,
    stays,
    take_links_first,
    view_path,
)


@dataclass(frozen=True)
class Division:
    """Which recordings are used, and where they stand.

    Attributes
    ----------
    recordings, places : each recording, and its place
    groups : which of them belong together
    seconds : length of each; None where its header does not say
    same_sound : names of the recordings that hold the same sound
    failures : recordings that cannot be opened, or that an archive's own division had on two sides, and annotations
        behind the end of their recording
    lost : how many recordings cannot be used; those that cannot be opened stand in train all the same
    """

    recordings: list[Recording]
    places: list[Place]
    groups: Groups
    seconds: list[float | None]
    same_sound: list[list[str]]
    failures: list[console.Failure]
    lost: int = 0

    def table(self, settings: Dataset) -> pl.DataFrame:
        """Return the split's table; `file` is where each sound will stand."""
        root = settings.root.resolve()
        files = [
            _final_file(recording, place, root).as_posix()
            for recording, place in zip(self.recordings, self.places, strict=True)
        ]
        return split_table(
            self.recordings, self.places, [self.groups.names[number] for number in self.groups.of], files
        )


def divide_archive(archive: Archive, selection: Selection, config: Config) -> Division:
    """Find out which recordings hold the same sound, and give each its place, by `dataset.split`; those that cannot be opened do not count.

    Raises
    ------
    UserError
        If the split is not possible: an archive is not divided, or nothing is known to group by.
    """
    settings = config.dataset
    given = settings.split == "given" or (settings.split == "auto" and archive.divided)
    _check_split(archive, settings, given=given)
    opened = _opened(selection.recordings, archive, config)
    recordings, sounds = opened.recordings, opened.sounds
    duplicates = find_duplicates(opened.files, sounds, workers=config.workers)
    same_sound = [[recordings[number].name for number in same] for same in duplicates]
    if given:
        division = _as_given(recordings, sounds, duplicates, same_sound, settings)
    else:
        groups = group(recordings, settings, kept_together(settings), duplicates)
        division = Division(recordings, divide(recordings, groups, settings), groups, _seconds(sounds), same_sound, [])
    division = _with_unreadable(division, opened.unreadable, given=given)
    lost = len(selection.recordings) - (len(division.recordings) - len(opened.unreadable))
    return replace(division, failures=[*division.failures, *opened.failures], lost=lost)


def _check_split(archive: Archive, settings: Dataset, *, given: bool) -> None:
    if given and not archive.divided:
        raise console.UserError("dataset.split = given, but the archive is not divided into train/ and val/ (or test/)")
    if given and (settings.folds or settings.test_share):
        raise console.UserError(
            "the archive is divided, so that dataset.folds and dataset.test_share do nothing; dataset.split = recordings, grouped or blocked divides it anew"
        )
    if settings.split == "grouped" and settings.group_by != "recording":
        known = sum(bool(keys_of(recording, settings, settings.group_by)) for recording in archive.recordings)
        if not known:
            raise console.UserError(
                f"dataset.group_by = {settings.group_by}, but of no recording it is known; dataset.split = recordings needs to know nothing"
            )
    if settings.split == "blocked" and not any(recording.latitude is not None for recording in archive.recordings):
        raise console.UserError(
            "dataset.split = blocked, but of no recording the place is known; dataset.split = recordings needs to know nothing"
        )
    if not given and (unknown := unknown_groups(archive.recordings, settings)):
        console.warn(unknown)


@dataclass(frozen=True)
class _Opened:
    """Recordings whose sound can be opened, with its file and what it is at a glance, and those whose cannot, with the reason.

    Attributes
    ----------
    failures : annotations that lie behind the end of their recording
    """

    recordings: list[Recording]
    files: list[Path]
    sounds: list[Sound]
    unreadable: list[tuple[Recording, str]]
    failures: list[console.Failure]


def _opened(recordings: Sequence[Recording], archive: Archive, config: Config) -> _Opened:
    """Look at every sound.

    Raises
    ------
    UserError
        If none can be used.
    """
    root = config.dataset.root.resolve()
    files = [sound_of(recording, root) for recording in recordings]
    glances = glance_all(files, workers=config.workers)
    seconds = true_lengths(
        recordings,
        files,
        [glance.seconds if isinstance(glance, Sound) else None for glance in glances],
        workers=config.workers,
    )
    inside = within(recordings, seconds, archive.tables)
    opened, unreadable = [], []
    for recording, file, glance in zip(inside.recordings, files, glances, strict=True):
        if recording and isinstance(glance, Sound):
            opened.append((recording, file, glance))
        elif recording and isinstance(glance, str):
            unreadable.append((recording, glance))
    if not opened:
        reasons = [f"{recording.file}: {reason}" for recording, reason in unreadable] + [
            f"{failure.name}: {failure.reason}" for failure in inside.failures
        ]
        raise console.UserError(
            f"no recording can be used: {reasons[0]}{f', and {len(reasons) - 1} more' if len(reasons) > 1 else ''}"
        )
    used, where, sounds = (list(column) for column in zip(*opened, strict=True))
    return _Opened(used, where, sounds, unreadable, inside.failures)


def _with_unreadable(division: Division, unreadable: Sequence[tuple[Recording, str]], *, given: bool) -> Division:
    """Add the recordings that cannot be opened: to train, where they are no harm; spec.py will name them."""
    if not unreadable:
        return division
    more = [recording for recording, _ in unreadable]
    places = [
        Place((recording.side or "train") if given else "train", None, f"cannot be opened: it {reason}")
        for recording, reason in unreadable
    ]
    names = [*division.groups.names, *(recording.name for recording in more)]
    of = np.concatenate([division.groups.of, np.arange(len(division.groups.names), len(names))])
    return replace(
        division,
        recordings=[*division.recordings, *more],
        places=[*division.places, *places],
        failures=[
            *division.failures,
            *(console.Failure(recording.name, f"cannot be opened: it {reason}") for recording, reason in unreadable),
        ],
        groups=Groups(of, names),
        seconds=[*division.seconds, *(None for _ in more)],
    )


def _seconds(sounds: Sequence[Sound]) -> list[float | None]:
    return [sound.seconds for sound in sounds]


def _as_given(
    recordings: list[Recording],
    sounds: Sequence[Sound],
    duplicates: list[list[int]],
    same_sound: list[list[str]],
    settings: Dataset,
) -> Division:
    """Keep an archive's own division; of a sound that it has on two sides, only the held-out one is used."""
    dropped: dict[int, console.Failure] = {}
    for same in duplicates:
        last = max(
            (recordings[number] for number in same), key=lambda recording: SIDES.index(recording.side or "train")
        )
        for number in same:
            if recordings[number].side != last.side:
                reason = (
                    f"holds the same sound as {_path(last)}, which is held out in {last.side}; it is not learned from"
                )
                dropped[number] = console.Failure(_path(recordings[number]), reason)
    kept = [number for number in range(len(recordings)) if number not in dropped]
    used = [recordings[number] for number in kept]
    new_number = {number: row for row, number in enumerate(kept)}
    left = [[new_number[number] for number in same if number in new_number] for same in duplicates]
    places = [Place(recording.side or "train", None, "given") for recording in used]
    groups = group(used, settings, "recording", [same for same in left if len(same) > 1])
    return Division(
        used, places, groups, _seconds([sounds[number] for number in kept]), same_sound, list(dropped.values())
    )


def _path(recording: Recording) -> str:
    return f"{recording.side}/{recording.file.parent.name}/{recording.file.name}"


def _final_file(recording: Recording, place_: Place, root: Path) -> Path:
    return recording.file.relative_to(root) if stays(recording, root) else view_path(recording, place_.side)


def check_places(recordings: Sequence[Recording], settings: Dataset, *, dry_run: bool) -> None:
    """Find out before anything is changed whether the recordings can be brought to their places; of a dry run, only what changes nothing.

    Raises
    ------
    UserError
        If other recordings stand there, the disk is too small, or it has no hard links.
    """
    root = settings.root.resolve()
    to_place = [recording for recording in recordings if not stays(recording, root)]
    check_conflicts(to_place, root, mode=settings.sort_mode)
    if dry_run:
        return
    if settings.sort_mode == "copy":
        check_space(to_place, root)
    if settings.sort_mode == "hardlink":
        check_hardlinks(to_place, root)


def write_metadata(recordings: Sequence[Recording], archive: Archive, settings: Dataset) -> None:
    """Write `metadata/<recording>.json` for every recording, where it is not there already with the same content.

    All that the archive says is kept, also of classes that the settings leave out: after a move, the JSON is what is
    known.
    """
    whole = {recording.name: recording for recording in archive.recordings}
    with console.progress("metadata", total=len(recordings), unit="recordings") as advance:
        for recording in (whole[recording.name] for recording in recordings):
            if (
                settings.sort_mode == "move"
                and not recording.moved_from
                and recording.file.is_file()
                and not stays(recording, settings.root.resolve())
            ):
                recording = replace(recording, moved_from=str(recording.file))
            path, text = settings.root / "metadata" / f"{recording.name}.json", json_text(to_metadata(recording))
            if not path.is_file() or path.read_text(encoding="utf-8") != text:
                write_text(path, text)
            advance()


def place_all(recordings: Sequence[Recording], places: Sequence[Place], settings: Dataset) -> None:
    """Bring the recordings into the folders of their sides."""
    root = settings.root.resolve()
    # where this stops half-way, the old one would name what has moved on
    (root / "split.parquet").unlink(missing_ok=True)
    if settings.sort_mode == "move":
        take_links_first(recordings)
    with console.progress(settings.sort_mode, total=len(recordings), unit="recordings") as advance:
        for recording, where in zip(recordings, places, strict=True):
            if not stays(recording, root):  # what was moved before is ours, and moves on whatever the mode is
                place(
                    recording,
                    where.side,
                    root=root,
                    mode="move" if recording.file.is_relative_to(root) and recording.moved_from else settings.sort_mode,
                )
            advance()


def name_strangers(table: pl.DataFrame, root: Path) -> None:
    """Say which sounds in the sides' folders are of no recording that is used; they are left where they are.

    Raises
    ------
    UserError
        If a sound of the split is not in its place.
    """
    files = set(table["file"])
    missing = [file for file in table["file"] if not (root / file).is_file()]
    if missing:
        raise console.UserError(
            f"{root / missing[0]}: is not there after sorting ({len(missing)} such files); no split was written: has the archive changed?"
        )
    there = (file.relative_to(root).as_posix() for side in SIDES for file in sounds_below(root / side))
    strangers = [name for name in there if name not in files]
    if strangers:
        some = ", ".join(strangers[:3]) + (" …" if len(strangers) > 3 else "")
        folders = "/, ".join(SIDES[:-1]) + f"/ and {SIDES[-1]}/"
        console.warn(
            f"{len(strangers)} files in {folders} belong to no recording of the split, and are not used: {some}"
        )


def write_log(division: Division, selection: Selection, failures: Sequence[console.Failure], root: Path) -> Path:
    """Write `sorted.log`: what was refused, what was left out as the settings want it, and what holds the same sound; a line each."""
    lines = [
        f"refused: {failure.name}: {failure.reason}" for failure in sorted(failures, key=lambda failure: failure.name)
    ]
    lines += [f"left out: {line}" for line in selection.left]
    lines += [f"same sound: {' = '.join(names)}" for names in division.same_sound]
    path = root / "sorted.log"
    write_text(path, "".join(f"{console.one_line(line)}\n" for line in lines))
    return path
