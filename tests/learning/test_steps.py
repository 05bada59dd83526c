"""Steps are the same wherever the clips are kept, for any number of steps per chunk, and on any number of devices."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

from config import Augmentation, Config, Model, Spectrogram, Training
from tests.training_runs import on_eight_devices
from utils.learning.batch_images import Batch
from utils.learning.batches import BatchSupply, ResidentBatches, StreamedBatches
from utils.learning.devices import device_mesh, fitting_batch_size, memory_needed, replicated
from utils.learning.epochs import ChunkSizer, TrainingSetup, run_epoch
from utils.learning.examples import Examples
from utils.learning.noise import Noise
from utils.learning.runs import Progress
from utils.learning.sampling import epoch_order
from utils.learning.steps import TrainState, epoch_key, initial_state, make_chunk, make_step
from utils.learning.targets import Labels
from utils.models.networks import build_network
from utils.models.training_log import EpochRow
from utils.spectra.store import Store

CLIPS, CLASSES = 30, 3
CONFIG = Config(
    spectrogram=Spectrogram(height=8, width=16),
    model=Model(name="Baseline", filters=(4,)),
    training=Training(batch_size=8, epochs=2, learning_rate=0.01),
    augmentation=Augmentation(mixup=0.5),
)


class MadeUpStore(Store):
    """A store of spectrograms in memory."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels, self.keeps_sound, self.settings_text = pixels, False, ""
        self.clips = pl.DataFrame({"recording": [f"recording {row // 2}" for row in range(len(pixels))]})

    def spectrograms(self, clips: np.ndarray) -> np.ndarray:
        return self.pixels[clips]


def made_up(*, background: int = 1) -> Examples:
    """Return examples whose class shows in their brightness."""
    generator = np.random.default_rng(5)
    primary = generator.integers(0, CLASSES, CLIPS).astype(np.int32)
    pixels = (generator.integers(0, 150, (CLIPS, 8, 16)) + 50 * primary[:, None, None] * (np.arange(16) % 2)).astype(
        np.uint8
    )
    labels = Labels(
        primary, np.full((CLIPS, background), -1, np.int32), generator.uniform(0.2, 1, CLIPS).astype(np.float32)
    )
    no_labels = Labels(primary[:0], np.zeros((0, 0), np.int32), np.zeros(0, np.float32))
    no_rows = np.zeros(0, np.int64)
    return Examples(
        MadeUpStore(pixels),
        ("a", "b", "c"),
        np.arange(CLIPS),
        labels,
        no_rows,
        no_labels,
        no_rows,
        np.zeros((0, CLASSES), bool),
        no_rows,
        Noise(pixels[:4]),
    )


def after_epochs(
    config: Config, *, resident: bool, loops: bool, epochs: int = 1
) -> tuple[TrainState, list[tuple[float, ...]]]:
    """Train from initial weights; return the state, and the sums of each epoch's metrics."""
    examples, mesh = made_up(), device_mesh(config.training.batch_size)
    graph, network = build_network(config.model, classes=CLASSES, shape=config.spectrogram.shape, seed=1)
    supply: BatchSupply = (ResidentBatches if resident else StreamedBatches)(
        examples, batch_size=config.training.batch_size, mesh=mesh, loops=loops
    )
    supply.capacity = min(supply.capacity, 3)  # so that an epoch has several chunks
    chunk = make_chunk(make_step(graph, config, jnp.ones(CLASSES)), supply.batch_at, mesh)
    last_layer = make_step(graph, config, jnp.ones(CLASSES), only_last_layer=True)
    setup = TrainingSetup(
        examples,
        config,
        supply,
        chunk,
        jax.device_put(examples.noise),
        ChunkSizer(),
        last_layer_chunk=make_chunk(last_layer, supply.batch_at, mesh) if config.training.freeze_epochs else None,
    )
    state = jax.device_put(initial_state(network, config.training), replicated(mesh))
    sums = []
    for epoch in range(epochs):
        progress = Progress(rows=[EpochRow(1, 0.1, 1.0, 0.0, None, None, None, 1.0, 1.0)] * epoch)
        state = run_epoch(state, progress, setup, lambda *_, **__: None, lambda: False)
        sums.append(progress.sums)
        assert progress.steps == -(-CLIPS // config.training.batch_size)
    return state, sums


def close(one: TrainState, other: TrainState, **tolerance: float) -> None:
    for left, right in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(left, right, **tolerance)


def test_wherever_clips_are_kept_the_steps_are_the_same() -> None:
    single, sums = after_epochs(CONFIG, resident=False, loops=False)
    for resident in (False, True):
        state, found = after_epochs(CONFIG, resident=resident, loops=True)
        close(single, state, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found, sums, rtol=1e-5)
    again, found = after_epochs(CONFIG, resident=True, loops=False)
    np.testing.assert_allclose(found, sums, rtol=1e-5)
    close(single, again, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("capacity", [1, 3, 64])
def test_batches_are_those_of_the_order(capacity: int) -> None:
    examples, mesh = made_up(background=2), device_mesh(8)
    order = epoch_order(examples.labels.primary, CONFIG.training, epoch=1)
    for kind in (StreamedBatches, ResidentBatches):
        supply = kind(examples, batch_size=8, mesh=mesh, loops=True)
        supply.capacity = capacity
        found: list[Batch] = []
        for given in supply.chunks(order, lambda: 2):
            assert 1 <= given.count <= min(capacity, 2)
            found += [supply.batch_at(given.source, jnp.int32(number)) for number in range(given.count)]
        assert len(found) == len(order)
        for clips, batch in zip(order, found, strict=True):
            np.testing.assert_array_equal(batch.clips, examples.store.spectrograms(clips))
            for ours, theirs in zip(batch.labels, examples.labels, strict=True):
                np.testing.assert_array_equal(ours, theirs[clips])


@pytest.mark.parametrize("loops", [False, True])
def test_after_a_loss_that_is_not_finite_nothing_changes(loops: bool) -> None:
    graph, network = build_network(CONFIG.model, classes=CLASSES, shape=(8, 16), seed=1)
    examples, mesh = made_up(), device_mesh(8)
    supply = StreamedBatches(examples, batch_size=8, mesh=mesh, loops=loops)
    supply.capacity = 4 if loops else 1
    chunk = make_chunk(make_step(graph, CONFIG, jnp.array([1.0, jnp.nan, 1.0])), supply.batch_at, mesh)
    state = initial_state(network, CONFIG.training)
    before = jax.device_get(state)
    order = np.full((4, 8), np.flatnonzero(examples.labels.primary == 0)[0])
    order[2, 3] = np.flatnonzero(examples.labels.primary == 1)[0]  # the third step has a clip of weight NaN
    finite, states = [], []
    for number, given in enumerate(supply.chunks(order, lambda: 4)):
        state, metrics = chunk(
            state,
            given.source,
            jax.device_put(examples.noise),
            jnp.full(supply.capacity, 0.01),
            epoch_key(seed=1, epoch=1),
            number,
            given.count,
        )
        finite += np.asarray(metrics.finite)[: given.count].tolist()
        states.append(jax.device_get(state))
    assert finite == [True, True, False, False]
    assert states[-1].steps == 2
    assert not states[-1].finite
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(states[-1]))
    assert not np.array_equal(jax.tree.leaves(states[-1].network.params)[0], jax.tree.leaves(before.network.params)[0])
    if not loops:
        close(states[1]._replace(finite=states[-1].finite), states[-1], rtol=0, atol=0)


def test_moving_average() -> None:
    config = dataclasses.replace(CONFIG, training=dataclasses.replace(CONFIG.training, average=0.5))
    graph, network = build_network(config.model, classes=CLASSES, shape=(8, 16), seed=1)
    examples, mesh = made_up(), device_mesh(8)
    supply = StreamedBatches(examples, batch_size=8, mesh=mesh, loops=False)
    chunk = make_chunk(make_step(graph, config, jnp.ones(CLASSES)), supply.batch_at, mesh)
    state = initial_state(network, config.training)
    expected = [np.asarray(leaf) for leaf in jax.tree.leaves(state.network)]
    for number, given in enumerate(
        supply.chunks(epoch_order(examples.labels.primary, config.training, epoch=1), lambda: 1)
    ):
        state, _ = chunk(
            state,
            given.source,
            jax.device_put(examples.noise),
            jnp.full(1, 0.01),
            epoch_key(seed=1, epoch=1),
            number,
            1,
        )
        keeps = min(0.5, (1 + number) / (10 + number))
        expected = [
            keeps * old + (1 - keeps) * np.asarray(new)
            for old, new in zip(expected, jax.tree.leaves(state.network), strict=True)
        ]
    for ours, theirs in zip(jax.tree.leaves(state.best_network), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.usefixtures("optimised")
def test_eight_devices_are_one(tmp_path: Path) -> None:
    both = on_eight_devices(
        tmp_path,
        "from tests.learning.test_steps import CONFIG, after_epochs",
        result="[after_epochs(CONFIG, resident=held, loops=True, epochs=2)[1] for held in (False, True)]",
    )
    _, one = after_epochs(CONFIG, resident=True, loops=True, epochs=2)
    for eight in both:
        np.testing.assert_allclose(eight, one, rtol=1e-5)


def test_a_batch_that_fits() -> None:
    assert fitting_batch_size(32, memory=None, needed=None) == 16
    assert fitting_batch_size(256, memory=10_000, needed=(2_000, 16_000)) == 128  # half of the batch needs 8,000
    assert fitting_batch_size(256, memory=10_000, needed=(2_000, 64_000)) == 32
    assert fitting_batch_size(100, memory=10_000, needed=(2_000, 9_000)) == 32  # the half is 50
    assert fitting_batch_size(1, memory=10_000, needed=(20_000, 1)) == 1
    small, large = (
        memory_needed(jax.jit(lambda x: (x[:, None] * x).sum()), [jax.ShapeDtypeStruct((size,), jnp.float32)])
        for size in (100, 1000)
    )
    assert small
    assert large
    assert (small[0], large[0]) == (400, 4000)
