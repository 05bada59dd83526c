"""What an audit says of leaks, and of how much it cannot know."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from config import Dataset
from utils.recordings.audit import audit_rows, known_keys, unknown_groups
from utils.recordings.recording import Recording

GROUPED = Dataset(split="grouped", group_by="author")


def recordings(*authors: str, place: bool = True) -> list[Recording]:
    north = 50.0 if place else None
    return [
        Recording(f"r{number}", Path(f"r{number}.wav"), "A", author=author, latitude=north, longitude=north)
        for number, author in enumerate(authors)
    ]


def split(found: list[Recording], sides: str) -> pl.DataFrame:
    rows = [
        (one.name, {"t": "train", "v": "val"}[side], one.name, None) for one, side in zip(found, sides, strict=True)
    ]
    return pl.DataFrame(
        rows, schema={"recording": pl.String, "side": pl.String, "group": pl.String, "fold": pl.Int64}, orient="row"
    )


def test_of_how_many_recordings_a_key_is_known_stands_beside_its_count() -> None:
    found = recordings("Ann", "Ann", "Bo", "", "?", "unknown")
    rows = audit_rows(found, split(found, "ttvtvt"), GROUPED)
    assert rows["groups on two sides"] == "0 of 6"
    assert rows["recordists on two sides"] == "0 of 2, known of 3 of 6 recordings"
    assert rows["sites on two sides"] == "1 of 1"  # known of all
    assert rows["to keep them together"] == "dataset.split = grouped, dataset.group_by = site"
    assert rows["groups of their own"].startswith("of 3 of 6 recordings no author is known: each is a group of its own")


def test_nothing_is_added_where_all_is_known() -> None:
    found = recordings("Ann", "Bo")
    rows = audit_rows(found, split(found, "tv"), GROUPED)
    assert rows == {
        "groups on two sides": "0 of 2",
        "recordists on two sides": "0 of 2",
        "sites on two sides": "1 of 1",
        "to keep them together": "dataset.split = grouped, dataset.group_by = site",
    }


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        (GROUPED, "of 1 of 2 recordings no author is known"),
        (replace(GROUPED, group_by="site"), "of 2 of 2 recordings no site is known"),
        (replace(GROUPED, group_by="recording"), ""),
        (Dataset(split="blocked"), "of 2 of 2 recordings no place is known"),
        (Dataset(split="recordings"), ""),
    ],
)
def test_what_is_not_kept_together_is_said(settings: Dataset, missing: str) -> None:
    found = recordings("Ann", "", place=False)
    assert unknown_groups(found, settings).startswith(missing)
    assert bool(unknown_groups(found, settings)) == bool(missing)
    assert known_keys(found, settings, "author") == 1
