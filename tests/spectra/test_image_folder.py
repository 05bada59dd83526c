"""Training from a folder of images is the same as from the store; broken files are left out; the split is respected."""

import dataclasses
import shutil
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest

import sort_data
import spec
from config import Config
from tests.conftest import small_config, write_folders
from utils import console
from utils.recordings.splits import read_split
from utils.spectra.image_folder import ImageFolder, read_png
from utils.spectra.store import CLIP_COLUMNS, RECORDING_COLUMNS, Store


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Config:
    folder = tmp_path_factory.mktemp("images")
    write_folders(folder / "archive")
    config = small_config(folder / "root", folder / "archive")
    config = dataclasses.replace(
        config,
        spectrogram=dataclasses.replace(config.spectrogram, images=True),
        clips=dataclasses.replace(config.clips, signal_threshold=0.063, noise_share=1.0),
    )
    sort_data.main(config)
    spec.main(config)
    return config


@pytest.fixture
def images(made: Config, tmp_path: Path) -> Path:
    """Return a copy that may be spoilt, as one takes it to another machine: a store's settings are not beside it."""
    for name in ("images", "noise"):
        shutil.copytree(made.dataset.root / "spec" / name, tmp_path / "away" / name)
    return tmp_path / "away" / "images"


def first(folder: Path, species: str) -> Path:
    return min((folder / species).iterdir())


def test_it_is_what_the_store_is(made: Config, images: Path) -> None:
    store, split = Store(made.dataset.root), read_split(made.dataset)
    folder = ImageFolder(images, split, made)
    assert (folder.clips.schema, folder.recordings.schema) == (CLIP_COLUMNS, RECORDING_COLUMNS)
    same = ["recording", "class", "background", "index", "accepted", "weight"]
    assert folder.clips.select(same).equals(store.clips.select(same))
    assert (folder.clips["score"] - store.clips["score"]).is_between(-0.0001, 1e-6).all()
    every = np.arange(len(store.clips))
    np.testing.assert_array_equal(folder.spectrograms(every), store.spectrograms(every))
    assert (
        folder.recordings.sort("recording")
        .select("recording", "kept", "noise")
        .equals(store.recordings.sort("recording").select("recording", "kept", "noise"))
    )
    assert not folder.clips["accepted"].all()


def test_alone_all_of_it_is_learned_from(made: Config, images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = ImageFolder(images, None, made)
    assert set(folder.split["split"]) == {"train"}
    assert "Altus clarus/A1" in folder.split["recording"].to_list()
    assert "all images are used for training" in capsys.readouterr().out
    assert folder.split.schema == read_split(made.dataset).schema
    for file in images.rglob("*.png"):  # of another data set
        file.rename(file.with_name(file.name.replace("_", "_other_", 1)))
    shutil.rmtree(images.parent / "noise")
    assert set(ImageFolder(images, read_split(made.dataset), made).split["split"]) == {"train"}


def test_recordings_that_the_split_does_not_know_are_left_out(
    made: Config, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(first(images, "Altus clarus"), images / "Altus clarus" / "0500_unknown_000.png")
    # the same names, in a class that the split does not have
    shutil.copytree(images / "Altus clarus", images / "Novus ignotus")
    folder = ImageFolder(images, read_split(made.dataset), made)
    assert len(folder.clips) == len(Store(made.dataset.root).clips)
    assert "the split does not have their recordings" in capsys.readouterr().err


def test_the_old_baselines_folder(made: Config, tmp_path: Path) -> None:
    """Its names have no class, its noise lies in one folder, and its classes may be written with underscores."""
    old, image = tmp_path / "old", Store(made.dataset.root).spectrograms(np.array([0]))[0]
    for path in (
        "spec/Altus_clarus/0100_A1_000.png",
        "spec/Bassus gravis/2500_A1_001.png",
        "spec/Bassus gravis/0100_B2_000.png",
        "noise/0000_B2_007.png",
    ):
        (old / path).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(old / path), image)
    cv2.imwrite(str(old / "noise" / "0000_A1_009.png"), image)  # of which A1?
    folder = ImageFolder(old / "spec", read_split(made.dataset), made)
    assert folder.clips.select("recording", "index").rows() == [  # the split has one A1, that of Altus clarus
        ("Altus clarus/A1", 0),
        ("Altus clarus/A1", 9),
        ("Bassus gravis/B2", 0),
        ("Bassus gravis/B2", 7),
    ]
    folder = ImageFolder(old / "spec", None, made)
    assert folder.clips.select("recording", "class", "index", "accepted").rows() == [
        ("Altus clarus/A1", "Altus clarus", 0, True),
        ("Bassus gravis/A1", "Bassus gravis", 1, True),
        ("Bassus gravis/B2", "Bassus gravis", 0, True),
        ("Bassus gravis/B2", "Bassus gravis", 7, False),
    ]
    assert folder.clips["score"].to_list() == pytest.approx([0.01, 0.25, 0.01, 0.0])


def test_long_recordings_keep_their_names(made: Config, tmp_path: Path) -> None:
    image = Store(made.dataset.root).spectrograms(np.array([0]))[0]
    for path in (
        "images/A/0100_tape_000.png",
        "images/B/0100_tape_001.png",
        "noise/(no class)/0000_tape_002.png",
        "images/A/0100_A%2Fx_000.png",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / path), image)
    split = (
        read_split(made.dataset)
        .head(2)
        .with_columns(
            recording=pl.Series(["A/x", "tape"]), **{"class": pl.Series(["A", ""])}, background=pl.lit(["A", "B"])
        )
    )
    folder = ImageFolder(tmp_path / "images", split, made)
    assert folder.clips.select("recording", "class", "index", "accepted").rows() == [
        ("tape", "A", 0, True),
        ("tape", "B", 1, True),
        ("tape", "", 2, False),
        ("A/x", "A", 0, True),
    ]
    assert folder.clips["background"].to_list()[:2] == [["B"], ["A"]]


def test_colours_become_grey(made: Config, images: Path) -> None:
    file = first(images, "Altus clarus")
    grey = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(file), np.stack([grey] * 3, axis=2))
    np.testing.assert_array_equal(read_png(file, made.spectrogram), grey)
    cv2.imwrite(str(file), np.stack([0 * grey, grey, 0 * grey, 0 * grey], axis=2))  # green, and all of it transparent
    assert 0.5 < read_png(file, made.spectrogram).mean() / grey.mean() < 0.65


def test_broken_images_are_named_and_cost_only_themselves(
    made: Config, images: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    every = ImageFolder(images, read_split(made.dataset), made)
    files = sorted((images / "Altus clarus").iterdir())
    whole = files[0].read_bytes()
    files[0].write_bytes(whole[:-20])
    files[1].write_bytes(whole[:60] + bytes([whole[60] ^ 255]) + whole[61:])
    files[2].write_bytes(b"")
    files[3].write_bytes(b"GIF89a" * 20)
    files[4].unlink()
    files[4].mkdir()
    (images / "Altus clarus" / "no name of ours.png").write_bytes(whole)
    (images / "0100_loose_000.png").write_bytes(whole)
    (images / "Altus clarus" / "Thumbs.db").write_bytes(b"x")
    capfd.readouterr()
    folder = ImageFolder(images, read_split(made.dataset), made)
    assert len(folder.clips) == len(every.clips) - 5
    printed = capfd.readouterr().err
    assert "7 images left out" in printed
    for file, reason in zip(
        files,
        ("is truncated", "is a damaged PNG file", "is not a PNG file", "is not a PNG file", "Is a directory"),
        strict=False,
    ):
        assert f"{file}: {reason}\n" in printed
    assert printed.count("is not named like <class>/0123_recording_004.png") == 2
    assert len(printed.splitlines()) == 8  # and nothing that OpenCV says


def test_images_of_another_size_are_refused(made: Config, images: Path) -> None:
    file = first(images, "Altus clarus")
    cv2.imwrite(str(file), np.zeros((8, 8), np.uint8))
    with pytest.raises(
        console.UserError, match=r"Altus clarus/0\d+_A\d_00\d\.png: has 8 × 8 pixels, but the settings say 32 × 16"
    ) as caught:
        ImageFolder(images, None, made)
    assert "\n" not in str(caught.value)


def test_what_holds_no_images_is_refused(made: Config, tmp_path: Path, images: Path) -> None:
    for folder in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(console.UserError, match=r"holds no images named like <class>/0123_recording_004\.png"):
            ImageFolder(folder, None, made)
    other = dataclasses.replace(made, spectrogram=dataclasses.replace(made.spectrogram, fmin=700.0))
    with pytest.raises(console.UserError, match=r"spectrogram\.fmin was 500\.0, is 700\.0"):
        ImageFolder(made.dataset.root / "spec" / "images", None, other)
    ImageFolder(images, None, other)  # the settings that these were made with are unknown


def test_an_image_that_goes_bad_later_is_named(made: Config, images: Path) -> None:
    folder = ImageFolder(images, None, made)
    first(images, "Altus clarus").write_bytes(b"x")
    with pytest.raises(console.UserError, match="is not a PNG file, but it could be read when training started"):
        folder.spectrograms(np.arange(len(folder.clips)))
