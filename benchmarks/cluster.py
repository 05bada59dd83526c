"""Speed of extraction by worker processes, by Ray on this machine, and by Ray with two machines of one core each.

    python benchmarks/cluster.py
    python benchmarks/cluster.py --quick

Needs the extra `cluster`. The recordings are synthetic, WAV of 30 s at 48 kHz. All ways use two cores, and are measured
in turn, several times, by the last half of the recordings, when all workers run; the time to the first result is
given beside. The last line is the throughput of Ray on this machine relative to worker processes.
"""

import argparse
import contextlib
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

import workers

from config import Cluster, Config
from utils import console
from utils.files import write_json
from utils.spectra.extraction import Job, extract
from utils.workers.fanout import AHEAD_OF_SMALL_RESULTS, THIS_MACHINE, fan_out
from utils.workers.ray_tasks import SETTINGS_OF_RAY

SECONDS, RATE, CORES, FILES = 30.0, 48_000, 2, 16
WAYS = {
    "worker processes": THIS_MACHINE,
    "Ray, this machine": Cluster("local"),
    "Ray, two machines of one core": Cluster("auto"),
}


class Run(NamedTuple):
    """Recordings per second, and seconds to the first result."""

    rate: float
    start: float


def measure(jobs: Sequence[Job], cluster: Cluster) -> Run:
    """Extract all recordings, and measure it by the last half: during the first, the processes start."""
    started, times = time.perf_counter(), []
    name, ahead = (lambda job: job.name), AHEAD_OF_SMALL_RESULTS  # as spec.py
    for job, outcome in fan_out(extract, jobs, workers=CORES, name=name, cluster=cluster, ahead=ahead):
        if isinstance(outcome, console.Failure):
            raise RuntimeError(f"{job.name}: {outcome.reason}")
        times.append(time.perf_counter())
    half = len(times) // 2
    return Run((len(times) - half) / (times[-1] - times[half - 1]), times[0] - started)


@contextlib.contextmanager
def two_machines() -> Iterator[None]:
    """Run two machines of a Ray cluster on this one."""
    os.environ |= SETTINGS_OF_RAY
    from ray.cluster_utils import Cluster as Machines

    machines = Machines(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    machines.add_node(num_cpus=1)
    os.environ["RAY_ADDRESS"] = machines.address
    try:
        yield
    finally:
        del os.environ["RAY_ADDRESS"]
        machines.shutdown()


def runs_of(folder: Path, *, recordings: int, repeats: int) -> dict[str, list[Run]]:
    """Measure each way in turn, so that other load affects all."""
    config, runs = Config(), dict[str, list[Run]]()
    for index in range(FILES):
        workers.write_song(folder / f"{index}.wav", rate=RATE, seconds=SECONDS, seed=index)
    for again in range(repeats):
        for way, cluster in WAYS.items():
            parts = [folder / f"{again} {way}" / f"{index}.zip" for index in range(recordings)]
            jobs = [
                Job(part.stem, folder / f"{index % FILES}.wav", 0, config.clips, config.spectrogram, part)
                for index, part in enumerate(parts)
            ]
            with two_machines() if cluster.address == "auto" else contextlib.nullcontext():
                runs.setdefault(way, []).append(measure(jobs, cluster))
    return runs


def main() -> None:
    """Measure all ways, and print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer recordings, each way measured once")
    recordings, repeats = (80, 1) if parser.parse_args().quick else (240, 3)
    versions = {"python": platform.python_version(), "ray": version("ray")}
    processor = platform.processor() or platform.machine()
    console.show_table("Machine", {"processor": processor, "cores": str(os.cpu_count()), **versions})
    with tempfile.TemporaryDirectory() as name:
        runs = runs_of(Path(name), recordings=recordings, repeats=repeats)
    rates = {way: statistics.median(run.rate for run in some) for way, some in runs.items()}
    base = rates["worker processes"]
    headings = ["", "recordings/s", "ratio", "first after s"]
    table = [
        [way, f"{rate:.2f}", f"{rate / base:.2f}", f"{statistics.median(run.start for run in runs[way]):.1f}"]
        for way, rate in rates.items()
    ]
    console.show_grid(f"Extraction of {recordings} recordings of {SECONDS:g} s, {CORES} cores", headings, table)
    ratio = rates["Ray, this machine"] / base
    write_json(
        Path(__file__).parent / "results" / "cluster-cpu.json",
        {"device": "cpu", "versions": versions, "ratio": round(ratio, 2), "table": [headings, *table]},
    )
    print(f"ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
