"""The picture is the 2018 baseline's."""

from pathlib import Path

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config import Clips, Spectrogram
from utils.spectra.clips import clip_samples, cut
from utils.spectra.decode import decode
from utils.spectra.signal_score import medians, signal_score
from utils.spectra.spectrogram import mel_picture, to_pixels


def test_golden_pictures_and_scores(golden: Path, birds: Path) -> None:
    expected = np.load(golden / "mel.npz")
    picture = Spectrogram()
    length, step, least = clip_samples(Clips(), rate=picture.rate)
    blocks = decode(birds / "Acadian Flycatcher.wav", rate=picture.rate, block=3.3)
    clips = {first + index: clip for first, batch in cut(blocks, length=length, step=step, least=least) for index, clip in enumerate(batch)}
    for number, mel, score in zip(expected["clip"], expected["mel"], expected["signal_score"], strict=True):
        found = mel_picture(clips[int(number)], picture)
        assert np.abs(found - mel).max() < 0.02
        assert np.abs(found - mel).mean() < 0.0015
        assert abs(signal_score(found) - score) < 1e-4


def librosa_picture(samples: np.ndarray, picture: Spectrogram) -> np.ndarray:
    hop = len(samples) // (picture.width - 1)
    emphasized = np.append(samples[0], samples[1:] - np.float32(picture.pre_emphasis) * samples[:-1])
    mel = librosa.feature.melspectrogram(
        y=emphasized, sr=picture.rate, n_fft=8 * picture.height, hop_length=hop, n_mels=picture.height, fmin=picture.fmin, fmax=picture.fmax, power=1
    )
    levels = librosa.amplitude_to_db(mel, ref=np.max)[::-1, : picture.width]
    return (levels - levels.min()) / (levels.max() - levels.min())


@pytest.mark.parametrize(
    "picture",
    [Spectrogram(), Spectrogram(height=32, width=100, fmin=100, fmax=8000, pre_emphasis=0), Spectrogram(rate=22_050, fmin=0, fmax=11_025, height=64)],
    ids=["default", "small", "whole band"],
)
@pytest.mark.filterwarnings("ignore:Empty filters detected")
def test_the_formula_is_librosas(picture: Spectrogram) -> None:
    time = np.arange(picture.rate) / picture.rate
    rng = np.random.default_rng(1)
    samples = (np.sin(2 * np.pi * (1000 + 2000 * time) * time) * (time > 0.4) + 0.01 * rng.normal(size=picture.rate)).astype(np.float32)
    np.testing.assert_allclose(mel_picture(samples, picture), librosa_picture(samples, picture), atol=2e-3)


def test_a_tone_is_a_line_at_its_height() -> None:
    picture = Spectrogram(pre_emphasis=0)
    samples = np.sin(2 * np.pi * 4000 * np.arange(44_100) / 44_100).astype(np.float32)
    row = int(mel_picture(samples, picture)[:, 50:200].mean(axis=1).argmax())
    bands = librosa.mel_frequencies(n_mels=130, fmin=500, fmax=15_000)[1:-1]
    assert abs(bands[::-1][row] - 4000) < 150
    assert row > 32  # low frequencies are at the bottom: 4 kHz is below the middle of a linear scale, in the middle of mel


SMALL = Spectrogram(rate=8000, fmin=200, fmax=4000, height=16, width=32)


@settings(max_examples=30, deadline=None)
@given(st.integers(31, 9000), st.integers(0, 100), st.sampled_from([0.0, 1e-7, 0.1, 1.0, 1e4]), st.sampled_from([0.0, 0.5]))
def test_any_clip_gives_a_picture(samples: int, seed: int, loudness: float, offset: float) -> None:
    sound = (offset + loudness * np.random.default_rng(seed).uniform(-1, 1, samples)).astype(np.float32)
    picture = mel_picture(sound, SMALL)
    assert picture.shape == (16, 32)
    assert picture.dtype == np.float32
    assert np.isfinite(picture).all()
    assert picture.min() >= 0
    assert picture.max() <= 1
    assert 0 <= signal_score(picture) <= 1


def test_silence_is_black_and_scores_nothing() -> None:
    picture = mel_picture(np.zeros(8000, np.float32), SMALL)
    assert not picture.any()
    assert signal_score(picture) == 0


def test_signal_score_by_hand() -> None:
    picture = np.full((20, 30), 0.5, np.float32)
    assert signal_score(picture) == 0  # nothing stands out
    picture[5:9, 10:15] = 1.0
    assert signal_score(picture) == pytest.approx((4 * 5 - 4) / 600)  # a patch, whose corners the median rounds off
    picture[:] = 0.5
    picture[5, :] = 1.0
    assert signal_score(picture) == 0  # a steady tone
    picture[:] = 0.5
    picture[10, 20] = 1.0
    assert signal_score(picture) == 0  # a single pixel


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (128, 256), (5, 2)])
def test_medians_are_numpys(shape: tuple[int, int]) -> None:
    rows = np.random.default_rng(3).random(shape, dtype=np.float32)
    np.testing.assert_array_equal(medians(rows), np.median(rows, axis=1))


def test_pixels_are_rounded() -> None:
    assert to_pixels(np.array([0, 0.49 / 255, 0.51 / 255, 254.6 / 255, 1.0], np.float32)).tolist() == [0, 0, 1, 255, 255]
