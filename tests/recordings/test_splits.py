"""The table of the split is written and read; any of its folds can be val."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import Dataset
from utils.console import UserError
from utils.recordings.recording import Event, Recording, quality_fraction
from utils.recordings.splits import Assignment, held_out_count, quotas, read_split, split_table, write_split


@pytest.mark.parametrize(
    ("count", "share", "held"),
    [(0, 0.1, 0), (1, 0.1, 0), (2, 0.1, 1), (2, 0.9, 1), (10, 0.1, 1), (16, 0.25, 4), (100, 0.1, 10), (5, 0.0, 0)],
)
def test_held_out(count: int, share: float, held: int) -> None:
    assert held_out_count(count, share=share) == held


def test_table_round_trip(tmp_path: Path) -> None:
    recordings = [Recording("b", Path("b.wav"), "B", ("A",)), Recording("a", Path("a.wav"), "A")]
    table = split_table(
        recordings,
        [Assignment("train", None, "drawn"), Assignment("val", None, "given")],
        ["b", "a"],
        ["train/B/b.wav", "val/A/a.wav"],
    )
    write_split(tmp_path, table)
    assert read_split(Dataset(root=tmp_path)).equals(table)
    assert table["class"].to_list() == ["A", "B"]
    assert table["events"].to_list() == [[], []]


def test_events_round_trip(tmp_path: Path) -> None:
    events = (Event(0.5, 0.5, "A b"), Event(1.0, 2.0, "C d", 1000.0, 2000.0))
    recordings = [Recording("tape", Path("tape.wav"), "", events=events), Recording("a", Path("a.wav"), "A b")]
    write_split(
        tmp_path,
        split_table(
            recordings,
            [Assignment("train", 0, "drawn"), Assignment("val", 1, "drawn")],
            ["g", "h"],
            ["train/tape.wav", "val/A b/a.wav"],
        ),
    )
    tape, other = read_split(Dataset(root=tmp_path)).iter_rows(named=True)
    assert tape["events"] == [vars(event) for event in events]
    assert (tape["class"], other["events"]) == ("", [])


def test_any_fold_of_a_split_can_be_val(tmp_path: Path) -> None:
    recordings = [Recording(name, Path(f"{name}.wav"), "A") for name in "abcd"]
    assignments = [
        Assignment("val", 0, "drawn"),
        Assignment("train", 1, "drawn"),
        Assignment("train", None, "the only one"),
        Assignment("test", None, "drawn"),
    ]
    write_split(tmp_path, split_table(recordings, assignments, list("abcd"), list("abcd")))
    assert read_split(Dataset(root=tmp_path, folds=2))["split"].to_list() == ["val", "train", "train", "test"]
    assert read_split(Dataset(root=tmp_path, folds=2, fold=1))["split"].to_list() == ["train", "val", "train", "test"]
    with pytest.raises(UserError, match=r"has folds 0 to 1, but dataset\.fold = 2"):
        read_split(Dataset(root=tmp_path, folds=3, fold=2))
    write_split(tmp_path, split_table(recordings[:1], assignments[-1:], ["a"], ["a"]))
    with pytest.raises(UserError, match="has no folds"):
        read_split(Dataset(root=tmp_path, folds=3, fold=2))


def test_missing_and_damaged_tables(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"run sort_data\.py"):
        read_split(Dataset(root=tmp_path))
    (tmp_path / "split.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(UserError, match="cannot be read"):
        read_split(Dataset(root=tmp_path))
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "split.parquet")
    with pytest.raises(UserError, match="other columns"):
        read_split(Dataset(root=tmp_path))


@pytest.mark.parametrize(
    ("rating", "share"),
    [
        ("A", 1.0),
        ("e", 0.2),
        ("5", 1.0),
        ("4.5", 0.9),
        ("0", None),
        ("0.0", None),
        ("", None),
        ("no score", None),
        ("nan", None),
        ("9", None),
    ],
)
def test_ratings(rating: str, share: float | None) -> None:
    assert quality_fraction(rating) == share


@given(counts=st.lists(st.integers(0, 60), min_size=1, max_size=30), share=st.floats(0, 0.99), seed=st.integers(0, 5))
def test_quotas_are_the_share_of_all(counts: list[int], share: float, seed: int) -> None:
    found = quotas(counts, share=share, least=3, seed=seed)
    wanted = sum(min(count * share, count - 1) for count in counts if count >= 3)
    assert abs(sum(found) - max(wanted, wanted > 0)) <= 0.5 or sum(found) == 1
    for count, held in zip(counts, found, strict=True):
        assert held == 0 if count < 3 else abs(held - count * share) <= 1
        assert held < count or count == 0


def test_quotas_by_hand() -> None:
    assert quotas([20, 10, 4, 2], share=0.25, least=3, seed=1) == [5, 2, 1, 0] or quotas(
        [20, 10, 4, 2], share=0.25, least=3, seed=1
    ) == [5, 3, 1, 0]
    assert sum(quotas([7] * 40, share=0.05, least=3, seed=1)) == 14
    assert quotas([7] * 40, share=0.05, least=3, seed=1) != quotas([7] * 40, share=0.05, least=3, seed=2)
