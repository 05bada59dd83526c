"""Whatever stands among the recordings, it costs one line and one row, and all others are done."""

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile

import sort_data
import spec
from config import Config
from tests.conftest import RATE, REPOSITORY, chirp, small_config
from tests.workers import extract_or_die
from utils.recordings.splits import read_split
from utils.spectra import shards, store_writer

SONG = chirp(2500, seconds=3, seed=1)
GOOD = {
    "rate 192000": (chirp(2500, seconds=3, seed=2, rate=192_000), 192_000, "PCM_16"),
    "rate 11025": (chirp(2500, seconds=3, seed=2, rate=11_025), 11_025, "PCM_16"),
    "eight channels": (np.tile(SONG[:, None], (1, 8)), RATE, "PCM_16"),
    "eight bits": (SONG, RATE, "PCM_U8"),
    "doubles": (SONG.astype(np.float64), RATE, "DOUBLE"),
    "offset": (SONG + 0.3, RATE, "PCM_16"),
    "clipped": (np.clip(9 * SONG, -1, 1), RATE, "PCM_16"),
    "very quiet": (1e-20 * SONG, RATE, "FLOAT"),
}
BAD = {
    "no samples": (SONG[:0], RATE, "PCM_16", "holds no samples"),
    "one sample": (SONG[:1], RATE, "PCM_16", "is 0.00 s long, shorter than a clip (clips.min_length = 1 s)"),
    "short": (SONG[: RATE - 1], RATE, "PCM_16", "is 1.00 s long, shorter than a clip (clips.min_length = 1 s)"),
    "silence": (0 * SONG, RATE, "PCM_16", "is silent: all its samples are 0"),
    "constant": (0 * SONG + 0.5, RATE, "PCM_16", "is silent: all its samples are 0.5"),
    "not a number": (
        np.where(np.arange(len(SONG)) == 9000, np.nan, SONG),
        RATE,
        "FLOAT",
        "holds samples that are not finite (NaN or infinite)",
    ),
    "infinite": (
        np.where(np.arange(len(SONG)) == 9000, -np.inf, SONG),
        RATE,
        "FLOAT",
        "holds samples that are not finite (NaN or infinite)",
    ),
    "deafening": (3e38 * SONG, RATE, "FLOAT", "holds samples of 9e+37, but full scale is 1"),
    "rate 1": (SONG, 1, "PCM_16", "has a sample rate of 1 Hz, which is below 100 Hz"),
}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    folder = tmp_path / "archive" / "Altus clarus"
    folder.mkdir(parents=True)
    for name, (samples, rate, subtype) in GOOD.items():
        soundfile.write(folder / f"{name}.wav", samples, rate, subtype=subtype)
    soundfile.write(folder / "wrong ending.mp3", SONG, RATE, format="WAV")
    for name, (samples, rate, subtype, _) in BAD.items():
        soundfile.write(folder / f"{name}.wav", samples, rate, subtype=subtype)
    content = (folder / "eight bits.wav").read_bytes()
    for tenth in range(10):
        (folder / f"cut off {tenth}.wav").write_bytes(content[: len(content) * tenth // 10])
    (folder / "text.wav").write_text("no sound")
    return small_config(tmp_path / "root", tmp_path / "archive")


@pytest.mark.parametrize("choose", ["grid", "peaks", "first", "annotations"])
def test_bad_recordings_are_named_and_all_others_done(config: Config, choose: str) -> None:
    config = replace_clips(config, choose=choose)
    sort_data.main(config)
    extracted = spec.main(config)
    failures = {Path(failure.name).stem: failure.reason for failure in extracted.failures}
    recordings = pl.read_parquet(config.dataset.root / "spec" / "recordings.parquet")
    rejected = pl.read_csv(config.dataset.root / "spec" / "rejected.csv")
    assert dict(zip((Path(file).stem for file in rejected["file"]), rejected["reason"], strict=True)) == failures
    done = {Path(name).name for name in recordings.filter(pl.col("reason").is_null())["recording"]}
    partial = {f"cut off {tenth}" for tenth in range(4, 10)}  # the others are shorter than a clip
    assert done == {*GOOD, "wrong ending"} | partial
    warnings = dict(recordings.filter(pl.col("warning").is_not_null()).select("recording", "warning").iter_rows())
    assert {Path(name).name: warning for name, warning in warnings.items()} == {
        f"cut off {tenth}": f"the header declares 3.0 s, but only {0.3 * tenth:.1f} s are there and are used"
        for tenth in range(4, 10)
    }
    assert {Path(failure.name).stem for failure in extracted.partial} == partial
    assert {name: failures.pop(name) for name in BAD} == {name: reason for name, (*_, reason) in BAD.items()}
    assert failures.pop("text").startswith("cannot be decoded")
    assert failures.pop("cut off 0") == "is empty (0 bytes)"
    assert sorted(failures) == [f"cut off {tenth}" for tenth in range(1, 4)]
    assert all("shorter than a clip" in reason for reason in failures.values())
    assert recordings.filter(pl.col("reason").is_null(), pl.col("kept") == 0)["recording"].to_list() == [
        "Altus clarus/very quiet"
    ]


def replace_clips(config: Config, **changes: object) -> Config:
    return dataclasses.replace(config, clips=dataclasses.replace(config.clips, **changes))


@pytest.mark.usefixtures("processes")
def test_recordings_that_vanish_and_workers_that_are_killed(
    tmp_path: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("killer", "aborter", "crasher"):
        soundfile.write(archive / "Altus clarus" / f"{name}.wav", SONG + np.float32(0.001 * len(name)), RATE)
    config = small_config(tmp_path / "root", archive)
    sort_data.main(config)
    original = store_writer.fan_out

    def fan_out(function, jobs, **more):
        next(config.dataset.root.rglob("A2.wav")).unlink()
        shutil.rmtree(next(config.dataset.root.rglob("S0.flac")).parent)
        yield from original(extract_or_die, jobs, **more)

    with monkeypatch.context() as patch:
        patch.setattr(store_writer, "fan_out", fan_out)
        failures = {Path(failure.name).stem: failure.reason for failure in spec.main(config).failures}
    died = {
        name: f"the worker process died (exit status {-how})"
        for name, how in (("killer", 9), ("aborter", 6), ("crasher", 11))
    }
    assert failures == {"A2": "no such file", "S0": "no such file", **died}
    rejected = pl.read_csv(config.dataset.root / "spec" / "rejected.csv")
    assert sorted(rejected["reason"]) == sorted(failures.values())
    assert pl.read_parquet(config.dataset.root / "spec" / "recordings.parquet")["reason"].is_null().sum() == 7
    again = {Path(failure.name).stem for failure in spec.main(config).failures}
    assert again == {"A2", "S0"}  # who died is tried again


def test_a_folder_that_may_not_be_read(tmp_path: Path, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = small_config(tmp_path / "root", archive)
    sort_data.main(config)
    spec.main(config)
    original = Path.stat

    def stat(path: Path, **more: bool):
        if path.name == "A1.wav":
            raise PermissionError(13, "Permission denied")
        return original(path, **more)

    split = read_split(config.dataset)
    before = shards.plan_shards(split, config, tmp_path)
    monkeypatch.setattr(Path, "stat", stat)
    after = shards.plan_shards(split, config, tmp_path)
    assert [one.key == other.key for one, other in zip(before, after, strict=True)] == [False, True, True]


MEASURE = """
import re, sys
from pathlib import Path
from config import Clips, Spectrogram
from utils.spectra.extraction import Job, extract

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024

before, file = peak(), Path(sys.argv[1])
clips = Clips(overlap=0, signal_threshold=0, choose=sys.argv[2], count=0)
extract(Job("x", file, 0, clips, Spectrogram(rate=8000, fmax=4000), file.with_suffix(".zip")))
assert "jax" not in sys.modules
print(before, peak())
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("choose", ["grid", "peaks"])
def test_a_long_recording_needs_no_more_memory_than_a_short_one(tmp_path: Path, choose: str) -> None:
    """An hour and a half has 177 MB of spectrograms; a worker may need 400 MB, of which libraries take 200."""
    file = tmp_path / "long.wav"
    with soundfile.SoundFile(file, "w", RATE, 1) as sound:
        for _ in range(1800):
            sound.write(SONG)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    measured = subprocess.run(
        [sys.executable, "-c", MEASURE, str(file), choose],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        env=environment,
    )
    assert measured.returncode == 0, measured.stderr
    before, after = map(int, measured.stdout.split())
    assert after < 400
    assert after - before < 140
