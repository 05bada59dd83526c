"""One step of training, a pure function of (state, batch, key), and chunks of steps that the device does without asking back."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Float32, Int, PRNGKeyArray, UInt8

from config import Config, Training
from utils.learning.augmentation import Noise, augment, mixup
from utils.learning.devices import everywhere
from utils.learning.optimizers import optimizer
from utils.learning.targets import Labels, Targets, losses, targets_of, taught_losses, weighted_mean
from utils.learning.teachers import Teachers
from utils.models.networks import Network, apply, from_pixels, stretch


class Batch(NamedTuple):
    """Pictures, what is known of them, and what teachers answered to them, where that is kept."""

    pixels: UInt8[Any, "*steps batch height width"]
    labels: Labels
    answers: Float32[Any, "*steps batch classes"] | None = None


class Lesson(NamedTuple):
    """What a batch should be answered with.

    Attributes
    ----------
    targets : by the true labels
    weight : how much each clip counts
    answers : the teachers'; None without teachers
    labelled : with teachers, how much of a clip has true labels: 1 or 0, or what is between where clips are mixed
    """

    targets: Targets
    weight: Float[Array, " batch"]
    answers: Targets | None = None
    labelled: Float[Array, " batch"] | None = None


class TrainState(NamedTuple):
    """What a step changes.

    Attributes
    ----------
    average : moving average of the net; None where `training.average` is off
    steps : how many there were
    alive : whether every loss and every direction was a number so far; from the first that was not, nothing changes any
        more
    """

    net: Network
    optimizer: optax.OptState
    average: Network | None
    steps: Int[Array, ""]
    alive: Bool[Array, ""]

    @property
    def best_network(self) -> Network:
        """The net to be watched and kept: the average, where there is one."""
        return self.net if self.average is None else self.average


class StepMetrics(NamedTuple):
    """What steps tell: mean loss of the batch, share of its labelled clips whose class was the first answer, and whether all was a number."""

    loss: Float[Array, "*steps"]
    accuracy: Float[Array, "*steps"]
    alive: Bool[Array, "*steps"]


Step = Callable[..., tuple[TrainState, StepMetrics]]
BatchAt = Callable[[Any, Int[Array, ""]], Batch]
Chunk = Callable[..., tuple[TrainState, StepMetrics]]


def first_state(net: Network, settings: Training) -> TrainState:
    """Return the state before the first step."""
    # a copy: steps give the memory of what they change to its successor
    average = jax.tree.map(jnp.array, net) if settings.average else None
    return TrainState(net, optimizer(settings).init(net.params), average, jnp.zeros((), jnp.int32), jnp.array(True))


def make_step(
    graph: nnx.GraphDef, config: Config, weights: Float32[Array, " classes"], teachers: Teachers | None = None
) -> Step:
    """Return step(state, batch, noise, rate, key, nets=()) -> (state, metrics), not compiled; `nets` are those of the teachers, where they answer in the step.

    Parameters
    ----------
    weights : how much clips of each class count
    teachers : whose answers to the same varied pictures are learned, or to the pictures as they are, where the batch
        brings them
    """
    settings = config.training
    transform = optimizer(settings)

    def loss_of(
        params: nnx.State,
        rest: nnx.State,
        pictures: Float[Array, "batch height width"],
        lesson: Lesson,
        key: PRNGKeyArray,
    ) -> tuple[Float[Array, ""], tuple[nnx.State, Float[Array, "batch classes"]]]:
        logits, rest = apply(graph, Network(params, rest), stretch(pictures), train=True, key=key)
        return weighted_mean(lesson_losses(logits, lesson, config), lesson.weight), (rest, logits)

    def step(
        state: TrainState,
        batch: Batch,
        noise: Noise,
        rate: Float[Array, ""],
        key: PRNGKeyArray,
        nets: tuple[Network, ...] = (),
    ) -> tuple[TrainState, StepMetrics]:
        key_augment, key_net, key_mix = jax.random.split(key, 3)
        labels, known = batch.labels, batch.labels.own >= 0
        pictures = augment(from_pixels(batch.pixels), key_augment, config.augmentation, noise)
        targets, counts = (
            targets_of(labels, len(weights), settings),
            labels.weight * jnp.where(known, weights[labels.own], 1.0),
        )
        if teachers:  # one column more, which is mixed like the classes: whether there are true labels
            targets = jnp.concatenate([targets * known[:, None], known[:, None]], axis=1)
        if config.augmentation.mixup:
            pictures, targets, counts = mixup(
                pictures,
                targets,
                counts,
                key_mix,
                amount=config.augmentation.mixup,
                share=config.augmentation.mixup_share,
            )
        lesson = Lesson(targets, counts)
        if teachers:
            answers = teachers.answer(nets, pictures) if batch.answers is None else batch.answers
            lesson = Lesson(targets[:, :-1] / jnp.maximum(targets[:, -1:], 1e-6), counts, answers, targets[:, -1])
        gradient_of = jax.value_and_grad(loss_of, has_aux=True)
        (loss, (rest, logits)), gradients = gradient_of(state.net.params, state.net.rest, pictures, lesson, key_net)
        directions, moments = transform.update(gradients, state.optimizer, state.net.params)
        params = jax.tree.map(lambda weight, direction: weight - rate * direction, state.net.params, directions)
        alive = state.alive & jnp.isfinite(loss) & jnp.isfinite(rate * optax.tree.norm(directions))
        net = Network(params, rest)
        changed = TrainState(net, moments, averaged(state, net, settings), state.steps + 1, alive)
        state = jax.tree.map(partial(jnp.where, alive), changed, state._replace(alive=alive))
        right = (logits.argmax(axis=1) == labels.own).sum() / jnp.maximum(known.sum(), 1)
        return state, StepMetrics(loss, right, alive)

    return step


def lesson_losses(logits: Float[Array, "batch classes"], lesson: Lesson, config: Config) -> Float[Array, " batch"]:
    """Return the loss of each clip: by its true labels, by its teachers' answers, or both in the parts that `distillation.true_share` names."""
    if lesson.answers is None or lesson.labelled is None:
        return losses(logits, lesson.targets, config.training)
    taught = taught_losses(logits, lesson.answers, config.distillation)
    if not config.distillation.true_share:
        return taught
    share = config.distillation.true_share * lesson.labelled
    return (1 - share) * taught + share * losses(logits, lesson.targets, config.training)


def averaged(state: TrainState, net: Network, settings: Training) -> Network | None:
    """Return the moving average after a step; it forgets faster in the beginning, when there is little to remember.

    Source: TensorFlow's ExponentialMovingAverage with num_updates: a share of min(average, (1 + n) / (10 + n)) is kept
    after n steps.
    """
    if state.average is None:
        return None
    keeps = jnp.minimum(settings.average, (1 + state.steps) / (10 + state.steps))
    return jax.tree.map(lambda old, new: (keeps * old + (1 - keeps) * new).astype(old.dtype), state.average, net)


def make_chunk(step: Step, batch_at: BatchAt, mesh: Mesh) -> Chunk:
    """Return chunk(state, given, noise, rates, key, first, count, nets=()) -> (state, metrics of each step), compiled.

    The device does `count` steps, fewer where a loss is no number, without asking back. A chunk of one place only is
    done without a loop: inside of one, XLA on CPUs computes the gradients of convolutions in naive code, 40 to 100
    times slower.

    Parameters (of the function that is returned)
    ----------
    state : given up; its memory becomes that of the new one
    given : what `batch_at(given, number)` takes the batch of a step of this chunk from
    rates : learning rate of each step, float32 (places,)
    key : the epoch's
    first : number of the first step in the epoch
    count : how many of the places are steps
    nets : of the teachers, where they answer in the step
    """

    @partial(jax.jit, donate_argnums=0, out_shardings=everywhere(mesh))
    def chunk(
        state: TrainState,
        given: Any,
        noise: Noise,
        rates: Float32[Array, " places"],
        key: PRNGKeyArray,
        first: Int[Array, ""],
        count: Int[Array, ""],
        nets: tuple[Network, ...] = (),
    ) -> tuple[TrainState, StepMetrics]:
        Carry = tuple[Int[Array, ""], TrainState, StepMetrics]

        def more(carry: Carry) -> Bool[Array, ""]:
            number, state, _ = carry
            return (number < count) & state.alive

        def one(carry: Carry) -> Carry:
            number, state, seen = carry
            state, metrics = step(
                state, batch_at(given, number), noise, rates[number], jax.random.fold_in(key, first + number), nets
            )
            seen = jax.tree.map(lambda all_steps, this: all_steps.at[number].set(this), seen, metrics)
            return number + 1, state, seen

        places = len(rates)
        nothing = StepMetrics(jnp.zeros(places), jnp.zeros(places), jnp.zeros(places, bool))
        begin = (jnp.zeros((), jnp.int32), state, nothing)
        _, state, seen = one(begin) if places == 1 else jax.lax.while_loop(more, one, begin)
        return state, seen

    return chunk


def epoch_key(*, seed: int, epoch: int) -> PRNGKeyArray:
    """Return the key of an epoch, from which each of its steps folds its own; it depends on nothing that happened before."""
    return jax.random.fold_in(jax.random.key(seed), epoch)
