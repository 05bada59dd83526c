"""Splits of archives that grow: recordings stay where they are, new ones join their group or enter by the same shares.

New groups are assigned one after the other, in an order that is drawn by their names, to where the most is missing.
Among recordings that are alone in their groups, names are drawn as in a first split: a new class is divided as if it
had been there from the start. What the split is in the end depends on which recordings arrived together, as nothing may
move afterwards; it never depends on the order of files.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64

from config import Dataset
from utils.recordings.grouping import Groups
from utils.recordings.recording import Recording
from utils.recordings.splits import Assignment, draw_names, held_out_count
from utils.recordings.splitting import (
    TEST,
    TRAIN,
    Samples,
    as_assignment,
    collect_samples,
    first_reason,
    only_groups,
    return_to_train,
    single_recordings,
)

NEW = -3  # of a group that is not assigned yet; others are in TRAIN, TEST, or the folds 0, 1, …


@dataclass(frozen=True)
class GrownSplit:
    """The split of an archive that grew.

    Attributes
    ----------
    assignments : of each recording
    joined : indices of recordings whose split or fold had to change, because new ones joined their group to another
    """

    assignments: list[Assignment]
    joined: list[int]


def extend_split(
    recordings: Sequence[Recording],
    groups: Groups,
    earlier: Sequence[dict[str, Any] | None],
    settings: Dataset,
    *,
    long: frozenset[str],
) -> GrownSplit:
    """Assign new recordings to splits, and leave the others where they are.

    If new recordings, or new metadata, make one group of several that are in different splits, all of it is held out:
    nothing moves from val/ or test/ to train/. Of several folds, that of val/ comes first, then that with most of it.

    Parameters
    ----------
    earlier : of each recording, its row of the table of assignments; None: it is new
    long : names of the long recordings, which go where `dataset.long_recordings` says
    """
    rows = _with_long(recordings, earlier, settings, long)
    before = [NEW if row is None else _assigned_fold(row, settings) for row in rows]
    fold_of = _folds_of_groups(groups, before, val=settings.fold if settings.folds else 0)
    was_there = fold_of != NEW
    samples = collect_samples(recordings, groups, by_quarter=settings.split == "blocked")
    only = only_groups(samples) & ~was_there
    _assign_new(samples, fold_of, only, settings)
    returned = return_to_train(samples, fold_of, folded=bool(settings.folds), movable=~was_there)
    alone = np.bincount(groups.index, minlength=len(groups.names)) == 1
    reasons = [
        "its group was in this split before it"
        if was_there[group]
        else "moved to train so that its class can be learned"
        if group in returned
        else first_reason(only=bool(only[group]), alone=bool(alone[group]))
        for group in range(len(groups.names))
    ]
    joined = [
        index for index, group in enumerate(groups.index) if rows[index] is not None and before[index] != fold_of[group]
    ]
    assignments = [as_assignment(int(fold_of[group]), reasons[group], settings) for group in groups.index]
    assignments = [
        found if row is None else replace(found, reason=row["reason"])
        for found, row in zip(assignments, rows, strict=True)
    ]
    for index in joined:
        assignments[index] = replace(assignments[index], reason=_reason_of_joined(assignments[index]))
    return GrownSplit(assignments, joined)


def _with_long(
    recordings: Sequence[Recording],
    earlier: Sequence[dict[str, Any] | None],
    settings: Dataset,
    long: frozenset[str],
) -> list[dict[str, Any] | None]:
    """Return the earlier rows; new long recordings get one, if `dataset.long_recordings` names their split."""
    fixed = settings.long_recordings
    if fixed not in ("train", "val", "test"):
        return [*earlier]
    given = {"split": fixed, "fold": None, "reason": f"dataset.long_recordings = {fixed}"}
    return [
        given if row is None and recording.name in long else row
        for recording, row in zip(recordings, earlier, strict=True)
    ]


def _reason_of_joined(assignment: Assignment) -> str:
    if assignment.split == "train":
        return f"in fold {assignment.fold}, because new recordings joined its group to one in that fold"
    return "held out, because new recordings joined its group to one that is"


def _assigned_fold(row: dict[str, Any], settings: Dataset) -> int:
    """Return TRAIN, TEST or a fold; without folds, 0 is val."""
    if row["split"] == "test":
        return TEST
    if settings.folds:
        return TRAIN if row["fold"] is None else int(row["fold"])
    return 0 if row["split"] == "val" else TRAIN


def _folds_of_groups(groups: Groups, before: Sequence[int], *, val: int) -> Int64[np.ndarray, " groups"]:
    """Return where each group is: in test, in the fold that is val, in that with most of it, in train, or nowhere yet.

    Parameters
    ----------
    before : TRAIN, TEST, NEW or the fold of each recording
    val : the fold that is val
    """
    found: list[list[int]] = [[] for _ in groups.names]
    for group, fold in zip(groups.index.tolist(), before, strict=True):
        found[group].append(fold)
    return np.array([_common_fold(folds, val=val) for folds in found], np.int64)


def _common_fold(folds: Sequence[int], *, val: int) -> int:
    for first in (TEST, val):
        if first in folds:
            return first
    held = [fold for fold in folds if fold >= 0]
    if held:
        return min(held, key=lambda fold: (-held.count(fold), fold))
    return TRAIN if TRAIN in folds else NEW


def _assign_new(
    samples: Samples, fold_of: Int64[np.ndarray, " groups"], only: Bool[np.ndarray, " groups"], settings: Dataset
) -> None:
    """Write where new groups go into `fold_of`."""
    fold_of[only] = TRAIN
    if settings.test_share:
        _hold_out(samples, fold_of, TEST, share=settings.test_share, seed=settings.seed, salt="test ")
    if settings.folds:
        _deal(samples, fold_of, folds=settings.folds, seed=settings.seed)
    elif settings.val_share:
        _hold_out(samples, fold_of, 0, share=settings.val_share, seed=settings.seed, salt="")
    fold_of[fold_of == NEW] = TRAIN


def _hold_out(
    samples: Samples, fold_of: Int64[np.ndarray, " groups"], split: int, *, share: float, seed: int, salt: str
) -> None:
    """Hold new groups out until `split` has about its share of all samples and of each class."""
    sizes, total = samples.sizes(), np.bincount(samples.label)
    held = np.bincount(samples.label[fold_of[samples.group] == split], minlength=len(total))
    missing = share * total - held
    contents = _contents(samples)
    for group in _drawn_order(samples, (fold_of == NEW) & (sizes > 1), seed=seed):
        content = np.bincount(contents[group], minlength=len(total))
        # how much nearer each class, and all of them, come to their shares: difference of squared distances
        gain = (content * (2 * missing - content) / total).sum()
        gain += sizes[group] * (2 * missing.sum() - sizes[group]) / total.sum()
        if gain > 0:
            fold_of[group] = split
            missing -= content
            held += content
    for label, group_of in single_recordings(samples, (fold_of == NEW) & (sizes == 1)).items():
        count = max(0, held_out_count(int(total[label]), share=share) - int(held[label]))
        for name in draw_names(list(group_of), count, seed=seed, label=salt + samples.labels[label]):
            fold_of[group_of[name]] = split


def _deal(samples: Samples, fold_of: Int64[np.ndarray, " groups"], *, folds: int, seed: int) -> None:
    """Assign new groups, the largest first, to the folds with the least of their classes, then the smallest folds."""
    total, sizes = np.bincount(samples.label), samples.sizes()
    counts = np.zeros((folds, len(total)))
    where = fold_of[samples.group]
    np.add.at(counts, (where[where >= 0], samples.label[where >= 0]), 1)
    order = _drawn_order(samples, fold_of == NEW, seed=seed)
    contents = _contents(samples)
    for group in sorted(order, key=lambda group: -int(sizes[group])):  # of equal size: as drawn
        content = np.bincount(contents[group], minlength=len(total))
        fold = int(np.lexsort((counts.sum(axis=1), (counts * content / total).sum(axis=1)))[0])
        fold_of[group] = fold
        counts[fold] += content


def _contents(samples: Samples) -> list[Int64[np.ndarray, " _"]]:
    """Return, for each group, the labels of its samples."""
    order = np.argsort(samples.group, kind="stable")
    return np.split(samples.label[order], np.cumsum(samples.sizes())[:-1])


def _drawn_order(samples: Samples, groups: Bool[np.ndarray, " groups"], *, seed: int) -> list[int]:
    """Return the indices of groups in an order that follows from seed and names alone."""
    return sorted(
        np.flatnonzero(groups).tolist(),
        key=lambda group: hashlib.sha256(f"{seed} {samples.names[group]}".encode(errors="surrogatepass")).digest(),
    )
