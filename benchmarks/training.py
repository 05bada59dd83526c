"""Speed of training: steps on clips on the device, and whole epochs as users run them, compared with PyTorch.

    python benchmarks/training.py
    python benchmarks/training.py --batch 32 256
    python benchmarks/training.py --scale 1000000
    python benchmarks/training.py --quick

Both sides train the default ResNet with the default augmentation (roll_v and add) and Adam; first, their numbers of
parameters and their logits with the same weights are compared. PyTorch runs in a separate process (see
torch_training.py), and both are measured in turn. In steps, both have the same uint8 clips on the device and augment
there. In an epoch, ours trains from a store, validates and saves, by `utils.learning.loop.learn` itself; PyTorch trains
from one PNG file per clip, read by one process per core, validates (loss and accuracy only) and saves. `--scale`
measures instead the time to read the batches of an epoch in random order from stores of 1,000 clips and more. Without a
GPU or PyTorch, it warns and measures what it can. The last line is the ratio of steps, or of reading from the smallest
and the largest store.
"""

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # leaves room for PyTorch on the same device

import jax
import jax.numpy as jnp
import numpy as np
from made_up_store import made_up_store
from reading import scale
from torch_peer import Peer, check_same_model, hand_over, torch_can

from config import Config, Dataset, Training
from utils import console
from utils.files import write_json
from utils.learning import loop
from utils.learning.batches import ResidentBatches
from utils.learning.devices import compute_dtype, device_mesh, on_accelerator, replicated
from utils.learning.epochs import ChunkSizer, TrainingSetup, run_epoch
from utils.learning.examples import Examples, read_examples
from utils.learning.runs import Progress, save_epoch
from utils.learning.steps import epoch_key, initial_state, make_chunk, make_step
from utils.models.layer_table import flops
from utils.models.networks import build_network, count_parameters

PEAKS = {  # of a device's kind: bfloat16 without sparsity, FLOP/s; memory, bytes/s. Source: NVIDIA's datasheets
    "H100 PCIe": (756e12, 2.0e12),
    "H100": (989e12, 3.35e12),
    "H200": (989e12, 4.8e12),
    "A100-SXM4-80GB": (312e12, 2.04e12),
    "A100": (312e12, 1.56e12),
    "L40S": (362e12, 0.864e12),
    "L4": (121e12, 0.3e12),
    "A10G": (70e12, 0.6e12),
    "RTX 4090": (165e12, 1.01e12),
}
PASSES = 3  # forward, and backward to the inputs and to the weights, each of as many FLOPs
CLIPS_OF_CLASS = 80  # at least, so that each class has a validation recording


class Ours:
    """Steps on clips on the device, the same as those of `learn`.

    Attributes
    ----------
    first : seconds from building the network to the first step's loss, compilation included
    """

    def __init__(self, examples: Examples, config: Config) -> None:
        settings = config.training
        mesh = device_mesh(settings.batch_size)
        supply = ResidentBatches(examples, batch_size=settings.batch_size, mesh=mesh, loops=on_accelerator())
        noise = jax.device_put(examples.noise, replicated(mesh))
        passed = console.stopwatch()
        graph, network = build_network(
            config.model,
            classes=len(examples.classes),
            shape=config.spectrogram.shape,
            seed=settings.seed,
            dtype=compute_dtype(settings),
        )
        self.parameters = count_parameters(network)
        self._step = make_step(graph, config, jnp.ones(len(examples.classes)))
        chunk = make_chunk(self._step, supply.batch_at, mesh)
        self._setup = TrainingSetup(examples, config, supply, chunk, noise, ChunkSizer())
        self._state = jax.device_put(initial_state(network, settings), replicated(mesh))
        times: list[float] = []
        self._epoch(lambda *_, **__: times.append(passed()))
        self.first = times[0]

    def _epoch(self, advance: Callable[..., None]) -> None:
        self._state = run_epoch(self._state, Progress(), self._setup, advance, lambda: False)

    def seconds(self) -> float:
        """Run an epoch of steps; return its seconds."""
        passed = console.stopwatch()
        self._epoch(lambda *_, **__: None)
        return passed()

    def bytes_of_step(self) -> float | None:
        """Return how many bytes a step reads and writes, as XLA estimates it."""
        setup = self._setup
        order = np.zeros((1, setup.config.training.batch_size), np.int64)
        source = next(iter(setup.supply.chunks(order, lambda: 1))).source
        one_step = jax.jit(
            lambda state, source, noise, key: self._step(
                state, setup.supply.batch_at(source, jnp.int32(0)), noise, jnp.float32(0.001), key
            )
        )
        analysis = (
            one_step.lower(self._state, source, setup.noise, epoch_key(seed=1, epoch=1)).compile().cost_analysis() or {}
        )
        return analysis.get("bytes accessed")


def peaks(kind: str) -> tuple[float, float | None, str]:
    """Return a device's peak FLOP/s, its memory's bytes/s if known, and the source of both."""
    for name, (arithmetic_peak, memory_peak) in PEAKS.items():
        if name in kind:
            return arithmetic_peak, memory_peak, "datasheet, bfloat16"
    size = 8192 if on_accelerator() else 1024
    dtype = jnp.bfloat16 if on_accelerator() else jnp.float32
    matrix = jnp.ones((size, size), dtype)
    product = jax.jit(lambda matrix: matrix @ matrix)
    product(matrix).block_until_ready()
    times = []
    for _ in range(10):
        passed = console.stopwatch()
        product(matrix).block_until_ready()
        times.append(passed())
    return 2 * size**3 / min(times), None, f"fastest of 10 products of {size} × {size} matrices, {jnp.dtype(dtype)}"


def measure_steps(examples: Examples, config: Config, peer: Peer | None, *, repeats: int) -> dict[str, Any]:
    """Measure epochs of steps, ours and theirs in turn; print and return the results."""
    ours = Ours(examples, config)
    chosen = peer.ask("choose") if peer else {}
    if chosen and chosen["parameters"] != ours.parameters:
        raise console.UserError(f"PyTorch's model has {chosen['parameters']:,} parameters, ours {ours.parameters:,}")
    seconds: dict[str, list[float]] = {"ours": []}
    memory = {"ours": (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0)}
    first = {"ours": ours.first}
    for _ in range(repeats):
        seconds["ours"].append(ours.seconds())
        if peer and chosen:
            result = peer.ask("resident")
            seconds.setdefault("PyTorch", []).append(result["seconds"])
            memory["PyTorch"] = result["bytes"]
            first["PyTorch"] = chosen["tried"][chosen["best"]]["first"]
    for way, times in chosen.get("tried", {}).items():
        summary = times.get("failed") or f"{1000 * times['step']:.2f} ms a step, {times['first']:.1f} s to the first"
        console.info(f"PyTorch, {way}: {summary}{'  (used)' if way == chosen['best'] else ''}")
    clips = -(-len(examples.rows) // config.training.batch_size) * config.training.batch_size
    work = PASSES * flops(config.model, classes=len(examples.classes), shape=config.spectrogram.shape)
    arithmetic_peak, memory_peak, source = peaks(jax.devices()[0].device_kind)
    moved = ours.bytes_of_step() if memory_peak else None
    rows = []
    for name, times in seconds.items():
        speed = clips / statistics.median(times)
        band = (
            f"{moved * speed / config.training.batch_size / memory_peak:.0%}"
            if moved and memory_peak and name == "ours"
            else "–"
        )
        spread = f"{clips / max(times):,.0f} to {clips / min(times):,.0f}"
        held = f"{memory[name] / 1e9:.2f}" if memory[name] else "–"
        rows.append(
            [name, f"{speed:,.0f}", spread, f"{speed * work / arithmetic_peak:.1%}", band, held, f"{first[name]:.1f}"]
        )
    console.show_grid(
        "Steps on clips on the device",
        ["", "clips/s", "spread", "of peak", "of memory", "GB", "first step, s"],
        rows,
    )
    console.info(
        f"of peak: share of {arithmetic_peak / 1e12:.4g} TFLOP/s ({source}), at {work / 1e9:.3f} GFLOP a clip; of "
        "memory: of its bandwidth, as XLA estimates it"
    )
    return {
        "rows": rows,
        "seconds": {name: statistics.median(times) for name, times in seconds.items()},
        "tried": chosen.get("tried"),
        "clips": clips,
    }


def measure_epochs(
    examples: Examples, config: Config, peer: Peer | None, *, resident: dict[str, float]
) -> dict[str, Any]:
    """Measure whole epochs, ours and theirs in turn; print and return the results.

    Parameters
    ----------
    resident : seconds of an epoch of steps on resident clips, by name
    """
    ours: list[float] = []
    theirs: list[dict[str, Any]] = []
    passed = console.stopwatch()

    def save_and_ask(*arguments: Any) -> None:
        nonlocal passed
        save_epoch(*arguments)
        ours.append(passed())
        if peer:
            theirs.append(peer.ask("epoch"))
        passed = console.stopwatch()

    with mock.patch.object(loop, "save_epoch", save_and_ask):
        log = loop.learn(examples, config)
    clips = -(-len(examples.rows) // config.training.batch_size) * config.training.batch_size
    steps = [clips / row.clips_per_second for row in log]
    validating = [row.seconds - alone for row, alone in zip(log, steps, strict=True)]
    measured = {"ours": list(zip(ours, steps, validating, strict=True))[1:]}  # the first epoch compiles
    if all(theirs[1:]) and theirs[1:]:
        measured["PyTorch"] = [
            (result["seconds"], result["steps"], result["seconds"] - result["steps"]) for result in theirs[1:]
        ]
    rows = []
    for name, parts in measured.items():
        whole, alone, validation = (statistics.median(part) for part in zip(*parts, strict=True))
        times = [part[0] for part in parts]
        rest = [
            f"{alone:.3f}",
            f"{validation:.3f}",
            f"{whole - alone - validation:.3f}" if name == "ours" else "–",
            f"{max(1 - resident[name] / whole, 0):.0%}",
        ]
        rows.append(
            [
                name,
                f"{clips / whole:,.0f}",
                f"{clips / max(times):,.0f} to {clips / min(times):,.0f}",
                f"{whole:.3f}",
                *rest,
            ]
        )
    title = f"Whole epochs, {config.training.epochs - 1} of each"
    console.show_grid(title, ["", "clips/s", "spread", "seconds", "steps", "validation", "saving", "no steps"], rows)
    console.info(
        "validation: for PyTorch, saving included; no steps: share of an epoch besides its steps on resident clips"
    )
    return {
        "rows": rows,
        "seconds": {name: statistics.median(part[0] for part in parts) for name, parts in measured.items()},
    }


def compare(options: argparse.Namespace, *, batch: int, ways: Sequence[str], with_torch: bool) -> dict[str, Any]:
    """Measure steps and epochs with one size of batches."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # an empty cache: what is compiled twice here is compiled once
        jax.config.update("jax_compilation_cache_dir", str(folder / "compiled"))
        training = Training(epochs=options.epochs + 1, batch_size=batch, early_stopping=0)
        config = Config(
            run="ours", snapshots=folder / "snapshots", dataset=Dataset(root=folder / "root"), training=training
        )
        config = replace(config, spectrogram=replace(config.spectrogram, height=options.height, width=options.width))
        made_up_store(
            config, clips=options.clips, classes=max(min(options.classes, options.clips // CLIPS_OF_CLASS), 2)
        )
        examples = read_examples(config)
        console.info(
            f"batches of {batch}: {len(examples.rows):,} training clips of {options.height} × {options.width}, "
            f"{len(examples.validation_rows):,} validation clips"
        )
        peer = None
        if with_torch:
            hand_over(folder, examples, config, ways=ways)
            peer = Peer(folder)
            check_same_model(peer, examples, config)
        steps = measure_steps(examples, config, peer, repeats=options.repeats)
        epochs = measure_epochs(examples, config, peer, resident=steps["seconds"])
        if peer:
            peer.end()
    ratios = {what: _ratio(results["seconds"]) for what, results in (("steps", steps), ("epochs", epochs))}
    console.info("   ".join(f"{what}: ours {ratio:.2f} times as fast" for what, ratio in ratios.items() if ratio))
    return {"batch": batch, "ratios": ratios, "steps": steps, "epochs": epochs}


def _ratio(seconds: dict[str, float]) -> float | None:
    return seconds["PyTorch"] / seconds["ours"] if "PyTorch" in seconds else None


def parsed() -> argparse.Namespace:
    """Read the command line; default sizes depend on the device."""
    gpu = on_accelerator()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="tiny sizes; on a CPU, PyTorch is not compiled")
    parser.add_argument(
        "--scale",
        type=int,
        default=0,
        metavar="CLIPS",
        help="measure reading, from stores of 1,000 up to this number of clips",
    )
    parser.add_argument(
        "--folder", type=Path, help="folder for the stores of --scale; default: the system's folder for temporary files"
    )
    quick = "--quick" in sys.argv
    tiny, small, large = (160, 16, 64, 64, 1, 1), (512, 32, 64, 128, 2, 3), (50_000, 32, 128, 256, 3, 5)
    clips, batch, height, width, epochs, repeats = tiny if quick else large if gpu else small
    parser.add_argument("--clips", type=int, default=clips, help=f"in the store, {clips:,}")
    parser.add_argument(
        "--batch",
        type=int,
        nargs="+",
        default=[batch],
        help=f"clips per step, {batch}; if there are several, the first gives the ratio",
    )
    parser.add_argument("--height", type=int, default=height, help=f"pixels, {height}")
    parser.add_argument("--width", type=int, default=width, help=f"pixels, {width}")
    parser.add_argument(
        "--epochs", type=int, default=epochs, help=f"whole epochs to measure, after one for warm-up, {epochs}"
    )
    parser.add_argument("--repeats", type=int, default=repeats, help=f"epochs of steps to measure, {repeats}")
    parser.add_argument("--classes", type=int, default=100, help="at most, 100")
    return parser.parse_args()


def main() -> None:
    """Measure, print and write."""
    options = parsed()
    gpu = on_accelerator()
    device = jax.devices()[0]
    if not gpu:
        console.warning("JAX sees no accelerator; these are times of the CPU")
    console.show_table(
        "Machine",
        {
            "device": device.device_kind,
            "cores": str(os.cpu_count()),
            "python": sys.version.split()[0],
            "jax": jax.__version__,
        },
    )
    results = Path(__file__).parent / "results"
    kind = "gpu" if gpu else "cpu"
    if options.scale:
        rows = scale(options)
        write_json(
            results / f"training-scale-{kind}.json",
            {"device": device.device_kind, "ratio": rows["ratio"], "table": rows["table"]},
        )
        print(f"ratio {rows['ratio']:.2f}")
        return
    ways = ["eager"] + ([] if options.quick and not gpu else ["compiled"]) + (["compiled, CUDA graphs"] if gpu else [])
    with_torch = torch_can(gpu)
    runs = [compare(options, batch=batch, ways=ways, with_torch=with_torch) for batch in options.batch]
    ratio = runs[0]["ratios"]["steps"]
    write_json(
        results / f"training-{kind}.json",
        {"device": device.device_kind, "ratio": ratio and round(ratio, 2), "runs": runs},
    )
    print(f"ratio {ratio:.2f}" if ratio else "ratio none")


if __name__ == "__main__":
    main()
