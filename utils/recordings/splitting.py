"""Groups of recordings are assigned to train, val, test and folds: no group is separated, every class is in train.

Groups of several recordings are assigned so that every fold gets its share of every class, in the six steps of a
stratified group split:

1. classes with too few samples were removed before (`dataset.min_recordings`);
2. classes with fewer groups than folds cannot be stratified;
3. groups with such a class are separated from the others;
4. the others are assigned by scikit-learn's StratifiedGroupKFold;
5. groups with such a class are assigned by GroupKFold, which balances only the size of the folds;
6. the folds of both parts are joined.

Recordings that are alone in their group are assigned afterwards, class by class. A group that is the only one of a
class stays in train. If chance leaves a class without a group in train, the smallest group of the class is moved there.
"""

import warnings
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int64

from config import Dataset
from utils.console import UserError
from utils.recordings.grouping import Groups, quarter_of
from utils.recordings.recording import Recording, Split
from utils.recordings.splits import Assignment, draw_names, held_out_count

TRAIN, TEST = -1, -2  # assigned to groups, besides the folds 0, 1, …; without folds, 0 is val
SMALLEST_FOLD = 0.05  # share of the data; smaller folds take long: time grows with the square of their number
MAX_HELD_OUT = 0.5  # of the groups that may be held out


@dataclass(frozen=True)
class Samples:
    """The units that are balanced: one sample for each recording, or for each event of a long recording.

    Attributes
    ----------
    group, label, stratum : for each sample, the index of its group, of its class, and of the stratum that groups are
        balanced by (the class, or the quarter of the year)
    names : for each group, the name of a recording in it
    labels : names of the classes
    """

    group: Int64[np.ndarray, " samples"]
    label: Int64[np.ndarray, " samples"]
    stratum: Int64[np.ndarray, " samples"]
    names: list[str]
    labels: list[str]

    def sizes(self) -> Int64[np.ndarray, " groups"]:
        """Return the number of samples in each group."""
        return np.bincount(self.group, minlength=len(self.names))


def assign_splits(recordings: Sequence[Recording], groups: Groups, settings: Dataset) -> list[Assignment]:
    """Return for every recording its split, its fold if there are folds, and the reason.

    Raises
    ------
    UserError
        If there are fewer groups than folds.
    """
    if settings.folds > len(groups.names):
        raise UserError(
            f"dataset.folds = {settings.folds}, but there are only {len(groups.names)} groups of recordings; "
            "use fewer folds"
        )
    samples = collect_samples(recordings, groups, by_quarter=settings.split == "blocked")
    fold = np.full(len(groups.names), TRAIN, np.int64)
    only = only_groups(samples)
    if settings.test_share:
        fold[_choose_held_out(samples, ~only, share=settings.test_share, seed=settings.seed, salt="test ")] = TEST
    free = ~only & (fold != TEST)
    if settings.folds:
        fold = np.where(free, _assign_folds(samples, free, folds=settings.folds, seed=settings.seed), fold)
    elif settings.val_share:
        fold[_choose_held_out(samples, free, share=settings.val_share, seed=settings.seed, salt="")] = 0
    returned = return_to_train(samples, fold, folded=bool(settings.folds))
    alone = np.bincount(groups.index, minlength=len(groups.names)) == 1
    reasons = [first_reason(only=bool(only[group]), alone=bool(alone[group])) for group in range(len(fold))]
    for group in returned:
        reasons[group] = "moved to train so that its class can be learned"
    return [as_assignment(int(fold[group]), reasons[group], settings) for group in groups.index]


def first_reason(*, only: bool, alone: bool) -> str:
    """Return why a group is in its split: it is the `only` one of a class, of one recording if `alone`, or drawn."""
    if not only:
        return "drawn"
    return "the only recording of its class" if alone else "in the only group of a class"


def assign_with_long(
    recordings: Sequence[Recording], groups: Groups, settings: Dataset, *, long: frozenset[str]
) -> list[Assignment]:
    """Return for every recording its split; long recordings, and their groups, go where `dataset.long_recordings` says.

    Parameters
    ----------
    long : names of the long recordings

    Raises
    ------
    UserError
        As `assign_splits`.
    """
    if settings.long_recordings not in ("train", "val", "test"):
        return assign_splits(recordings, groups, settings)
    is_long = np.array([recording.name in long for recording in recordings], bool)
    together = np.isin(groups.index, groups.index[is_long])
    others = np.flatnonzero(~together)
    kept, index = np.unique(groups.index[others], return_inverse=True)
    rest = Groups(index.astype(np.int64), [groups.names[group] for group in kept])
    drawn = iter(assign_splits([recordings[row] for row in others.tolist()], rest, settings) if len(others) else [])
    fixed = Assignment(settings.long_recordings, None, f"dataset.long_recordings = {settings.long_recordings}")
    of_group = replace(fixed, reason="in one group with a long recording")
    return [
        fixed if long_one else of_group if grouped else next(drawn)
        for long_one, grouped in zip(is_long.tolist(), together.tolist(), strict=True)
    ]


def collect_samples(recordings: Sequence[Recording], groups: Groups, *, by_quarter: bool) -> Samples:
    """Return the samples of recordings; groups are balanced by class, or by quarter of the year."""
    rows = [
        (row, label, quarter_of(recording))
        for row, recording in enumerate(recordings)
        for label in ([recording.species] if recording.species else [event.species for event in recording.events])
    ]
    rows_of_samples, labels, quarters = zip(*rows, strict=True)
    names, label = np.unique(np.array(labels), return_inverse=True)
    name_of_group = dict(zip(groups.index.tolist(), (recording.name for recording in recordings), strict=True))
    return Samples(
        group=groups.index[np.array(rows_of_samples, np.int64)],
        label=label.astype(np.int64),
        stratum=np.array(quarters, np.int64) if by_quarter else label.astype(np.int64),
        names=[name_of_group[group] for group in range(len(groups.names))],
        labels=names.tolist(),
    )


def as_assignment(fold: int, reason: str, settings: Dataset) -> Assignment:
    """Return the assignment to TRAIN, TEST or a fold; without folds, 0 is val."""
    if fold == TEST:
        return Assignment("test", None, reason)
    split: Split = "val" if fold == (settings.fold if settings.folds else 0) else "train"
    return Assignment(split, fold if settings.folds and fold >= 0 else None, reason)


def _pairs(label: Int64[np.ndarray, " samples"], group: Int64[np.ndarray, " samples"]) -> Int64[np.ndarray, "pairs 2"]:
    """Return the unique pairs of a class (or stratum) and one of its groups."""
    return np.unique(np.stack([label, group], axis=1), axis=0).astype(np.int64)


def only_groups(samples: Samples) -> Bool[np.ndarray, " groups"]:
    """Tell for each group whether it is the only one of some class."""
    pairs = _pairs(samples.label, samples.group)
    groups_of_class = np.bincount(pairs[:, 0])
    only = np.zeros(len(samples.names), bool)
    only[pairs[groups_of_class[pairs[:, 0]] == 1, 1]] = True
    return only


def _choose_held_out(
    samples: Samples, free: Bool[np.ndarray, " groups"], *, share: float, seed: int, salt: str
) -> Bool[np.ndarray, " groups"]:
    """Choose, among the free groups, those to hold out: about `share` of all samples and of each class."""
    sizes = samples.sizes()
    held = np.zeros(len(sizes), bool)
    large = free & (sizes > 1)
    if large.any():
        # groups that may not be held out increase the share of the others
        wanted = min(share * sizes.sum() / sizes[free].sum(), max(share, MAX_HELD_OUT))
        held |= _choose_share(samples, large, share=wanted, seed=seed)
    total, already = (
        np.bincount(samples.label),
        np.bincount(samples.label[held[samples.group]], minlength=len(samples.labels)),
    )
    for label, group_of in single_recordings(samples, free & (sizes == 1)).items():
        count = max(0, held_out_count(int(total[label]), share=share) - int(already[label]))
        for name in draw_names(list(group_of), count, seed=seed, label=salt + samples.labels[label]):
            held[group_of[name]] = True
    return held


def _choose_share(
    samples: Samples, groups: Bool[np.ndarray, " groups"], *, share: float, seed: int
) -> Bool[np.ndarray, " groups"]:
    """Choose about `share` of the groups: one of several stratified folds, or a part of one if the share is small.

    If the share is above one half, its complement is chosen this way.
    """
    small = min(share, 1 - share)
    fold = _stratified_folds(
        samples, groups, folds=max(2, round(min(1 / max(small, SMALLEST_FOLD), groups.sum()))), seed=seed
    )
    sizes = np.bincount(fold[groups], weights=samples.sizes()[groups])
    wanted = small * sizes.sum()
    chosen = groups & (fold == int(np.argmin(np.abs(sizes - wanted))))
    if small < SMALLEST_FOLD:
        order = np.random.default_rng((seed, 3)).permutation(np.flatnonzero(chosen))
        count = max(1, int(np.searchsorted(np.cumsum(samples.sizes()[order]), wanted, side="right")))
        chosen = np.isin(np.arange(len(groups)), order[:count])
    return chosen if small == share else groups & ~chosen


def _assign_folds(
    samples: Samples, free: Bool[np.ndarray, " groups"], *, folds: int, seed: int
) -> Int64[np.ndarray, " groups"]:
    """Assign the free groups to folds of equal size, with equal numbers of every class."""
    sizes = samples.sizes()
    large = free & (sizes > 1)
    fold = (
        _stratified_folds(samples, large, folds=folds, seed=seed)
        if large.any()
        else np.full(len(sizes), TRAIN, np.int64)
    )
    fold_sizes = np.bincount(fold[large], weights=sizes[large], minlength=folds)
    for label, group_of in single_recordings(samples, free & (sizes == 1)).items():
        generator = np.random.default_rng((seed, zlib.crc32(samples.labels[label].encode())))
        of_class = np.bincount(fold[samples.group[(samples.label == label) & large[samples.group]]], minlength=folds)
        for name in generator.permutation(np.array(sorted(group_of), dtype=object)).tolist():
            # the fold with the fewest samples of the class, then with the fewest of all
            chosen = int(np.lexsort((generator.random(folds), fold_sizes, of_class))[0])
            fold[group_of[name]] = chosen
            of_class[chosen] += 1
            fold_sizes[chosen] += 1
    return fold


def single_recordings(samples: Samples, groups: Bool[np.ndarray, " groups"]) -> dict[int, dict[str, int]]:
    """Return, for each class, the recordings that are alone in one of these groups: their names with their groups."""
    group_of: dict[int, dict[str, int]] = {}
    for sample in np.flatnonzero(groups[samples.group]):
        group = int(samples.group[sample])
        group_of.setdefault(int(samples.label[sample]), {})[samples.names[group]] = group
    return group_of


def _stratified_folds(
    samples: Samples, groups: Bool[np.ndarray, " groups"], *, folds: int, seed: int
) -> Int64[np.ndarray, " groups"]:
    """Assign groups to folds by steps 2 to 6 of the module's docstring; TRAIN for all other groups."""
    pairs = _pairs(samples.stratum, samples.group)
    pairs = pairs[groups[pairs[:, 1]]]
    groups_of_class = np.bincount(pairs[:, 0])
    rare = np.zeros(len(groups), bool)
    rare[pairs[groups_of_class[pairs[:, 0]] < folds, 1]] = True
    fold = np.full(len(groups), TRAIN, np.int64)
    for part, stratify in ((groups & ~rare, True), (groups & rare, False)):
        if part.any():
            _assign_by_sklearn(samples, part, fold, folds=folds, seed=seed, stratify=stratify)
    return fold


def _assign_by_sklearn(
    samples: Samples,
    groups: Bool[np.ndarray, " groups"],
    fold: Int64[np.ndarray, " groups"],
    *,
    folds: int,
    seed: int,
    stratify: bool,
) -> None:
    """Write the folds of these groups into `fold`; if there are fewer groups than folds, each gets its own."""
    # imported here, because it takes a second, and small archives do not need it
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    indices = np.flatnonzero(groups)
    generator = np.random.default_rng((seed, 2, stratify))
    if len(indices) < folds:
        fold[indices] = generator.permutation(folds)[: len(indices)]
        return
    shuffled = np.zeros(len(groups), np.int64)
    shuffled[indices] = generator.permutation(len(indices))  # the order of groups of equal size
    included = groups[samples.group]
    group, stratum = shuffled[samples.group[included]], samples.stratum[included]
    stratify = stratify and int(np.bincount(stratum).max()) >= folds  # scikit-learn raises otherwise
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed) if stratify else GroupKFold(folds)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that some class has fewer samples than folds
        for index, (_, rows) in enumerate(splitter.split(group, stratum, group)):
            fold[samples.group[included][rows]] = index


def return_to_train(
    samples: Samples,
    fold: Int64[np.ndarray, " groups"],
    *,
    folded: bool,
    movable: Bool[np.ndarray, " groups"] | None = None,
) -> list[int]:
    """Move groups to train, in `fold`, until every class can be learned, whichever fold is val; rare classes first.

    Parameters
    ----------
    movable : the groups that may be moved; None: all

    Returns
    -------
    The groups that were moved.
    """
    pairs, sizes = _pairs(samples.label, samples.group), samples.sizes()
    groups_of_class = np.split(pairs[:, 1], np.cumsum(np.bincount(pairs[:, 0]))[:-1])
    rarity = Counter(samples.label.tolist())
    returned = []
    for label in sorted(range(len(groups_of_class)), key=lambda label: (rarity[label], label)):
        candidates = groups_of_class[label]
        folds = set(fold[candidates].tolist()) - {TEST}
        if TRAIN in folds or (folded and len(folds) > 1):
            continue
        candidates = candidates if movable is None else candidates[movable[candidates]]
        if not len(candidates):
            continue
        group = int(min(candidates, key=lambda group: (fold[group] == TEST, sizes[group], group)))
        fold[group] = TRAIN
        returned.append(group)
    return returned
