"""The metadata classifier is trained, resumed and judged, and refuses what it cannot learn from."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import train_metadata
from config import Config
from tests.conftest import REPOSITORY
from tests.places import (
    NORTH,
    SOUTH,
    SUMMER,
    seasonal_recordings,
    split_of,
    with_metadata_settings,
    write_placed_data,
    write_raster,
)
from utils.console import UserError
from utils.learning.boosting import boost
from utils.learning.boosting_data import placed_recordings, read_boosting_data, validation_mask
from utils.learning.boosting_metrics import class_shares
from utils.learning.boosting_run import classifier_folder
from utils.recordings.recording import NOISE, Recording
from utils.scoring.inference import metadata_classifier, metadata_features
from utils.scoring.inference.metadata_classifier import read_classifier, recordings_of_classifier
from utils.scoring.inference.metadata_features import MISSING, digest_of, digest_of_raster
from utils.scoring.inference.prior_metadata import PlaceAndWeek
from utils.settings import to_toml

pytest.importorskip("catboost")

FILES = {
    *("settings.toml", "classes.txt", "learned.txt", "features.json", "model.cbm", "classifier.json", "losses.csv"),
    *("importance.csv", "importance.png", "metrics.json"),
}


@pytest.fixture(scope="module")
def seasons(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return write_placed_data(tmp_path_factory.mktemp("seasons"), seasonal_recordings())


def of_run(config: Config, run: str, **changes: object) -> Config:
    return with_metadata_settings(replace(config, run=run), **changes)


def test_species_by_latitude_and_season(seasons: Config, capsys: pytest.CaptureFixture[str]) -> None:
    trained = train_metadata.main(seasons)
    folder = classifier_folder(seasons)
    assert {path.name for path in folder.iterdir()} == FILES
    for found in trained.metrics.values():
        assert (found.classifier["top1_accuracy"].value or 0) > 0.9
        assert (found.class_prior["top1_accuracy"].value or 0) < 0.5
        assert (found.difference["argmax_macro_f1"].low or 0) > 0.2
    assert set(trained.metrics) == {"validation", "held_out"}
    assert set(json.loads((folder / "metrics.json").read_text())) >= {"validation", "held_out", "trees", "learned"}
    importance = dict(pl.read_csv(folder / "importance.csv").iter_rows())
    assert next(iter(importance)) in ("latitude", "day")
    assert min(importance["latitude"], importance["day"]) > max(importance["longitude"], importance["elevation"])
    assert sum(importance.values()) == pytest.approx(100.0)
    table = split_of(seasons)
    assert recordings_of_classifier(folder) == set(table.filter(pl.col("split") == "train")["recording"])
    assert "--testing.metadata" in capsys.readouterr().out
    classifier = read_classifier(folder, seasons.metadata)
    assert classifier.classes == (NORTH, SOUTH, SUMMER)
    places = [
        PlaceAndWeek(30.0, 0.0, 25, 190),
        PlaceAndWeek(30.0, 0.0, 1, 5),
        PlaceAndWeek(-30.0, 0.0, 27, None),
        PlaceAndWeek(30.0, 0.0, None),
        PlaceAndWeek(None, None, 1, 5),
        None,
    ]
    found = classifier.probabilities(places)
    assert [classifier.classes[one] for one in found[:3].argmax(axis=1)] == [SUMMER, NORTH, SOUTH]
    np.testing.assert_allclose(found[:3].sum(axis=1), 1.0)
    assert np.isnan(found[3:]).all()


def test_trained_again_it_is_the_same_and_other_settings_are_refused(
    seasons: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    config = of_run(seasons, "again")
    first = train_metadata.main(config)
    written = (first.classifier.folder / "model.cbm").read_bytes()
    again = train_metadata.main(config)
    assert again.classifier == first.classifier
    assert "is trained already" in capsys.readouterr().out
    values = [
        {name: one.classifier["mlrap"].value for name, one in trained.metrics.items()} for trained in (first, again)
    ]
    assert values[0] == values[1]
    with pytest.raises(UserError, match=r"with other settings \(metadata\.depth was 6, is 3\); .*--fresh"):
        train_metadata.main(with_metadata_settings(config, depth=3))
    other = train_metadata.main(with_metadata_settings(config, depth=3), train_metadata.Flags(fresh=True))
    assert other.classifier.fingerprint != first.classifier.fingerprint
    assert (other.classifier.folder / "model.cbm").read_bytes() != written
    trees = other.classifier.folder / "model.cbm"
    trees.write_bytes(written)  # damaged: what the message says repairs it
    with pytest.raises(UserError, match=r"model\.cbm: is damaged; run train_metadata\.py with --fresh"):
        train_metadata.main(with_metadata_settings(config, depth=3))
    repaired = train_metadata.main(with_metadata_settings(config, depth=3), train_metadata.Flags(fresh=True))
    assert repaired.classifier.sha256 == other.classifier.sha256


@pytest.mark.parametrize("workers", [1, 3])
def test_threads_change_nothing(seasons: Config, workers: int) -> None:
    alone = train_metadata.main(of_run(seasons, "plain", iterations=15))
    threaded = train_metadata.main(replace(of_run(seasons, f"threads{workers}", iterations=15), workers=workers))
    assert threaded.classifier.sha256 == alone.classifier.sha256


KILLED = """
import os, sys
from pathlib import Path
import train_metadata
from utils.learning import boosting
from utils.settings import load

class Killer(boosting._Advance):
    def after_iteration(self, info):
        if info.iteration == 20:
            os._exit(9)
        return super().after_iteration(info)

boosting.PROGRESS_SECONDS = 0
boosting._Advance = Killer
train_metadata.main(load(Path(sys.argv[1])))
"""


def test_killed_and_resumed_it_is_the_same(seasons: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    undisturbed = train_metadata.main(of_run(seasons, "undisturbed"))
    config = of_run(seasons, "killed")
    (config.dataset.root / "killed.toml").write_text(to_toml(config))
    words = [sys.executable, "-c", KILLED, str(config.dataset.root / "killed.toml")]
    assert subprocess.run(words, cwd=REPOSITORY, check=False).returncode == 9
    folder = classifier_folder(config)
    assert not (folder / "classifier.json").exists()
    (progress,) = folder.glob("training_*")
    assert (progress / "progress").stat().st_size > 0
    iterations = []
    from utils.learning import boosting

    class Counting(boosting._Advance):
        def after_iteration(self, info: object) -> bool:
            iterations.append(info.iteration)  # type: ignore[attr-defined]
            return super().after_iteration(info)

    monkeypatch.setattr(boosting, "_Advance", Counting)
    resumed = train_metadata.main(config)
    assert iterations[0] >= 20
    assert resumed.classifier.sha256 == undisturbed.classifier.sha256
    assert {path.name for path in folder.iterdir()} == FILES
    for name in ("metrics.json", "importance.csv", "losses.csv", "features.json", "learned.txt"):
        assert (folder / name).read_text() == (undisturbed.classifier.folder / name).read_text()


def clustered_recordings(*, sites: int = 30, each: int = 6) -> list[Recording]:
    """At each site one species sings, whatever the species of other sites: what is near is alike."""
    rng = np.random.default_rng(1)
    return [
        Recording(
            f"s{site:02d}-{index}",
            Path(f"s{site:02d}-{index}.wav"),
            (NORTH, SOUTH, SUMMER)[species],
            date="2023-05-05",
            latitude=latitude + float(rng.normal(0, 0.01)),
            longitude=longitude + float(rng.normal(0, 0.01)),
        )
        for site, (species, latitude, longitude) in enumerate(
            zip(
                rng.integers(3, size=sites),
                rng.integers(-20, 20, sites) + 0.5,
                4.0 * np.arange(sites) + 0.5,
                strict=True,
            )
        )
        for index in range(each)
    ]


def test_blocked_validation_is_harder_than_random(tmp_path: Path) -> None:
    config = write_placed_data(tmp_path, clustered_recordings())
    config = replace(config, dataset=replace(config.dataset, block_recordings=3))
    accuracy = {}
    for how in ("recordings", "blocks"):
        trained = train_metadata.main(of_run(config, how, validation_by=how, early_stopping=0, iterations=20, depth=4))
        accuracy[how] = trained.metrics["validation"].classifier["top1_accuracy"].value or 0.0
    assert accuracy["recordings"] > 0.8
    assert accuracy["blocks"] < accuracy["recordings"] - 0.25


def test_a_block_is_never_divided(tmp_path: Path) -> None:
    config = write_placed_data(tmp_path, clustered_recordings(), held_out=10**6)
    config = with_metadata_settings(replace(config, dataset=replace(config.dataset, block_recordings=3)))
    recordings = placed_recordings(split_of(config).filter(pl.col("split") == "train"), config)
    sites = np.array([name[:3] for name in recordings.rows["recording"]])
    apart = validation_mask(recordings, with_metadata_settings(config, validation_by="blocks"))
    assert 0.1 < apart.mean() < 0.3
    assert not set(sites[apart]) & set(sites[~apart])
    apart = validation_mask(recordings, config)
    assert 0.1 < apart.mean() < 0.3
    assert set(sites[apart]) & set(sites[~apart])
    assert not validation_mask(recordings, with_metadata_settings(config, validation_share=0.0)).any()


def test_rasters_and_categories_are_features(tmp_path: Path) -> None:
    """Only a raster tells the species apart; a category that validation alone has counts as missing."""
    codes = np.array([[1, 2, 0, 300]], np.int16)
    forest = write_raster(tmp_path / "forest.tif", codes, nodata=0)
    climate = write_raster(tmp_path / "climate.tif", np.array([[20.0, 10.0, 15.0, np.nan]], np.float32))
    recordings = [
        Recording(
            f"r{index:02d}",
            Path(f"r{index:02d}.wav"),
            (NORTH, SOUTH)[index % 2],
            date="2023-05-05",
            latitude=1.0,
            longitude=(-100.0, -50.0)[index % 2],
        )
        for index in range(40)
    ]
    config = write_placed_data(tmp_path, recordings)
    config = with_metadata_settings(config, rasters=(forest, climate), categorical=("forest",), features=())
    trained = train_metadata.main(config)
    assert trained.metrics["held_out"].classifier["top1_accuracy"].value == 1.0
    forest_feature, climate_feature = trained.classifier.features
    assert (forest_feature.categories, climate_feature.categories) == (("1", "2"), None)
    assert climate_feature.mean == pytest.approx(15.0, abs=2.0)
    assert forest_feature.values(np.array([1.0, 300.0, np.nan])) == ["1", MISSING, MISSING]
    elsewhere = trained.classifier.probabilities([PlaceAndWeek(1.0, 170.0, 1, 1), PlaceAndWeek(1.0, 10.0, 1, 1)])
    assert np.isfinite(elsewhere).all()
    forest.rename(tmp_path / "moved" if (tmp_path / "moved").mkdir() else tmp_path / "moved" / "forest.tif")
    with pytest.raises(UserError, match=r"forest\.tif: no such file, .*name it in metadata\.rasters"):
        read_classifier(trained.classifier.folder, replace(config.metadata, rasters=()))
    settings = replace(config.metadata, rasters=(tmp_path / "moved" / "forest.tif",))
    read_classifier(trained.classifier.folder, settings)
    write_raster(tmp_path / "moved" / "forest.tif", codes + 1)
    with pytest.raises(UserError, match=r"is not the raster that the metadata classifier was trained with"):
        read_classifier(trained.classifier.folder, settings)


def test_what_cannot_be_learned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    placeless = [replace(one, latitude=None) for one in seasonal_recordings(per_species=4)]
    with pytest.raises(UserError, match=r"known for recordings of only 0 classes in train/; two or more are needed"):
        train_metadata.main(write_placed_data(tmp_path, placeless))
    some = seasonal_recordings(per_species=10)
    some[1] = replace(some[1], date="2023-02-30")
    some[2] = replace(some[2], longitude=None)
    some[3] = replace(some[3], species=NOISE)
    config = write_placed_data(tmp_path, some)
    assert len(read_boosting_data(split_of(config), config).recordings.rows) == 24 - 3
    assert "3 of 24 recordings in train/ have no place, no date or no primary label" in capsys.readouterr().err
    without_day = with_metadata_settings(config, features=("latitude",))
    assert len(read_boosting_data(split_of(config), without_day).recordings.rows) == 24 - 2


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"features": ()}, "name nothing to learn from"),
        ({"categorical": ("forest",)}, "metadata.categorical: 'forest' is not the name of a raster; they are none"),
        ({"rasters": (Path("gone.tif"),)}, r"gone.tif: no such file; fix metadata.rasters"),
        ({"features": ("day", "latitude", "latitude")}, "metadata.features: names 'latitude' twice; leave one out"),
        ({"rasters": (REPOSITORY / "LICENSE",)}, "cannot be read as a GeoTIFF"),
        ({"rasters": (REPOSITORY / "README.md", Path("README.md"))}, "two features have the name 'README'"),
        pytest.param(
            {"device": "gpu"},
            "CatBoost cannot train: .*(GPU|CUDA).*; set metadata.device = cpu",
            marks=pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="there is a GPU"),
        ),
    ],
)
def test_settings_that_cannot_be_used_cost_a_line(seasons: Config, changes: dict[str, object], reason: str) -> None:
    with pytest.raises(UserError, match=reason) as caught:
        train_metadata.main(of_run(seasons, "refused", **changes))
    assert "\n" not in str(caught.value)


def test_features_without_values_and_single_recordings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recordings = [replace(one, elevation="?") for one in seasonal_recordings(per_species=10)]
    recordings[1] = replace(recordings[1], species="Solus unicus")
    trained = train_metadata.main(write_placed_data(tmp_path, recordings))
    assert [feature.name for feature in trained.classifier.features] == ["latitude", "longitude", "day"]
    assert "the feature elevation is not known for any recording; it is left out" in capsys.readouterr().err
    assert "Solus unicus" in trained.classifier.classes


def test_rasters_that_tell_nothing_are_refused(
    seasons: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rasterio")
    empty = write_raster(tmp_path / "empty.tif", np.full((1, 2), 7, np.int16), nodata=7)
    with pytest.raises(
        UserError, match=r"empty\.tif: has no value at any recording .*leave it out of metadata\.rasters"
    ):
        train_metadata.main(of_run(seasons, "refused", rasters=(empty,)))
    constant = write_raster(tmp_path / "constant.tif", np.full((2, 1, 2), 7, np.int16))
    with pytest.raises(UserError, match=r"no feature differs between recordings; name another one"):
        train_metadata.main(of_run(seasons, "refused", rasters=(constant,), features=()))
    capsys.readouterr()
    train_metadata.main(of_run(seasons, "bands", rasters=(constant,), iterations=2))
    assert capsys.readouterr().err.count("has 2 bands") == 1


def test_what_catboost_refuses_costs_a_line(seasons: Config) -> None:
    data = read_boosting_data(split_of(seasons), seasons)
    twice = replace(data, features=(data.features[0], *data.features[:-1]))
    with pytest.raises(UserError, match=r"CatBoost cannot train: .*name"):
        boost(twice, classifier_folder(of_run(seasons, "refused")), seasons)


def test_pipes_have_no_digest(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.tif")
    with pytest.raises(UserError, match=r"a\.tif: no such file; fix metadata\.rasters"):
        digest_of_raster(tmp_path / "a.tif")
    with pytest.raises(UserError, match=r"model\.cbm: no such file; train again"):
        digest_of(tmp_path / "model.cbm", advice="train again")


def test_rasters_are_read_once_until_they_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test needs their digests for its check, its fingerprint and its blend."""
    path, read = tmp_path / "a.tif", []
    path.write_bytes(b"one")
    whole = metadata_features.digest_of
    monkeypatch.setattr(
        metadata_features, "digest_of", lambda file, *, advice: read.append(file) or whole(file, advice=advice)
    )
    first = digest_of_raster(path)
    assert digest_of_raster(path) == first
    assert len(read) == 1
    path.write_bytes(b"other")
    assert digest_of_raster(path) != first
    assert len(read) == 2


def test_foreign_folders_and_missing_packages(seasons: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    config = of_run(seasons, "foreign")
    (classifier_folder(config) / "epoch_001").mkdir(parents=True)
    with pytest.raises(UserError, match=r"contains epoch_001, which does not belong to a metadata classifier"):
        train_metadata.main(config)
    monkeypatch.setattr(metadata_classifier, "find_spec", lambda name: None)
    with pytest.raises(
        UserError, match=r"training the metadata classifier: needs catboost.*pip install '\.\[places\]'"
    ):
        train_metadata.main(seasons)


def test_class_shares_break_ties() -> None:
    found = class_shares(np.array([2, 2, 0, 1]), classes=4)
    np.testing.assert_allclose(found, [0.25, 0.25, 0.5, 0.0], atol=1e-6)
    assert found[0] > found[1]
