"""How fast recordings are answered, from file to scores: by test.py's own way, beside the same net in a good notebook, and beside decoding alone.

    python benchmarks/inference.py
    python benchmarks/inference.py --quick
    python benchmarks/inference.py --minutes 10 --recordings 100

Measured on one long recording and on many short ones (FLAC, made up, 44.1 kHz), in hours of sound per minute; then each stage alone, on one core but for the
net. The notebook has the default ResNet in PyTorch, channels last, its pictures from librosa, in as many workers as there are cores, and answers batches over
recordings; all ways run in processes of their own, in turn. Ours is also measured on a third of the sound: its memory should not grow. The net is not trained.
The last line is how many times as fast as the notebook ours is, over both.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), str(Path(__file__).parent)])  # workers look there, too

import jax
import numpy as np
import polars as pl
import psutil
import workers
from inference_ways import CLASSES

from config import Config, Dataset, Testing, to_toml
from utils import console
from utils.fanout import fan_out
from utils.files import write_json, write_text
from utils.models.nets import build
from utils.models.snapshots import Snapshot, load_net, save
from utils.recordings.splits import SCHEMA
from utils.scoring.pooling import median_filtered
from utils.scoring.predict import chosen_predictor, scores_of
from utils.spectra.decode import decode
from utils.spectra.extraction import Job, grid_clips
from utils.spectra.spectrogram import make_picture, to_pixels
from utils.tables import write_table

LARGER = 3  # times as much sound, where memory is compared


def make_recordings(folder: Path, *, count: int, seconds: float) -> Path:
    """Write made-up recordings, their table, and a run with a snapshot of the default net; all but the first are links to ten."""
    files = []
    for number in range(count):
        file = folder / f"{number:05d}.flac"
        folder.mkdir(parents=True, exist_ok=True)
        if number < 10:
            workers.write_song(file, rate=workers.RATE, seconds=seconds, seed=number)
        else:
            file.hardlink_to(folder / f"{number % 10:05d}.flac")
        files.append(file.name)
    rows = {"recording": [Path(name).stem for name in files], "file": files, "class": ["A"] * count}
    others: dict[str, Any] = {name: pl.lit(None, kind) for name, kind in SCHEMA.items() if name not in rows}
    write_table(folder / "recordings.parquet", pl.DataFrame(rows).with_columns(**others).select(*SCHEMA))
    config = Config(run="run", snapshots=folder / "snapshots", dataset=Dataset(root=folder), testing=Testing(max_clips=0))
    write_text(folder / "settings.toml", to_toml(config))
    _, net = build(config.model, classes=CLASSES, shape=config.spectrogram.shape, seed=1)
    classes = tuple(f"species {number:04d}" for number in range(CLASSES))
    save(Snapshot(config.run_folder / "epoch_001", config, classes, 1, None, ""), net, {"none": np.zeros(1)}, learned=[])
    return folder


def run_way(way: str, folder: Path, *, script: str = "inference_ways.py") -> dict[str, float]:
    """Answer a folder's recordings in a process of its own, and watch the memory of it and of all that it starts; `peak` is of all together, MB."""
    command = [sys.executable, str(Path(__file__).with_name(script)), way, str(folder)]
    peak = 0
    with tempfile.TemporaryFile("w+") as told, tempfile.TemporaryFile("w+") as errors:
        done = subprocess.Popen(command, stdout=told, stderr=errors)  # noqa: S603
        while done.poll() is None:
            peak = max(peak, _memory_of(psutil.Process(done.pid)))
            time.sleep(0.1)
        told.seek(0)
        errors.seek(0)
        if done.returncode:
            raise console.Trouble(f"{way}: {errors.read().strip().splitlines()[-1]}")
        answer: dict[str, float] = json.loads(told.read().splitlines()[-1])
    return {**answer, "peak": peak / 2**20}


def _memory_of(process: psutil.Process) -> int:
    """Return the bytes in memory of a process and those that it started; what they share counts for each."""
    total = 0
    with contextlib.suppress(psutil.Error):
        for one in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):  # it has ended
                total += one.memory_info().rss
    return total


def jobs_of(folder: Path) -> list[Job]:
    """Return what workers need to hear a folder's recordings."""
    config = Config()
    pairs = pl.read_parquet(folder / "recordings.parquet").select("recording", "file").iter_rows()
    return [Job(name, folder / file, 0, config.clips, config.spectrogram) for name, file in pairs]


def decoding_alone(folder: Path) -> float:
    """Return the seconds that all cores need to decode a folder's recordings: the floor."""
    passed = console.stopwatch()
    for _, outcome in fan_out(workers.decode_only, jobs_of(folder), workers=0, name=lambda job: job.name):
        if isinstance(outcome, console.Failure):
            raise console.Trouble(str(outcome))
    return passed()


def stages(folder: Path) -> dict[str, float]:
    """Return the seconds that each stage takes alone for one recording: decode, picture and pooling on one core, the net on all."""
    job = jobs_of(folder)[0]
    config = Config(run="run", snapshots=folder / "snapshots")
    (found,) = config.run_folder.glob("epoch_*")
    graph, net = load_net(Snapshot(found, config, tuple(map(str, range(CLASSES))), 1, None, ""))
    predict = chosen_predictor(graph, net, shape=config.spectrogram.shape, settings=config.testing)
    seconds = {}
    passed = console.stopwatch()
    for _ in decode(job.file, rate=job.spectrogram.rate):
        pass
    seconds["decode"] = passed()
    clips = list(grid_clips(job))
    passed = console.stopwatch()
    pixels = np.stack([to_pixels(make_picture(samples, job.spectrogram)) for samples in clips])
    seconds["picture"] = passed()
    predict(net, pixels[: config.testing.batch_size])  # what is compiled only once
    passed = console.stopwatch()
    logits = predict(net, pixels)
    seconds["net"] = passed()
    passed = console.stopwatch()
    median_filtered(scores_of(logits, "cross_entropy"))
    seconds["pooling"] = passed()
    return seconds


def measure(folder: Path, *, hours: float, ways: Sequence[str], repeats: int, script: str = "inference_ways.py") -> tuple[list[list[str]], dict[str, float]]:
    """Measure all ways in turn; return rows of a table, and the median seconds of each way."""
    found: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    floor = []
    for _ in range(repeats):
        floor.append(decoding_alone(folder))
        for way in ways:
            found[way].append(run_way(way, folder, script=script))
    seconds = {way: statistics.median(one["seconds"] for one in runs) for way, runs in found.items()}
    seconds["decoding alone"] = statistics.median(floor)
    rows = []
    for way, median in seconds.items():
        times = floor if way == "decoding alone" else [one["seconds"] for one in found[way]]
        figures = [f"{60 * hours / median:.3f}", f"{60 * hours / max(times):.3f} to {60 * hours / min(times):.3f}", f"{median:.1f}"]
        runs = found.get(way, [])
        peak = f"{max(one['peak'] for one in runs):.0f}" if runs else "–"
        clips = {int(one["clips"]) for one in runs}
        rows.append([way, *figures, " or ".join(map(str, clips)) or "–", peak])
    return rows, seconds


def parsed() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a long recording of a minute, three short ones, once")
    minutes, recordings, repeats = (1, 3, 1) if "--quick" in sys.argv else (60, 1000, 3)
    parser.add_argument("--minutes", type=float, default=minutes, help=f"length of the long recording, {minutes}")
    parser.add_argument("--recordings", type=int, default=recordings, help=f"short ones, {recordings}")
    parser.add_argument("--seconds", type=float, default=20, help="length of a short recording, 20")
    parser.add_argument("--repeats", type=int, default=repeats, help=f"times that each way is measured, {repeats}")
    parser.add_argument("--folder", type=Path, help="where recordings are made; default: the system's folder for temporary files")
    return parser.parse_args()


def main() -> None:
    """Measure, print and write."""
    options = parsed()
    device = jax.devices()[0]
    ways = ["ours"] + (["PyTorch"] if find_spec("torch") else [])
    if len(ways) == 1:
        console.warn("PyTorch is not installed (pip install torch): ours alone is measured")
    versions = {name: version_of(name) for name in ("jax", "onnxruntime", "torch", "librosa")}
    console.show_table("Machine", {"device": device.device_kind, "cores": str(os.cpu_count()), "python": sys.version.split()[0], **versions})
    table, memory, total = {}, {}, dict.fromkeys([*ways, "decoding alone"], 0.0)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        sizes = {"one long recording": (1, 60 * options.minutes), "short recordings": (options.recordings, options.seconds)}
        for what, (count, seconds) in sizes.items():
            folder = make_recordings(Path(name) / what.replace(" ", "-"), count=count, seconds=seconds)
            table[what], found = measure(folder, hours=count * seconds / 3600, ways=ways, repeats=options.repeats)
            headings = ["", "hours a minute", "spread", "seconds", "clips", "peak, MB"]
            console.show_grid(f"{what.capitalize()}: {count:,} of {seconds:g} s", headings, table[what])
            total = {way: total[way] + found[way] for way in total}
            less = (count, seconds / LARGER) if count == 1 else (max(1, count // LARGER), seconds)
            smaller = run_way("ours", make_recordings(Path(name) / f"less-{count}", count=less[0], seconds=less[1]))
            memory[what] = {"a third": round(smaller["peak"]), "all": int(table[what][0][-1])}
            console.say(f"our peak memory, all processes: {memory[what]['a third']} MB for a third of the sound, {memory[what]['all']} MB for all")
        part = stages(make_recordings(Path(name) / "stages", count=1, seconds=min(60 * options.minutes, 120)))
    rows = [[stage, f"{one:.2f}", f"{min(60 * options.minutes, 120) / 60 / one:.3f}"] for stage, one in part.items()]
    console.show_grid("Each stage alone, two minutes of sound or less", ["", "seconds", "hours a minute"], rows)
    ratio = total["PyTorch"] / total["ours"] if "PyTorch" in total else None
    console.say(f"decoding alone would take {total['decoding alone'] / total['ours']:.0%} of our time")
    kind = "cpu" if device.platform == "cpu" else "gpu"
    content = {"device": device.device_kind, "ratio": ratio and round(ratio, 2), "table": table, "stages": rows, "peak_mb": memory}
    sizes_of = {"minutes": options.minutes, "recordings": options.recordings, "seconds": options.seconds, "repeats": options.repeats}
    write_json(Path(__file__).parent / "results" / f"inference-{kind}.json", content | sizes_of | {"versions": versions, "cores": os.cpu_count()})
    print(f"ratio {ratio:.2f}" if ratio else "ratio none")


def version_of(name: str) -> str:
    """Return the version of a package."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    main()
