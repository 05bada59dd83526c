"""Make what lies in this folder with an earlier version of the toolkit: a data set, its store, a run and its test.

    git worktree add ../earlier dc9aca7
    python tests/earlier/make.py ../earlier

The tests set the times of the recordings to TIME, because the store knows its recordings by size and time.
Plots, pages and other files that the tests do not read are removed.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile

HERE = Path(__file__).parent
RATE = 8000
TIME = 1_600_000_000
PITCHES = {"Altus clarus": 3000.0, "Bassus gravis": 900.0, "Medius mollis": 1700.0}
STAGES = ("sort_data.py", "spec.py", "train.py", "test.py")
LEFT_OUT = ("*.png", "*.html", "*.md", "timings*", "spec/pictures", "spec/noise", "audit.csv", "classes.csv", ".*.lock")


def call(pitch: float, *, seed: int) -> np.ndarray:
    """Make 2 s of short calls of one pitch (Hz) in a little noise."""
    time = np.arange(2 * RATE) / RATE
    loud = np.sin(2 * np.pi * 3 * time + seed) > 0.3
    noise = np.random.default_rng(seed).normal(0, 0.001, len(time))
    return (0.3 * loud * np.sin(2 * np.pi * pitch * time) + noise).astype(np.float32)


def main(earlier: Path) -> None:
    for folder in ("archive", "root", "snapshots"):
        shutil.rmtree(HERE / folder, ignore_errors=True)
    for number, (species, pitch) in enumerate(PITCHES.items()):
        folder = HERE / "archive" / species
        folder.mkdir(parents=True)
        for recording in range(4):
            file = folder / f"{species[0]}{recording}.flac"
            soundfile.write(file, call(pitch * (1 + 0.03 * recording), seed=10 * number + recording), RATE)
            os.utime(file, (TIME, TIME))
    for script in STAGES:
        subprocess.run([sys.executable, str(earlier / script), "settings.toml"], cwd=HERE, check=True)
    shutil.rmtree(HERE / "archive")
    for pattern in LEFT_OUT:
        for path in [*HERE.glob(f"root/**/{pattern}"), *HERE.glob(f"snapshots/**/{pattern}")]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
