"""Make data.tar.gz with an earlier version of the toolkit: a sorted data set, its store, a run and its test.

    git worktree add ../earlier dc9aca7
    python tests/earlier/make.py ../earlier

The archive keeps the times of the recordings, because a store knows its recordings by size and time.
Plots, pages and other files that the tests do not read are left out.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import soundfile

HERE = Path(__file__).parent
RATE = 8000
TIME = 1_600_000_000
PITCHES = {"Altus clarus": 3000.0, "Bassus gravis": 900.0, "Medius mollis": 1700.0}
STAGES = ("sort_data.py", "spec.py", "train.py", "test.py")
KEPT = ("root", "snapshots")
LEFT_OUT = (
    "**/*.png",
    "**/*.html",
    "**/.*.lock",
    "root/timings*",
    "root/audit.csv",
    "root/spec/pictures",
    "root/spec/classes.csv",
)


def call(pitch: float, *, seed: int) -> np.ndarray:
    """Make 2 s of short calls of one pitch (Hz) in a little noise."""
    time = np.arange(2 * RATE) / RATE
    loud = np.sin(2 * np.pi * 3 * time + seed) > 0.3
    noise = np.random.default_rng(seed).normal(0, 0.001, len(time))
    return (0.3 * loud * np.sin(2 * np.pi * pitch * time) + noise).astype(np.float32)


def make(folder: Path, scripts: Path) -> None:
    """Write the recordings into a folder and run the scripts of the earlier version there."""
    for index, (species, pitch) in enumerate(PITCHES.items()):
        sounds = folder / "archive" / species
        sounds.mkdir(parents=True)
        for recording in range(4):
            file = sounds / f"{species[0]}{recording}.flac"
            soundfile.write(file, call(pitch * (1 + 0.03 * recording), seed=10 * index + recording), RATE)
            os.utime(file, (TIME, TIME))
    for script in STAGES:
        subprocess.run([sys.executable, str(scripts / script), "settings.toml"], cwd=folder, check=True)


def main(scripts: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(HERE / "settings.toml", folder)
        make(folder, scripts)
        for pattern in LEFT_OUT:
            for path in folder.glob(pattern):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        with tarfile.open(HERE / "data.tar.gz", "w:gz") as archive:
            for kept in KEPT:
                archive.add(folder / kept, arcname=kept)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
