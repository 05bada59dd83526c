"""Speed of the backbones: steps of training and inference, beside the same models of timm in PyTorch.

    python benchmarks/backbones.py
    python benchmarks/backbones.py --quick
    python benchmarks/backbones.py --names EfficientNetLite0 ConvNeXtAtto --shape 128 320 --batch 16

Every way runs in a process of its own, in turn, several times; the shortest time counts, because other programs only
add to it. Training is loss, gradients and AdamW, on clips in memory, without augmentation; in PyTorch eager with
channels last, and compiled if a compiler is there, the better of both. Inference is JAX, ONNX Runtime in float32 and in
int8 (CPUs only), and PyTorch, the better of both again. The last line is the geometric mean, over all models, of ours
divided by PyTorch's in clips per second of training. Needs torch and timm for that (pip install torch timm).
"""

import argparse
import json
import statistics
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import jax
from backbone_ways import WAYS
from file_to_predictions import show_machine

from config import Model
from tests.models.make_golden import MEMBERS
from utils import console
from utils.files import write_json
from utils.models.layer_table import layers, totals

CLASSES = 100
RESULTS = Path(__file__).with_name("results")


def measure(way: str, name: str, options: argparse.Namespace) -> dict[str, float]:
    """Run one way in a process of its own; return its figures, none if it failed."""
    command = [sys.executable, str(Path(__file__).with_name("backbone_ways.py")), way, name]
    command += [*map(str, options.shape), str(options.batch), str(options.seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no output"])[-1]
        console.warning(f"{name}, {way}: {reason[:200]}")
        return {}
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def best_of(name: str, ways: list[str], options: argparse.Namespace) -> dict[str, float]:
    """Return the most clips per second of each way, measured in turn."""
    speeds: dict[str, float] = {}
    for _ in range(options.repeats):
        for way in ways:
            found = measure(way, name, options)
            if found:
                speeds[way] = max(speeds.get(way, 0.0), found["clips_per_second"])
    return speeds


def row_of(name: str, speeds: dict[str, float], options: argparse.Namespace) -> list[str]:
    """Return a row of the table: parameters, FLOPs, and clips per second of each way."""
    settings = Model(name=name)  # type: ignore[arg-type]
    parameters, flops = totals(layers(settings, classes=CLASSES, shape=tuple(options.shape)))
    shown = [f"{speeds[way]:,.1f}" if way in speeds else "" for way in WAYS]
    return [name, f"{parameters / 1e6:.1f} M", f"{flops / 2e9:.2f} G", *shown]


def ratio_of(table: dict[str, dict[str, float]]) -> float | None:
    """Return the geometric mean of ours divided by PyTorch's in training."""
    both = [
        speeds["jax-training"] / max(speeds.get("torch-training", 0), speeds.get("torch-compiled-training", 0))
        for speeds in table.values()
        if "jax-training" in speeds and {"torch-training", "torch-compiled-training"} & speeds.keys()
    ]
    return statistics.geometric_mean(both) if both else None


def parsed() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one small model, few clips")
    parser.add_argument("--names", nargs="+", choices=sorted(MEMBERS), default=sorted(MEMBERS))
    parser.add_argument("--shape", nargs=2, type=int, default=(128, 256), help="height and width, pixels")
    parser.add_argument("--batch", type=int, default=32, help="clips per step")
    parser.add_argument("--seconds", type=float, default=10.0, help="of measuring each way once")
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    if options.quick:
        options.names, options.shape, options.batch = ["MobileNetV4Small"], (32, 64), 4
        options.seconds, options.repeats = 0.5, 1
    return options


def main() -> None:
    """Measure, print and write."""
    options = parsed()
    packages = ["torch", "timm"] if find_spec("torch") and find_spec("timm") else []
    ways = [way for way in WAYS if packages or "torch" not in way]
    if not packages:
        console.warning("torch and timm are not installed (pip install torch timm): ours alone is measured")
    device = jax.devices()[0].platform
    if device != "cpu":
        ways = [way for way in ways if "onnx" not in way]
    versions = show_machine("jax", "onnxruntime", *packages)
    table = {name: best_of(name, ways, options) for name in options.names}
    height, width = options.shape
    console.show_grid(
        f"Clips per second, {height} × {width} pixels, 1 channel, batches of {options.batch}",
        ["model", "parameters", "multiply-adds", *WAYS],
        [row_of(name, speeds, options) for name, speeds in table.items()],
    )
    ratio = ratio_of(table)
    facts = {"versions": versions, "shape": list(options.shape), "batch": options.batch, "clips_per_second": table}
    path = RESULTS / f"backbones-{'cpu' if device == 'cpu' else 'gpu'}.json"
    if not options.quick:
        write_json(path, {**facts, "ratio": ratio})
    console.info("ratio unknown" if ratio is None else f"ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
