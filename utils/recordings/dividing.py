"""How groups of recordings are dealt to sides and folds: no group on two sides, every class in train.

Groups of several recordings are dealt so that every fold gets its share of every class, by the six steps of a
stratified group split:

1. classes with too few samples have left before (`dataset.min_recordings`);
2. classes with fewer groups than folds cannot be stratified;
3. groups that hold such a class stand apart from those that do not;
4. those that do not are dealt by scikit-learn's StratifiedGroupKFold;
5. those that do by GroupKFold, which only keeps folds equal in size;
6. both together are the folds.

Recordings that are a group of their own are then dealt class by class. A group that holds the only group of a class is
always learned from, and where chance put all groups of a class out of train, the smallest of them comes back.
"""

import warnings
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from config import Dataset
from utils.console import UserError
from utils.recordings.grouping import Groups, quarter_of
from utils.recordings.recording import Recording, Side
from utils.recordings.splits import Place, draw, held_out

TRAIN, TEST = -1, -2  # places of groups beside the folds 0, 1, …; where there are no folds, val is 0
SMALLEST_SHARE = 0.05  # of what is cut into equal folds: the time to cut grows with the square of their number
MOST_TAKEN = 0.5  # of what is free to be held out; the rest is learned from


@dataclass(frozen=True)
class Samples:
    """What is spread evenly: one sample a recording, or one an event of a long recording.

    Attributes
    ----------
    group, label, stratum : of each sample: its group, its class, and what groups are spread by (the class, or the
        quarter of the year)
    names : of the recordings that are a group of their own, by group
    labels : names of the classes
    """

    group: Int64[np.ndarray, " samples"]
    label: Int64[np.ndarray, " samples"]
    stratum: Int64[np.ndarray, " samples"]
    names: list[str]
    labels: list[str]

    def sizes(self) -> Int64[np.ndarray, " groups"]:
        """Return how many samples each group has."""
        return np.bincount(self.group, minlength=len(self.names))


def divide(recordings: Sequence[Recording], groups: Groups, settings: Dataset) -> list[Place]:
    """Return the place of every recording: its side, its fold where there are folds, and why.

    Raises
    ------
    UserError
        If there are fewer groups than folds.
    """
    if settings.folds > len(groups.names):
        raise UserError(
            f"dataset.folds = {settings.folds}, but there are only {len(groups.names)} groups of recordings to divide"
        )
    samples = _samples(recordings, groups, by_quarter=settings.split == "blocked")
    place = np.full(len(groups.names), TRAIN, np.int64)
    only = _only_groups(samples)
    if settings.test_share:
        place[_held_out(samples, ~only, share=settings.test_share, seed=settings.seed, salt="test ")] = TEST
    free = ~only & (place != TEST)
    if settings.folds:
        place = np.where(free, _dealt(samples, free, folds=settings.folds, seed=settings.seed), place)
    elif settings.val_share:
        place[_held_out(samples, free, share=settings.val_share, seed=settings.seed, salt="")] = 0
    back = _bring_back(samples, place, folded=bool(settings.folds))
    alone = np.bincount(groups.of, minlength=len(groups.names)) == 1
    reasons = np.where(
        only, np.where(alone, "the only recording of its class", "holds the only group of a class"), "drawn"
    ).astype(object)
    reasons[back] = "comes back so that its class can be learned"
    return [_as_place(int(place[number]), str(reasons[number]), settings) for number in groups.of]


def _samples(recordings: Sequence[Recording], groups: Groups, *, by_quarter: bool) -> Samples:
    rows = [
        (number, label, quarter_of(recording))
        for number, recording in enumerate(recordings)
        for label in ([recording.species] if recording.species else [event.species for event in recording.events])
    ]
    numbers, labels, quarters = zip(*rows, strict=True)
    names, label = np.unique(np.array(labels), return_inverse=True)
    single = dict(zip(groups.of.tolist(), (recording.name for recording in recordings), strict=True))
    return Samples(
        group=groups.of[np.array(numbers, np.int64)],
        label=label.astype(np.int64),
        stratum=np.array(quarters, np.int64) if by_quarter else label.astype(np.int64),
        names=[single[number] for number in range(len(groups.names))],
        labels=names.tolist(),
    )


def _as_place(place: int, reason: str, settings: Dataset) -> Place:
    if place == TEST:
        return Place("test", None, reason)
    side: Side = "val" if place == (settings.fold if settings.folds else 0) else "train"
    return Place(side, place if settings.folds and place >= 0 else None, reason)


def _pairs(label: Int64[np.ndarray, " samples"], group: Int64[np.ndarray, " samples"]) -> Int64[np.ndarray, "pairs 2"]:
    """Return each class (or stratum) with each of its groups, once."""
    return np.unique(np.stack([label, group], axis=1), axis=0).astype(np.int64)


def _only_groups(samples: Samples) -> Bool[np.ndarray, " groups"]:
    """Tell which groups hold a class that no other group holds."""
    pairs = _pairs(samples.label, samples.group)
    groups_of_class = np.bincount(pairs[:, 0])
    only = np.zeros(len(samples.names), bool)
    only[pairs[groups_of_class[pairs[:, 0]] == 1, 1]] = True
    return only


def _held_out(
    samples: Samples, free: Bool[np.ndarray, " groups"], *, share: float, seed: int, salt: str
) -> Bool[np.ndarray, " groups"]:
    """Choose groups, among the free ones, that hold about `share` of all samples, and of every class's."""
    sizes = samples.sizes()
    held = np.zeros(len(sizes), bool)
    large = free & (sizes > 1)
    if large.any():
        # groups that cannot be held out leave more to the others
        wanted = min(share * sizes.sum() / sizes[free].sum(), max(share, MOST_TAKEN))
        held |= _share_of(samples, large, share=wanted, seed=seed)
    total, already = (
        np.bincount(samples.label),
        np.bincount(samples.label[held[samples.group]], minlength=len(samples.labels)),
    )
    for label, number in _by_class(samples, free & (sizes == 1)).items():
        count = max(0, held_out(int(total[label]), share=share) - int(already[label]))
        for name in draw(list(number), count, seed=seed, label=salt + samples.labels[label]):
            held[number[name]] = True
    return held


def _share_of(
    samples: Samples, groups: Bool[np.ndarray, " groups"], *, share: float, seed: int
) -> Bool[np.ndarray, " groups"]:
    """Cut the groups into folds of about `share`, or of the rest where that is smaller, and take the fold that is nearest to it, or a part of one."""
    small = min(share, 1 - share)
    fold = _stratified(
        samples, groups, folds=max(2, round(min(1 / max(small, SMALLEST_SHARE), groups.sum()))), seed=seed
    )
    sizes = np.bincount(fold[groups], weights=samples.sizes()[groups])
    wanted = small * sizes.sum()
    taken = groups & (fold == int(np.argmin(np.abs(sizes - wanted))))
    if small < SMALLEST_SHARE:
        order = np.random.default_rng((seed, 3)).permutation(np.flatnonzero(taken))
        count = max(1, int(np.searchsorted(np.cumsum(samples.sizes()[order]), wanted, side="right")))
        taken = np.isin(np.arange(len(groups)), order[:count])
    return taken if small == share else groups & ~taken


def _dealt(
    samples: Samples, free: Bool[np.ndarray, " groups"], *, folds: int, seed: int
) -> Int64[np.ndarray, " groups"]:
    """Deal the free groups to folds of equal size, of every class equally many."""
    sizes = samples.sizes()
    large = free & (sizes > 1)
    fold = _stratified(samples, large, folds=folds, seed=seed) if large.any() else np.full(len(sizes), TRAIN, np.int64)
    filled = np.bincount(fold[large], weights=sizes[large], minlength=folds)
    for label, number in _by_class(samples, free & (sizes == 1)).items():
        generator = np.random.default_rng((seed, zlib.crc32(samples.labels[label].encode())))
        mine = np.bincount(fold[samples.group[(samples.label == label) & large[samples.group]]], minlength=folds)
        for name in generator.permutation(np.array(sorted(number), dtype=object)).tolist():
            # the fold with the fewest of the class, then with the fewest of all
            chosen = int(np.lexsort((generator.random(folds), filled, mine))[0])
            fold[number[name]] = chosen
            mine[chosen] += 1
            filled[chosen] += 1
    return fold


def _by_class(samples: Samples, groups: Bool[np.ndarray, " groups"]) -> dict[int, dict[str, int]]:
    """Return the recordings that are such a group of their own, each name with the number of its group, by the number of their class."""
    names: dict[int, dict[str, int]] = {}
    for sample in np.flatnonzero(groups[samples.group]):
        group = int(samples.group[sample])
        names.setdefault(int(samples.label[sample]), {})[samples.names[group]] = group
    return names


def _stratified(
    samples: Samples, groups: Bool[np.ndarray, " groups"], *, folds: int, seed: int
) -> Int64[np.ndarray, " groups"]:
    """Deal groups to folds by steps 2 to 6 of the module's docstring; TRAIN for all other groups."""
    pairs = _pairs(samples.stratum, samples.group)
    pairs = pairs[groups[pairs[:, 1]]]
    groups_of_class = np.bincount(pairs[:, 0])
    apart = np.zeros(len(groups), bool)
    apart[pairs[groups_of_class[pairs[:, 0]] < folds, 1]] = True
    fold = np.full(len(groups), TRAIN, np.int64)
    for chosen, stratify in ((groups & ~apart, True), (groups & apart, False)):
        if chosen.any():
            _deal_part(samples, chosen, fold, folds=folds, seed=seed, stratify=stratify)
    return fold


def _deal_part(
    samples: Samples,
    groups: Bool[np.ndarray, " groups"],
    fold: Int64[np.ndarray, " groups"],
    *,
    folds: int,
    seed: int,
    stratify: bool,
) -> None:
    """Write the folds of these groups into `fold`, by scikit-learn; fewer groups than folds get a fold each."""
    # takes a second, which small archives need not wait for
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    numbers = np.flatnonzero(groups)
    generator = np.random.default_rng((seed, 2, stratify))
    if len(numbers) < folds:
        fold[numbers] = generator.permutation(folds)[: len(numbers)]
        return
    shuffled = np.zeros(len(groups), np.int64)
    shuffled[numbers] = generator.permutation(len(numbers))  # which of two groups of one size is dealt first
    mine = groups[samples.group]
    group, stratum = shuffled[samples.group[mine]], samples.stratum[mine]
    stratify = stratify and int(np.bincount(stratum).max()) >= folds  # else scikit-learn refuses
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed) if stratify else GroupKFold(folds)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that some class has fewer samples than there are folds
        for number, (_, rows) in enumerate(splitter.split(group, stratum, group)):
            fold[samples.group[mine][rows]] = number


def _bring_back(samples: Samples, place: Int64[np.ndarray, " groups"], *, folded: bool) -> list[int]:
    """Take groups back into train, in `place`, until every class can be learned, whichever fold is held out; rare classes first.

    Returns
    -------
    The groups that came back.
    """
    pairs, sizes = _pairs(samples.label, samples.group), samples.sizes()
    by_class = np.split(pairs[:, 1], np.cumsum(np.bincount(pairs[:, 0]))[:-1])
    rarity = Counter(samples.label.tolist())
    back = []
    for label in sorted(range(len(by_class)), key=lambda label: (rarity[label], label)):
        own = by_class[label]
        places = set(place[own].tolist()) - {TEST}
        if TRAIN in places or (folded and len(places) > 1):
            continue
        group = int(min(own, key=lambda number: (place[number] == TEST, sizes[number], number)))
        place[group] = TRAIN
        back.append(group)
    return back
