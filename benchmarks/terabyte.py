"""Time and memory of the main process for an archive of a million recordings, without their sound.

    python benchmarks/terabyte.py
    python benchmarks/terabyte.py --quick

A made-up archive has a table of metadata with one row for each recording, and names of sounds that are all one file.
Each part runs in a process of its own: sort_data.py's reading of the archive and its split, spec.py's plan of shards,
and recordings that are handed to workers which do nothing, by worker processes and, if it is installed, by Ray. So what
is measured is what a cluster cannot divide. The last line is the largest memory of a main process, GB.
"""

import argparse
import importlib.util
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import polars as pl
import soundfile

from config import Cluster, Config, Dataset
from utils import console
from utils.files import write_json
from utils.recordings.archive import read_archive
from utils.recordings.selection import select_recordings
from utils.recordings.splits import Assignment, read_split, split_table, write_split
from utils.spectra.extraction import Job, JobResult
from utils.spectra.shards import plan_shards
from utils.workers.fanout import fan_out

HERE = Path(__file__).parent
SPECIES = 10_000  # of all of xeno-canto, about
CORES = 2
ENGINES = {"worker processes": Cluster(), "Ray": Cluster("local")}


def no_work(job: Job) -> JobResult:
    """Do nothing with a recording."""
    return JobResult(0.0, 0, 0)


def write_archive(archive: Path, recordings: int) -> None:
    """Write the table of an archive in Kaggle's form, and a name for each of its sounds."""
    rng = np.random.default_rng(0)
    sound = archive.parent / "sound.ogg"
    soundfile.write(sound, rng.normal(0, 0.1, 8000).astype(np.float32), 8000)
    species = rng.permutation(recordings) % SPECIES
    names = [f"{label:05d}/XC{index}.ogg" for index, label in enumerate(species)]
    for label in range(min(SPECIES, recordings)):
        (archive / "train_audio" / f"{label:05d}").mkdir(parents=True)
    for name in names:
        (archive / "train_audio" / name).symlink_to(sound)
    table = {
        "primary_label": [f"{label:05d}" for label in species],
        "secondary_labels": ["[]"] * recordings,
        "scientific_name": [f"Avis species{label:05d}" for label in species],
        "author": [f"recordist {index % 5000}" for index in range(recordings)],
        "latitude": rng.uniform(-60, 70, recordings).round(4),
        "longitude": rng.uniform(-180, 180, recordings).round(4),
        "rating": rng.integers(1, 6, recordings),
        "filename": names,
    }
    pl.DataFrame(table).write_csv(archive / "train_metadata.csv")


def sort(config: Config) -> dict[str, Any]:
    """Read the archive and write its split, as sort_data.py does, without opening the sounds."""
    passed = console.stopwatch()
    archive = read_archive(config.dataset)
    recordings = select_recordings(archive.recordings, config.dataset, archive.taxonomy, kind=archive.kind).recordings
    assignments = [Assignment("train", None, "made up")] * len(recordings)
    archive_folder = Path(str(config.dataset.archive))
    files = [recording.file.relative_to(archive_folder).as_posix() for recording in recordings]
    write_split(archive_folder, split_table(recordings, assignments, files, files))
    return {"items": len(recordings), "seconds": passed(), "cpu": time.process_time()}


def plan(config: Config) -> dict[str, Any]:
    """Plan the shards, as spec.py does."""
    passed = console.stopwatch()
    shards = plan_shards(read_split(config.dataset), config, config.dataset.root / "spec")
    return {"items": sum(len(shard.jobs) for shard in shards), "seconds": passed(), "cpu": time.process_time()}


def hand_out(config: Config, cluster: Cluster, tasks: int) -> dict[str, Any]:
    """Hand the planned recordings to workers that do nothing."""
    from terabyte import no_work  # workers import it by this name

    shards = plan_shards(read_split(config.dataset), config, config.dataset.root / "spec")
    jobs = [job for shard in shards for job in shard.jobs][:tasks]
    before, passed, cpu = len(jobs) // 10, console.stopwatch(), time.process_time()
    outcomes = fan_out(no_work, jobs, workers=CORES, name=lambda job: job.name, cluster=cluster)
    for done, (job, outcome) in enumerate(outcomes, 1):
        if isinstance(outcome, console.Failure):
            raise RuntimeError(f"{job.name}: {outcome.reason}")
        if done == before:  # the processes have started
            passed, cpu = console.stopwatch(), time.process_time()
    return {"items": len(jobs) - before, "seconds": passed(), "cpu": time.process_time() - cpu}


def in_a_process(part: str, folder: Path, tasks: int) -> dict[str, Any]:
    """Run a part in another process; return items, seconds, processor seconds, and its largest memory, MB."""
    command = [sys.executable, __file__, "--part", part, "--folder", str(folder), "--tasks", str(tasks)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603 — our own
    return json.loads(done.stdout.splitlines()[-1])


def run_part(part: str, folder: Path, tasks: int) -> None:
    """Run a part and print what it took."""
    archive = folder / "archive"
    dataset = Dataset(root=folder / "root" if part == "sort" else archive, archive=archive, kind="kaggle")
    config = Config(dataset=dataset)
    parts: dict[str, Callable[[Config], dict[str, Any]]] = {"sort": sort, "plan": plan}
    parts |= {engine: partial(hand_out, cluster=cluster, tasks=tasks) for engine, cluster in ENGINES.items()}
    found = parts[part](config)
    print(json.dumps({**found, "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000}))


def table_rows(found: dict[str, dict[str, Any]]) -> list[list[str]]:
    """Return one row for each part."""
    titles = {"sort": "archive and split", "plan": "plan of shards"}
    return [
        [
            titles.get(part, f"hand out, {part}"),
            f"{one['items']:,}",
            f"{one['seconds']:.1f}",
            f"{one['cpu']:.1f}",
            f"{1000 * one['seconds'] / one['items']:.3f}",
            f"{one['memory']:,.0f}",
        ]
        for part, one in found.items()
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all parts, and print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="20,000 recordings")
    parser.add_argument("--recordings", type=int, default=1_000_000)
    parser.add_argument("--tasks", type=int, default=200_000, help="recordings that are handed to workers")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    flags = parser.parse_args(arguments)
    if flags.part:
        run_part(flags.part, flags.folder, flags.tasks)
        return
    recordings = 20_000 if flags.quick else flags.recordings
    parts = ["sort", "plan", "worker processes", *(["Ray"] if importlib.util.find_spec("ray") else [])]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_archive(folder / "archive", recordings)
        found = {part: in_a_process(part, folder, min(flags.tasks, recordings)) for part in parts}
    headings = ["", "recordings", "seconds", "CPU seconds", "ms each", "memory, MB"]
    console.show_grid(f"The main process, {recordings:,} recordings", headings, table_rows(found))
    largest = max(one["memory"] for one in found.values())
    machine = {"machine": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()}
    write_json(HERE / "results" / "terabyte-cpu.json", {**machine, "recordings": recordings, "parts": found})
    print(f"memory {largest / 1000:.2f}")


if __name__ == "__main__":
    main()
