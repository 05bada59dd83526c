"""One training step, a pure function of (state, batch, key), and chunks of steps that run on the device at once."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Float32, Int, PRNGKeyArray

from config import Config, Model, Training
from utils.learning.batch_images import Batch, augmented_images
from utils.learning.devices import replicated
from utils.learning.losses import weighted_mean
from utils.learning.noise import Noise
from utils.learning.objectives import LossFunction, Objective, learn_recordings
from utils.learning.optimizers import optimizer
from utils.models.networks import Network, before_output, classify, is_frozen, of_backbone


class TrainState(NamedTuple):
    """What a step changes.

    Attributes
    ----------
    average : moving average of the network; None if `training.average` is off
    steps : number of steps so far
    finite : whether all losses and updates were finite so far; after the first that was not, nothing changes any more
    """

    network: Network
    optimizer: optax.OptState
    average: Network | None
    steps: Int[Array, ""]
    finite: Bool[Array, ""]

    @property
    def best_network(self) -> Network:
        """The network to validate and save: the average, if there is one."""
        return self.network if self.average is None else self.average


class StepMetrics(NamedTuple):
    """Metrics of steps: mean loss, accuracy on labelled clips, and whether loss and update were finite."""

    loss: Float[Array, "*steps"]
    accuracy: Float[Array, "*steps"]
    finite: Bool[Array, "*steps"]


Step = Callable[..., tuple[TrainState, StepMetrics]]
BatchAt = Callable[[Any, Int[Array, ""]], Batch]
StepChunk = Callable[..., tuple[TrainState, StepMetrics]]


def initial_state(network: Network, settings: Training) -> TrainState:
    """Return the state before the first step."""
    # a copy: steps donate the memory of what they change
    average = jax.tree.map(jnp.array, network) if settings.average else None
    return TrainState(network, initial_optimizer(network, settings), average, jnp.zeros((), jnp.int32), jnp.array(True))


def initial_optimizer(network: Network, settings: Training) -> optax.OptState:
    """Return the state of the optimizer before its first step."""
    return optimizer(settings).init(network.params)


def make_step(
    graph: nnx.GraphDef,
    config: Config,
    weights: Float32[Array, " classes"],
    objective: Objective | None = None,
    *,
    only_last_layer: bool = False,
) -> Step:
    """Return step(state, batch, noise, rate, key, frozen=()) -> (state, metrics), not compiled.

    `frozen` are the networks of the objective.

    Parameters
    ----------
    weights : weight of each class in the loss
    objective : what is learned; None: `training.loss`
    only_last_layer : whether all other layers stay as they are, and compute as in inference
    """
    settings = config.training
    transform = optimizer(settings)
    objective = objective or learn_recordings(config, len(weights))

    def loss_of(
        params: nnx.State,
        rest: nnx.State,
        images: Float[Array, "batch height width"],
        loss_function: LossFunction,
        clip_weights: Float[Array, " batch"],
        key: PRNGKeyArray,
    ) -> tuple[Float[Array, ""], tuple[nnx.State, Float[Array, "batch classes"]]]:
        if only_last_layer:
            features = jax.lax.stop_gradient(before_output(graph, Network(params, rest), images)[0])
        else:
            features, rest = before_output(graph, Network(params, rest), images, train=True, key=key)
        output = classify(graph, Network(params, rest), features)
        found = loss_function(output)
        return weighted_mean(found, clip_weights[: len(found)]), (rest, output.logits)

    def step(
        state: TrainState,
        batch: Batch,
        noise: Noise,
        rate: Float[Array, ""],
        key: PRNGKeyArray,
        frozen: tuple[Network, ...] = (),
    ) -> tuple[TrainState, StepMetrics]:
        key_network = jax.random.split(key, 3)[1]  # the others are those of the augmentation
        labels, labelled = batch.labels, batch.labels.primary >= 0
        targets = objective.targets(labels, batch.soft_targets)
        clip_weights = labels.weight * jnp.where(labelled, weights[labels.primary], 1.0)
        images, targets, clip_weights = augmented_images(batch, targets, clip_weights, noise, key, config)
        loss_function = objective.loss_function(targets, images, frozen)
        gradient_of = jax.value_and_grad(
            partial(loss_of, loss_function=loss_function, clip_weights=clip_weights, key=key_network), has_aux=True
        )
        (loss, (rest, logits)), gradients = gradient_of(state.network.params, state.network.rest, images)
        updates, moments = transform.update(gradients, state.optimizer, state.network.params)
        updates = with_backbone_rate(updates, 0.0 if only_last_layer else settings.backbone_rate)
        updates = without_frozen(updates, config.model)
        params = jax.tree.map(lambda weight, update: weight - rate * update, state.network.params, updates)
        finite = state.finite & jnp.isfinite(loss) & jnp.isfinite(rate * optax.tree.norm(updates))
        network = Network(params, rest)
        changed = TrainState(network, moments, moving_average(state, network, settings), state.steps + 1, finite)
        state = jax.tree.map(partial(jnp.where, finite), changed, state._replace(finite=finite))
        accuracy = (logits.argmax(axis=1) == labels.primary).sum() / jnp.maximum(labelled.sum(), 1)
        return state, StepMetrics(loss, accuracy, finite)

    return step


def with_backbone_rate(updates: optax.Updates, rate: float) -> optax.Updates:
    """Return updates with those of all layers but the last one, and that of the embedding, multiplied."""
    if rate == 1:
        return updates
    return jax.tree_util.tree_map_with_path(
        lambda path, update: rate * update if of_backbone(path) else update, updates
    )


def without_frozen(updates: optax.Updates, settings: Model) -> optax.Updates:
    """Return updates in which those of frozen layers are 0; weight decay would change them, too."""
    return jax.tree_util.tree_map_with_path(
        lambda path, update: jnp.zeros_like(update) if is_frozen(settings, path) else update, updates
    )


def moving_average(state: TrainState, network: Network, settings: Training) -> Network | None:
    """Return the moving average after a step; its decay is smaller during the first steps.

    Source: TensorFlow's ExponentialMovingAverage with num_updates: the decay after n steps is
    min(average, (1 + n) / (10 + n)).
    """
    if state.average is None:
        return None
    decay = jnp.minimum(settings.average, (1 + state.steps) / (10 + state.steps))
    return jax.tree.map(lambda old, new: (decay * old + (1 - decay) * new).astype(old.dtype), state.average, network)


def make_chunk(step: Step, batch_at: BatchAt, mesh: Mesh) -> StepChunk:
    """Return chunk(state, source, noise, rates, key, first, count, frozen=()) -> (state, metrics), compiled.

    The device runs `count` steps without returning to the host, fewer if a loss becomes NaN or infinite. A chunk with a
    capacity of one step has no loop: inside a loop, XLA on CPUs computes the gradients of convolutions in naive code,
    40 to 100 times slower.

    Parameters (of the returned function)
    ----------
    state : donated; its memory is reused for the new one
    source : `batch_at(source, index)` takes the batch of a step of this chunk from it
    rates : learning rate of each step, float32 (capacity,)
    key : of the epoch
    first : index of the first step in the epoch
    count : number of steps, at most the capacity
    frozen : networks of the objective
    """

    @partial(jax.jit, donate_argnums=0, out_shardings=replicated(mesh))
    def chunk(
        state: TrainState,
        source: Any,
        noise: Noise,
        rates: Float32[Array, " capacity"],
        key: PRNGKeyArray,
        first: Int[Array, ""],
        count: Int[Array, ""],
        frozen: tuple[Network, ...] = (),
    ) -> tuple[TrainState, StepMetrics]:
        Carry = tuple[Int[Array, ""], TrainState, StepMetrics]

        def unfinished(carry: Carry) -> Bool[Array, ""]:
            index, state, _ = carry
            return (index < count) & state.finite

        def one_step(carry: Carry) -> Carry:
            index, state, collected = carry
            step_key = jax.random.fold_in(key, first + index)
            state, metrics = step(state, batch_at(source, index), noise, rates[index], step_key, frozen)
            collected = jax.tree.map(lambda all_steps, this: all_steps.at[index].set(this), collected, metrics)
            return index + 1, state, collected

        capacity = len(rates)
        empty = StepMetrics(jnp.zeros(capacity), jnp.zeros(capacity), jnp.zeros(capacity, bool))
        start = (jnp.zeros((), jnp.int32), state, empty)
        _, state, metrics = one_step(start) if capacity == 1 else jax.lax.while_loop(unfinished, one_step, start)
        return state, metrics

    return chunk


def epoch_key(*, seed: int, epoch: int) -> PRNGKeyArray:
    """Return the key of an epoch, from which each step folds its own; it depends on nothing that happened before."""
    return jax.random.fold_in(jax.random.key(seed), epoch)
