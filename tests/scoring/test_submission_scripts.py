"""A submission script as a user runs it: killed in the middle and started again."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile

import submission_monophone
import submission_soundscape
from config import Config, Submission, to_toml
from tests.conftest import RATE, REPOSITORY, chirp, small_config
from tests.scoring.test_answers import snapshot
from tests.scoring.test_intervals import one_by_one
from utils import console
from utils.files import write_text
from utils.scoring import listening
from utils.scoring.submitting import Checked, Submitted

RECORDINGS = 24


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A run with a snapshot, and recordings of which one is broken."""
    root = tmp_path_factory.mktemp("data set")
    (root / "soundscapes").mkdir()
    sound = chirp(1500.0, seconds=40.0, seed=1)
    for number in range(RECORDINGS):
        soundfile.write(root / "soundscapes" / f"r{number:02d}.wav", np.roll(sound, 999 * number)[: -100 * number or None], RATE)
    (root / "soundscapes" / "r07.wav").write_bytes(b"RIFF")
    config = dataclasses.replace(small_config(root), submission=Submission(folder=root / "submissions", page_minutes=0.0))
    snapshot(config, "small", ("A", "B"), seed=1)
    return config


def start(config: Config, script: str) -> subprocess.Popen[str]:
    file = config.dataset.root / f"{config.submission.folder.name}.toml"
    write_text(file, to_toml(config))
    command = [sys.executable, str(REPOSITORY / script), str(file)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=config.dataset.root, start_new_session=True)


def parts_in(folder: Path) -> list[Path]:
    return [file for file in folder.glob("*.parts/*/*.part") if not file.name.startswith(".")]


def test_a_submission_that_was_killed_goes_on_to_the_same_bytes(settings: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    killed = dataclasses.replace(settings, submission=dataclasses.replace(settings.submission, folder=settings.dataset.root / "killed"))
    first = start(killed, "submission_soundscape.py")
    folder = killed.submission.folder
    deadline = time.monotonic() + 120
    while len(parts_in(folder)) < 3:
        assert first.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    kept = len(parts_in(folder))
    assert 3 <= kept < RECORDINGS - 1
    assert not list(folder.glob("*.csv"))
    second = start(killed, "submission_soundscape.py")
    out, errors = second.communicate(timeout=240)
    assert second.returncode == console.INCOMPLETE, errors
    assert f"{kept} of {RECORDINGS} recordings were answered before" in out
    assert f"done {RECORDINGS} of {RECORDINGS}, " in out
    assert "× real time" in out
    assert "r07.wav: " in errors
    monkeypatch.setattr(listening, "fan_out", one_by_one)
    undisturbed = submission_soundscape.main(settings)
    (again,) = folder.glob("small_soundscape.*")
    assert again.read_bytes() == undisturbed.path.read_bytes()
    assert [path.name for path in folder.iterdir() if not path.name.startswith(".")] == [again.name]


def test_soundscapes_that_somebody_listened_to_are_scored_and_shown(settings: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    few = tmp_path / "few"
    few.mkdir()
    for name in ("r00.wav", "r01.wav"):
        (few / name).symlink_to(settings.dataset.root / "soundscapes" / name)
    write_text(few / "annotations.csv", "file,start,end,species\nr00.wav,3.0,12.0,A\nr01.wav,0.5,1.0,B\nr01.wav,7.0,8.0,Avis ignota\n")
    submission = dataclasses.replace(settings.submission, folder=tmp_path, recordings=few, page_minutes=2.0)
    config = dataclasses.replace(settings, submission=submission)
    monkeypatch.setattr(listening, "fan_out", one_by_one)
    done = submission_soundscape.main(config)
    assert isinstance(done, Submitted)
    assert done.figures is not None
    assert (done.figures.recordings, done.figures.with_birds, done.figures.unknown) == (2, 4, ("Avis ignota",))
    assert 0 <= done.figures.cmap <= 1
    assert json.loads((tmp_path / "small_soundscape.json").read_text())["mlrap"] == done.figures.mlrap
    assert done.page is not None
    assert done.page.read_text(encoding="utf-8").count("data:audio/") == 2
    assert not list(tmp_path.glob("*.parts"))


@pytest.mark.parametrize("script", [submission_soundscape, submission_monophone])
def test_a_file_is_checked_without_answering(script: ModuleType, settings: Config, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    write_text(path, "recording,start,end,species,score\nr00.wav,0.000000,5.000000,A,0.9\nr00.wav,0.000000,5.000000,Z,nan\n")
    checked = script.main(settings, script.Flags(check=path))
    assert isinstance(checked, Checked)
    assert all("line 3" in problem for problem in checked.failures if "line" in problem)
    assert any("line 3" in problem for problem in checked.failures)
    with pytest.raises(console.Trouble, match="no such file"):
        script.main(settings, script.Flags(check=tmp_path / "none.csv"))
