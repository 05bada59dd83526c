"""What a model costs: memory while it trains and when it is used, and FLOPs, worked out from its layers.

An estimate before any weight exists. XLA fuses layers and frees what it no longer needs, so that memory is often less;
`xla_memory` compiles the training step and says.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from config import Model, Training
from utils.models.layer_table import Layer, totals
from utils.models.networks import Network, abstract_network, apply

BYTES = 4  # of a float32
STATES = {"adam": 2, "adamw": 2, "nesterov": 1, "sgd": 0}  # numbers that an optimizer keeps for each parameter
BACKWARD = 2  # the gradients need about twice the FLOPs of the prediction


@dataclass(frozen=True)
class Costs:
    """Costs of a training, and of the trained model.

    Attributes
    ----------
    weights, gradients, optimizer, average, activations : bytes while training, of one batch
    flops_per_clip : of a prediction, two per multiply-add
    flops_per_epoch, flops_in_all : of a training
    float32, float16 : bytes when the model is used, weights and activations of one clip
    """

    weights: int
    gradients: int
    optimizer: int
    average: int
    activations: int
    flops_per_clip: int
    flops_per_epoch: int
    flops_in_all: int
    float32: int
    float16: int

    @property
    def training(self) -> int:
        """Bytes while training, in all."""
        return self.weights + self.gradients + self.optimizer + self.average + self.activations


def estimate(
    rows: Sequence[Layer], settings: Training, *, batch: int, clips: int, epochs: int, activation_bytes: int = BYTES
) -> Costs:
    """Work out the costs of a model.

    Activations are the outputs of all convolutions, norms and dense layers.

    Parameters
    ----------
    rows : its layers
    clips : per epoch
    activation_bytes : of one value: 2 in bfloat16
    """
    parameters, flops = totals(list(rows))
    values = sum(_size(row) for row in _innermost(rows))
    weights = BYTES * parameters
    per_epoch = clips * (1 + BACKWARD) * flops
    return Costs(
        weights=weights,
        gradients=weights,
        optimizer=STATES[settings.optimizer] * weights,
        average=weights if settings.average else 0,
        activations=activation_bytes * batch * values,
        flops_per_clip=flops,
        flops_per_epoch=per_epoch,
        flops_in_all=epochs * per_epoch,
        float32=BYTES * (parameters + values),
        float16=BYTES // 2 * (parameters + values),
    )


def _innermost(rows: Sequence[Layer]) -> list[Layer]:
    """Return the layers that have no parts."""
    with_parts = {row.name.rpartition("/")[0] for row in rows}
    return [row for row in rows if row.name not in with_parts]


def _size(row: Layer) -> int:
    size = 1
    for length in row.output:
        size *= length
    return size


def xla_memory(settings: Model, *, classes: int, shape: tuple[int, int], batch: int) -> tuple[int, int]:
    """Compile a training step without optimizer; return the bytes of its arguments and of what it needs besides.

    Takes a minute or more for a large model.
    """
    graph, network = abstract_network(settings, classes=classes, shape=shape)

    def loss(params: nnx.State, rest: nnx.State, images: jax.Array, key: jax.Array) -> jax.Array:
        logits, _ = apply(graph, Network(params, rest), images, train=True, key=key)
        return jax.nn.logsumexp(logits, axis=1).sum()

    images = jax.ShapeDtypeStruct((batch, *shape), jnp.float32)
    key = jax.eval_shape(lambda: jax.random.key(0))
    compiled = jax.jit(jax.grad(loss)).lower(network.params, network.rest, images, key).compile()
    analysis: Any = compiled.memory_analysis()
    return analysis.argument_size_in_bytes, analysis.temp_size_in_bytes + analysis.output_size_in_bytes
