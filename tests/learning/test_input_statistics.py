"""Mean and deviation are those of the pixels that are learned from, and a constant band is not divided by 0."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import sort_data
import spec
from config import Config
from tests.conftest import small_config, write_folders
from utils.learning.examples import Examples, read_examples
from utils.learning.input_statistics import input_statistics, statistics_of, training_statistics
from utils.spectra.pixel_sums import PixelSums, pixel_sums

PIXELS = np.array([[[0, 255], [7, 7], [0, 0]], [[0, 255], [7, 7], [0, 4]]], np.uint8)  # two clips, three rows


def test_of_each_row() -> None:
    found = statistics_of(pixel_sums(PIXELS), bands=True)
    np.testing.assert_allclose(found.mean * 255, [127.5, 7, 1], rtol=1e-6)
    np.testing.assert_allclose(found.deviation * 255, [127.5, 1, np.sqrt(3)], rtol=1e-6)  # a constant row: one level
    assert (found.mean.dtype, found.deviation.dtype) == (np.float32, np.float32)


def test_of_all() -> None:
    found = statistics_of(pixel_sums(PIXELS), bands=False)
    assert (found.mean.shape, found.deviation.shape) == ((), ())
    np.testing.assert_allclose(found.mean, PIXELS.mean() / 255, rtol=1e-6)
    np.testing.assert_allclose(found.deviation, PIXELS.std() / 255, rtol=1e-6)
    assert statistics_of(pixel_sums(np.zeros_like(PIXELS)), bands=False).deviation == np.float32(1 / 255)


def test_many_pixels_lose_no_digits() -> None:
    pixels = 10**13  # of a large data set; half of them 100, half 102
    sums = PixelSums(pixels, np.array([101 * pixels]), np.array([(100**2 + 102**2) // 2 * pixels]))
    found = statistics_of(sums, bands=True)
    np.testing.assert_allclose([found.mean * 255, found.deviation * 255], [[101], [1]], rtol=1e-5)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Examples]:
    root: Path = tmp_path_factory.mktemp("statistics")
    write_folders(root / "archive")
    base = small_config(root / "root", root / "archive")
    config = dataclasses.replace(base, spectrogram=dataclasses.replace(base.spectrogram, scale="fixed"))
    sort_data.main(config)
    spec.main(config)
    return config, read_examples(config)


def with_settings(config: Config, **settings: dict[str, str]) -> Config:
    changed = {name: dataclasses.replace(getattr(config, name), **values) for name, values in settings.items()}
    return dataclasses.replace(config, **changed)


@pytest.mark.parametrize("normalize", ["spectrogram", "weights"])
def test_others_need_none(made: tuple[Config, Examples], normalize: str) -> None:
    config, examples = made
    assert input_statistics(examples, with_settings(config, model={"normalize": normalize})) is None


def test_only_recordings_that_are_learned_from_count(
    made: tuple[Config, Examples], capsys: pytest.CaptureFixture[str]
) -> None:
    config, examples = made
    accepted = examples.store.clips["accepted"].to_numpy()
    learned = np.isin(examples.store.clips["recording"], examples.store.clips["recording"][examples.rows].unique())
    assert len(examples.validation_rows) > 0
    assert not learned[examples.validation_rows].any()
    assert 0 < learned.sum() < accepted.sum()
    pixels = examples.store.spectrograms(np.flatnonzero(accepted & learned)) / 255
    found = input_statistics(examples, with_settings(config, model={"normalize": "bands"}))
    assert found is not None
    np.testing.assert_allclose(found.mean, pixels.mean(axis=(0, 2)), rtol=1e-5)
    np.testing.assert_allclose(found.deviation, np.maximum(pixels.std(axis=(0, 2)), 1 / 255), rtol=1e-5)
    whole = input_statistics(examples, with_settings(config, model={"normalize": "dataset"}))
    assert whole == training_statistics(examples.store, examples.rows, bands=False)
    np.testing.assert_allclose(whole, [pixels.mean(), pixels.std()], rtol=1e-5)
    assert "Warning" not in capsys.readouterr().err


def test_clips_stretched_one_by_one_bring_one_warning(
    made: tuple[Config, Examples], capsys: pytest.CaptureFixture[str]
) -> None:
    config, examples = made
    clip = with_settings(config, model={"normalize": "bands"}, spectrogram={"scale": "clip"})
    assert input_statistics(examples, clip) is not None
    captured = capsys.readouterr()
    assert (captured.out + captured.err).count("spectrogram.scale = clip has stretched each clip") == 1
