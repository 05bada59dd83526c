"""Recordings that must not be separated by a split are in one group."""

from dataclasses import replace
from pathlib import Path

import pytest

from config import Dataset
from utils.recordings.grouping import Grouping, block_of, group_recordings, quarter_of
from utils.recordings.recording import Recording

ONE = Recording(
    "1", Path("x"), "A", author="Ana  Sol", date="2020-05-01", locality="Big Wood", latitude=1.0, longitude=2.0
)


def together(*recordings: Recording, by: Grouping, duplicates: list[list[int]] | None = None) -> list[int]:
    return group_recordings(recordings, Dataset(), by, duplicates or []).index.tolist()


@pytest.mark.parametrize(
    ("by", "change", "one"),
    [
        ("author", {"author": "ana sol"}, True),
        ("author", {"author": "Bo"}, False),
        ("author", {"author": "unknown"}, False),
        ("site", {"locality": "Elsewhere"}, True),  # the same coordinates
        ("site", {"latitude": 1.5}, True),  # the same name
        ("site", {"latitude": 1.5, "locality": "big  wood 2"}, False),
        ("day", {"author": "Bo"}, True),
        ("day", {"date": "2020-05-02"}, False),
        ("day", {"locality": "Elsewhere", "longitude": 3.0}, False),
        ("recording", {}, False),
    ],
)
def test_two_recordings(by: Grouping, change: dict[str, object], one: bool) -> None:
    other = replace(ONE, name="2", **change)  # type: ignore[arg-type]
    assert together(ONE, other, by=by) == ([0, 0] if one else [0, 1])


def test_sites_at_the_equator_are_not_cut_in_two() -> None:
    north, south = replace(ONE, locality="", latitude=0.001), replace(ONE, name="2", locality="", latitude=-0.001)
    assert together(north, south, by="site") == [0, 0]


def test_recordings_without_keys_are_alone() -> None:
    nothing = [Recording(str(number), Path("x"), "A", author="?", date="2020-00-00") for number in range(3)]
    for by in ("author", "site", "day", "block"):
        assert together(*nothing, by=by) == [0, 1, 2]


def test_groups_that_share_a_member_are_one() -> None:
    other = replace(ONE, name="2", author="Bo")
    third = replace(ONE, name="3", author="Cy")
    assert together(ONE, other, third, by="author", duplicates=[[1, 2]]) == [0, 1, 1]
    assert group_recordings([ONE, other, third], Dataset(), "author", [[1, 2]]).names == [
        "author: ana sol",
        "author: bo",
    ]
    assert group_recordings([ONE, other], Dataset(), "recording", []).names == ["1", "2"]


def test_blocks() -> None:
    settings = Dataset(block_degrees=2.0, block_recordings=2)
    assert block_of(replace(ONE, latitude=-0.5, longitude=179.9), settings) == "block: -2, 178, quarter 2"
    assert block_of(replace(ONE, latitude=None), settings) == ""
    assert block_of(replace(ONE, date="2020"), settings) == "block: 0, 2, quarter ?"
    near, winter = replace(ONE, name="2", latitude=1.9), replace(ONE, name="3", date="2020-12-01")
    assert group_recordings([ONE, near, winter], settings, "block").index.tolist() == [0, 0, 1]
    assert [quarter_of(replace(ONE, date=f"2020-{month:02d}-00")) for month in range(13)] == [
        0,
        1,
        1,
        1,
        2,
        2,
        2,
        3,
        3,
        3,
        4,
        4,
        4,
    ]
