"""Real recordings are sorted by every split that their metadata allow, and nothing leaks."""

from pathlib import Path

import pytest

import sort_data
from config import Config, Dataset
from utils.recordings import splits
from utils.recordings.archive import read_archive
from utils.recordings.audit import shared_groups, shared_keys


@pytest.mark.parametrize(
    ("split", "shares", "counts"),
    [
        ("given", {}, {"train": 364, "test": 114}),
        ("recordings", {}, {"train": 429, "val": 49}),
        ("grouped", {}, None),
        ("grouped", {"test_share": 0.1}, None),
        ("grouped", {"folds": 5}, None),
    ],
)
def test_birds(
    tmp_path: Path, birds: Path, split: str, shares: dict[str, float], counts: dict[str, int] | None
) -> None:
    settings = Dataset(
        root=tmp_path / "root",
        archive=birds,
        split=split,  # type: ignore[arg-type]
        sort_mode="symlink",
        **shares,  # type: ignore[arg-type]
    )
    sort_data.main(Config(dataset=settings))
    table = splits.read_split(settings)
    assert (table.height, table["class"].n_unique()) == (478, 49)
    assert shared_groups(table) == []
    assert set(table.filter(split="train")["class"]) == set(table["class"])
    on_two, recordists = shared_keys(read_archive(settings).recordings, table, settings)["author"]
    assert recordists == 92
    assert (on_two == 0) == (split == "grouped")
    if counts:
        assert dict(table["split"].value_counts().iter_rows()) == counts


@pytest.mark.parametrize(("folder", "recordings"), [("mixed_soundscapes", 8), ("soundscapes", 20)])
def test_annotated_soundscapes(tmp_path: Path, birds: Path, folder: str, recordings: int) -> None:
    settings = Dataset(
        root=tmp_path / "root",
        archive=birds / folder,
        split="grouped",
        group_by="recording",
        val_share=0.2,
        sort_mode="symlink",
    )
    sort_data.main(Config(dataset=settings))
    table = splits.read_split(settings)
    assert table.height <= recordings
    assert table.height >= recordings - 8  # of some nothing is said that names a species
    assert set(table["class"]) == {""}
    assert shared_groups(table) == []
    assert all(len(events) > 0 for events in table["events"])
