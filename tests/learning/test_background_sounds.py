"""Clips of background sound out of a folder: whole, repeatable, spread over its files."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from utils.console import UserError
from utils.learning import background_sounds
from utils.learning.background_sounds import read_background

RATE, SAMPLES = 8000, 400


def write(path: Path, *, first: int, clips: float, rate: int = RATE) -> None:
    """Write clips that tell by their second sample, in thousandths of their peak, which they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sound = np.zeros(int(clips * SAMPLES), np.float32)
    sound[::SAMPLES] = 0.5
    marks = sound[1::SAMPLES]
    marks[:] = 0.0005 * (first + np.arange(len(marks)))
    soundfile.write(path, sound, rate, subtype="FLOAT")


def read(folder: Path, *, seed: int = 1) -> np.ndarray:
    return read_background(folder, rate=RATE, samples=SAMPLES, seed=seed, channel="mean")


def marks_of(clips: np.ndarray) -> list[int]:
    assert clips.dtype == np.int16
    assert clips.shape[1] == SAMPLES
    assert (clips[:, 0] == 32_767).all()  # each is scaled by its own peak
    return np.rint(clips[:, 1] / 32.767).astype(int).tolist()


def test_whole_clips_of_all_files(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", first=1, clips=3.9)
    write(tmp_path / "deep" / "er" / "b.WAV", first=101, clips=2)
    write(tmp_path / "short.wav", first=201, clips=0.5)
    (tmp_path / "notes.txt").write_text("no sound")
    clips = read(tmp_path)
    assert sorted(marks_of(clips)) == [1, 2, 3, 101, 102]  # the start of a fourth, and the short file, give none
    assert not clips[:, 2:].any()
    assert np.array_equal(clips, read(tmp_path))


def test_many_clips_are_spread_over_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background_sounds, "MOST_BACKGROUNDS", 20)
    write(tmp_path / "few.wav", first=1, clips=2)
    write(tmp_path / "long.wav", first=101, clips=100)
    write(tmp_path / "longer.wav", first=301, clips=300)
    drawn = [marks_of(read(tmp_path, seed=seed)) for seed in range(8)]
    for marks in drawn:
        assert len(marks) == len(set(marks)) <= 20
        assert sum(mark > 300 for mark in marks) >= 7
        assert sum(100 < mark < 300 for mark in marks) >= 7
    assert len({tuple(sorted(marks)) for marks in drawn}) == 8
    places = np.array([mark - 301 for marks in drawn for mark in marks if mark > 300])
    assert places.min() < 30  # from all parts of a file
    assert places.max() > 270
    assert abs(places.mean() - 150) < 35
    monkeypatch.setattr(background_sounds, "MOST_BACKGROUNDS", 2)
    assert len(read(tmp_path)) == 2


def test_silent_clips_are_left_out_and_rates_converted(tmp_path: Path) -> None:
    half = np.concatenate([np.zeros(8 * SAMPLES), 0.5 * np.sin(0.3 * np.arange(8 * SAMPLES))])
    soundfile.write(tmp_path / "half.flac", half, 2 * RATE)
    clips = read(tmp_path)
    assert 4 <= len(clips) <= 5  # of eight; resampling spreads a little into the fourth
    assert np.abs(clips.astype(int)).max(axis=1).tolist() == [32_767] * len(clips)


def test_unreadable_files_are_named_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "a.wav", first=1, clips=2)
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    (tmp_path / "phone.m4a").write_bytes(b"sound")
    assert sorted(marks_of(read(tmp_path))) == [1, 2]
    warnings = capsys.readouterr().err.splitlines()
    assert len(warnings) == 3
    assert sum("broken.wav: is left out of the background sound: " in line for line in warnings) == 1
    assert sum("phone.m4a" in line and "convert it" in line for line in warnings) == 1
    assert "2 of 3 sound files could not be read" in warnings[-1]


def test_what_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "noise"

    def refused(reason: str) -> None:
        with pytest.raises(UserError, match=reason) as error:
            read(folder)
        assert re.match(rf"{re.escape(str(folder))}: .*; set waveform.background_folder to a folder", str(error.value))
        assert "\n" not in str(error.value)

    refused("there is no such folder")
    folder.write_text("a file")
    refused("is not a folder")
    folder.unlink()
    folder.mkdir()
    refused("hold sound files")
    (folder / "broken.wav").write_bytes(b"RIFF")
    refused("none of its 1 sound files can be read")
    write(folder / "short.wav", first=1, clips=0.9)
    refused(r"none of its 2 sound files has 0.05 s of sound")
    shutil.rmtree(folder)
    folder.mkdir()
    soundfile.write(folder / "silent.wav", np.zeros(3 * SAMPLES), RATE)
    refused("none of its 1 sound files has 0.05 s of sound")
