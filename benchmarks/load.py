"""Whether the cost of sorting, extraction and reading per recording or clip is independent of their number.

    python benchmarks/load.py
    python benchmarks/load.py --quick
    python benchmarks/load.py --recordings 50000 --clips 1000000 --folder /data/scratch

Archives of short synthetic recordings (calls of one pitch in noise, all different) are made in steps up to
`--recordings`, and sort_data.py and spec.py run on each. Their time per recording and the peak memory of any of their
processes are measured. Then synthetic stores are made in steps up to `--clips`, and the batches of one epoch are read
from each in random order (see reading.py). All sizes are measured `--repeats` times in turn, and the shortest time
counts, because other programs only add to it. The plot shows all results. The last line is a ratio for spec.py: the
processor time of an additional recording from the first size to the second, divided by that from the second to the
last. 1 is linear scaling; less means that the cost per recording grows. (The constant cost of starting Python would
hide growth.)
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import psutil
import soundfile
from made_up_store import made_up_store

from config import Clips, Config, Dataset, Model, Spectrogram, Training
from utils import console
from utils.files import remove_folder, write_json, write_text
from utils.settings import to_toml

HERE = Path(__file__).parent
RATE = 8000  # sample rate of the recordings, Hz
SECONDS = 1.5  # length of each recording: one clip, and a rest that is dropped
PER_CLASS = 100  # recordings of a class
CLIPS_PER_CLASS = 700  # clips of a class in synthetic stores
LOOK_EVERY = 0.2  # seconds between two measurements of memory
SMALL = Spectrogram(rate=RATE, fmax=3800.0, height=32, width=64)
PARTS = 8  # ratio of the largest size to the smallest


@dataclass(frozen=True)
class Cost:
    """Cost of one stage at one size.

    Attributes
    ----------
    what : the stage
    items : number of recordings or clips
    seconds : total time
    cpu : processor time of all its processes, seconds
    megabytes : peak memory of any of its processes
    """

    what: str
    items: int
    seconds: float
    cpu: float
    megabytes: float

    @property
    def milliseconds(self) -> float:
        """Milliseconds per item."""
        return 1000 * self.seconds / self.items


def sizes(most: int) -> list[int]:
    """Return an eighth, a quarter, a half and the whole of a number."""
    return [most * part // PARTS for part in (1, 2, 4, 8)]


def make_archive(archive: Path, recordings: int) -> None:
    """Write short recordings into folders of species."""
    time_ = np.arange(int(SECONDS * RATE)) / RATE
    for index in range(recordings):
        species = index // PER_CLASS
        folder = archive / f"Genus species{chr(97 + species // 26 % 26)}{chr(97 + species % 26)}"
        folder.mkdir(parents=True, exist_ok=True)
        pitch = 1000 + 20 * (species % 100)
        calls = (np.sin(2 * np.pi * 3 * time_) > 0.3) * np.sin(2 * np.pi * pitch * time_)
        noise = np.random.default_rng(index).normal(0, 0.003, len(time_))
        soundfile.write(folder / f"R{index}.wav", 0.3 * calls + noise, RATE)


def extraction(base: Path, recordings: int) -> list[Cost]:
    """Sort and extract a synthetic archive."""
    make_archive(base / "archive", recordings)
    config = Config(
        run="load",
        dataset=Dataset(root=base / "root", archive=base / "archive", sort_mode="symlink"),
        clips=Clips(max_per_class=0, signal_threshold=0.0),
        spectrogram=SMALL,
        model=Model(filters=(4, 8), kernel_sizes=(3, 3), groups=(1, 1)),
    )
    write_text(base / "load.toml", to_toml(config))
    found = [stage(base, script, recordings) for script in ("sort_data", "spec")]
    remove_folder(base / "archive")
    remove_folder(base / "root")
    return found


def stage(base: Path, script: str, items: int) -> Cost:
    """Run a script as a user does, and measure the memory of its processes."""
    passed = console.stopwatch()
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, str(HERE.parent / f"{script}.py"), "load.toml", "--log.mode", "error"], cwd=base
    )
    peaks: list[float] = [0.0]
    tracker = threading.Thread(target=track_memory, args=(process.pid, peaks), daemon=True)
    before = os.times()
    tracker.start()
    status = process.wait()
    after = os.times()
    tracker.join()
    if status:
        raise SystemExit(f"{script}.py ended with the status {status}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Cost(script, items, passed(), cpu, max(peaks))


def track_memory(pid: int, peaks: list[float]) -> None:
    """Update `peaks[0]` with the peak memory of a process or any of its children, MB, until it ends."""
    while True:
        try:
            family = psutil.Process(pid)
            for one in (family, *family.children(recursive=True)):
                peaks[0] = max(peaks[0], one.memory_info().rss / 1e6)
        except psutil.NoSuchProcess:
            if not psutil.pid_exists(pid):
                return
        except psutil.Error:
            return
        time.sleep(LOOK_EVERY)


def reading(base: Path, clips: int, *, batch: int) -> Cost:
    """Read one epoch of a synthetic store, in a separate process."""
    config = Config(
        dataset=Dataset(root=base / "root"),
        spectrogram=SMALL,
        model=Model(filters=(4, 8)),
        training=Training(batch_size=batch, validation_share=0.0),
    )
    made_up_store(config, clips=clips, classes=max(2, clips // CLIPS_PER_CLASS))
    command = [sys.executable, str(HERE / "reading.py"), str(base / "root"), str(batch)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    found = json.loads(ended.stdout.splitlines()[-1])
    remove_folder(base / "root")
    return Cost("reading", clips, found["milliseconds"] * clips / 1e6, found["cpu"] * clips / 1e6, found["peak"])


def least(costs: Iterable[Cost]) -> list[Cost]:
    """Return one cost for each stage and size: the shortest times, and the highest peak memory."""
    found: dict[tuple[str, int], Cost] = {}
    for cost in costs:
        former = found.setdefault((cost.what, cost.items), cost)
        seconds, cpu, megabytes = (
            min(former.seconds, cost.seconds),
            min(former.cpu, cost.cpu),
            max(former.megabytes, cost.megabytes),
        )
        found[cost.what, cost.items] = Cost(cost.what, cost.items, seconds, cpu, megabytes)
    return list(found.values())


def draw(costs: list[Cost], path: Path) -> None:
    """Plot time per item and memory against the number of items, one curve per stage."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    for what in dict.fromkeys(cost.what for cost in costs):
        of = [cost for cost in costs if cost.what == what]
        name = f"{what} (per 1,000 clips)" if what == "reading" else f"{what} (per recording)"
        left.plot(
            [cost.items for cost in of],
            [cost.milliseconds * (1000 if what == "reading" else 1) for cost in of],
            "o-",
            label=name,
        )
        right.plot([cost.items for cost in of], [cost.megabytes for cost in of], "o-", label=what)
    for axes, label in ((left, "milliseconds"), (right, "peak memory of a process, MB")):
        axes.set(xscale="log", xlabel="recordings or clips", ylabel=label)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    left.legend()
    figure.savefig(path, dpi=80)
    plt.close(figure)


def flatness(costs: list[Cost], what: str) -> float:
    """Return the processor time of an additional item between the two smallest sizes, divided by that between others.

    1 is linear scaling; less means that the cost per item grows.
    """
    of = [cost for cost in costs if cost.what == what]
    first, last = (
        (later.cpu - former.cpu) / (later.items - former.items) for former, later in ((of[0], of[1]), (of[1], of[-1]))
    )
    return round(first / last, 2)


def rows_of(costs: list[Cost]) -> list[list[str]]:
    """Return the rows of the table, one per cost."""
    return [
        [
            cost.what,
            f"{cost.items:,}",
            f"{cost.seconds:.1f}",
            f"{cost.milliseconds:.3f}",
            f"{1000 * cost.cpu / cost.items:.3f}",
            f"{cost.megabytes:.0f}",
        ]
        for cost in costs
    ]


def main() -> None:
    """Measure all sizes, and print, plot and save the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=int, default=50_000, help="recordings of the largest archive; 0: none")
    parser.add_argument("--clips", type=int, default=1_000_000, help="clips of the largest store, 2 KB each; 0: none")
    parser.add_argument("--repeats", type=int, default=3, help="number of measurements of each size")
    parser.add_argument("--batch", type=int, default=128, help="clips per batch")
    parser.add_argument("--folder", type=Path, default=None, help="folder for temporary archives and stores")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="folder for the table and the plot")
    parser.add_argument("--quick", action="store_true", help="800 recordings and 40,000 clips, once")
    options = parser.parse_args()
    if options.quick:
        options.recordings, options.clips, options.repeats = 800, 40_000, 1
    costs: list[Cost] = []
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        for recordings in options.repeats * sizes(options.recordings) if options.recordings else []:
            costs += extraction(Path(name), recordings)
            console.info(f"sorted and extracted {recordings:,} recordings")
        for clips in options.repeats * sizes(options.clips) if options.clips else []:
            costs.append(reading(Path(name), clips, batch=options.batch))
            console.info(f"read {clips:,} clips")
    costs = least(costs)
    headings = ["stage", "items", "seconds", "ms per item", "CPU ms per item", "peak MB of a process"]
    table = rows_of(costs)
    machine = f"{os.cpu_count()} cores, recordings of {SECONDS:g} s at {RATE} Hz"
    console.show_grid(f"Load, {machine}, spectrograms of {SMALL.height} × {SMALL.width}", headings, table)
    ratio = flatness(costs, "spec" if options.recordings else "reading")
    write_json(options.results / "load-cpu.json", {"device": "cpu", "ratio": ratio, "table": [headings, *table]})
    draw(costs, options.results / "load-cpu.png")
    print(f"ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
