"""How fast sound becomes pictures: every step alone, and spec.py's work from file to store, beside the 2018 baseline's way and decoding alone.

    python benchmarks/extraction.py
    python benchmarks/extraction.py --quick

The recordings are made up, as WAV, FLAC, Ogg Vorbis and MP3, at 44.1 and 48 kHz. The baseline's way is its code's calls with today's librosa:
`librosa.load`, `melspectrogram`, `amplitude_to_db`, NumPy medians, OpenCV, a PNG a clip. All ways are measured in turn, several times; the last
line is how many times as fast ours is on one core, over all formats.
"""

import argparse
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), str(Path(__file__).parent)])  # workers look there, too

import cv2
import numpy as np
import scipy
import soundfile
import soxr
import workers

from config import Config
from utils import console
from utils.fanout import fan_out
from utils.files import write_json
from utils.spectra.extraction import Job
from utils.spectra.signal_score import signal_score
from utils.spectra.spectrogram import make_picture, to_pixels

FORMATS = ("wav", "flac", "ogg", "mp3")
RATES = (44_100, 48_000)


def best(function: Callable[[], object], *, repeats: int) -> float:
    """Return the median of several runs, in seconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def steps(file: Path, folder: Path, *, repeats: int) -> dict[str, float]:
    """Measure every step of one recording alone, in milliseconds a clip."""
    settings = Config().spectrogram
    decoded, rate = soundfile.read(file, dtype="float32")
    samples = decoded if rate == workers.RATE else soxr.resample(decoded, rate, workers.RATE)
    clips = [samples[start : start + workers.LENGTH] for start in range(0, len(samples) - workers.LENGTH + 1, workers.STEP)]
    pictures = [make_picture(clip, settings) for clip in clips]
    pixels = np.stack([to_pixels(picture) for picture in pictures])

    def write() -> None:
        np.save(folder / "pixels.npy", pixels)

    work: dict[str, Callable[[], object]] = {
        "decode": lambda: soundfile.read(file, dtype="float32"),
        "resample": lambda: soxr.resample(decoded, rate, workers.RATE) if rate != workers.RATE else None,
        "picture": lambda: [make_picture(clip, settings) for clip in clips],
        "score": lambda: [signal_score(picture) for picture in pictures],
        "write": write,
        "librosa picture": lambda: [workers.librosa_picture(clip) for clip in clips],
        "NumPy score": lambda: [workers.numpy_score(picture) for picture in pictures],
    }
    return {name: 1000 * best(function, repeats=repeats) / len(clips) for name, function in work.items()}


def whole(function: Callable[[Job], float], jobs: Sequence[Job], *, cores: int) -> tuple[float, float]:
    """Do all jobs in `cores` worker processes that are warm; return seconds, and the largest peak memory of a worker in MB."""
    peak = 0.0
    outcomes = fan_out(function, jobs, workers=cores, name=lambda job: job.name)
    for _ in range(cores * 2):  # processes that start, import and compile
        peak = max(peak, float(next(outcomes)[1]))  # type: ignore[arg-type]
    start = time.perf_counter()
    for job, outcome in outcomes:
        if isinstance(outcome, console.Failure):
            raise RuntimeError(f"{job.name}: {outcome.reason}")
        peak = max(peak, outcome)
    return (time.perf_counter() - start) / (len(jobs) - 2 * cores), peak


def measure_whole(folder: Path, *, copies: int, seconds: float, repeats: int) -> list[list[str]]:
    """Measure the three ways for every format and rate, on one core and on all."""
    cores = os.cpu_count() or 1
    config = Config()
    rows = []
    for rate in RATES:
        for ending in FORMATS:
            files = [folder / f"{rate}_{number}.{ending}" for number in range(copies)]
            speed: dict[tuple[str, int], float] = {}
            for way, function in (("ours", workers.ours), ("baseline", workers.baseline), ("decoding", workers.decode_only)):
                for count in (1, cores) if cores > 1 else (1,):
                    runs = []
                    for repeat in range(repeats):
                        parts = folder / f"{way}_{count}_{repeat}"
                        jobs = [
                            Job(f"{file.name}_{again}", file, 0, config.clips, config.spectrogram, parts / f"{file.name}_{again}.npz")
                            for file in files
                            for again in range(2)
                        ]
                        runs.append(whole(function, jobs, cores=count))
                        shutil.rmtree(parts, ignore_errors=True)
                    speed[way, count] = seconds / statistics.median(run[0] for run in runs)
                    speed[f"{way} MB", count] = max(run[1] for run in runs)
            more = speed["ours", cores] / speed["ours", 1]
            rows.append(
                [
                    f"{ending} {rate / 1000:g} kHz",
                    f"{speed['ours', 1]:.0f}",
                    f"{speed['baseline', 1]:.0f}",
                    f"{speed['ours', 1] / speed['baseline', 1]:.2f}",
                    f"{speed['ours', cores] / speed['baseline', cores]:.2f}",
                    f"{more:.2f}",
                    f"{speed['ours', 1] / speed['decoding', 1]:.0%}",
                    f"{speed['ours MB', 1]:.0f} / {speed['baseline MB', 1]:.0f}",
                ]
            )
            console.say("   ".join(rows[-1]))
    return rows


def main() -> None:
    """Measure the steps, then the whole, and print and write both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="shorter recordings, each measured once")
    quick = parser.parse_args().quick
    seconds, copies, repeats = (10.0, 4, 1) if quick else (30.0, 8, 3)
    cv2.setNumThreads(1)
    versions = {"python": platform.python_version(), "numpy": np.__version__, "scipy": scipy.__version__, "librosa": version("librosa")}
    console.show_table("Machine", {"processor": platform.processor() or platform.machine(), "cores": str(os.cpu_count()), **versions})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for rate in RATES:
            for ending in FORMATS:
                for number in range(copies):
                    workers.write_song(folder / f"{rate}_{number}.{ending}", rate=rate, seconds=seconds, seed=number)
        alone = {f"{ending} {rate / 1000:g} kHz": steps(folder / f"{rate}_0.{ending}", folder, repeats=2 * repeats + 1) for rate in RATES for ending in FORMATS}
        names = list(next(iter(alone.values())))
        table = [[form, *(f"{times[step]:.2f}" for step in names)] for form, times in alone.items()]
        console.show_grid("Milliseconds a clip, one core", ["", *names], table)
        rows = measure_whole(folder, copies=copies, seconds=seconds, repeats=repeats)
    headings = ["", "ours", "2018", "ratio", "all", "cores", "floor", "MB"]
    console.show_grid("File to store (2018: to PNG), times real time", headings, rows)
    console.say("ours, 2018: on one core; ratio: of the two; all: the same on all cores; cores: ours on all, of one;")
    console.say("floor: ours, of decoding alone; MB: peak memory of a worker, ours / 2018")
    ratio = statistics.geometric_mean(float(row[3]) for row in rows)
    write_json(
        Path(__file__).parent / "results" / "extraction-cpu.json", {"device": "cpu", "ratio": round(ratio, 2), "steps": alone, "table": [headings, *rows]}
    )
    print(f"ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
