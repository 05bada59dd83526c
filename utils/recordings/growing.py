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
    joined : indices of recordings that had to change their split, because new ones joined their group to another
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
    nothing moves from val/ or test/ to train/.

    Parameters
    ----------
    earlier : of each recording, its row of the table of assignments; None: it is new
    long : names of the long recordings, which go where `dataset.long_recordings` says
    """
    fixed = settings.long_recordings if settings.long_recordings in ("train", "val", "test") else None
    rows: list[dict[str, Any] | None] = [
        {"split": fixed, "fold": None, "reason": f"dataset.long_recordings = {fixed}"}
        if row is None and fixed and recording.name in long
        else row
        for recording, row in zip(recordings, earlier, strict=True)
    ]
    before = [NEW if row is None else _assigned_place(row, settings) for row in rows]
    place = _places_of_groups(groups, before)
    was_there = place != NEW
    samples = collect_samples(recordings, groups, by_quarter=settings.split == "blocked")
    only = only_groups(samples) & ~was_there
    _assign_new(samples, place, only, settings)
    returned = return_to_train(samples, place, folded=bool(settings.folds), movable=~was_there)
    alone, assignments, joined = np.bincount(groups.index, minlength=len(groups.names)) == 1, [], []
    for index, (row, group) in enumerate(zip(rows, groups.index.tolist(), strict=True)):
        reason = (
            "its group was in this split before it"
            if was_there[group]
            else "moved to train so that its class can be learned"
            if group in returned
            else first_reason(only=bool(only[group]), alone=bool(alone[group]))
        )
        found = as_assignment(int(place[group]), reason, settings)
        if row is not None and before[index] == place[group]:
            found = replace(found, reason=row["reason"])
        elif row is not None:
            joined.append(index)
            found = replace(found, reason="held out, because new recordings joined its group to one that is")
        assignments.append(found)
    return GrownSplit(assignments, joined)


def _assigned_place(row: dict[str, Any], settings: Dataset) -> int:
    """Return TRAIN, TEST or a fold; without folds, 0 is val."""
    if row["split"] == "test":
        return TEST
    if settings.folds:
        return TRAIN if row["fold"] is None else int(row["fold"])
    return 0 if row["split"] == "val" else TRAIN


def _places_of_groups(groups: Groups, before: Sequence[int]) -> Int64[np.ndarray, " groups"]:
    """Return where each group is: in test, in the fold that has most of it, in train, or nowhere yet."""
    found: list[list[int]] = [[] for _ in groups.names]
    for group, place in zip(groups.index.tolist(), before, strict=True):
        found[group].append(place)
    return np.array([_common_place(places) for places in found], np.int64)


def _common_place(places: Sequence[int]) -> int:
    if TEST in places:
        return TEST
    folds = [place for place in places if place >= 0]
    if folds:
        return min(folds, key=lambda fold: (-folds.count(fold), fold))
    return TRAIN if TRAIN in places else NEW


def _assign_new(
    samples: Samples, place: Int64[np.ndarray, " groups"], only: Bool[np.ndarray, " groups"], settings: Dataset
) -> None:
    """Write where new groups go into `place`."""
    place[only] = TRAIN
    if settings.test_share:
        _hold_out(samples, place, TEST, share=settings.test_share, seed=settings.seed, salt="test ")
    if settings.folds:
        _deal(samples, place, folds=settings.folds, seed=settings.seed)
    elif settings.val_share:
        _hold_out(samples, place, 0, share=settings.val_share, seed=settings.seed, salt="")
    place[place == NEW] = TRAIN


def _hold_out(
    samples: Samples, place: Int64[np.ndarray, " groups"], split: int, *, share: float, seed: int, salt: str
) -> None:
    """Hold new groups out until `split` has about its share of all samples and of each class."""
    sizes, total = samples.sizes(), np.bincount(samples.label)
    held = np.bincount(samples.label[place[samples.group] == split], minlength=len(total))
    missing = share * total - held
    contents = _contents(samples)
    for group in _drawn_order(samples, (place == NEW) & (sizes > 1), seed=seed):
        content = np.bincount(contents[group], minlength=len(total))
        # how much nearer each class, and all of them, come to their shares: difference of squared distances
        gain = (content * (2 * missing - content) / total).sum()
        gain += sizes[group] * (2 * missing.sum() - sizes[group]) / total.sum()
        if gain > 0:
            place[group] = split
            missing -= content
            held += content
    for label, group_of in single_recordings(samples, (place == NEW) & (sizes == 1)).items():
        count = max(0, held_out_count(int(total[label]), share=share) - int(held[label]))
        for name in draw_names(list(group_of), count, seed=seed, label=salt + samples.labels[label]):
            place[group_of[name]] = split


def _deal(samples: Samples, place: Int64[np.ndarray, " groups"], *, folds: int, seed: int) -> None:
    """Assign new groups, the largest first, to the folds with the least of their classes, then the smallest folds."""
    total, sizes = np.bincount(samples.label), samples.sizes()
    counts = np.zeros((folds, len(total)))
    where = place[samples.group]
    np.add.at(counts, (where[where >= 0], samples.label[where >= 0]), 1)
    order = _drawn_order(samples, place == NEW, seed=seed)
    contents = _contents(samples)
    for group in sorted(order, key=lambda group: -int(sizes[group])):  # of equal size: as drawn
        content = np.bincount(contents[group], minlength=len(total))
        fold = int(np.lexsort((counts.sum(axis=1), (counts * content / total).sum(axis=1)))[0])
        place[group] = fold
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
