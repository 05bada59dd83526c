"""Every class can be learned, nothing is on both sides, and the split depends on nothing but names and seed."""

from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.console import Trouble
from utils.recordings.labels import truth_of
from utils.recordings.recording import Recording
from utils.recordings.splits import held_out, read_split, split_by_recording, split_table, write_split


def recordings_of(counts: dict[str, int]) -> list[Recording]:
    return [Recording(f"{label}{number}", Path("x.wav"), label) for label, count in counts.items() for number in range(count)]


@pytest.mark.parametrize(
    ("count", "share", "least", "held"),
    [(0, 0.1, 2, 0), (1, 0.1, 2, 0), (2, 0.1, 2, 1), (2, 0.9, 2, 1), (10, 0.1, 2, 1), (16, 0.25, 2, 4), (100, 0.1, 2, 10), (5, 0.0, 2, 0), (2, 0.5, 3, 0)],
)
def test_held_out(count: int, share: float, least: int, held: int) -> None:
    assert held_out(count, share=share, least=least) == held


@given(st.dictionaries(st.sampled_from("ABCDEFG"), st.integers(1, 30), min_size=1), st.floats(0, 0.99), st.integers(0, 5))
def test_every_class_is_in_train(counts: dict[str, int], share: float, seed: int) -> None:
    recordings = recordings_of(counts)
    sides = split_by_recording(recordings, val_share=share, seed=seed)
    train = Counter(recording.species for recording, (side, _) in zip(recordings, sides, strict=True) if side == "train")
    for label, count in counts.items():
        assert train[label] == count - held_out(count, share=share)
        assert train[label] >= 1


def test_a_class_is_split_the_same_whatever_else_there_is() -> None:
    def sides(recordings: list[Recording]) -> dict[str, str]:
        return {recording.name: side for recording, (side, _) in zip(recordings, split_by_recording(recordings, val_share=0.3, seed=1), strict=True)}

    alone, together = sides(recordings_of({"A": 20})), sides(recordings_of({"B": 5, "A": 20})[::-1])
    assert alone == {name: side for name, side in together.items() if name in alone}
    other = split_by_recording(recordings_of({"A": 20}), val_share=0.3, seed=2)
    assert list(alone.values()) != [side for side, _ in other]


def test_table_round_trip(tmp_path: Path) -> None:
    recordings = [Recording("b", Path("b.wav"), "B", ("A",)), Recording("a", Path("a.wav"), "A")]
    table = split_table(recordings, [("train", "drawn"), ("val", "given")], ["train/B/b.wav", "val/A/a.wav"])
    write_split(tmp_path, table)
    assert read_split(tmp_path).equals(table)
    assert table["class"].to_list() == ["A", "B"]


def test_missing_and_damaged_tables(tmp_path: Path) -> None:
    with pytest.raises(Trouble, match=r"run sort_data\.py"):
        read_split(tmp_path)
    (tmp_path / "split.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(Trouble, match="cannot be read"):
        read_split(tmp_path)
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "split.parquet")
    with pytest.raises(Trouble, match="other columns"):
        read_split(tmp_path)


def test_truth() -> None:
    table = pl.DataFrame({"class": ["A", "X"], "background": [["C", "Y"], ["B"]]})
    assert truth_of(table, ("A", "B", "C"), background=True).tolist() == [[True, False, True], [False, True, False]]
    assert truth_of(table, ("A", "B", "C"), background=False).tolist() == [[True, False, False], [False, False, False]]
