"""What sort_data.py says: warnings, the audit, the account of the archive, and the summary."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from config import Config, Dataset
from utils import console
from utils.recordings.account import Account
from utils.recordings.archive import Archive
from utils.recordings.audit import audit_rows, per_class, shared_groups, show_classes
from utils.recordings.folders import SIDE_NAMES
from utils.recordings.labels import spellings
from utils.recordings.recording import NOISE, SIDES, Recording
from utils.recordings.selection import Selection
from utils.recordings.sorting import Division
from utils.recordings.splits import count_folds, labels_in

SHOWN = 5  # that are told of many with one reason


def show_audit(division: Division, table: pl.DataFrame, settings: Dataset, *, whole: bool) -> pl.DataFrame:
    """Print what each class has on each side, and what stands on two sides.

    Returns
    -------
    One row a class.

    Raises
    ------
    UserError
        If a group stands on two sides, which would be a fault of the program.
    """
    seconds = dict(zip((recording.name for recording in division.recordings), division.seconds, strict=True))
    classes = per_class(table, [seconds[name] for name in table["recording"]])
    show_classes(classes, whole=whole)
    leaks = shared_groups(table)
    rows = audit_rows(division.recordings, table, settings)
    rows["same sound twice"] = f"{len(division.same_sound)} sounds, each on one side" if division.same_sound else "none"
    console.show_table("Audit", rows)
    if leaks:
        raise console.UserError(
            f"{len(leaks)} groups stand on two sides ({leaks[0]}, …); nothing was written: this is a fault of the program, please report it"
        )
    return classes


def account_of_sort(archive: Archive, selection: Selection, division: Division) -> Account:
    """Return the archive's account with what became of its recordings since it was read; those that were moved into the root are used, too."""
    used = len(selection.recordings) - division.lost
    unwanted = len(archive.recordings) - len(selection.recordings)
    return replace(archive.account, used=used, left_out=archive.account.left_out + division.lost, unwanted=unwanted)


def warn_of_labels(archive: Archive, recordings: Sequence[Recording], settings: Dataset) -> None:
    """Warn where folders may be taken for species by mistake, and of classes that are probably one, written in several ways."""
    account = archive.account
    if archive.kind == "folders" and account.not_understood:
        files = "file looks" if account.not_understood == 1 else "files look"
        console.warn(
            f"folders are taken for species; {account.not_understood} {files} like annotations but cannot be read: see below"
        )
    if archive.kind == "annotations" and settings.kind == "auto" and account.used < account.left_out:
        sounds = f"{account.used:,} of {account.used + account.left_out:,} sounds"
        console.warn(
            f'taken for long recordings, for tables speak of {sounds}; if folders are named for species, set dataset.kind = "folders"'
        )
    if archive.kind == "folders":
        _warn_of_folders(archive.recordings)
    counts = Counter(label for recording in recordings for label in recording.heard)
    for names in spellings(counts):
        usual = max(names, key=lambda name: counts[name])
        lines = ", ".join(f"'{name},{usual}'" for name in names if name != usual)
        console.warn(
            f"{', '.join(names)}: {len(names)} classes that differ by upper case or underscores only; dataset.aliases with {lines} makes them one"
        )


def _warn_of_folders(recordings: Sequence[Recording]) -> None:
    """Warn of folders that are probably sides of a division, or that hold the whole archive, and are taken for species."""
    labels = sorted({recording.species for recording in recordings})
    sides = [label for label in labels if any(label.lower() in names for names in SIDE_NAMES.values())]
    if sides:
        console.warn(
            f"{', '.join(sides)}: taken for species; an archive that comes divided has train/ and at least one of val/ and test/ side by side"
        )
    elif (
        len(labels) == 1
        and labels != [NOISE]
        and all("/" in recording.name.removeprefix(f"{labels[0]}/") for recording in recordings)
    ):
        console.warn(
            f"all recordings lie in folders of one folder, {labels[0]}, which is taken for their species; set dataset.archive to that folder"
        )


def summarize(
    table: pl.DataFrame,
    account: Account,
    selection: Selection,
    failures: Sequence[console.Failure],
    config: Config,
    *,
    seconds: float,
    dry_run: bool,
) -> None:
    """Say how the recordings were divided, what was left out, and what comes next."""
    root, counts = config.dataset.root, Counter(table["side"])
    unheard = sorted(labels_in(table.filter(pl.col("side") != "train")) - labels_in(table.filter(side="train")))
    written = ", ".join(console.shown(root / name) for name in ("split.parquet", "split.png", "audit.csv"))
    where = (
        {"next": "the same command without --dry-run"} if dry_run else {"split": written, "next": _next(account, table)}
    )
    folds = count_folds(table)
    console.show_table(
        "Would be sorted (nothing was changed)" if dry_run else "Sorted",
        {
            "recordings": ", ".join(f"{counts[side]} {side}" for side in SIDES if counts[side] or side == "train"),
            **({"folds": f"{folds}, val is fold {config.dataset.fold}"} if folds else {}),
            "classes": str(len(labels_in(table))),
            "files": account.line(),
            "with background": f"{table.filter(pl.col('background').list.len() > 0).height} recordings",
            **{f"left out {number}": line for number, line in enumerate(selection.left, 1)},
            "time": console.clock(seconds),
            **where,
        },
    )
    if set(counts) == {"train"}:
        console.warn(
            "nothing is held out, so that nothing can be tested: there is one group only, or every group holds the only one of some class"
        )
    if unheard:
        console.warn(
            f"{len(unheard)} classes have no recording in train and cannot be learned: {', '.join(unheard[:5])}{' …' if len(unheard) > 5 else ''}"
        )
    report(failures, log=None if dry_run else root / "sorted.log")


def report(failures: Sequence[console.Failure], *, log: Path | None) -> None:
    """List what was left out of files, tables and recordings; where all of it is in `log`, many with one reason are told by a few."""
    few, many = [], dict[str, list[str]]()
    for failure in sorted(failures, key=lambda failure: failure.name):
        many.setdefault(failure.reason, []).append(failure.name)
    for reason, names in many.items():
        shown = (
            names if log is None or len(names) <= SHOWN + 1 else [*names[:SHOWN], f"… and {len(names) - SHOWN:,} more"]
        )
        few += [console.Failure(name, reason) for name in shown]
    what = "things" if log is None else f"things (also in {console.shown(log)})"
    console.report_failures(few, what=what, count=len(failures))


def _next(account: Account, table: pl.DataFrame) -> str:
    """Say what comes after sorting."""
    if account.left_out > account.used:
        return "look at what is left out, below: it is more than what is used"
    long = table.filter(pl.col("class") == "").height > 0
    return f"python spec.py, with the same experiment{' and clips.choose = annotations' if long else ''}"
