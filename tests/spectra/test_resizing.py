"""Spectrograms of another size than the input of the network."""

import cv2
import numpy as np
import pytest

from utils.spectra.resizing import resize


def numbered(rows: int, frames: int) -> np.ndarray:
    return (np.arange(rows * frames, dtype=np.float32) / (rows * frames)).reshape(rows, frames)


@pytest.mark.parametrize("mode", ["squeeze", "crop", "crop_random", "fill"])
def test_a_spectrogram_that_fits_stays(mode: str) -> None:
    spectrogram = numbered(5, 7)
    assert resize(spectrogram, height=5, width=7, mode=mode, seed=0) is spectrogram


def test_squeeze_is_bicubic_and_stays_in_range() -> None:
    spectrogram = np.random.default_rng(0).integers(0, 2, (20, 30)).astype(np.float32)
    expected = cv2.resize(spectrogram, (17, 41), interpolation=cv2.INTER_CUBIC)
    assert expected.max() > 1
    np.testing.assert_array_equal(
        resize(spectrogram, height=41, width=17, mode="squeeze", seed=0), np.clip(expected, 0, 1)
    )


def test_crop_takes_the_middle() -> None:
    np.testing.assert_array_equal(
        resize(numbered(8, 11), height=4, width=5, mode="crop", seed=0), numbered(8, 11)[2:6, 3:8]
    )


def test_crop_random_takes_any_part() -> None:
    spectrogram = numbered(6, 9)
    firsts = {float(resize(spectrogram, height=4, width=8, mode="crop_random", seed=seed)[0, 0]) for seed in range(60)}
    assert firsts == {float(spectrogram[top, left]) for top in range(3) for left in range(2)}


@pytest.mark.parametrize("mode", ["crop", "crop_random"])
def test_a_side_too_short_to_crop_is_stretched(mode: str) -> None:
    spectrogram = resize(numbered(4, 20), height=8, width=20, mode=mode, seed=0)
    np.testing.assert_array_equal(spectrogram, resize(numbered(4, 20), height=8, width=20, mode="squeeze", seed=0))


def test_fill_puts_the_spectrogram_into_noise_like_it() -> None:
    spectrogram = 0.4 + 0.2 * np.random.default_rng(0).random((40, 50), dtype=np.float32)
    filled = resize(spectrogram, height=60, width=90, mode="fill", seed=1)
    np.testing.assert_array_equal(filled[10:50, 20:70], spectrogram)
    noise = np.concatenate([filled[:10].ravel(), filled[:, :20].ravel()])
    assert abs(noise.mean() - spectrogram.mean()) < 0.01
    assert abs(noise.std() - spectrogram.std()) < 0.01
    assert (filled != resize(spectrogram, height=60, width=90, mode="fill", seed=2)).any()


def test_fill_shrinks_what_is_too_long() -> None:
    filled = resize(numbered(40, 50), height=20, width=70, mode="fill", seed=1)
    np.testing.assert_array_equal(
        filled[:, 10:60], resize(numbered(40, 50), height=20, width=50, mode="squeeze", seed=1)
    )
