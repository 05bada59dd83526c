"""A week of recordings that arrive in a folder: does memory grow, and how long does a recording take?

    python benchmarks/watching.py
    python benchmarks/watching.py --recordings 100000

Recordings of a few seconds arrive, some hundred at a time, in folders of days; watch.py predicts them with a network of
random weights while the memory of the process is measured. The last line is the ratio of the seconds for a recording:
one call of predict.py for each, as a script of cron would do it, to watch.py. Memory should be the same at the start
and at the end: with --made-up, there is no network, and the last line is the ratio of the memory at the end to that
after 500 recordings. State and tables are in the folder for temporary files (TMPDIR): each recording waits for that
disk.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))

import psutil
import tyro
from file_to_predictions import make_recordings, show_machine

from config import Config, Model
from utils import console
from utils.files import write_json
from utils.settings import load
from utils.watching.call import WatchFlags
from utils.watching.prediction import NamedDetection, PredictedRecording
from utils.watching.watcher import Watcher
from utils.watching.watching import Watch, open_watch

RESULTS = Path(__file__).with_name("results")
DAYS = 7
WARM = 500  # recordings after which memory counts: until then, libraries reserve what they use again


@dataclass(frozen=True)
class Options:
    """What is measured."""

    recordings: int = 12_000
    seconds: float = 3.0  # of each
    at_once: int = 200  # recordings that arrive together
    calls: int = 5  # of predict.py
    made_up: bool = False  # no network: two made-up detections in each recording, for the memory of all else
    quick: bool = False  # 1,500 recordings, two calls


class MadeUp:
    """Predicts two detections in each recording, without reading it."""

    header = "recording,start,end,species,score\n"
    settings = Config()
    facts: dict[str, str] = {}  # noqa: RUF012

    def predict(self, path: str) -> PredictedRecording:
        """Return the same two detections for each."""
        found = (NamedDetection("A", 0.0, 5.0, 0.5), NamedDetection("B", 0.0, 5.0, 0.5))
        return PredictedRecording("".join(f"{path},0,5,{one.species},0.5\n" for one in found), found, 3.0)


def arrive(sounds: list[Path], station: Path, options: Options) -> None:
    """Let recordings arrive as links in folders of days."""
    per_day = -(-options.recordings // DAYS)
    for index in range(options.recordings):
        day, of_day = divmod(index, per_day)
        folder = station / f"2026-05-{1 + day:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        os.link(sounds[index % len(sounds)], folder / f"SM_202605{1 + day:02d}_{of_day:06d}.flac")
        if index % options.at_once == options.at_once - 1:
            time.sleep(0.2)


def watch_all(watch: Watch, flags: WatchFlags, options: Options, memory: list[tuple[int, float]]) -> float:
    """Predict all recordings; return the seconds for one of them, and note the memory, MB, now and then."""
    process = psutil.Process()

    def all_done() -> bool:
        if watch.live.done // 100 > len(memory) - 1:
            memory.append((watch.live.done, process.memory_info().rss / 2**20))
        return watch.live.done >= options.recordings

    elapsed = console.stopwatch()
    watcher = Watcher(watch.arrivals, watch.predictor, watch.state, watch.tables, watch.live, flags, stopping=all_done)
    tally = watcher.run()
    if tally.failed:
        raise console.UserError(f"{tally.failed} recordings failed")
    return elapsed() / tally.done


def call_for_each(folder: Path, sound: Path, calls: int) -> float:
    """Return the seconds of a call of predict.py for one recording, the median of some."""
    script = Path(__file__).parents[1] / "predict.py"
    command = [sys.executable, str(script), str(sound), "--snapshot", str(folder / "snapshots" / "run")]
    command += ["--threshold", "0.9", "--workers", "1"]
    took = []
    for _ in range(calls):
        elapsed = console.stopwatch()
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603
        took.append(elapsed())
    return median(took)


def main() -> None:
    """Measure, print and write."""
    options = tyro.cli(Options, description=__doc__)
    if options.quick:
        options = replace(options, recordings=1500, calls=2)
    versions = show_machine("numpy", "onnxruntime", "polars")
    memory = list[tuple[int, float]]()
    with tempfile.TemporaryDirectory() as scratch:
        folder, station = Path(scratch) / "sounds", Path(scratch) / "station"
        make_recordings(folder, count=10, seconds=options.seconds, experiment=Config(model=Model(name="Baseline")))
        station.mkdir()
        sounds = sorted(folder.glob("*.flac"))
        flags = WatchFlags(snapshot=(folder / "snapshots" / "run",), threshold=0.9, every=0.5, settle=0.0, patience=0.0)
        each = call_for_each(folder, sounds[0], options.calls)
        with open_watch([str(station)], load(folder / "settings.toml"), flags) as watch:
            watch = replace(watch, predictor=MadeUp()) if options.made_up else watch
            threading.Thread(target=arrive, args=(sounds, station, options), daemon=True).start()
            kept = watch_all(watch, flags, options, memory)
            size = watch.state.path.stat().st_size
    warm = next(value for done, value in memory if done >= WARM)
    end = memory[-1][1]
    console.show_grid(
        f"{options.recordings:,} of {options.seconds:g} s; state {size / options.recordings:,.0f} bytes each",
        ["recordings", "memory, MB"],
        [[f"{done:,}", f"{value:,.1f}"] for done, value in memory[:: max(1, len(memory) // 12)]]
        + [[f"{memory[-1][0]:,}", f"{end:,.1f}"]],
    )
    console.info(
        f"memory after {WARM} recordings {warm:,.1f} MB, at the end {end:,.1f} MB: {end / warm:.3f} times as much"
    )
    console.info(f"seconds for a recording: {kept:.4f} by watch.py, {each:.2f} by a call of predict.py for each")
    rows = [{"recordings": done, "megabytes": value} for done, value in memory]
    found = {"memory": rows, "seconds": {"watch.py": kept, "predict.py for each": each}, "bytes_of_state": size}
    ratio, name = (end / warm, "watching-made-up") if options.made_up else (each / kept, "watching-cpu")
    write_json(RESULTS / f"{name}.json", {**found, "ratio": ratio, "versions": versions})
    print(f"ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
