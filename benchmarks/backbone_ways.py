"""What backbones.py measures, each in a process of its own; the last line of output is JSON.

python benchmarks/backbone_ways.py WAY NAME HEIGHT WIDTH BATCH SECONDS
"""

# mypy: disable-error-code="misc, no-untyped-def"

import json
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

from config import Model, Training
from tests.models.make_golden import MEMBERS
from utils import console

CLASSES = 100
WAYS = (
    "jax-training",
    "torch-training",
    "torch-compiled-training",
    "jax-inference",
    "onnx-inference",
    "onnx-int8-inference",
    "torch-inference",
    "torch-compiled-inference",
)


def speed(step: Callable[[], object], batch: int, seconds: float) -> float:
    """Return clips per second of the fastest step within so many seconds, after three that do not count."""
    for _ in range(3):  # each may compile: JAX does so again if the types of what a step returns differ
        step()
    whole, best = console.stopwatch(), float("inf")
    while whole() < seconds or best == float("inf"):
        passed = console.stopwatch()
        step()
        best = min(best, passed())
    return batch / best


def jax_way(name: str, shape: tuple[int, int], batch: int, *, training: bool) -> Callable[[], object]:
    """Return a step of training, or a prediction, by JAX."""
    import jax
    import jax.numpy as jnp

    from utils.learning.devices import compute_dtype
    from utils.learning.optimizers import optimizer
    from utils.models.input_scaling import from_pixels
    from utils.models.networks import Network, apply, build_network

    settings = Training(optimizer="adamw")
    graph, network = build_network(
        Model(name=name),  # type: ignore[arg-type]
        classes=CLASSES,
        shape=shape,
        seed=0,
        dtype=compute_dtype(settings),
    )
    pixels = jax.device_put(made_up(batch, shape))
    predict = jax.jit(lambda network, pixels: apply(graph, network, from_pixels(pixels))[0])
    if not training:
        return lambda: jax.block_until_ready(predict(network, pixels))
    transform = optimizer(settings)

    def loss(params, rest, pixels, key):
        logits, rest = apply(graph, Network(params, rest), from_pixels(pixels), train=True, key=key)
        return -jax.nn.log_softmax(logits)[:, 0].mean(), rest

    @jax.jit
    def step(network, moments, pixels, key):
        (_, rest), gradients = jax.value_and_grad(loss, has_aux=True)(network.params, network.rest, pixels, key)
        updates, moments = transform.update(gradients, moments, network.params)
        params = jax.tree.map(lambda weight, update: weight - 1e-3 * update, network.params, updates)
        return Network(params, rest), moments

    state = network, transform.init(network.params)
    key = jax.random.key(jnp.uint32(0))

    def once() -> object:
        nonlocal state
        state = jax.block_until_ready(step(*state, pixels, key))
        return state

    return once


def onnx_way(name: str, shape: tuple[int, int], batch: int, *, int8: bool) -> Callable[[], object]:
    """Return a prediction by ONNX Runtime."""
    from utils.models.networks import build_network
    from utils.models.onnx.export import to_onnx_model
    from utils.models.onnx.int8 import to_int8
    from utils.scoring.inference.onnx_sessions import open_session, run_session

    graph, network = build_network(Model(name=name), classes=CLASSES, shape=shape, seed=0)  # type: ignore[arg-type]
    pixels = made_up(batch, shape)
    model = to_onnx_model(graph, network, shape=shape)
    session = open_session((to_int8(model, pixels) if int8 else model).SerializeToString())
    return lambda: run_session(session, pixels, batch_size=batch)


def torch_way(name: str, shape: tuple[int, int], batch: int, *, training: bool, compiled: bool) -> Callable[[], object]:
    """Return a step of training, or a prediction, by PyTorch, with channels last."""
    import timm
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = timm.create_model(MEMBERS[name], in_chans=1, num_classes=CLASSES).to(
        device, memory_format=torch.channels_last
    )
    network.train(training)
    run = torch.compile(network) if compiled else network
    pixels = torch.from_numpy(made_up(batch, shape)).to(device)[:, None]
    labels = torch.zeros(batch, dtype=torch.long, device=device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    half = torch.autocast(device, torch.bfloat16, enabled=device == "cuda")

    def seen():
        return (pixels.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)

    def predict() -> object:
        with torch.inference_mode(), half:
            return finished(run(seen()))

    def step() -> object:
        optimizer.zero_grad(set_to_none=True)
        with half:
            loss = torch.nn.functional.cross_entropy(run(seen()), labels)
        loss.backward()
        optimizer.step()
        return finished(loss)

    def finished(result):
        if device == "cuda":
            torch.cuda.synchronize()
        return result

    return step if training else predict


def made_up(batch: int, shape: tuple[int, int]) -> np.ndarray:
    """Return spectrograms, uint8."""
    return np.random.default_rng(0).integers(0, 256, (batch, *shape), dtype=np.uint8)


def main() -> None:
    """Measure one way and print its figures."""
    way, name, *numbers, seconds = sys.argv[1:]
    height, width, batch = map(int, numbers)
    shape, training = (height, width), way.endswith("training")
    if way.startswith("jax"):
        step = jax_way(name, shape, batch, training=training)
    elif way.startswith("onnx"):
        step = onnx_way(name, shape, batch, int8="int8" in way)
    else:
        step = torch_way(name, shape, batch, training=training, compiled="compiled" in way)
    sys.stdout.write(json.dumps({"clips_per_second": speed(step, batch, float(seconds))}) + "\n")


if __name__ == "__main__":
    main()
