"""What sort_data.py prints: warnings, the audit, the inventory of the archive, and the summary."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from config import Clips, Config, Dataset
from utils import console
from utils.recordings.archive import Archive
from utils.recordings.archive_split import ArchiveSplit
from utils.recordings.audit import audit_rows, class_counts, shared_groups, show_class_counts
from utils.recordings.class_names import warn_of_class_names
from utils.recordings.folders import SPLIT_NAMES
from utils.recordings.inventory import Inventory
from utils.recordings.labels import spelling_variants
from utils.recordings.recording import NOISE, SPLITS, Recording
from utils.recordings.selection import Selection
from utils.recordings.splits import count_folds, labels_in

WRITTEN = ("split.parquet", "split.png", "audit.csv", "events.csv", "annotations.png")
SHOWN_PER_REASON = 5  # names listed for one reason


def show_audit(archive_split: ArchiveSplit, table: pl.DataFrame, settings: Dataset, *, whole: bool) -> pl.DataFrame:
    """Print how much of each class is in each split, and what is in two splits.

    Returns
    -------
    One row per class.

    Raises
    ------
    UserError
        If a group is in two splits, which would be a bug.
    """
    seconds = dict(zip((recording.name for recording in archive_split.recordings), archive_split.seconds, strict=True))
    classes = class_counts(table, [seconds[name] for name in table["recording"]])
    show_class_counts(classes, whole=whole)
    leaks = shared_groups(table)
    rows = audit_rows(archive_split.recordings, table, settings)
    rows["same sound twice"] = (
        f"{len(archive_split.same_sound)} audio files, each in one split only" if archive_split.same_sound else "none"
    )
    console.show_table("Audit", rows)
    if leaks:
        raise console.UserError(
            f"{len(leaks)} groups are in two splits ({leaks[0]}, …); nothing was written: "
            "this is a bug, please report it"
        )
    return classes


def inventory_of_sort(archive: Archive, selection: Selection, archive_split: ArchiveSplit) -> Inventory:
    """Return the archive's inventory, updated by selection and split; recordings moved into the root count as used."""
    used = len(selection.recordings) - archive_split.lost
    unwanted = len(archive.recordings) - len(selection.recordings)
    return replace(
        archive.inventory, used=used, left_out=archive.inventory.left_out + archive_split.lost, unwanted=unwanted
    )


def warn_of_labels(archive: Archive, recordings: Sequence[Recording], settings: Dataset) -> None:
    """Warn if folders may be taken for species by mistake, of names of classes, and of spelling variants of one."""
    inventory = archive.inventory
    if archive.kind == "folders" and inventory.not_understood:
        files = "file looks" if inventory.not_understood == 1 else "files look"
        console.warning(
            f"folders are taken for species; {inventory.not_understood} {files} like annotations but cannot be read: "
            "see below"
        )
    if archive.kind == "annotations" and settings.kind == "auto" and inventory.used < inventory.left_out:
        sounds = f"{inventory.used:,} of {inventory.used + inventory.left_out:,} audio files"
        console.warning(
            f"read as annotated long recordings, because tables name {sounds}; if folders are named after species, set "
            'dataset.kind = "folders"'
        )
    if archive.kind == "folders":
        _warn_of_folders(archive.recordings)
    warn_of_class_names(archive.names, recordings, settings)
    counts = Counter(label for recording in recordings for label in recording.labels)
    for names in spelling_variants(counts):
        usual = max(names, key=lambda name: counts[name])
        alias_lines = ", ".join(f"'{name},{usual}'" for name in names if name != usual)
        console.warning(
            f"{', '.join(names)}: {len(names)} classes that differ by upper case or underscores only; "
            f"to merge them, set dataset.aliases to a file with {alias_lines}"
        )


def _warn_of_folders(recordings: Sequence[Recording]) -> None:
    """Warn about folders that are taken for species, but probably are splits, or hold the whole archive."""
    labels = sorted({recording.species for recording in recordings})
    splits = [label for label in labels if any(label.lower() in names for names in SPLIT_NAMES.values())]
    if splits:
        console.warning(
            f"{', '.join(splits)}: taken for species; "
            "an archive that comes split has train/ and val/ or test/ side by side"
        )
    elif (
        len(labels) == 1
        and labels != [NOISE]
        and all("/" in recording.name.removeprefix(f"{labels[0]}/") for recording in recordings)
    ):
        console.warning(
            f"all recordings are in subfolders of one folder, {labels[0]}, which is taken for their species; "
            "set dataset.archive to that folder"
        )


def show_sort_summary(
    table: pl.DataFrame,
    inventory: Inventory,
    selection: Selection,
    failures: Sequence[console.Failure],
    config: Config,
    *,
    seconds: float,
    dry_run: bool,
) -> None:
    """Print how the recordings were split, what was left out, and what to do next."""
    root, counts = config.dataset.root, Counter(table["split"])
    untrained = sorted(labels_in(table.filter(pl.col("split") != "train")) - labels_in(table.filter(split="train")))
    written = ", ".join(console.printable(root / name) for name in WRITTEN if (root / name).is_file())
    written_or_next = (
        {"next": "the same command without --dry-run"}
        if dry_run
        else {"split": written, "next": _after_sorting(inventory, table, config.clips)}
    )
    folds = count_folds(table)
    console.show_table(
        "Would be sorted (nothing was changed)" if dry_run else "Sorted",
        {
            "recordings": ", ".join(
                f"{counts[split]} {split}" for split in SPLITS if counts[split] or split == "train"
            ),
            **_long_recordings(selection, config.dataset),
            **({"folds": f"{folds}, val is fold {config.dataset.fold}"} if folds else {}),
            "classes": str(len(labels_in(table))),
            "files": inventory.line(),
            "with background": f"{table.filter(pl.col('background').list.len() > 0).height} recordings",
            **{f"left out {index}": line for index, line in enumerate(selection.left_out, 1)},
            "time": console.clock(seconds),
            **written_or_next,
        },
    )
    if set(counts) == {"train"}:
        console.warning(
            "nothing is held out, so nothing can be tested: "
            "there is only one group, or every group holds the only recording of some class"
        )
    if not counts["train"]:
        console.warning(
            f"nothing is in train/, because dataset.long_recordings = {config.dataset.long_recordings}, so there is "
            "nothing to train on: test models of other data sets with testing.models"
        )
    elif untrained:
        console.warning(
            f"{len(untrained)} classes have no recording in train and cannot be learned: "
            f"{', '.join(untrained[:5])}{' …' if len(untrained) > 5 else ''}"
        )
    report_left_out(failures, log=None if dry_run else root / "sorted.log")


def _long_recordings(selection: Selection, settings: Dataset) -> dict[str, str]:
    """Return a row of the summary that says where the long recordings are, if a setting does."""
    if settings.long_recordings not in SPLITS or not selection.long:
        return {}
    return {"long recordings": f"{len(selection.long)}, by dataset.long_recordings in {settings.long_recordings}"}


def report_left_out(failures: Sequence[console.Failure], *, log: Path | None) -> None:
    """List the files, table rows and recordings that were left out; for each reason only a few, if `log` lists all."""
    few, many = [], dict[str, list[str]]()
    for failure in sorted(failures, key=lambda failure: failure.name):
        many.setdefault(failure.reason, []).append(failure.name)
    for reason, names in many.items():
        shown = (
            names
            if log is None or len(names) <= SHOWN_PER_REASON + 1
            else [*names[:SHOWN_PER_REASON], f"… and {len(names) - SHOWN_PER_REASON:,} more"]
        )
        few += [console.Failure(name, reason) for name in shown]
    what = "items" if log is None else f"items (also in {console.printable(log)})"
    console.report_failures(few, what=what, count=len(failures))


def _after_sorting(inventory: Inventory, table: pl.DataFrame, clips: Clips) -> str:
    """Return what to do after sorting."""
    if inventory.left_out > inventory.used:
        return "check what was left out, below: it is more than what is used"
    learned = table.filter(split="train")
    if learned.is_empty():
        return "python test.py, with testing.models = snapshots of other data sets"
    long = learned.filter(pl.col("class") == "").height > 0 and clips.choose != "annotations"
    return f"python spec.py, with the same experiment{' and clips.choose = annotations' if long else ''}"
