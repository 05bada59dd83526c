"""The PyTorch side of training.py: its process, its input, and a check that its model is the same as ours."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx, traverse_util

from config import Config
from utils import console
from utils.files import write_json
from utils.learning.devices import on_accelerator
from utils.learning.examples import Examples
from utils.models.input_scaling import from_pixels
from utils.models.networks import apply, build_network

CHECKED_CLIPS = 8  # clips whose logits are compared


class Peer:
    """PyTorch in a separate process, with empty caches."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, str(Path(__file__).with_name("torch_training.py")), str(folder)]
        environment = os.environ | {
            "TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor"),
            "TRITON_CACHE_DIR": str(folder / "triton"),
        }
        self._process = subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def ask(self, request: str) -> dict[str, Any]:
        """Send a request and return its result; empty, with a warning, if it failed."""
        assert self._process.stdin  # noqa: S101
        assert self._process.stdout  # noqa: S101
        self._process.stdin.write(f"{request}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        result: dict[str, Any] = json.loads(line) if line else {"failed": "the process ended"}
        if "failed" in result:
            console.warning(f"PyTorch, {request}: {result['failed']}")
            return {}
        return result

    def end(self) -> None:
        """Close its input and wait for its end."""
        self._process.communicate()


def torch_can(gpu: bool) -> bool:
    """Tell whether PyTorch is installed, and sees a GPU if JAX does; warn if not."""
    if not find_spec("torch"):
        console.warning("PyTorch is not installed (pip install torch); only JAX is measured")
        return False
    if not gpu:
        return True
    seen = subprocess.run(
        [sys.executable, "-c", "import torch; print(torch.cuda.is_available())"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    if seen.strip() != "True":
        console.warning("PyTorch sees no GPU; only JAX is measured")
    return seen.strip() == "True"


def hand_over(folder: Path, examples: Examples, config: Config, *, ways: Sequence[str]) -> None:
    """Write the input of PyTorch: settings, clips, weights and PNG files."""
    model = config.model
    _, network = build_network(model, classes=len(examples.classes), shape=config.spectrogram.shape, seed=1)
    kernels = {
        f"weights/{_torch_name(path)}": leaf
        for path, leaf in traverse_util.flatten_dict(nnx.to_pure_dict(network.params)).items()
    }
    np.savez(folder / "tables.npz", allow_pickle=False, labels=examples.labels.primary, **kernels)
    np.save(folder / "clips.npy", examples.store.spectrograms(examples.rows))
    np.save(folder / "noise.npy", examples.noise.spectrograms)
    for split, rows, labels in (
        ("train", examples.rows, examples.labels),
        ("val", examples.validation_rows, examples.validation_labels),
    ):
        names = [f"{examples.classes[label]}/{row}.png" for row, label in zip(rows, labels.primary, strict=True)]
        (folder / f"{split}.tsv").write_text(
            "".join(f"{label}\t{name}\n" for label, name in zip(labels.primary, names, strict=True))
        )
        for label in examples.classes:
            (folder / "png" / label).mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor() as threads:
            for start in range(0, len(rows), 1024):
                pixels = examples.store.spectrograms(rows[start : start + 1024])
                list(
                    threads.map(
                        cv2.imwrite, [str(folder / "png" / name) for name in names[start : start + 1024]], pixels
                    )
                )
    layers = {
        "filters": model.filters,
        "kernel_sizes": model.kernel_sizes,
        "k": model.resnet_k,
        "n": model.resnet_n,
        "classes": len(examples.classes),
    }
    rest = {
        "batch": config.training.batch_size,
        "learning_rate": config.training.learning_rate,
        "gpu": on_accelerator(),
    }
    steps = 20 if on_accelerator() else 4
    write_json(folder / "settings.json", {"model": layers, **rest, "ways": ways, "tried": steps})


def _torch_name(path: tuple[Any, ...]) -> str:
    """Return the name of a parameter in PyTorch: norms are not nested there, and kernels and scales are weights."""
    module = path[:-2] if path[-2] == "norm" else path[:-1]
    return ".".join(map(str, (*module, "bias" if path[-1] == "bias" else "weight")))


def check_same_model(peer: Peer, examples: Examples, config: Config) -> None:
    """Refuse to compare models whose logits differ."""
    graph, network = build_network(config.model, classes=len(examples.classes), shape=config.spectrogram.shape, seed=1)
    with jax.default_matmul_precision("highest"):
        pixels = jnp.asarray(examples.store.spectrograms(examples.rows[:CHECKED_CLIPS]))
        ours = np.asarray(apply(graph, network, from_pixels(pixels))[0])
    difference = np.abs(ours - np.asarray(peer.ask("logits")["logits"])).max() / np.abs(ours).max()
    console.info(f"with the same weights, the logits of both models differ by {difference:.1e} of the largest")
    if difference > 1e-3:
        raise console.UserError("the models are not the same")
