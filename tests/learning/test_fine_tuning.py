"""The last layer first, then all layers, the others more slowly."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from config import Training
from tests.learning.test_steps import CLASSES, CONFIG, after_epochs, made_up
from utils.learning.batch_images import Batch
from utils.learning.schedules import rates
from utils.learning.steps import TrainState, initial_state, make_step
from utils.learning.targets import Labels
from utils.models.networks import Network, apply, build_network


def one_step(
    *, only_last_layer: bool = False, rest: float | None = None, **options: object
) -> tuple[Network, TrainState]:
    """Return a network before and after a step of SGD; `rest`: its running variances before."""
    settings = replace(CONFIG.training, **{"optimizer": "sgd", **options})  # type: ignore[arg-type]
    config = replace(CONFIG, training=settings)
    graph, network = build_network(config.model, classes=CLASSES, shape=(8, 16), seed=1)
    if rest is not None:
        network = network._replace(rest=jax.tree.map(lambda leaf: jnp.full_like(leaf, rest), network.rest))
    examples = made_up()
    batch = Batch(
        jnp.asarray(examples.store.spectrograms(np.arange(8))), Labels(*(leaf[:8] for leaf in examples.labels))
    )
    step = make_step(graph, config, jnp.ones(CLASSES), only_last_layer=only_last_layer)
    state, _ = jax.jit(step)(
        initial_state(network, settings), batch, jax.device_put(examples.noise), jnp.float32(0.1), jax.random.key(1)
    )
    return network, state


def moved(before: Network, after: Network) -> dict[str, float]:
    """Return how far the last layer and the others moved, at most."""
    return {
        part: max(
            float(jnp.abs(new - old).max())
            for name in before.params
            if (name == "output") == (part == "last")
            for old, new in zip(jax.tree.leaves(before.params[name]), jax.tree.leaves(after.params[name]), strict=True)
        )
        for part in ("last", "others")
    }


def test_only_the_last_layer_learns_and_statistics_stay() -> None:
    before, state = one_step(only_last_layer=True, rest=2.0, weight_decay=0.1, optimizer="adamw")
    found = moved(before, state.network)
    assert found["last"] > 0
    assert found["others"] == 0
    assert all((leaf == 2).all() for leaf in jax.tree.leaves(state.network.rest))


def test_the_last_layer_alone_learns_from_what_inference_sees() -> None:
    """Its gradient is that of logistic regression on the embeddings of inference, without batch statistics."""
    config = replace(
        CONFIG,
        augmentation=replace(CONFIG.augmentation, mixup=0.0, count=0),
        training=replace(CONFIG.training, optimizer="sgd"),
    )
    graph, network = build_network(config.model, classes=CLASSES, shape=(8, 16), seed=1)
    examples = made_up()
    pixels = jnp.asarray(examples.store.spectrograms(np.arange(8)))
    labels = Labels(*(jnp.asarray(leaf[:8]) for leaf in examples.labels))._replace(weight=jnp.ones(8))
    step = make_step(graph, config, jnp.ones(CLASSES), only_last_layer=True)
    state, metrics = step(
        initial_state(network, config.training),
        Batch(pixels, labels),
        jax.device_put(examples.noise),
        jnp.float32(0.5),
        jax.random.key(1),
    )
    probabilities = jax.nn.softmax(apply(graph, network, pixels / 255)[0])
    expected = probabilities - jax.nn.one_hot(labels.primary, CLASSES)
    change = state.network.params["output"]["bias"][...] - network.params["output"]["bias"][...]
    np.testing.assert_allclose(change, -0.5 * expected.mean(axis=0), atol=1e-5)
    loss = -jnp.log(probabilities[jnp.arange(8), labels.primary]).mean()
    assert float(metrics.loss) == pytest.approx(float(loss), rel=1e-5)


def test_other_layers_move_by_a_share_of_the_rate() -> None:
    whole, slow = (moved(*_networks(backbone_rate=rate)) for rate in (1.0, 0.25))
    assert slow["last"] == pytest.approx(whole["last"], rel=1e-4)
    assert slow["others"] == pytest.approx(0.25 * whole["others"], rel=1e-3)


def _networks(**options: object) -> tuple[Network, Network]:
    before, state = one_step(**options)  # type: ignore[arg-type]
    return before, state.network


def test_after_the_frozen_epochs_all_layers_learn_with_new_moments() -> None:
    config = replace(CONFIG, training=replace(CONFIG.training, freeze_epochs=1, epochs=2))
    _, first = build_network(config.model, classes=CLASSES, shape=config.spectrogram.shape, seed=1)
    after = [after_epochs(config, resident=True, loops=True, epochs=epochs)[0] for epochs in (1, 2)]
    assert moved(first, after[0].network)["others"] == 0
    assert moved(after[0].network, after[1].network)["others"] > 0
    count = next(leaf for leaf in jax.tree.leaves(after[1].optimizer) if leaf.ndim == 0)
    assert int(count) == int(after[1].steps) - int(after[0].steps)  # Adam's: of the second epoch alone


def test_the_warm_up_comes_again_when_all_layers_start_to_learn() -> None:
    settings = Training(epochs=6, schedule="constant", learning_rate=0.1, warm_up=1.0, freeze_epochs=2)
    found = [rates(settings, epoch=epoch, steps=4).tolist() for epoch in range(1, 5)]
    rising, whole = [pytest.approx(0.1 * share) for share in (0.25, 0.5, 0.75, 1)], [pytest.approx(0.1)] * 4
    assert found == [rising, whole, rising, whole]
