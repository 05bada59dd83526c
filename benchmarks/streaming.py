"""Clips per second of an epoch: from the shards of a store, from a pack, and from S3, without and with a cache.

    python benchmarks/streaming.py
    python benchmarks/streaming.py --quick

Needs the extra `remote`, and moto, whose S3 server runs in another process of this machine. Batches of synthetic clips
are read and put on the device, by a process for each row, for some seconds or an epoch; nothing is learned. Then packs
with more and more clips are read for the peak of memory. The last line is the speed of a pack in S3 without a cache
relative to the shards of a store in S3.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

sys.path.insert(0, str(Path(__file__).parents[1]))

import jax
from made_up_store import made_up_store
from reading import _megabytes

from config import Config, Dataset, Spectrogram, Training
from utils import console
from utils.files import write_json
from utils.learning.batches import StreamedBatches
from utils.learning.devices import device_mesh, on_accelerator
from utils.learning.examples import read_examples
from utils.learning.packed_batches import PackedBatches
from utils.learning.packing import write_pack
from utils.learning.sampling import epoch_order, packed_order
from utils.settings import load, to_toml
from utils.spectra.pack import Pack
from utils.spectra.store import Store
from utils.storage import open_storage

BATCH, CLASSES = 32, 100
SERVER = (
    "from moto.server import ThreadedMotoServer; import time; s = ThreadedMotoServer('127.0.0.1', 0, verbose=False); "
    "s.start(); print(s.get_host_and_port()[1], flush=True); time.sleep(9e4)"
)


def read(settings: Path, *, epochs: int, seconds: float) -> list[dict[str, float]]:
    """Read epochs, each for some seconds at most; return clips per second and the peak of memory after each, MB."""
    config, found = load(settings), []
    examples, mesh = read_examples(config), device_mesh(BATCH)
    pack = examples.store if isinstance(examples.store, Pack) else None
    make = partial(PackedBatches, pack=pack) if pack else StreamedBatches
    supply = make(examples, batch_size=BATCH, mesh=mesh, loops=on_accelerator())
    for epoch in range(1, epochs + 1):
        if pack:
            order = packed_order(pack.file_of(examples.rows), config.training, epoch=epoch)
        else:
            order = epoch_order(examples.labels.primary, config.training, epoch=epoch)
        passed, done = console.stopwatch(), 0
        for chunk in supply.chunks(order, lambda: supply.capacity):
            jax.block_until_ready(chunk.source)
            done += chunk.count * BATCH
            if passed() > seconds:
                break
        found.append({"rate": done / passed(), "peak": _megabytes()})
    return found


def measured(config: Config, folder: Path, *, epochs: int = 1, seconds: float = 1e9) -> list[dict[str, float]]:
    """Read in another process, so that its memory is its own."""
    (folder / "settings.toml").write_text(to_toml(config))
    ended = subprocess.run(  # noqa: S603
        [sys.executable, __file__, "--read", str(folder / "settings.toml"), str(epochs), str(seconds)],
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[dict[str, float]] = json.loads(ended.stdout.splitlines()[-1])
    return found


@contextmanager
def s3_server() -> Iterator[str]:
    """Run an S3 server in another process; yields the address of an empty bucket."""
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", SERVER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        try:
            assert server.stdout is not None  # noqa: S101
            url = f"http://127.0.0.1:{server.stdout.readline().strip()}"
            os.environ |= {"AWS_ENDPOINT_URL": url, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1"}
            os.environ |= {"AWS_ACCESS_KEY_ID": "benchmark", "AWS_SECRET_ACCESS_KEY": "benchmark"}
            with urlopen(Request(f"{url}/benchmark", method="PUT", headers={"Content-Length": "0"})):  # noqa: S310
                yield "s3://benchmark"
        finally:
            server.kill()


def made_pack(folder: Path, *, clips: int, size: tuple[int, int]) -> Config:
    """Write a store and its pack; return the settings of a training from the pack."""
    spectrogram = Spectrogram(height=size[0], width=size[1])
    training = Training(batch_size=BATCH, validation_share=0.0, clips_on="host")
    config = Config(dataset=Dataset(root=folder / "root"), spectrogram=spectrogram, training=training)
    made_up_store(config, clips=clips, classes=CLASSES)
    write_pack(Store(config.dataset.root), config, str(folder / "pack"), fresh=False)
    return replace(config, training=replace(training, packed=folder / "pack"))


def speeds(folder: Path, *, clips: int, seconds: float) -> dict[str, float]:
    """Return clips per second of each way."""
    pack = made_pack(folder, clips=clips, size=(64, 128))
    store = replace(pack, training=replace(pack.training, packed=None))
    found = {
        "store, this disk": measured(store, folder, seconds=seconds)[-1]["rate"],
        "pack, this disk": measured(pack, folder, seconds=seconds)[-1]["rate"],
    }
    with s3_server() as bucket:
        for name, source in (("store", folder / "root" / "spec"), ("pack", folder / "pack")):
            for path in sorted(path for path in source.rglob("*") if path.is_file()):
                open_storage(f"{bucket}/{name}").write(path.relative_to(source).as_posix(), path)
        remote = replace(store, dataset=replace(store.dataset, store=f"{bucket}/store"))
        streamed = replace(pack, training=replace(pack.training, packed=f"{bucket}/pack"))
        cached = replace(streamed, training=replace(streamed.training, cache=folder / "cache"))
        found["store, S3"] = measured(remote, folder, seconds=seconds)[-1]["rate"]
        found["pack, S3"] = measured(streamed, folder, seconds=seconds)[-1]["rate"]
        cold, *warm = (epoch["rate"] for epoch in measured(cached, folder, epochs=4))
    return found | {"pack, S3, cold cache": cold, "pack, S3, warm cache": statistics.median(warm)}


def peaks(sizes: list[int]) -> dict[int, float]:
    """Return the peak of memory, MB, of reading packs with so many small clips."""
    found = {}
    for clips in sizes:
        with tempfile.TemporaryDirectory() as name:
            config = made_pack(Path(name), clips=clips, size=(16, 64))
            found[clips] = measured(config, Path(name))[-1]["peak"]
    return found


def main(*, quick: bool) -> dict[str, Any]:
    """Measure everything, print tables, and return the figures."""
    with tempfile.TemporaryDirectory() as name:
        rates = speeds(Path(name), clips=20_000 if quick else 50_000, seconds=4 if quick else 20)
    memory = peaks([10_000, 50_000] if quick else [100_000, 1_000_000])
    headings = ["from", "clips/s"]
    console.show_grid("Reading an epoch", headings, [[way, f"{rate:,.0f}"] for way, rate in rates.items()])
    console.show_grid(
        "Memory", ["clips", "peak, MB"], [[f"{clips:,}", f"{peak:,.0f}"] for clips, peak in memory.items()]
    )
    return {"rates": rates, "peak": memory, "ratio": rates["pack, S3"] / rates["store, S3"]}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--read"]:
        print(json.dumps(read(Path(sys.argv[2]), epochs=int(sys.argv[3]), seconds=float(sys.argv[4]))))
        sys.exit()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer clips; about a minute")
    machine = {
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "jax": version("jax"),
        "obstore": version("obstore"),
    }
    console.info(", ".join(f"{name} {value}" for name, value in machine.items()))
    results = main(quick=parser.parse_args().quick)
    write_json(Path(__file__).parent / "results" / "streaming-cpu.json", machine | results)
    print(f"ratio {results['ratio']:.2f}")
