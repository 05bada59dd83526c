"""The contact sheet of one recording: what it shows is true, and what cannot be shown is one line."""

import re
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from config import Clips, Config, Spectrogram
from tests.conftest import RATE, REPOSITORY, chirp
from utils.console import UserError
from utils.spectra.__main__ import command
from utils.spectra.clip_selection import select_windows
from utils.spectra.frequency_axis import height_of, kilohertz_ticks
from utils.spectra.recording_look import ShownPart, look_at
from utils.spectra.recording_plot import SPECTROGRAM_KINDS, kinds_of
from utils.spectra.recording_survey import read_format, read_window, survey_recording
from utils.spectra.shown_clips import SHOWN_CLIPS, SHOWN_REJECTED, ClipsToShow
from utils.spectra.signal_score import signal_score
from utils.spectra.spectrogram import make_spectrogram
from utils.spectra.step_ranges import StepRanges

SMALL = Spectrogram(rate=RATE, fmin=500.0, fmax=3800.0, height=32, width=32)
FLAGS = [f"--spectrogram.{name}={getattr(SMALL, name)}" for name in ("rate", "fmin", "fmax", "height", "width")]


def write(path: Path, *parts: np.ndarray) -> Path:
    soundfile.write(path, np.concatenate(parts).astype(np.float32), RATE)
    return path


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """Write three seconds of calls between seconds that are nearly silent."""
    quiet = np.random.default_rng(1).normal(0, 1e-3, 4 * RATE)
    return write(tmp_path / "calls.wav", quiet, chirp(2000.0, seconds=3.0, seed=0), quiet)


@pytest.mark.parametrize("kind", SPECTROGRAM_KINDS)
@pytest.mark.parametrize("n_fft", [0, 512])
@pytest.mark.parametrize("frequency", [700.0, 1500.0, 3000.0])
def test_a_tone_is_at_its_tick(kind: str, n_fft: int, frequency: float) -> None:
    settings = replace(SMALL, kind=kind, n_fft=n_fft)
    tone = np.sin(2 * np.pi * frequency * np.arange(RATE) / RATE).astype(np.float32)
    noise = np.random.default_rng(0).normal(0, 0.01, RATE).astype(np.float32)
    rows = make_spectrogram(tone + noise, settings).mean(axis=1)[::-1]
    assert abs(float(rows.argmax()) + 0.5 - 32 * height_of(frequency, settings)) < 0.8


@pytest.mark.parametrize("kind", SPECTROGRAM_KINDS)
@pytest.mark.parametrize(("fmin", "fmax"), [(500.0, 15_000.0), (3000.0, 3900.0), (0.0, 22_050.0), (50.0, 900.0)])
def test_ticks_rise_within_the_axis(kind: str, fmin: float, fmax: float) -> None:
    ticks = kilohertz_ticks(Spectrogram(kind=kind, fmin=fmin, fmax=fmax, height=64))
    assert len(ticks) >= 3
    assert all(0 <= height <= 1 for _, height in ticks)
    assert all(
        low[1] < high[1] and fmin <= 1000 * float(low[0]) < 1000 * float(high[0]) for low, high in pairwise(ticks)
    )


@given(st.lists(st.integers(0, 90), max_size=12), st.integers(1, 7))
def test_step_ranges_are_those_of_the_values(sizes: list[int], steps: int) -> None:
    values = np.random.default_rng(0).normal(size=sum(sizes)).astype(np.float32)
    ranges = StepRanges(steps=steps)
    for block in np.split(values, np.cumsum(sizes)):
        ranges.add(block)
    found = ranges.ranges()
    expected = [values[start : start + ranges.size] for start in range(0, len(values), ranges.size)]
    assert found.shape == (2, len(expected))
    assert found.shape[1] <= 2 * steps
    assert found.shape[1] >= min(len(values), steps)
    np.testing.assert_array_equal(found[0], [step.min() for step in expected])
    np.testing.assert_array_equal(found[1], [step.max() for step in expected])


@pytest.mark.parametrize(
    ("accepted", "rejected", "expected"), [(3, 2, (3, 2)), (100, 100, (18, 6)), (100, 2, (22, 2)), (4, 100, (4, 20))]
)
def test_the_clips_of_the_highest_scores_are_shown(accepted: int, rejected: int, expected: tuple[int, int]) -> None:
    clips, black = ClipsToShow(), np.zeros((8, 8), np.float32)
    scores = np.random.default_rng(0).permutation(accepted + rejected)  # those below `rejected` are rejected
    for start, score in enumerate(scores.tolist()):
        clips.add(float(start), float(score), black, accepted=score >= rejected)
    shown = clips.chosen()
    assert len(shown) <= SHOWN_CLIPS == 24
    assert SHOWN_REJECTED == 6
    assert [clip.start for clip in shown] == sorted(clip.start for clip in shown)
    assert sorted(clip.score for clip in shown if clip.accepted) == [
        *range(accepted + rejected - expected[0], accepted + rejected)
    ]
    assert sorted(clip.score for clip in shown if not clip.accepted) == [*range(rejected - expected[1], rejected)]


@pytest.mark.parametrize("choose", ["grid", "first", "peaks", "annotations"])
def test_a_survey_finds_what_a_store_would(calls: Path, choose: str) -> None:
    settings = Clips(choose=choose, count=4, keep="sound", margin=0.5)
    config = Config(clips=settings, spectrogram=SMALL)
    survey = survey_recording(calls, read_format(calls), config)
    samples, _ = soundfile.read(calls, dtype="float32")
    plain = replace(settings, keep="spectrograms")
    clips = list(select_windows(lambda: iter([samples]), plain, SMALL, events=None))
    assert (survey.seconds, survey.format) == (11.0, (RATE, 1, 11.0))
    np.testing.assert_allclose(survey.starts * RATE, [window.start for window, _ in clips])
    scores = [signal_score(make_spectrogram(clip, SMALL)) for _, clip in clips]
    np.testing.assert_array_equal(survey.scores, scores)
    at_peaks = select_windows(lambda: iter([samples]), replace(plain, choose="peaks"), SMALL, events=None)
    assert [(peak.start, peak.strength) for peak in survey.peaks] == [
        (window.start, window.strength) for window, _ in at_peaks
    ]
    assert all(clip.accepted == (clip.score >= 0.001) for clip in survey.shown)
    assert len(survey.shown) == len(clips)
    assert survey.shown[0].spectrogram.shape == SMALL.shape
    if choose == "grid":
        assert 3.0 < survey.starts[survey.best] < 7.0
    assert survey.amplitudes.max() == samples.max()
    assert survey.amplitudes.min() == samples.min()


@pytest.mark.parametrize(
    ("middle", "seconds", "expected"),
    [(2.0, 1.0, (1.5, 1.0)), (0.1, 1.0, (0, 1)), (11.0, 3.0, (8, 3)), (5.0, 60.0, (0, 11))],
)
def test_windows_lie_inside(calls: Path, middle: float, seconds: float, expected: tuple[float, float]) -> None:
    samples, _ = soundfile.read(calls, dtype="float32")
    start, window = read_window(calls, SMALL, middle=middle, seconds=seconds, of=11.0)
    assert (start, len(window) / RATE) == expected
    first = round(start * RATE)
    np.testing.assert_array_equal(window, samples[first : first + len(window)])


def test_kinds_that_cannot_be_computed_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    settings = replace(SMALL, fmin=1000.0, fmax=1003.0, n_fft=1024, hop=7, scale="fixed", resize="crop")
    kinds = kinds_of(settings, samples=2 * RATE, clip_seconds=1.0)
    assert [one.kind for one in kinds] == [kind for kind in SPECTROGRAM_KINDS if kind != "linear"]
    assert {(one.width, one.n_fft, one.hop, one.scale) for one in kinds} == {(64, 1024, 0, "clip")}
    assert capsys.readouterr().err.startswith("warning: spectrogram.kind = linear is not on the contact sheet")


@pytest.mark.parametrize("words", [[], ["--at", "0", "--seconds", "0.1", "--clips.choose", "peaks"]])
def test_the_contact_sheet_is_written(
    calls: Path, tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    sheet = tmp_path / "new" / "calls.png"
    assert command([str(calls), str(sheet), *FLAGS, *words]) == 0
    printed = capsys.readouterr()
    assert not printed.err
    assert "11 s, 8,000 Hz, 1 channel" in printed.out
    image = cv2.imread(str(sheet))
    assert image.shape[1] == 1540
    assert image.shape[0] > 1000
    assert [path.name for path in sheet.parent.iterdir()] == ["calls.png"]
    if not words:
        assert "14 of 1 s" in printed.out
        green = np.abs(image.astype(int) - (0x3C, 0x8F, 0x1A)).sum(axis=2) < 10  # of accepted clips' frames
        assert green.sum() > 1000


def test_names_and_short_recordings_are_no_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, (RATE, 2))
    path = tmp_path / ("$x_{鳥}$ " + 40 * "long " + ".wav")
    soundfile.write(path, noise, RATE)
    assert command([str(path), str(tmp_path / "sheet.png"), "experiments/demo-annotations.toml", *FLAGS]) == 0
    printed = capsys.readouterr()
    assert not printed.err
    assert "2 channels" in printed.out
    assert "clips.choose = annotations needs a data set" in printed.out


def test_what_cannot_be_shown_is_one_line(calls: Path, tmp_path: Path) -> None:
    silent, short = write(tmp_path / "silent.wav", np.zeros(2 * RATE)), write(tmp_path / "short.wav", np.ones(100))
    text, cut, sheet = tmp_path / "text.wav", tmp_path / "cut.flac", tmp_path / "sheet.png"
    text.write_text("no sound")
    soundfile.write(cut, np.random.default_rng(0).normal(0, 0.1, 2 * RATE), RATE)
    cut.write_bytes(cut.read_bytes()[:50])
    for paths, flags, said in [
        ([], {}, "name a recording and the image"),
        ([calls], {}, "name a recording and the image"),
        ([calls, Path("experiments/demo.toml")], {}, "must be the image to write, such as calls.png"),
        ([tmp_path / "none.wav", sheet], {}, "none.wav: no such file"),
        ([tmp_path, sheet], {}, "Is a directory"),
        ([tmp_path / "calls.m4a", sheet], {}, "convert it to FLAC"),
        ([text, sheet], {}, "text.wav: cannot be decoded"),
        ([cut, sheet], {}, "cut.flac: "),
        ([silent, sheet], {}, "silent.wav: is silent"),
        ([short, sheet], {}, "short.wav: is 0.01 s long, shorter than a clip (clips.min_length = 1 s)"),
        ([calls, sheet], {"at": 11.5}, "calls.wav ends at 11.00 s"),
        ([calls, sheet], {"at": np.nan}, "--at nan: should be 0"),
        ([calls, sheet], {"at": -1.0}, "--at -1: should be 0"),
        ([calls, sheet], {"seconds": 0.01}, "--seconds 0.01: should be 0.1 to 60"),
    ]:
        with pytest.raises(UserError, match=re.escape(said)) as raised:
            look_at(paths, Config(spectrogram=SMALL), ShownPart(**flags))
        assert "\n" not in str(raised.value)
    assert not sheet.exists()


def test_exit_statuses(calls: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, status in [(["sheet.jpg"], 1), (["sheet.png", "--at", "early"], 2), (["--at", "3"], 1)]:
        assert command([str(calls), *words]) == status
        assert capsys.readouterr().err.count("\n") == 1


def test_a_damaged_recording_is_shown_as_far_as_it_can_be_read(
    calls: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = tmp_path / "damaged.wav"
    damaged.write_bytes(calls.read_bytes()[: 2 * 5 * RATE])
    assert command([str(damaged), str(tmp_path / "sheet.png"), *FLAGS]) == 0
    error = capsys.readouterr().err
    assert error.startswith("warning: ")
    assert "are there and are used" in error


def test_it_imports_no_jax(calls: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from utils.spectra.__main__ import command\n"
        f"status = command({[str(calls), str(tmp_path / 'sheet.png'), *FLAGS]!r})\n"
        "print('loaded:', {'jax', 'flax'} & {*sys.modules}, status)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "loaded: set() 0", done.stderr
