"""Sums over pixels are those of the store's spectrograms, whoever filled it, and whether spec.py saved them or not."""

import dataclasses
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import sort_data
import spec
from config import Config
from tests.conftest import small_config, write_folders
from utils.console import UserError
from utils.recordings.splits import read_split
from utils.spectra import store_writer
from utils.spectra.clip_parts import read_clip_part
from utils.spectra.image_folder import ImageFolder
from utils.spectra.joined_store import JoinedStore
from utils.spectra.pixel_sums import PixelSums, pixel_sums
from utils.spectra.store import Store
from utils.spectra.training_sums import sums_over_recordings


def config_in(root: Path, archive: Path, **clips: object) -> Config:
    base = small_config(root, archive)
    made = dataclasses.replace(base.clips, signal_threshold=0.07, noise_share=1.0, **clips)  # type: ignore[arg-type]
    images = dataclasses.replace(base.spectrogram, images=True)
    config = dataclasses.replace(base, clips=made, spectrogram=images)
    sort_data.main(config)
    return config


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Fill a store that tests only read."""
    folder = tmp_path_factory.mktemp("finished")
    write_folders(folder / "archive")
    config = config_in(folder / "root", folder / "archive")
    spec.main(config)
    return config


@pytest.fixture
def copied(finished: Config, tmp_path: Path) -> Config:
    """Copy the filled store for a test that changes it."""
    shutil.copytree(finished.dataset.root, tmp_path / "root")
    return dataclasses.replace(finished, dataset=dataclasses.replace(finished.dataset, root=tmp_path / "root"))


def rows_of(store: Store | ImageFolder, recordings: list[str]) -> np.ndarray:
    """Return the rows of the accepted clips of some recordings."""
    chosen = pl.col("accepted") & pl.col("recording").is_in(recordings)
    return store.clips.with_row_index("clip").filter(chosen)["clip"].cast(pl.Int64).to_numpy()


def by_hand(store: Store, recordings: list[str]) -> PixelSums:
    pixels = store.spectrograms(rows_of(store, recordings)).astype(np.int64)
    return PixelSums(len(pixels) * pixels.shape[2], pixels.sum(axis=(0, 2)), (pixels**2).sum(axis=(0, 2)))


def assert_same(found: PixelSums, expected: PixelSums) -> None:
    assert found.pixels == expected.pixels > 0
    assert (found.sums.dtype, found.squares.dtype) == (np.int64, np.int64)
    np.testing.assert_array_equal(found.sums, expected.sums)
    np.testing.assert_array_equal(found.squares, expected.squares)


def test_sums_by_hand() -> None:
    found = pixel_sums(np.array([[[0, 255], [1, 2]], [[255, 255], [3, 4]]], np.uint8))
    assert_same(found, PixelSums(4, np.array([765, 10]), np.array([3 * 255**2, 30])))
    assert_same(found + found, PixelSums(8, np.array([1530, 20]), np.array([6 * 255**2, 60])))


def test_each_recording_has_the_sums_of_its_accepted_clips(finished: Config) -> None:
    store = Store(finished.dataset.root)
    accepted = store.clips.filter("accepted")["recording"].unique().to_list()
    assert 0 < store.clips["accepted"].sum() < len(store.clips)
    found = store.pixel_sums(accepted)
    assert sorted(found) == sorted(accepted)
    for name, sums in found.items():
        assert_same(sums, by_hand(store, [name]))


@pytest.mark.parametrize("missing", ["none", "one shard", "all"])
def test_of_some_clips_all_of_their_recordings_count_also_in_earlier_stores(
    copied: Config, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    tables = sorted((copied.dataset.root / "spec").rglob("pixel_sums.parquet"))
    assert len(tables) == 3
    for table in {"none": [], "one shard": tables[:1], "all": tables}[missing]:
        table.unlink()
    monkeypatch.setattr("utils.spectra.training_sums.CLIPS_AT_ONCE", 3)
    store = Store(copied.dataset.root)
    recordings = ["Altus clarus/A1", "Bassus gravis/B0", "Bassus gravis/B2"]
    first_clips = np.concatenate([rows_of(store, [name])[:1] for name in recordings])
    rejected = store.clips.with_row_index("clip").filter(~pl.col("accepted"))["clip"].cast(pl.Int64).to_numpy()
    assert_same(sums_over_recordings(store, np.concatenate([first_clips, rejected])), by_hand(store, recordings))
    before = sorted(copied.dataset.root.rglob("*"))
    monkeypatch.setattr(store_writer, "pack_shard", None)
    spec.main(copied)  # the store is complete as it is: nothing is packed
    assert sorted(copied.dataset.root.rglob("*")) == before


def test_parts_of_an_earlier_version_have_no_sums(
    finished: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_in(tmp_path / "root", finished.dataset.archive)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store_writer, "pixel_sum_table", stop)
        with pytest.raises(KeyboardInterrupt):
            spec.main(config)
    parts = sorted((config.dataset.root / "spec" / "parts").glob("*.zip"))
    without_sums(next(part for part in parts if read_clip_part(part).sums))
    spec.main(config)
    store = Store(config.dataset.root)
    every = store.clips.filter("accepted")["recording"].unique().to_list()
    assert len(store.pixel_sums(every)) == len(every) - 1
    assert_same(sums_over_recordings(store, rows_of(store, every)), by_hand(store, every))


def without_sums(part: Path) -> None:
    with zipfile.ZipFile(part) as archive:
        pixels, metadata = archive.read("pixels"), json.loads(archive.read("words.json"))
    del metadata["sums"]
    with zipfile.ZipFile(part, "w") as archive:
        archive.writestr("words.json", json.dumps(metadata))
        archive.writestr("pixels", pixels)


@pytest.mark.usefixtures("processes")
def test_workers_and_kills_change_nothing(finished: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(finished.dataset.root)
    every = store.clips.filter("accepted")["recording"].unique().sort().to_list()
    expected = store.pixel_sums(every)
    other = dataclasses.replace(config_in(tmp_path / "root", finished.dataset.archive), workers=2)
    original = store_writer.fan_out

    def killed(*arguments: object, **more: object):
        for index, result in enumerate(original(*arguments, **more)):
            if index == 5:
                raise KeyboardInterrupt
            yield result

    with monkeypatch.context() as patch:
        patch.setattr(store_writer, "fan_out", killed)
        with pytest.raises(KeyboardInterrupt):
            spec.main(other)
    spec.main(other)
    found = Store(other.dataset.root).pixel_sums(every)
    assert sorted(found) == sorted(expected) == every
    for name in every:
        assert_same(found[name], expected[name])


def test_images_and_joined_stores(finished: Config) -> None:
    store = Store(finished.dataset.root)
    every = store.clips.filter("accepted")["recording"].unique().to_list()
    images = ImageFolder(finished.dataset.root / "spec" / "images", read_split(finished.dataset), finished)
    assert_same(sums_over_recordings(images, rows_of(images, every)), by_hand(store, every))
    one, two = rows_of(store, every[:2]), rows_of(store, every[1:3])
    joined = JoinedStore([store, Store(finished.dataset.root)])  # a data set joined with itself
    rows = np.concatenate([one, two + len(store.clips)])
    np.testing.assert_array_equal(joined.spectrograms(rows), store.spectrograms(np.concatenate([one, two])))
    assert_same(sums_over_recordings(joined, rows), by_hand(store, every[:3]))


@pytest.mark.parametrize(
    "changed",
    [
        pl.col("sums").list.head(3),
        pl.lit(None, pl.List(pl.Int64)).alias("squares"),
        pl.lit(0, pl.Int64).alias("pixels"),
        pl.lit(-1, pl.Int64).alias("pixels"),
        pl.col("squares") * -1,
        pl.lit("x").alias("pixels"),
    ],
)
def test_impossible_sums_are_refused(copied: Config, changed: pl.Expr) -> None:
    store = Store(copied.dataset.root)
    table = store.folder / "shards" / "Altus clarus-000" / "pixel_sums.parquet"
    pl.read_parquet(table).with_columns(changed).write_parquet(table)
    with pytest.raises(UserError, match=r"pixel_sums\.parquet: .*; remove it; train\.py then computes"):
        store.pixel_sums(["Altus clarus/A1"])
    assert store.pixel_sums(["Bassus gravis/B1"])
