"""watch.py killed at random moments: every recording is in the tables once, with the rows of an undisturbed call."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from config import Config
from tests.chaos.test_killed import KILLS
from tests.conftest import REPOSITORY
from tests.watching.small_watch import small_run, write_recording

RECORDINGS = 40


def start(station: Path, config: Config, out: Path) -> subprocess.Popen[str]:
    words = [sys.executable, str(REPOSITORY / "watch.py"), str(station), "--snapshot", str(config.run_folder)]
    words += ["--out", str(out), "--threshold", "0.2", "--settle", "0", "--once"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def rows(out: Path) -> list[bytes]:
    found = [line for path in (out / "detections").glob("*.csv") for line in path.read_bytes().splitlines()]
    return sorted(line for line in found if not line.startswith(b"recording,"))


@pytest.mark.parametrize("kills", [2, pytest.param(KILLS, marks=pytest.mark.chaos)])
def test_many_kills_while_a_folder_is_watched(tmp_path: Path, kills: int) -> None:
    config, station = small_run(tmp_path / "root"), tmp_path / "station"
    for seed in range(RECORDINGS):
        write_recording(station / f"{seed:02d}.wav", seconds=1.2, seed=seed)
    undisturbed = start(station, config, tmp_path / "whole")
    printed, _ = undisturbed.communicate(timeout=300)
    assert undisturbed.returncode == 0, printed
    random, done = np.random.default_rng(0), 0
    for index in range(kills):
        out = tmp_path / f"out{index}"
        for _ in range(2):
            process = start(station, config, out)
            assert process.stdout
            while "results are written" not in process.stdout.readline():
                assert process.poll() is None
            time.sleep(float(random.uniform(0, 1.0)))
            process.send_signal(signal.SIGKILL)
            process.communicate()
            done += process.returncode == -signal.SIGKILL
        last = start(station, config, out)
        printed, _ = last.communicate(timeout=300)
        assert last.returncode == 0, printed
        assert rows(out) == rows(tmp_path / "whole")
    assert len(rows(tmp_path / "whole")) >= RECORDINGS
    assert done > 0
