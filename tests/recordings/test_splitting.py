"""No group is in two splits, every class can be learned, shares are right, the split follows from names and seed."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from config import Dataset
from utils.recordings.audit import class_counts, shared_groups, shared_keys
from utils.recordings.grouping import block_of, group_recordings, grouping_of, quarter_of
from utils.recordings.recording import Event, Recording
from utils.recordings.splits import Assignment, held_out_count, split_table
from utils.recordings.splitting import assign_splits

RECORDINGS = Dataset(split="recordings")
GROUPED = Dataset(split="grouped")
BLOCKED = Dataset(split="blocked", block_degrees=5.0, block_recordings=3)


def recordings_of(counts: dict[str, int]) -> list[Recording]:
    return [
        Recording(f"{label}{number}", Path("x.wav"), label)
        for label, count in counts.items()
        for number in range(count)
    ]


def archive_of(*, recordings: int = 400, classes: int = 12, authors: int = 40, seed: int = 0) -> list[Recording]:
    """Make metadata in which a few recordists have most of the recordings, and live in a few regions."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(recordings):
        author = int(authors * rng.random() ** 2)
        label = int(classes * rng.random() ** 1.5)
        north, east = divmod(author, 7)
        found.append(
            Recording(
                f"XC{number:04d}",
                Path("x.wav"),
                f"Class {label}",
                author=f"Author {author}",
                date=f"2020-{rng.integers(1, 13):02d}-{rng.integers(1, 29):02d}",
                latitude=10.0 * north + rng.random(),
                longitude=10.0 * east + rng.random(),
                locality=f"Wood {author // 2}",
            )
        )
    return found


def split_of(
    recordings: Sequence[Recording], settings: Dataset, duplicates: Sequence[Sequence[int]] = ()
) -> tuple[list[Assignment], pl.DataFrame]:
    groups = group_recordings(recordings, settings, grouping_of(settings), duplicates)
    assignments = assign_splits(recordings, groups, settings)
    table = split_table(
        recordings,
        assignments,
        [groups.names[number] for number in groups.index],
        [recording.name for recording in recordings],
    )
    return assignments, table


def learnable(
    recordings: Sequence[Recording], assignments: Sequence[Assignment], *, fold: int | None = None
) -> set[str]:
    """Return the classes in train, when the given fold is val."""
    train = [
        assignment.split != "test" and assignment.fold != fold if fold is not None else assignment.split == "train"
        for assignment in assignments
    ]
    return {
        label for recording, learned in zip(recordings, train, strict=True) if learned for label in recording.labels
    }


@given(
    st.dictionaries(st.sampled_from("ABCDEFG"), st.integers(1, 30), min_size=1), st.floats(0, 0.99), st.integers(0, 5)
)
def test_every_class_is_in_train(counts: dict[str, int], share: float, seed: int) -> None:
    recordings = recordings_of(counts)
    assignments, _ = split_of(recordings, replace(RECORDINGS, val_share=share, seed=seed))
    train = Counter(
        recording.species
        for recording, assignment in zip(recordings, assignments, strict=True)
        if assignment.split == "train"
    )
    for label, count in counts.items():
        assert train[label] == count - held_out_count(count, share=share)
        assert train[label] >= 1


def test_a_class_is_split_the_same_whatever_else_there_is() -> None:
    def splits(counts: dict[str, int], *, seed: int = 1) -> dict[str, str]:
        recordings = recordings_of(counts)[::-1]
        assignments, _ = split_of(recordings, replace(RECORDINGS, val_share=0.3, seed=seed))
        return {recording.name: assignment.split for recording, assignment in zip(recordings, assignments, strict=True)}

    alone = splits({"A": 20})
    assert alone == {name: split for name, split in splits({"B": 5, "A": 20}).items() if name in alone}
    assert alone != splits({"A": 20}, seed=2)


KINDS = [
    RECORDINGS,
    GROUPED,
    replace(GROUPED, group_by="site"),
    replace(GROUPED, group_by="day"),
    replace(GROUPED, group_by="recording"),
    BLOCKED,
]


@pytest.mark.parametrize(
    "shares",
    [{"val_share": 0.1}, {"val_share": 0.15, "test_share": 0.2}, {"folds": 5}, {"folds": 4, "test_share": 0.2}],
)
@pytest.mark.parametrize("settings", KINDS, ids=lambda settings: f"{settings.split} {settings.group_by}")
@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_leaks_and_everything_can_be_learned(settings: Dataset, shares: dict[str, float], seed: int) -> None:
    settings = replace(settings, seed=seed, **shares)  # type: ignore[arg-type]
    recordings = archive_of(seed=seed)
    duplicates = [[0, 7, 300], [20, 21]]
    assignments, table = split_of(recordings, settings, duplicates)
    assert shared_groups(table) == []
    for same in duplicates:
        assert len({(assignments[number].split, assignments[number].fold) for number in same}) == 1
    if settings.split == "grouped" and settings.group_by == "author":
        assert shared_keys(recordings, table, settings)["author"][0] == 0
    everything = {recording.species for recording in recordings}
    assert learnable(recordings, assignments) == everything
    for fold in range(settings.folds):
        assert learnable(recordings, assignments, fold=fold) == everything
    splits = Counter(assignment.split for assignment in assignments)
    assert splits["test"] == pytest.approx(400 * settings.test_share, abs=40)
    if settings.folds:
        sizes = Counter(assignment.fold for assignment in assignments if assignment.fold is not None)
        assert sorted(sizes) == list(range(settings.folds))
        assert max(sizes.values()) < 2 * min(sizes.values())
        assert {assignment.fold for assignment in assignments if assignment.split == "val"} == {settings.fold}
    else:
        assert splits["val"] == pytest.approx(400 * settings.val_share, abs=40)
        assert {assignment.fold for assignment in assignments} == {None}


@pytest.mark.parametrize("settings", KINDS, ids=lambda settings: f"{settings.split} {settings.group_by}")
def test_the_split_follows_from_seed_and_names_alone(settings: Dataset) -> None:
    recordings = archive_of()
    _, one = split_of(recordings, settings)
    _, same = split_of(recordings, settings)
    _, other = split_of(recordings, replace(settings, seed=7))
    assert one.equals(same)
    assert not one.equals(other)


@pytest.mark.parametrize("settings", [GROUPED, BLOCKED, RECORDINGS], ids=lambda settings: settings.split)
def test_a_planted_leak_is_found(settings: Dataset) -> None:
    _, table = split_of(archive_of(), settings, [[0, 1]])
    crowd = table.group_by("group").len().filter(pl.col("len") > 1)["group"].sort()[0]
    row = table.with_row_index().filter(pl.col("group") == crowd)["index"][0]
    moved = pl.when(pl.int_range(pl.len()) == row).then(
        pl.when(pl.col("split") == "val").then(pl.lit("train")).otherwise(pl.lit("val"))
    )
    assert shared_groups(table.with_columns(split=moved.otherwise(pl.col("split")))) == [crowd]


def test_folds_hold_their_share_of_every_class() -> None:
    recordings = archive_of(recordings=2000, classes=10, authors=200)
    assignments, _ = split_of(recordings, replace(GROUPED, folds=5))
    for label in {recording.species for recording in recordings}:
        counts = Counter(
            assignment.fold
            for recording, assignment in zip(recordings, assignments, strict=True)
            if recording.species == label
        )
        total = sum(counts.values())
        for fold in range(5):
            assert counts[fold] / total == pytest.approx(0.2, abs=0.08)


def test_classes_of_one_recordist_are_learned_and_others_held_out() -> None:
    own = [Recording(f"a{number}", Path("x"), "Rare", author="Ana") for number in range(5)]
    also = [Recording(f"b{number}", Path("x"), "Common", author="Ana") for number in range(5)]
    others = [Recording(f"c{number}", Path("x"), "Common", author=f"Author {number % 10}") for number in range(100)]
    recordings = [*own, *also, *others]
    assignments, _ = split_of(recordings, replace(GROUPED, folds=5))
    assert {(assignment.fold, assignment.reason) for assignment in assignments[:10]} == {
        (None, "in the only group of a class")
    }
    assert {assignment.fold for assignment in assignments[10:]} == {0, 1, 2, 3, 4}


def test_a_class_without_a_group_in_train_gets_one() -> None:
    pair = [Recording(f"a{number}", Path("x"), "Rare", author=f"Author {number}") for number in range(2)]
    crowd = [Recording(f"b{number}", Path("x"), "Common", author=f"Author {number % 2}") for number in range(20)]
    for seed in range(5):
        recordings = [*pair, *crowd]
        assignments, _ = split_of(recordings, replace(GROUPED, val_share=0.6, seed=seed))
        assert learnable(recordings, assignments) == {"Rare", "Common"}


def test_annotations_are_balanced_and_recordings_not_divided() -> None:
    rng = np.random.default_rng(3)
    tapes = []
    for number in range(35):
        events = tuple(
            Event(float(time), float(time), f"Class {int(8 * rng.random() ** 1.5)}")
            for time in range(int(rng.integers(50, 200)))
        )
        tapes.append(Recording(f"tape{number:02d}", Path("x.wav"), "", events=events))
    settings = replace(GROUPED, group_by="recording", val_share=0.2, test_share=0.2)
    assignments, table = split_of(tapes, settings)
    assert learnable(tapes, assignments) == {f"Class {number}" for number in range(8)}
    classes = class_counts(table, [3600.0] * 35)
    for row in classes.iter_rows(named=True):
        total = sum(row[f"{split}_recordings"] for split in ("train", "val", "test"))
        assert row["val_recordings"] / total == pytest.approx(0.2, abs=0.08)
        assert row["test_recordings"] / total == pytest.approx(0.2, abs=0.08)


def test_blocks_are_whole_and_every_quarter_is_in_every_fold() -> None:
    recordings = archive_of(recordings=2000, authors=80)
    settings = replace(BLOCKED, folds=4, block_recordings=10)
    assignments, _ = split_of(recordings, settings)
    folds: dict[str, set[int | None]] = {}
    by_quarter: Counter[tuple[int, int | None]] = Counter()
    counts = Counter(block_of(recording, settings) for recording in recordings)
    for recording, assignment in zip(recordings, assignments, strict=True):
        by_quarter[quarter_of(recording), assignment.fold] += 1
        if counts[block_of(recording, settings)] >= 10:
            folds.setdefault(block_of(recording, settings), set()).add(assignment.fold)
    assert len(folds) > 40
    assert all(len(own) == 1 for own in folds.values())
    for quarter in range(1, 5):
        sizes = [by_quarter[quarter, fold] for fold in range(4)]
        assert min(sizes) > 0.6 * max(sizes)


def test_tapes_are_split_even_if_every_class_is_rare() -> None:
    heard = {"g1": "ab", "g2": "cd", "g3": "acx", "g4": "bdy", "s1": "x", "s2": "y"}
    tapes = [
        Recording(name, Path("x"), "", events=tuple(Event(float(n), n + 1.0, label) for n, label in enumerate(labels)))
        for name, labels in heard.items()
    ]
    assignments, _ = split_of(tapes, replace(GROUPED, group_by="recording", folds=2))
    for fold in range(2):
        assert learnable(tapes, assignments, fold=fold) == set("abcdxy")


def test_small_shares_of_many_tapes_are_neither_slow_nor_large() -> None:
    rng = np.random.default_rng(0)
    tapes = []
    for number in range(1000):
        events = tuple(Event(float(time), time + 1.0, f"Class {int(40 * rng.random() ** 2)}") for time in range(5))
        tapes.append(Recording(f"tape{number}", Path("x"), "", events=events))
    assignments, _ = split_of(tapes, replace(GROUPED, group_by="recording", val_share=0.01))
    assert 5 <= sum(assignment.split == "val" for assignment in assignments) <= 15


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 8)), min_size=1, max_size=60),
    st.integers(0, 3),
    st.sampled_from([0, 2, 3]),
    st.floats(0, 0.4),
)
def test_any_small_archive_is_divided_without_leaks(
    rows: list[tuple[int, int]], seed: int, folds: int, test_share: float
) -> None:
    recordings = [
        Recording(f"r{number:02d}", Path("x"), f"Class {label}", author=f"A{author}")
        for number, (label, author) in enumerate(rows)
    ]
    assume(folds <= len({recording.author for recording in recordings}))
    settings = replace(GROUPED, seed=seed, folds=folds, test_share=test_share)
    assignments, table = split_of(recordings, settings)
    assert shared_groups(table) == []
    assert learnable(recordings, assignments) == {recording.species for recording in recordings}
