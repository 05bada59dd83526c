"""What the benchmarks from file to predictions share: made-up recordings, processes, and tables of results."""

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
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))
# for worker processes, too
os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), str(Path(__file__).parent)])

import jax
import numpy as np
import polars as pl
import psutil
import workers
from inference_ways import CLASSES

import sort_data
import spec
from config import Config, Dataset
from utils import console
from utils.files import write_json, write_text
from utils.models.networks import build_network
from utils.models.saved_networks import save_snapshot
from utils.models.snapshots import Snapshot
from utils.recordings.splits import SPLIT_SCHEMA, read_split
from utils.settings import load, to_toml
from utils.spectra.extraction import Job
from utils.tables import write_table
from utils.workers.fanout import fan_out

USUAL = Config()
LARGER = 3  # times as much sound, where memory is compared


def make_recordings(folder: Path, *, count: int, seconds: float, experiment: Config = USUAL) -> Path:
    """Write made-up recordings (all but ten are links), their table, and a run with a snapshot of random weights.

    For int8, which takes the ranges of values from training clips, a store of two other recordings is made, too.
    """
    files = []
    for index in range(count):
        file = folder / f"{index:05d}.flac"
        folder.mkdir(parents=True, exist_ok=True)
        if index < 10:
            workers.write_song(file, rate=workers.RATE, seconds=seconds, seed=index)
        else:
            file.hardlink_to(folder / f"{index % 10:05d}.flac")
        files.append(file.name)
    rows = {"recording": [Path(name).stem for name in files], "file": files, "class": ["A"] * count}
    others: dict[str, Any] = {name: pl.lit(None, kind) for name, kind in SPLIT_SCHEMA.items() if name not in rows}
    write_table(folder / "recordings.parquet", pl.DataFrame(rows).with_columns(**others).select(*SPLIT_SCHEMA))
    config = replace(
        experiment,
        run="run",
        snapshots=folder / "snapshots",
        dataset=Dataset(root=folder, archive=folder / "archive", val_share=0),
        model=replace(experiment.model, weights=None, frozen_stages=0),
        testing=replace(experiment.testing, max_clips=0, models=(), weights=()),
    )
    write_text(folder / "settings.toml", to_toml(config))
    learned = _make_store(config) if config.testing.engine == "onnx-int8" else []
    _, network = build_network(config.model, classes=CLASSES, shape=config.spectrogram.shape, seed=1)
    classes = tuple(f"species {index:04d}" for index in range(CLASSES))
    save_snapshot(
        Snapshot(config.run_folder / "epoch_001", config, classes, 1, None, ""),
        network,
        {"none": np.zeros(1)},
        recordings=learned,
    )
    return folder


def _make_store(config: Config) -> list[str]:
    """Sort two made-up recordings and extract their clips; return the names of the recordings."""
    archive = Path(config.snapshots).parent / "archive"
    for seed, label in enumerate(("species one", "species two")):
        (archive / label).mkdir(parents=True, exist_ok=True)
        workers.write_song(archive / label / f"{label}.flac", rate=workers.RATE, seconds=60, seed=seed)
    sort_data.main(config)
    spec.main(config)
    return read_split(config.dataset)["recording"].to_list()


def run_way(way: str, folder: Path, *, script: str) -> dict[str, float]:
    """Predict a folder's recordings in a process of its own; `peak` is its memory with that of its workers, MB."""
    command = [sys.executable, str(Path(__file__).with_name(script)), way, str(folder)]
    peak = 0
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        done = subprocess.Popen(command, stdout=output, stderr=errors)  # noqa: S603
        while done.poll() is None:
            peak = max(peak, _memory_of(psutil.Process(done.pid)))
            time.sleep(0.1)
        output.seek(0)
        errors.seek(0)
        if done.returncode:
            raise console.UserError(f"{way}: {errors.read().strip().splitlines()[-1]}")
        found: dict[str, float] = json.loads(output.read().splitlines()[-1])
    return {**found, "peak": peak / 2**20}


def _memory_of(process: psutil.Process) -> int:
    """Return the bytes in memory of a process and those that it started; shared memory counts for each."""
    total = 0
    with contextlib.suppress(psutil.Error):
        for one in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):  # it has ended
                total += one.memory_info().rss
    return total


def jobs_of(folder: Path) -> list[Job]:
    """Return the workers' jobs for a folder's recordings."""
    config = load(folder / "settings.toml")
    pairs = pl.read_parquet(folder / "recordings.parquet").select("recording", "file").iter_rows()
    return [Job(name, folder / file, 0, config.clips, config.spectrogram) for name, file in pairs]


def decoding_alone(folder: Path) -> float:
    """Return the seconds that all cores need to decode a folder's recordings: the lower bound."""
    passed = console.stopwatch()
    for _, outcome in fan_out(workers.decode_only, jobs_of(folder), workers=0, name=lambda job: job.name):
        if isinstance(outcome, console.Failure):
            raise console.UserError(str(outcome))
    return passed()


def measure(
    folder: Path, *, hours: float, ways: Sequence[str], repeats: int, script: str
) -> tuple[list[list[str]], dict[str, float]]:
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
        columns = [
            f"{60 * hours / median:.3f}",
            f"{60 * hours / max(times):.3f} to {60 * hours / min(times):.3f}",
            f"{median:.1f}",
        ]
        runs = found.get(way, [])
        peak = f"{max(one['peak'] for one in runs):.0f}" if runs else "–"
        clips = {int(one["clips"]) for one in runs}
        rows.append([way, *columns, " or ".join(map(str, clips)) or "–", peak])
    return rows, seconds


class Sizes(NamedTuple):
    """What is measured by default: minutes of the long recording, how many short ones, and repeats."""

    minutes: float
    recordings: int
    repeats: int


def parsed(doc: str | None, *, full: Sizes, quick: Sizes, of_models: bool = False) -> argparse.Namespace:
    """Read the command line; `of_models`: it says which model."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"a long recording of {quick.minutes:g} min, {quick.recordings} short ones, once",
    )
    sizes = quick if "--quick" in sys.argv else full
    parser.add_argument(
        "--minutes", type=float, default=sizes.minutes, help=f"length of the long recording, {sizes.minutes:g}"
    )
    parser.add_argument("--recordings", type=int, default=sizes.recordings, help=f"short ones, {sizes.recordings}")
    parser.add_argument("--seconds", type=float, default=20, help="length of a short recording, 20")
    parser.add_argument(
        "--repeats", type=int, default=sizes.repeats, help=f"times that each way is measured, {sizes.repeats}"
    )
    parser.add_argument(
        "--folder", type=Path, help="folder for the recordings; default: the system's folder for temporary files"
    )
    parser.set_defaults(experiment=None, engine=None)
    if of_models:
        parser.add_argument("--experiment", type=Path, help="TOML file with model, clips and spectrograms of ours")
        parser.add_argument(
            "--engine", choices=("jax", "onnx", "onnx-int8"), help="what runs our model; default: the experiment's"
        )
    return parser.parse_args()


class Measured(NamedTuple):
    """Results: rows of a table by size, our peak memory by size (MB), and seconds of each way over both sizes."""

    table: dict[str, list[list[str]]]
    peak_mb: dict[str, dict[str, int]]
    seconds: dict[str, float]


def measure_sizes(
    options: argparse.Namespace, folder: Path, *, ways: Sequence[str], script: str, experiment: Config = USUAL
) -> Measured:
    """Measure one long recording and many short ones, and ours on a third of each, and print the results."""
    table, memory, total = {}, {}, dict.fromkeys([*ways, "decoding alone"], 0.0)
    for what, (count, seconds) in {
        "one long recording": (1, 60 * options.minutes),
        "short recordings": (options.recordings, options.seconds),
    }.items():
        made = make_recordings(folder / what.replace(" ", "-"), count=count, seconds=seconds, experiment=experiment)
        table[what], found = measure(
            made, hours=count * seconds / 3600, ways=ways, repeats=options.repeats, script=script
        )
        console.show_grid(
            f"{what.capitalize()}: {count:,} of {seconds:g} s",
            ["", "hours a minute", "spread", "seconds", "clips", "peak, MB"],
            table[what],
        )
        total = {way: total[way] + found[way] for way in total}
        less = (count, seconds / LARGER) if count == 1 else (max(1, count // LARGER), seconds)
        smaller = run_way(
            ways[0],
            make_recordings(folder / f"less-{count}", count=less[0], seconds=less[1], experiment=experiment),
            script=script,
        )
        memory[what] = {"a third": round(smaller["peak"]), "all": int(table[what][0][-1])}
        console.info(
            f"our peak memory, all processes: {memory[what]['a third']} MB for a third of the sound, "
            f"{memory[what]['all']} MB for all"
        )
    console.info(f"decoding alone would take {total['decoding alone'] / total[ways[0]]:.0%} of our time")
    return Measured(table, memory, total)


def show_machine(*packages: str) -> dict[str, str]:
    """Print machine and versions; return the versions of packages."""
    versions = {name: _version_of(name) for name in packages}
    console.show_table(
        "Machine",
        {
            "device": jax.devices()[0].device_kind,
            "cores": str(os.cpu_count()),
            "python": sys.version.split()[0],
            **versions,
        },
    )
    return versions


def write_results(
    what: str,
    measured: Measured,
    options: argparse.Namespace,
    *,
    ratio: float | None,
    versions: dict[str, str],
    **more: Any,
) -> None:
    """Write the results, and print the ratio."""
    device = jax.devices()[0]
    content = {
        "device": device.device_kind,
        "ratio": ratio and round(ratio, 2),
        "table": measured.table,
        "peak_mb": measured.peak_mb,
        **more,
    }
    sizes = {name: getattr(options, name) for name in ("minutes", "recordings", "seconds", "repeats")}
    chosen = [part for part in (options.experiment and options.experiment.stem, options.engine) if part]
    name = "-".join([what, *chosen, "cpu" if device.platform == "cpu" else "gpu"])
    path = Path(__file__).parent / "results" / f"{name}.json"
    write_json(path, content | sizes | {"versions": versions, "cores": os.cpu_count()})
    print(f"ratio {ratio:.2f}" if ratio else "ratio none")


def _version_of(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
