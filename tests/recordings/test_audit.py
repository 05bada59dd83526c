"""What the audit reports about leaks, and about recordings without a key."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from config import Dataset
from utils.recordings.audit import audit_rows, count_with_keys, missing_keys_message
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
        rows, schema={"recording": pl.String, "split": pl.String, "group": pl.String, "fold": pl.Int64}, orient="row"
    )


def test_the_number_of_recordings_with_a_known_key_is_shown() -> None:
    found = recordings("Ann", "Ann", "Bo", "", "?", "unknown")
    rows = audit_rows(found, split(found, "ttvtvt"), GROUPED)
    assert rows["groups in two splits"] == "0 of 6"
    assert rows["recordists in two splits"] == "0 of 2, known for 3 of 6 recordings"
    assert rows["sites in two splits"] == "1 of 1"  # known of all
    assert rows["to avoid this"] == "dataset.split = grouped, dataset.group_by = site"
    assert rows["without a group"].startswith("3 of 6 recordings have no author: each is treated as its own group")


def test_nothing_is_added_if_all_keys_are_known() -> None:
    found = recordings("Ann", "Bo")
    rows = audit_rows(found, split(found, "tv"), GROUPED)
    assert rows == {
        "groups in two splits": "0 of 2",
        "recordists in two splits": "0 of 2",
        "sites in two splits": "1 of 1",
        "to avoid this": "dataset.split = grouped, dataset.group_by = site",
    }


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        (GROUPED, "1 of 2 recordings have no author"),
        (replace(GROUPED, group_by="site"), "2 of 2 recordings have no site"),
        (replace(GROUPED, group_by="recording"), ""),
        (Dataset(split="blocked"), "2 of 2 recordings have no place"),
        (Dataset(split="recordings"), ""),
    ],
)
def test_recordings_without_a_key_are_reported(settings: Dataset, missing: str) -> None:
    found = recordings("Ann", "", place=False)
    assert missing_keys_message(found, settings).startswith(missing)
    assert bool(missing_keys_message(found, settings)) == bool(missing)
    assert count_with_keys(found, settings, "author") == 1


@pytest.mark.parametrize(("least", "dense"), [(2, 1), (3, 0)])
def test_the_number_of_blocks_that_stay_together_is_shown(least: int, dense: int) -> None:
    found = recordings("Ann", "Bo")
    rows = audit_rows(found, split(found, "tv"), Dataset(split="blocked", block_recordings=least))
    assert rows["blocks"] == f"{dense} of 1 have dataset.block_recordings recordings and stay together"
    assert "to avoid this" not in rows
