"""Speed of a bird model's embeddings, from file to embedding: by spec.py's workers, and by a plain script.

    python benchmarks/external_model.py BirdNET.tflite
    python benchmarks/external_model.py BirdNET.tflite --quick

Needs the extra `litert`. The recordings are synthetic, WAV of 30 s at 48 kHz, cut into the model's windows without
overlap. The plain script reads a file with soundfile, and runs LiteRT on its windows, in as many processes; it keeps
nothing, and neither judges nor writes clips. Both are measured in turn, by the last half of the recordings, when all
processes run. The last line is the throughput of the toolkit relative to the plain script.
"""

import argparse
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).parents[1]))

from config import Clips, Config, Model
from utils import console
from utils.external.settings import with_external_model
from utils.spectra.extraction import Job, extract
from utils.workers.fanout import AHEAD_OF_SMALL_RESULTS, THIS_MACHINE, fan_out

SECONDS, RATE, CORES = 30.0, 48_000, 2


@cache
def plain_model(path: str) -> Any:
    """Return LiteRT's interpreter of a model, as a script would make it."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(path, num_threads=1)
    interpreter.allocate_tensors()
    return interpreter


def embed_plainly(task: tuple[str, str]) -> int:
    """Read a recording and run the model on its windows; return their number."""
    file, model = task
    samples, _ = soundfile.read(file, dtype="float32")
    interpreter = plain_model(model)
    given = interpreter.get_input_details()[0]
    length = int(given["shape"][-1])
    for start in range(0, len(samples) - length + 1, length):
        interpreter.set_tensor(given["index"], samples[None, start : start + length])
        interpreter.invoke()
        interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return (len(samples) - length) // length + 1


def rate_of(finished: Iterable[Any]) -> float:
    """Return recordings per second, by the last half."""
    times = [time.perf_counter() for _ in finished]
    half = len(times) // 2
    return (len(times) - half) / (times[-1] - times[half - 1])


def toolkit(jobs: Sequence[Job]) -> Iterable[Any]:
    """Yield the results of spec.py's workers."""
    for job, outcome in fan_out(
        extract, jobs, workers=CORES, name=lambda one: one.name, cluster=THIS_MACHINE, ahead=AHEAD_OF_SMALL_RESULTS
    ):
        if isinstance(outcome, console.Failure):
            raise RuntimeError(f"{job.name}: {outcome.reason}")
        yield outcome


def main() -> None:
    """Print both rates and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--quick", action="store_true", help="few recordings: a try, no measurement")
    flags = parser.parse_args()
    recordings, repeats = (8, 1) if flags.quick else (48, 5)
    config = with_external_model(
        Config(
            model=Model(name="External", weights=str(flags.model)),
            clips=Clips(overlap=0.0, signal_threshold=0.0, max_per_class=0),
        )
    )
    with tempfile.TemporaryDirectory() as folder, multiprocessing.get_context("spawn").Pool(CORES) as pool:
        files = [Path(folder) / f"{index:03d}.wav" for index in range(recordings)]
        for index, file in enumerate(files):
            noise = np.random.default_rng(index).normal(0, 0.1, int(SECONDS * RATE))
            soundfile.write(file, noise, RATE, subtype="PCM_16")
        job = Job("", files[0], 0, config.clips, config.spectrogram, external=config.external)
        jobs = [replace(job, name=file.stem, file=file, part=file.with_suffix(".zip")) for file in files]
        tasks = [(str(file), str(flags.model)) for file in files]
        pairs = [(rate_of(toolkit(jobs)), rate_of(pool.imap_unordered(embed_plainly, tasks))) for _ in range(repeats)]
    for name, rates in zip(("toolkit", "plain script"), zip(*pairs, strict=True), strict=True):
        rate = statistics.median(rates)
        print(f"{name:14s} {rate:6.2f} recordings/s, {rate * SECONDS:5.0f} × real time")
    print(f"relative       {statistics.median(ours / theirs for ours, theirs in pairs):6.2f}")


if __name__ == "__main__":
    main()
