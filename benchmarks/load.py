"""Whether sorting, extraction and reading cost the same for each recording or clip, however many there are.

    python benchmarks/load.py
    python benchmarks/load.py --quick
    python benchmarks/load.py --recordings 50000 --clips 1000000 --folder /data/scratch

Archives of short recordings (each of other samples: calls of one pitch in noise) are made up in steps up to
`--recordings`, and sort_data.py and spec.py run on each as a user runs them; of both, the time a recording and the most
memory of any of their processes are taken. Then stores are made up in steps up to `--clips`, and one epoch's batches
are read from each in random order (see reading.py). All sizes are measured `--repeats` times, one after the other, and
the least time of each counts: other programs only add to it, and the speed of shared machines drifts. The plot shows
all of it. The last line is a ratio: the processor time that each recording more costs spec.py from the first size to
the second, by that from the second to the last; 1 is flat, less is growth. (Starting Python costs the same however many
there are, and would hide growth.)
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
RATE = 8000  # samples per second of the made-up recordings
SECONDS = 1.5  # length of each: one clip, and a rest that is dropped
PER_CLASS = 100  # recordings of a class
CLIPS_PER_CLASS = 700  # clips of a class in made-up stores
LOOK_EVERY = 0.2  # seconds from one look at the memory to the next
SMALL = Spectrogram(rate=RATE, fmax=3800.0, height=32, width=64)
PARTS = 8  # the largest of everything is so many times the smallest


@dataclass(frozen=True)
class Cost:
    """What one stage took on one size.

    Attributes
    ----------
    what : the stage
    items : how many recordings or clips
    seconds : in all
    cpu : seconds of processor time of all its processes, which other programs hardly lengthen; none where it is not
        known
    megabytes : the most that any of its processes held
    """

    what: str
    items: int
    seconds: float
    cpu: float
    megabytes: float

    @property
    def milliseconds(self) -> float:
        """Milliseconds for one item."""
        return 1000 * self.seconds / self.items


def sizes(most: int) -> list[int]:
    """Return an eighth, a quarter, a half and the whole of a number."""
    return [most * part // PARTS for part in (1, 2, 4, 8)]


def make_archive(archive: Path, recordings: int) -> None:
    """Write so many short recordings into folders of species."""
    time_ = np.arange(int(SECONDS * RATE)) / RATE
    for number in range(recordings):
        folder = (
            archive / f"Genus species{chr(97 + number // PER_CLASS // 26 % 26)}{chr(97 + number // PER_CLASS % 26)}"
        )
        folder.mkdir(parents=True, exist_ok=True)
        pitch = 1000 + 20 * (number // PER_CLASS % 100)
        called = (np.sin(2 * np.pi * 3 * time_) > 0.3) * np.sin(2 * np.pi * pitch * time_)
        noise = np.random.default_rng(number).normal(0, 0.003, len(time_))
        soundfile.write(folder / f"R{number}.wav", 0.3 * called + noise, RATE)


def extraction(base: Path, recordings: int) -> list[Cost]:
    """Sort and extract a made-up archive of so many recordings."""
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
    """Run a script as a user does, and watch what its processes hold."""
    passed = console.stopwatch()
    process = subprocess.Popen(
        [sys.executable, str(HERE.parent / f"{script}.py"), "load.toml", "--log.mode", "error"], cwd=base
    )
    held: list[float] = [0.0]
    watcher = threading.Thread(target=watch, args=(process.pid, held), daemon=True)
    before = os.times()
    watcher.start()
    status = process.wait()
    after = os.times()
    watcher.join()
    if status:
        raise SystemExit(f"{script}.py ended with the status {status}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Cost(script, items, passed(), cpu, max(held))


def watch(pid: int, held: list[float]) -> None:
    """Keep the most megabytes that a process, or one that it started, holds by itself, until it ends."""
    while True:
        try:
            family = psutil.Process(pid)
            for one in (family, *family.children(recursive=True)):
                held[0] = max(held[0], one.memory_info().rss / 1e6)
        except psutil.NoSuchProcess:
            if not psutil.pid_exists(pid):
                return
        except psutil.Error:
            return
        time.sleep(LOOK_EVERY)


def reading(base: Path, clips: int, *, batch: int) -> Cost:
    """Read one epoch of a made-up store of so many clips, in a process of its own."""
    config = Config(
        dataset=Dataset(root=base / "root"),
        spectrogram=SMALL,
        model=Model(filters=(4, 8)),
        training=Training(batch_size=batch, validation_share=0.0),
    )
    made_up_store(config, clips=clips, classes=max(2, clips // CLIPS_PER_CLASS))
    command = [sys.executable, str(HERE / "reading.py"), str(base / "root"), str(batch)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    found = json.loads(answer.stdout.splitlines()[-1])
    remove_folder(base / "root")
    return Cost("reading", clips, found["milliseconds"] * clips / 1e6, found["cpu"] * clips / 1e6, found["peak"])


def least(costs: Iterable[Cost]) -> list[Cost]:
    """Return one cost of each stage and size: the least times, and the most memory."""
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
    """Draw time an item and memory over the number of items, one curve a stage."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    for what in dict.fromkeys(cost.what for cost in costs):
        of = [cost for cost in costs if cost.what == what]
        name = f"{what} (of 1,000 clips)" if what == "reading" else f"{what} (of a recording)"
        left.plot(
            [cost.items for cost in of],
            [cost.milliseconds * (1000 if what == "reading" else 1) for cost in of],
            "o-",
            label=name,
        )
        right.plot([cost.items for cost in of], [cost.megabytes for cost in of], "o-", label=what)
    for axes, label in ((left, "milliseconds"), (right, "most memory of a process, MB")):
        axes.set(xscale="log", xlabel="recordings or clips", ylabel=label)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    left.legend()
    figure.savefig(path, dpi=80)
    plt.close(figure)


def flatness(costs: list[Cost], what: str) -> float:
    """Return the processor time of each item more from the smallest size to the second, by that from there to the largest; 1 is flat, less is growth."""
    of = [cost for cost in costs if cost.what == what]
    first, last = (
        (later.cpu - former.cpu) / (later.items - former.items) for former, later in ((of[0], of[1]), (of[1], of[-1]))
    )
    return round(first / last, 2)


def rows_of(costs: list[Cost]) -> list[list[str]]:
    """Return a table's rows: one a cost."""
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
    """Measure every size, and print, draw and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=int, default=50_000, help="of the largest archive; 0: none")
    parser.add_argument("--clips", type=int, default=1_000_000, help="of the largest store, 2 KB each; 0: none")
    parser.add_argument("--repeats", type=int, default=3, help="times that every size is measured")
    parser.add_argument("--batch", type=int, default=128, help="clips of a batch")
    parser.add_argument(
        "--folder", type=Path, default=None, help="where archives and stores are made up, one after the other"
    )
    parser.add_argument(
        "--results", type=Path, default=HERE / "results", help="where the figures and the plot are kept"
    )
    parser.add_argument("--quick", action="store_true", help="800 recordings and 40,000 clips, once")
    options = parser.parse_args()
    if options.quick:
        options.recordings, options.clips, options.repeats = 800, 40_000, 1
    costs: list[Cost] = []
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        for recordings in options.repeats * sizes(options.recordings) if options.recordings else []:
            costs += extraction(Path(name), recordings)
            console.info(f"{recordings:,} recordings are sorted and extracted")
        for clips in options.repeats * sizes(options.clips) if options.clips else []:
            costs.append(reading(Path(name), clips, batch=options.batch))
            console.info(f"{clips:,} clips are read")
    costs = least(costs)
    headings = ["stage", "items", "seconds", "ms an item", "CPU ms an item", "most MB of a process"]
    table = rows_of(costs)
    console.show_grid(
        f"Load, {os.cpu_count()} cores, recordings of {SECONDS:g} s at {RATE} Hz, pictures of {SMALL.height} × {SMALL.width}",
        headings,
        table,
    )
    ratio = flatness(costs, "spec" if options.recordings else "reading")
    write_json(options.results / "load-cpu.json", {"device": "cpu", "ratio": ratio, "table": [headings, *table]})
    draw(costs, options.results / "load-cpu.png")
    print(f"ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
