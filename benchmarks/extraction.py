"""Speed of extraction: each step, and spec.py from file to store, beside the 2018 baseline and decoding alone.

    python benchmarks/extraction.py
    python benchmarks/extraction.py --quick

The recordings are synthetic: WAV, FLAC, Ogg Vorbis and MP3 at 44.1 and 48 kHz. The baseline is the calls of its code
with today's librosa: `librosa.load`, `melspectrogram`, `amplitude_to_db`, NumPy medians, OpenCV, one PNG per clip. All
are measured in turn, several times. The last line says how many times as fast this toolkit is on one core, over all
formats, by processor time and by wall clock.
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
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))
# for the workers, too
os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), str(Path(__file__).parent)])

import cv2
import numpy as np
import scipy
import soundfile
import soxr
import workers

from config import Config
from utils import console
from utils.files import write_json
from utils.spectra.extraction import Job
from utils.spectra.signal_score import signal_score
from utils.spectra.spectrogram import make_spectrogram, to_pixels
from utils.workers.fanout import fan_out

FORMATS = ("wav", "flac", "ogg", "mp3")
RATES = (44_100, 48_000)


def best(function: Callable[[], object], *, repeats: int) -> float:
    """Return the median duration of several runs, seconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def steps(file: Path, folder: Path, *, repeats: int) -> dict[str, float]:
    """Measure each step of one recording by itself, milliseconds per clip."""
    settings = Config().spectrogram
    decoded, rate = soundfile.read(file, dtype="float32")
    samples = decoded if rate == workers.RATE else soxr.resample(decoded, rate, workers.RATE)
    clips = [
        samples[start : start + workers.LENGTH] for start in range(0, len(samples) - workers.LENGTH + 1, workers.STEP)
    ]
    spectrograms = [make_spectrogram(clip, settings) for clip in clips]
    pixels = np.stack([to_pixels(spectrogram) for spectrogram in spectrograms])

    def write() -> None:
        np.save(folder / "pixels.npy", pixels)

    work: dict[str, Callable[[], object]] = {
        "decode": lambda: soundfile.read(file, dtype="float32"),
        "resample": lambda: soxr.resample(decoded, rate, workers.RATE) if rate != workers.RATE else None,
        "spectrogram": lambda: [make_spectrogram(clip, settings) for clip in clips],
        "score": lambda: [signal_score(spectrogram) for spectrogram in spectrograms],
        "write": write,
        "librosa spectrogram": lambda: [workers.librosa_spectrogram(clip) for clip in clips],
        "NumPy score": lambda: [workers.numpy_score(spectrogram) for spectrogram in spectrograms],
    }
    return {name: 1000 * best(function, repeats=repeats) / len(clips) for name, function in work.items()}


class Run(NamedTuple):
    """Cost per recording: seconds, and seconds of processor time; and the highest peak memory of a worker, MB."""

    seconds: float
    cpu: float
    peak: float


def whole(function: Callable[[Job], workers.Spent], jobs: Sequence[Job], *, cores: int) -> Run:
    """Do all jobs in `cores` worker processes, and measure them without the first recordings."""
    spent = []
    start, warm = 0.0, 2 * cores  # recordings during which the processes start and import
    for job, outcome in fan_out(function, jobs, workers=cores, name=lambda job: job.name):
        if isinstance(outcome, console.Failure):
            raise RuntimeError(f"{job.name}: {outcome.reason}")
        spent.append(outcome)
        if len(spent) == warm:
            start = time.perf_counter()
    seconds = time.perf_counter() - start
    return Run(
        seconds / len(spent[warm:]), statistics.mean(one.cpu for one in spent[warm:]), max(one.peak for one in spent)
    )


WAYS = {"ours": workers.ours, "2018": workers.baseline, "decoding": workers.decode_only}


def runs_of(files: Sequence[Path], folder: Path, *, repeats: int) -> dict[tuple[str, int], Run]:
    """Return the medians of the three ways on one core and on all, measured in turn, so that other load affects all."""
    config, cores = Config(), os.cpu_count() or 1
    runs: dict[tuple[str, int], list[Run]] = {}
    for _ in range(repeats):
        for way, function in WAYS.items():
            for count in sorted({1, cores}):
                parts = folder / "parts"
                jobs = [
                    Job(
                        f"{file.name}_{again}",
                        file,
                        0,
                        config.clips,
                        config.spectrogram,
                        parts / f"{file.name}_{again}.zip",
                    )
                    for file in files
                    for again in range(2)
                ]
                runs.setdefault((way, count), []).append(whole(function, jobs, cores=count))
                shutil.rmtree(parts, ignore_errors=True)
    return {key: Run(*(statistics.median(values) for values in zip(*some, strict=True))) for key, some in runs.items()}


def measure_whole(folder: Path, *, copies: int, seconds: float, repeats: int) -> list[list[str]]:
    """Measure each format at each rate."""
    cores = os.cpu_count() or 1
    rows = []
    for rate in RATES:
        for ending in FORMATS:
            runs = runs_of([folder / f"{rate}_{index}.{ending}" for index in range(copies)], folder, repeats=repeats)
            ours, old, decoding, all_ours, all_old = (
                runs[key] for key in (("ours", 1), ("2018", 1), ("decoding", 1), ("ours", cores), ("2018", cores))
            )
            rows.append(
                [
                    f"{ending} {rate / 1000:g} kHz",
                    f"{seconds / ours.seconds:.0f}",
                    f"{seconds / old.seconds:.0f}",
                    f"{old.seconds / ours.seconds:.2f}",
                    f"{old.cpu / ours.cpu:.2f}",
                    f"{all_old.seconds / all_ours.seconds:.2f}",
                    f"{ours.seconds / all_ours.seconds:.2f}",
                    f"{decoding.cpu / ours.cpu:.0%}",
                    f"{ours.peak:.0f} / {old.peak:.0f}",
                ]
            )
            console.info("   ".join(rows[-1]))
    return rows


def main() -> None:
    """Measure the steps and the whole, and print and write both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="shorter recordings, each measured once")
    quick = parser.parse_args().quick
    seconds, copies, repeats = (10.0, 4, 1) if quick else (30.0, 8, 3)
    cv2.setNumThreads(1)
    versions = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "librosa": version("librosa"),
    }
    console.show_table(
        "Machine", {"processor": platform.processor() or platform.machine(), "cores": str(os.cpu_count()), **versions}
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for rate in RATES:
            for ending in FORMATS:
                for index in range(copies):
                    workers.write_song(folder / f"{rate}_{index}.{ending}", rate=rate, seconds=seconds, seed=index)
        alone = {
            f"{ending} {rate / 1000:g} kHz": steps(folder / f"{rate}_0.{ending}", folder, repeats=2 * repeats + 1)
            for rate in RATES
            for ending in FORMATS
        }
        names = list(next(iter(alone.values())))
        table = [[form, *(f"{times[step]:.2f}" for step in names)] for form, times in alone.items()]
        console.show_grid("Milliseconds per clip, one core", ["", *names], table)
        rows = measure_whole(folder, copies=copies, seconds=seconds, repeats=repeats)
    headings = ["", "ours", "2018", "ratio", "CPU", "all", "cores", "decoding", "MB"]
    console.show_grid("File to store (2018: to PNG), times real time", headings, rows)
    console.info("ours, 2018: on one core; ratio: of the two by wall clock; CPU: by processor time;")
    console.info("all: ratio by wall clock on all cores; cores: ours on all cores relative to one;")
    console.info("decoding: its share of our time; MB: peak memory of a worker, ours / 2018")
    ratio, cpu = (statistics.geometric_mean(float(row[column]) for row in rows) for column in (3, 4))
    write_json(
        Path(__file__).parent / "results" / "extraction-cpu.json",
        {
            "device": "cpu",
            "ratio": round(ratio, 2),
            "cpu_ratio": round(cpu, 2),
            "steps": alone,
            "table": [headings, *rows],
        },
    )
    print(f"processor time {cpu:.2f}, ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
