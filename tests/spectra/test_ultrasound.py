"""Recordings of bats: rows of spectrograms at 384 kHz are where the frequencies say, and the chain works there."""

import dataclasses
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import soundfile

import sort_data
import spec
import submission_soundscape
import test as test_script
import train
from config import Spectrogram, Submission
from tests.conftest import small_config
from utils.spectra.bands import warn_of_empty_bands
from utils.spectra.frequency_axis import height_of
from utils.spectra.spectrogram import make_spectrogram
from utils.spectra.store import Store

RATE = 384_000
SPECTROGRAM = Spectrogram(rate=RATE, fmin=15_000.0, fmax=150_000.0, height=64, width=128, n_fft=1024, pre_emphasis=0.0)


def sweep(low: float, high: float, *, seconds: float, rate: int) -> np.ndarray:
    """Make a tone that rises steadily."""
    time = np.arange(int(seconds * rate)) / rate
    return 0.5 * np.sin(2 * np.pi * (low * time + (high - low) / (2 * seconds) * time**2))


@pytest.mark.parametrize("kind", ["mel", "linear", "reassigned"])
def test_a_sweep_is_in_the_rows_of_its_frequencies(kind: Literal["mel", "linear", "reassigned"]) -> None:
    settings = dataclasses.replace(SPECTROGRAM, kind=kind)
    low, high = 20_000.0, 140_000.0
    seen = make_spectrogram(sweep(low, high, seconds=0.1, rate=RATE), settings)
    assert seen.shape == (64, 128)
    for column in range(8, 120):  # the first and the last frames see the edges
        frequency = low + (high - low) * column / 127
        row = height_of(frequency, settings) * 64 - 0.5  # from below
        loudest = 63 - int(seen[:, column].argmax())
        assert abs(loudest - row) < 1.5, (column, frequency)


def call(pitch: float, *, seed: int, rate: int) -> np.ndarray:
    """Make short falling calls, ten a second, in a little noise."""
    sound = np.random.default_rng(seed).normal(0, 0.002, rate)
    pulse = sweep(pitch * 1.3, pitch * 0.9, seconds=0.006, rate=rate) * np.hanning(int(0.006 * rate))
    for start in range(rate // 20, rate - len(pulse), rate // 10):
        sound[start : start + len(pulse)] += pulse
    return sound.astype(np.float32)


def test_the_chain_tells_two_bats_apart_whatever_the_rate_of_their_recordings(tmp_path: Path, undrawn: None) -> None:
    for name, pitch in (("Nyctalus noctula", 22_000.0), ("Pipistrellus pipistrellus", 48_000.0)):
        for index, rate in enumerate((192_000, 256_000, 384_000, 384_000)):
            (tmp_path / "archive" / name).mkdir(parents=True, exist_ok=True)
            sound = call(pitch * (1 + 0.01 * index), seed=index, rate=rate)
            soundfile.write(tmp_path / "archive" / name / f"{index}.wav", sound, rate)
    config = small_config(tmp_path / "root", tmp_path / "archive")
    config = dataclasses.replace(
        config,
        clips=dataclasses.replace(config.clips, length=0.25, overlap=0.0, min_length=0.2),
        spectrogram=Spectrogram(rate=RATE, fmin=12_000.0, fmax=90_000.0, height=16, width=64, kind="linear"),
        submission=Submission(recordings=tmp_path / "archive", folder=tmp_path / "submissions", interval=0.5),
        testing=dataclasses.replace(config.testing, engine="jax"),
    )
    sort_data.main(config)
    assert not spec.main(config).failures
    store = Store(config.dataset.root)
    loudest = {}
    for row, label in enumerate(store.clips["class"]):
        clip = store.spectrograms(np.array([row]))[0]
        loudest.setdefault(label, []).append(15 - int(clip.max(axis=1).argmax()))
    assert max(loudest["Nyctalus noctula"]) < min(loudest["Pipistrellus pipistrellus"])
    train.main(config)
    test_script.main(config)
    submission_soundscape.main(config)
    assert len(list((tmp_path / "submissions").glob("small_soundscape.csv"))) == 1


def test_bands_between_two_bins_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    warn_of_empty_bands(SPECTROGRAM)
    warn_of_empty_bands(Spectrogram())
    warn_of_empty_bands(dataclasses.replace(SPECTROGRAM, fmin=500.0, kind="linear"))
    assert not capsys.readouterr().err
    warn_of_empty_bands(dataclasses.replace(SPECTROGRAM, fmin=500.0, n_fft=0))
    assert "mel bands are narrower than the steps of the Fourier transform (750 Hz)" in capsys.readouterr().err
