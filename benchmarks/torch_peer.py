"""PyTorch beside our training: a process of its own, what it is given, and whether its net is the same; a part of training.py."""

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
from utils.models.networks import apply, build, from_pixels, stretch

COMPARED = 8  # clips whose answers are compared


class Peer:
    """PyTorch, in a process of its own, whose caches are empty."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, str(Path(__file__).with_name("torch_training.py")), str(folder)]
        environment = os.environ | {
            "TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor"),
            "TRITON_CACHE_DIR": str(folder / "triton"),
        }
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def ask(self, request: str) -> dict[str, Any]:
        """Return the answer to a request, once it is there; no figures where it failed, which is told."""
        assert self._process.stdin  # noqa: S101
        assert self._process.stdout  # noqa: S101
        self._process.stdin.write(f"{request}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"failed": "it ended"}
        if "failed" in answer:
            console.warn(f"PyTorch, {request}: {answer['failed']}")
            return {}
        return answer

    def end(self) -> None:
        """Let it end."""
        self._process.communicate()


def torch_can(gpu: bool) -> bool:
    """Tell whether PyTorch is there, and sees a GPU where JAX does; says so where not."""
    if not find_spec("torch"):
        console.warn("PyTorch is not installed (pip install torch): ours alone is measured")
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
        console.warn("PyTorch sees no GPU: ours alone is measured")
    return seen.strip() == "True"


def hand_over(folder: Path, examples: Examples, config: Config, *, ways: Sequence[str]) -> None:
    """Write what PyTorch is given: settings, clips, weights and PNG files."""
    model = config.model
    _, net = build(model, classes=len(examples.classes), shape=config.spectrogram.shape, seed=1)
    kernels = {
        f"weights/{_torch_name(path)}": leaf
        for path, leaf in traverse_util.flatten_dict(nnx.to_pure_dict(net.params)).items()
    }
    np.savez(folder / "tables.npz", allow_pickle=False, labels=examples.labels.own, **kernels)
    np.save(folder / "clips.npy", examples.store.pictures(examples.rows))
    np.save(folder / "noise.npy", examples.noise)
    for side, rows, labels in (
        ("train", examples.rows, examples.labels),
        ("val", examples.val_rows, examples.val_labels),
    ):
        names = [f"{examples.classes[label]}/{row}.png" for row, label in zip(rows, labels.own, strict=True)]
        (folder / f"{side}.tsv").write_text(
            "".join(f"{label}\t{name}\n" for label, name in zip(labels.own, names, strict=True))
        )
        for label in examples.classes:
            (folder / "png" / label).mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor() as threads:
            for start in range(0, len(rows), 1024):
                pixels = examples.store.pictures(rows[start : start + 1024])
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
    write_json(folder / "settings.json", {"net": layers, **rest, "ways": ways, "tried": 20 if on_accelerator() else 4})


def _torch_name(path: tuple[Any, ...]) -> str:
    """Return the name by which PyTorch's twin knows a parameter: a norm is no layer within a layer there, and kernels and scales are weights."""
    place = path[:-2] if path[-2] == "norm" else path[:-1]
    return ".".join(map(str, (*place, "bias" if path[-1] == "bias" else "weight")))


def check_twin(peer: Peer, examples: Examples, config: Config) -> None:
    """Refuse to compare nets of which one answers otherwise than the other."""
    graph, net = build(config.model, classes=len(examples.classes), shape=config.spectrogram.shape, seed=1)
    with jax.default_matmul_precision("highest"):
        ours = np.asarray(
            apply(graph, net, stretch(from_pixels(jnp.asarray(examples.store.pictures(examples.rows[:COMPARED])))))[0]
        )
    apart = np.abs(ours - np.asarray(peer.ask("answers")["logits"])).max() / np.abs(ours).max()
    console.say(f"the two nets' answers with the same weights are {apart:.1e} apart, of the largest")
    if apart > 1e-3:
        raise console.UserError("the nets are not the same")
