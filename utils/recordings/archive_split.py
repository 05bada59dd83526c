"""From an archive to its split: sounds are opened, equal ones are found, and every recording gets its split."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl

from config import Config, Dataset, Location
from utils import console
from utils.recordings.archive import Archive
from utils.recordings.audit import missing_keys_message
from utils.recordings.duplicates import ScannedFile, find_same_sound, scan_files
from utils.recordings.grouping import Grouping, Groups, group_keys, group_recordings
from utils.recordings.growth import Growth, divide_recordings
from utils.recordings.lengths import drop_events_after_end, verified_lengths
from utils.recordings.recording import SPLITS, Recording, Split
from utils.recordings.remote_archive import RemoteArchive
from utils.recordings.selection import Selection
from utils.recordings.sorted_folders import sorted_path, sound_file_of, stays_in_place
from utils.recordings.splits import Assignment, split_table

_KEY_WORDS: dict[Grouping, str] = {"author": "an author", "site": "a site", "day": "a date"}


@dataclass(frozen=True)
class ArchiveSplit:
    """The recordings that are used, with their splits.

    Attributes
    ----------
    recordings, assignments : each recording, and its split
    groups : recordings that are in one split
    seconds : length of each recording; None if its header does not tell it
    same_sound : names of recordings with the same sound
    failures : recordings that cannot be opened, training recordings that are also held out, and annotations after the
        end of their recording
    lost : number of recordings that cannot be used; those that cannot be opened are in the split nevertheless
    lengths, rates : length (seconds; None if not known) and sample rate (Hz) of each recording that can be opened, by
        name; also of those that cannot be used because all their annotations are after their end
    remote : the archive, if it is elsewhere
    assigned : the table of assignments (`assigned.parquet`); None: the archive comes with splits
    growth : since the data set was sorted before
    """

    recordings: list[Recording]
    assignments: list[Assignment]
    groups: Groups
    seconds: list[float | None]
    same_sound: list[list[str]]
    failures: list[console.Failure]
    lost: int = 0
    lengths: Mapping[str, float | None] = field(default_factory=dict)
    rates: Mapping[str, int] = field(default_factory=dict)
    remote: RemoteArchive | None = None
    assigned: pl.DataFrame | None = None
    growth: Growth = field(default_factory=Growth)

    def table(self, settings: Dataset) -> pl.DataFrame:
        """Return the table of the split; `file` is the path of each sound after sorting, or its address."""
        root = settings.root.resolve()
        files = [
            self._path_after_sorting(recording, assignment, root)
            for recording, assignment in zip(self.recordings, self.assignments, strict=True)
        ]
        groups = [self.groups.names[group] for group in self.groups.index]
        return split_table(self.recordings, self.assignments, groups, files)

    def _path_after_sorting(self, recording: Recording, assignment: Assignment, root: Path) -> str:
        if self.remote:
            return str(self.remote.location_of(recording.file))
        if stays_in_place(recording, root):
            return recording.file.relative_to(root).as_posix()
        return sorted_path(recording, assignment.split).as_posix()


def split_archive(archive: Archive, selection: Selection, config: Config, *, fresh: bool = False) -> ArchiveSplit:
    """Split the selected recordings by `dataset.split`; recordings that cannot be opened do not influence the others.

    Those that were sorted before by the same settings stay in their split, unless `fresh`.

    Raises
    ------
    UserError
        If the archive does not have what the split needs, or no recording can be opened.
    """
    settings = config.dataset
    given = settings.split == "given" or (settings.split == "auto" and archive.has_splits)
    _check_split_settings(archive, selection.recordings, settings, given=given)
    fixed = _split_of_long(selection, settings, given=given)
    opened = _open_recordings(selection.recordings, archive, config)
    recordings = opened.recordings
    seconds = [sound.seconds for sound in opened.sounds]
    duplicates = find_same_sound(opened.files, opened.sounds, workers=config.workers, cluster=config.cluster)
    same_sound = [[recordings[row].name for row in same] for same in duplicates]
    if given:
        result = _keep_given_split(recordings, seconds, duplicates, same_sound, settings)
    else:
        divided = divide_recordings(recordings, opened.sounds, duplicates, archive, selection, settings, fresh=fresh)
        result = ArchiveSplit(recordings, divided.assignments, divided.groups, seconds, same_sound, [])
        result = replace(result, assigned=divided.assigned, growth=divided.growth)
        fixed = {**_held_out_before(divided.assigned), **fixed}
    result = _with_unreadable(result, opened.unreadable, given=given, fixed=fixed)
    if not given and (unknown := missing_keys_message(result.recordings, settings)):
        console.warning(unknown)
    lost = len(selection.recordings) - (len(result.recordings) - len(opened.unreadable))
    failures = [*result.failures, *opened.failures]
    result = replace(result, failures=failures, lost=lost, remote=archive.remote)
    return replace(result, lengths=opened.lengths, rates=opened.rates)


def _held_out_before(assigned: pl.DataFrame) -> dict[str, Split]:
    """Return the split of recordings that were held out, by name, for those that cannot be opened any more."""
    held = assigned.filter(pl.col("split") != "train").select("recording", "split")
    return {name: split for name, split in held.iter_rows() if split in ("val", "test")}


def _split_of_long(selection: Selection, settings: Dataset, *, given: bool) -> dict[str, Split]:
    """Return the split of each long recording, by its name, if `dataset.long_recordings` names one.

    Raises
    ------
    UserError
        If it is val, and val/ is one of several folds.
    """
    split = settings.long_recordings
    if split not in ("train", "val", "test") or not selection.long:
        return {}
    if given:
        console.warning(f"the archive comes with splits, so that dataset.long_recordings = {split} has no effect")
        return {}
    if split == "val" and settings.folds:
        raise console.UserError(
            "dataset.long_recordings = val: with dataset.folds, val/ is one of the folds; use test instead"
        )
    return dict.fromkeys(selection.long, split)


def _check_split_settings(archive: Archive, selected: Sequence[Recording], settings: Dataset, *, given: bool) -> None:
    if given and not archive.has_splits:
        raise console.UserError(
            "dataset.split = given, but the archive has no folders train/ and val/ or test/; use another dataset.split"
        )
    if given and (settings.folds or settings.test_share):
        raise console.UserError(
            "the archive comes with splits, so that dataset.folds and dataset.test_share have no effect; "
            "to split it anew, set dataset.split to recordings, grouped or blocked"
        )
    by = settings.group_by
    if settings.split == "grouped" and by != "recording":
        known = any(group_keys(recording, settings, by) for recording in selected)
        if not known:
            raise console.UserError(
                f"no recording has {_KEY_WORDS[by]}, so dataset.group_by = {by} cannot work; "
                "use dataset.split = recordings"
            )
    if settings.split == "blocked" and not any(recording.latitude is not None for recording in selected):
        raise console.UserError(
            "no recording has coordinates, so dataset.split = blocked cannot work; use dataset.split = recordings"
        )


@dataclass(frozen=True)
class _OpenedRecordings:
    """Recordings with a sound that can be opened, its file and its header; and the others, with the reason.

    Attributes
    ----------
    failures : annotations after the end of their recording
    lengths, rates : as in `ArchiveSplit`
    """

    recordings: list[Recording]
    files: list[Location]
    sounds: list[ScannedFile]
    unreadable: list[tuple[Recording, str]]
    failures: list[console.Failure]
    lengths: dict[str, float | None]
    rates: dict[str, int]


def _open_recordings(recordings: Sequence[Recording], archive: Archive, config: Config) -> _OpenedRecordings:
    """Open the sound of every recording.

    Raises
    ------
    UserError
        If none can be used.
    """
    root = config.dataset.root.resolve()
    files = [archive.location_of_sound(sound_file_of(recording, root)) for recording in recordings]
    scans = scan_files(files, workers=config.workers, cluster=config.cluster)
    headers = [scan.seconds if isinstance(scan, ScannedFile) else None for scan in scans]
    seconds = verified_lengths(recordings, files, headers, workers=config.workers, cluster=config.cluster)
    inside = drop_events_after_end(recordings, seconds, archive.tables)
    opened, unreadable = [], []
    for recording, file, scan in zip(inside.recordings, files, scans, strict=True):
        if recording and isinstance(scan, ScannedFile):
            opened.append((recording, file, scan))
        elif recording and isinstance(scan, str):
            unreadable.append((recording, scan))
    if not opened:
        reasons = [f"{recording.file}: {reason}" for recording, reason in unreadable]
        reasons += [f"{failure.name}: {failure.reason}" for failure in inside.failures]
        more = f", and {len(reasons) - 1} more" if len(reasons) > 1 else ""
        raise console.UserError(f"no recording can be used: {reasons[0]}{more}")
    used, paths, sounds = (list(column) for column in zip(*opened, strict=True))
    scanned = {one.name: scan for one, scan in zip(recordings, scans, strict=True) if isinstance(scan, ScannedFile)}
    lengths = {one.name: length for one, length in zip(recordings, seconds, strict=True) if one.name in scanned}
    rates = {name: scan.rate for name, scan in scanned.items()}
    return _OpenedRecordings(used, paths, sounds, unreadable, inside.failures, lengths, rates)


def _with_unreadable(
    result: ArchiveSplit, unreadable: Sequence[tuple[Recording, str]], *, given: bool, fixed: Mapping[str, Split]
) -> ArchiveSplit:
    """Add the recordings that cannot be opened to train, where they do no harm; spec.py will report them.

    Parameters
    ----------
    fixed : the split of recordings that may not be in train, by name
    """
    if not unreadable:
        return result
    recordings = [recording for recording, _ in unreadable]
    reasons = [f"cannot be opened: it {reason}" for _, reason in unreadable]
    assignments = [
        Assignment((recording.split or "train") if given else fixed.get(recording.name, "train"), None, reason)
        for recording, reason in zip(recordings, reasons, strict=True)
    ]
    names = [*result.groups.names, *(recording.name for recording in recordings)]
    index = np.concatenate([result.groups.index, np.arange(len(result.groups.names), len(names))])
    failures = [console.Failure(recording.name, reason) for recording, reason in zip(recordings, reasons, strict=True)]
    return replace(
        result,
        recordings=[*result.recordings, *recordings],
        assignments=[*result.assignments, *assignments],
        failures=[*result.failures, *failures],
        groups=Groups(index, names),
        seconds=[*result.seconds, *(None for _ in recordings)],
    )


def _keep_given_split(
    recordings: list[Recording],
    seconds: Sequence[float | None],
    duplicates: list[list[int]],
    same_sound: list[list[str]],
    settings: Dataset,
) -> ArchiveSplit:
    """Keep the archive's splits; if a sound is in two splits, only the held-out one is used."""
    dropped: dict[int, console.Failure] = {}
    for same in duplicates:
        last = max((recordings[row] for row in same), key=lambda recording: SPLITS.index(recording.split or "train"))
        for row in same:
            if recordings[row].split != last.split:
                reason = (
                    f"has the same sound as {_path_in_archive(last)}, which is held out in {last.split}; "
                    "it is not used for training"
                )
                dropped[row] = console.Failure(_path_in_archive(recordings[row]), reason)
    rows = [row for row in range(len(recordings)) if row not in dropped]
    used = [recordings[row] for row in rows]
    new_row = {row: new for new, row in enumerate(rows)}
    remaining = [[new_row[row] for row in same if row in new_row] for same in duplicates]
    assignments = [Assignment(recording.split or "train", None, "given") for recording in used]
    groups = group_recordings(used, settings, "recording", [same for same in remaining if len(same) > 1])
    used_seconds = [seconds[row] for row in rows]
    return ArchiveSplit(used, assignments, groups, used_seconds, same_sound, list(dropped.values()))


def _path_in_archive(recording: Recording) -> str:
    return f"{recording.split}/{recording.file.parent.name}/{recording.file.name}"
