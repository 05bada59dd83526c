"""One step of training: a pure, compiled function of (state, batch, key)."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt8

from config import Augmentation
from utils.learning.augmentation import Noise, augment
from utils.models.nets import Net, apply, from_pixels, stretch


class TrainState(NamedTuple):
    """What a step changes."""

    net: Net
    optimizer: optax.OptState


class StepMetrics(NamedTuple):
    """What a step tells: mean loss of the batch, and share of its clips whose class was the first answer."""

    loss: Float[Array, ""]
    accuracy: Float[Array, ""]


Step = Callable[..., tuple[TrainState, StepMetrics]]


def optimizer() -> optax.GradientTransformation:
    """Return Adam without its step width, which each step is given."""
    return optax.scale_by_adam()


def first_state(net: Net) -> TrainState:
    """Return the state before the first step."""
    return TrainState(net, optimizer().init(net.params))


def make_step(graph: nnx.GraphDef, augmentation: Augmentation) -> Step:
    """Return step(state, pixels, labels, noise, rate, key) -> (state, metrics), compiled."""
    transform = optimizer()

    def loss_of(
        params: nnx.State, rest: nnx.State, pictures: Float[Array, "batch height width channels"], labels: Int[Array, " batch"], key: PRNGKeyArray
    ) -> tuple[Float[Array, ""], tuple[nnx.State, Float[Array, ""]]]:
        logits, rest = apply(graph, Net(params, rest), pictures, train=True, key=key)
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
        return loss, (rest, (logits.argmax(axis=1) == labels).mean())

    @jax.jit
    def step(
        state: TrainState,
        pixels: UInt8[Array, "batch height width"],
        labels: Int[Array, " batch"],
        noise: Noise,
        rate: Float[Array, ""],
        key: PRNGKeyArray,
    ) -> tuple[TrainState, StepMetrics]:
        key_augment, key_net = jax.random.split(key)
        pictures = stretch(augment(from_pixels(pixels), key_augment, augmentation, noise))
        gradient_of = jax.value_and_grad(loss_of, has_aux=True)
        (loss, (rest, accuracy)), gradients = gradient_of(state.net.params, state.net.rest, pictures, labels, key_net)
        directions, moments = transform.update(gradients, state.optimizer, state.net.params)
        params = jax.tree.map(lambda weight, direction: weight - rate * direction, state.net.params, directions)
        return TrainState(Net(params, rest), moments), StepMetrics(loss, accuracy)

    return step


def step_key(*, seed: int, epoch: int, number: int) -> PRNGKeyArray:
    """Return the key of one step; it depends on nothing that happened before."""
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), epoch), number)


def as_rate(rate: float) -> Float[Array, ""]:
    """Return a learning rate as the step takes it."""
    return jnp.asarray(rate, jnp.float32)
