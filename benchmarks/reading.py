"""Cost of reading the batches of an epoch in random order, from small and large stores.

A part of training.py and waveform.py. Each store is read in a separate process, to measure its peak memory:
`python benchmarks/reading.py STORE BATCH` prints JSON.
"""

import argparse
import json
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import jax
import psutil
from made_up_store import made_up_store

from config import Clips, Config, Dataset, Training
from utils import console
from utils.learning.batches import StreamedBatches
from utils.learning.devices import device_mesh, on_accelerator
from utils.learning.examples import read_examples
from utils.learning.sampling import epoch_order
from utils.settings import load
from utils.spectra.stored_sound import row_format

LEAST = 1000  # clips of the smallest store
READ = 20_000  # clips that are read from each store, at least
SMALL = (32, 64)  # size of spectrograms if the disk is small
ROOM = 1.2  # free space on the disk, as a multiple of the store's size
MOST_CLASSES = 1500  # as in BirdCLEF 2018
CLIPS_OF_CLASS = 100


def scale(options: argparse.Namespace, clips: Clips | None = None) -> dict[str, Any]:
    """Measure stores of 1,000 clips, 10,000 clips and so on up to `options.scale`, fewer if sound does not fit.

    Parameters
    ----------
    clips : settings of the clips; None: the default

    Returns
    -------
    `ratio`, the cost per clip of the smallest store divided by that of the largest; `table`; and `bytes`, of a clip
    on disk, in the largest store
    """
    clips = clips or Clips()
    folder = options.folder or Path(tempfile.gettempdir())
    config = Config(clips=clips, training=Training(batch_size=options.batch[0], validation_share=0.0))
    config, largest = _fitting(config, options, free=shutil.disk_usage(folder).free)
    sizes = [LEAST * 10**power for power in range(10) if LEAST * 10**power < largest] + [largest]
    found = [_measured(config, count, folder) for count in sizes]
    headings = ["clips", "shards", "bytes a clip", "open, s", "ms for 1,000", "CPU ms", "peak MB", "MB before"]
    rows = [
        [
            f"{count:,}",
            str(one["shards"]),
            f"{one['bytes']:,.0f}",
            f"{one['open']:.2f}",
            f"{one['milliseconds']:.1f}",
            f"{one['cpu']:.1f}",
            f"{one['peak']:.0f}",
            f"{one['before']:.0f}",
        ]
        for count, one in zip(sizes, found, strict=True)
    ]
    what = f"{config.spectrogram.height} × {config.spectrogram.width} pixels"
    if clips.keep == "sound":
        what = f"sound of {clips.length:g} s and two margins of {clips.margin:g} s"
    console.show_grid(f"Reading batches of {options.batch[0]} in random order, {what}", headings, rows)
    console.info(
        "CPU: processor time of all threads; peak: peak memory of the process; before: before opening the store"
    )
    console.info(
        f"the stores were just written, so much of them is in the page cache; memory: {_memory() / 1e9:.1f} GB, "
        f"largest store: {largest * found[-1]['bytes'] / 1e9:.1f} GB"
    )
    ratio = found[0]["milliseconds"] / found[-1]["milliseconds"]
    return {"ratio": ratio, "table": [headings, *rows], "bytes": found[-1]["bytes"]}


def _fitting(config: Config, options: argparse.Namespace, *, free: int) -> tuple[Config, int]:
    """Return settings and a largest number of clips that fit on the disk.

    There are fewer clips of sound, but smaller spectrograms.
    """
    config = replace(config, spectrogram=replace(config.spectrogram, height=options.height, width=options.width))
    size = row_format(config.clips, config.spectrogram, config.external).bytes * ROOM
    if options.scale * size <= free:
        return config, options.scale
    if config.clips.keep == "sound":
        fitting = max(int(free / size) // LEAST * LEAST, LEAST)
        console.warning(
            f"the disk is too small for {options.scale:,} clips of sound; the largest store has {fitting:,}"
        )
        return config, fitting
    console.warning(f"the disk is too small for spectrograms of this size; they have {SMALL[0]} × {SMALL[1]} pixels")
    return replace(config, spectrogram=replace(config.spectrogram, height=SMALL[0], width=SMALL[1])), options.scale


def _measured(config: Config, count: int, folder: Path) -> dict[str, float]:
    """Make a store of so many clips, read it in another process, and return what that found."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        config = replace(config, dataset=Dataset(root=Path(name)))
        made_up_store(config, clips=count, classes=max(min(MOST_CLASSES, count // CLIPS_OF_CLASS), 1))
        size = sum(path.stat().st_size for path in (Path(name) / "spec").rglob("*") if path.is_file())
        ended = subprocess.run(  # noqa: S603
            [sys.executable, __file__, name, str(config.training.batch_size)],
            capture_output=True,
            text=True,
            check=True,
        )
    found: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    console.info(f"{count:,} clips: {found['milliseconds']:.1f} ms for 1,000 of them")
    return found | {"bytes": size / count}


def _memory() -> int:
    """Return the size of this machine's memory, bytes."""
    return psutil.virtual_memory().total


def read(root: Path, *, batch: int) -> dict[str, float]:
    """Read epochs of a store and put their batches on the device.

    Returns seconds to open it, milliseconds for 1,000 clips, and megabytes.
    """
    config = load(root / "spec" / "settings.toml")
    mesh = device_mesh(batch)
    jax.block_until_ready(jax.device_put(1.0))  # so that JAX allocates its memory now
    before, passed = _megabytes(), console.stopwatch()
    examples = read_examples(config)
    supply = StreamedBatches(examples, batch_size=batch, mesh=mesh, loops=on_accelerator())
    opened = passed()
    done, epoch = 0, 0
    passed, start = console.stopwatch(), time.process_time()
    while done < READ:
        epoch += 1
        for given in supply.chunks(
            epoch_order(examples.labels.primary, config.training, epoch=epoch), lambda: supply.capacity
        ):
            jax.block_until_ready(given.source)
            done += given.count * batch
    seconds, cpu = passed(), time.process_time() - start
    shards = examples.store.clips["shard"].n_unique()
    return {
        "open": opened,
        "milliseconds": 1e6 * seconds / done,
        "cpu": 1e6 * cpu / done,
        "peak": _megabytes(),
        "before": before,
        "shards": shards,
    }


def _megabytes() -> float:
    """Return the peak memory of this process, MB; on Linux without that of its parent, which getrusage includes."""
    status = Path("/proc/self/status")
    held = re.search(r"VmHWM:\s*(\d+) kB", status.read_text()) if status.is_file() else None
    if held:
        return int(held.group(1)) / 1e3
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3


if __name__ == "__main__":
    print(json.dumps(read(Path(sys.argv[1]), batch=int(sys.argv[2]))))
