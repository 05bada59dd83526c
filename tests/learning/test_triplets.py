"""Triplets: what is drawn, what they cost, the output layer that follows from them, and trainings from start to end."""

import dataclasses
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import polars as pl
import pytest

import test
import train
from config import Augmentation, Config, Distillation, Model, SettingsError, Training, Triplets, Waveform
from tests.conftest import extracted
from tests.learning.test_steps import CONFIG, MadeUpStore, after_epochs
from tests.training_runs import on_eight_devices, pause_training
from utils.learning.examples import Examples, choose_examples, read_examples
from utils.learning.noise import Noise
from utils.learning.objectives import LearnTriplets
from utils.learning.output_filling import ClassSums
from utils.learning.sampling import epoch_order
from utils.learning.targets import Labels
from utils.learning.triplet_losses import Relations, relations, triplet_losses
from utils.learning.triplets import anchor_recordings, draw_triplets, write_triplets
from utils.learning.validation import recall_at_1
from utils.models.architectures.classifier import NetworkOutput
from utils.models.networks import Network, apply, embed
from utils.models.saved_networks import load_network
from utils.models.snapshots import find_snapshot
from utils.models.training_log import read_training_log
from utils.recordings.splits import read_split
from utils.settings_checks import check
from utils.spectra.store import Store

pytestmark = pytest.mark.usefixtures("undrawn")

Recordings = dict[str, tuple[int, int, tuple[int, ...]]]  # of each: class, number of clips, background species


def with_recordings(recordings: Recordings, classes: str) -> Examples:
    """Return examples with the clips of some recordings, one after the other."""
    names = [name for name, (_, clips, _) in recordings.items() for _ in range(clips)]
    rows = [recordings[name] for name in names]
    background = [[*species, -1, -1][:2] for _, _, species in rows]
    primary = np.array([label for label, _, _ in rows], np.int32)
    labels = Labels(primary, np.array(background, np.int32), np.ones(len(rows), np.float32))
    store = MadeUpStore(np.zeros((len(names), 8, 16), np.uint8))
    store.clips = pl.DataFrame({"recording": names})
    none = np.zeros(0, np.int64)
    no_labels = Labels(primary[:0], np.zeros((0, 0), np.int32), np.zeros(0, np.float32))
    truth, noise = np.zeros((0, len(classes)), bool), Noise(store.pixels[:1])
    return Examples(store, tuple(classes), np.arange(len(names)), labels, none, no_labels, none, truth, none, noise)


# C is heard in the background of a2, A in that of c1; b1 is the only recording of its class
SOME: Recordings = {
    "a1": (0, 5, ()),
    "a2": (0, 2, (2,)),
    "a3": (0, 1, ()),
    "b1": (1, 3, ()),
    "c1": (2, 4, (0,)),
    "c2": (2, 2, ()),
    "c3": (2, 9, ()),
}


def test_positives_are_of_other_recordings_and_negatives_share_no_species() -> None:
    examples = with_recordings(SOME, "ABC")
    names = examples.store.clips["recording"].to_numpy()
    chosen: dict[str, set[str]] = {name: set() for name in SOME}
    for epoch in range(1, 40):
        drawn = draw_triplets(examples, Training(), epoch=epoch)
        for anchor, positive, negative in zip(names, names[drawn.positives], names[drawn.negatives], strict=True):
            assert positive[0] == anchor[0]
            assert positive != anchor or anchor == "b1"
            chosen[anchor].add(str(negative))
    assert chosen == {
        "a1": {"b1", "c2", "c3"},
        "a2": {"b1"},
        "a3": {"b1", "c2", "c3"},
        "b1": {"a1", "a2", "a3", "c1", "c2", "c3"},
        "c1": {"b1"},
        "c2": {"a1", "a3", "b1"},
        "c3": {"a1", "a3", "b1"},
    }


def test_clips_are_paired_in_order_and_as_many_as_the_anchors() -> None:
    examples = with_recordings(SOME, "ABC")
    recordings = {recording.name: recording for recording in anchor_recordings(examples)}
    assert recordings["a2"].species == {0, 2}
    assert [len(recordings[name].clips) for name in SOME] == [clips for _, clips, _ in SOME.values()]
    drawn = draw_triplets(examples, Training(), epoch=3)
    for anchor, *both in drawn.recordings:
        for clips, others in zip((drawn.positives, drawn.negatives), both, strict=True):
            together = [clip for other in others for clip in other.clips]
            assert len(together) - len(others[-1].clips if others else ()) < len(anchor.clips)  # no more than needed
            expected = np.resize(together or np.roll(anchor.clips, -1), len(anchor.clips))
            np.testing.assert_array_equal(clips[anchor.clips], expected)
    drawn_for = {anchor.name: len(same) for anchor, same, _ in drawn.recordings}
    assert drawn_for["a1"] == 2  # a2 and a3 are shorter, even both of them
    assert drawn_for["b1"] == 0


def test_a_recording_without_negatives_has_no_loss() -> None:
    examples = with_recordings({"a1": (0, 2, (1,)), "b1": (1, 3, ()), "a2": (0, 1, ())}, "AB")
    drawn = draw_triplets(examples, Training(), epoch=1)
    assert drawn.negatives.tolist() == [0, 1, *[5] * 3, *drawn.negatives[5:]]
    batch = jax.tree.map(jnp.asarray, drawn.beside(np.array([[0, 1, 2, 5]]))[0])
    labels = jax.tree.map(lambda leaf: jnp.asarray(leaf)[batch], examples.labels)
    objective = LearnTriplets(Config(training=Training(loss="triplet", batch_size=4)), 2)
    loss = objective.loss_function(objective.targets(labels, None), jnp.zeros((12, 1, 1)), ())
    found = loss(NetworkOutput(jnp.zeros((12, 2)), jnp.zeros((12, 3))))
    np.testing.assert_allclose(found, [0, 0, 0.2, 0.2], atol=1e-6)  # all embeddings are one: the margin


def test_draws_depend_on_seed_and_epoch_alone(tmp_path: Path) -> None:
    examples = with_recordings(SOME, "ABC")

    def table(epoch: int = 1, **options: Any) -> bytes:
        drawn = draw_triplets(examples, Training(**options), epoch=epoch)
        write_triplets(tmp_path / "triplets.parquet", drawn, examples.classes)
        return drawn.positives.tobytes() + drawn.negatives.tobytes()

    once = Triplets(redraw=False)
    assert table(epoch=2) == table(epoch=2) != table(epoch=1)
    assert table(epoch=1) == table(epoch=2, triplets=once) == table(epoch=9, triplets=once) != table(seed=7)
    rows = pl.read_parquet(tmp_path / "triplets.parquet").to_dicts()
    assert [(row["epoch"], row["anchor"], row["class"]) for row in rows] == [
        (1, name, name[0].upper()) for name in sorted(SOME)
    ]
    assert rows[3]["positives"] == []
    assert set(rows[1]["negatives"]) == {"b1"}


def test_batches_are_anchors_positives_negatives() -> None:
    examples = with_recordings(SOME, "ABC")
    order = epoch_order(examples.labels.primary, Training(batch_size=4), epoch=1)
    drawn = draw_triplets(examples, Training(), epoch=1)
    anchors, positives, negatives = np.split(drawn.beside(order), 3, axis=1)
    np.testing.assert_array_equal(anchors, order)
    np.testing.assert_array_equal(positives, drawn.positives[order])
    np.testing.assert_array_equal(negatives, drawn.negatives[order])


# two triplets by hand: the positive of the first is 3 from its anchor, its negative 4; of the second 5 and 2
EMBEDDINGS = jnp.array([[0.0, 0.0], [10.0, 0.0], [3.0, 0.0], [10.0, 5.0], [0.0, 4.0], [8.0, 0.0]])
CLASSES = jnp.array([0, 1, 0, 1, 1, 0])


def related(species: jax.Array | None = None) -> Relations:
    own = jax.nn.one_hot(CLASSES, 3)
    return relations(own, own if species is None else species)


@pytest.mark.parametrize(
    ("choose", "distances"),  # of the positive and of the negative that are compared with each anchor
    [
        ("drawn", [(3, 4), (5, 2)]),
        # farther than the positive, but as near as possible; of the second anchor, 7 from (3, 0)
        ("semi_hard", [(3, 4), (5, 7)]),
        # the farthest of the class, the nearest of others: (8, 0) and (0, 4); (0, 4) and (8, 0)
        ("hard", [(8, 4), (116**0.5, 2)]),
    ],
)
def test_the_loss_of_two_triplets(
    choose: Literal["drawn", "semi_hard", "hard"], distances: list[tuple[float, float]]
) -> None:
    for margin in (0.5, 3.0):
        config = Config(training=Training(loss="triplet", triplets=Triplets(margin=margin, choose=choose)))
        found = triplet_losses(EMBEDDINGS, related(), config)
        expected = [max(0.0, positive - negative + margin) for positive, negative in distances]
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_semi_hard_takes_the_farthest_if_none_is_farther_than_the_positive() -> None:
    config = Config(training=Training(loss="triplet", triplets=Triplets(margin=1.0, choose="semi_hard")))
    embeddings = EMBEDDINGS.at[3].set(jnp.array([10.0, 50.0]))
    np.testing.assert_allclose(triplet_losses(embeddings, related(), config)[1], 50 - 10 + 1, rtol=1e-5)


def test_the_cosine_distance() -> None:
    angles = jnp.deg2rad(jnp.array([0.0, 60.0, 90.0]))
    embeddings = jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=1)
    own = jax.nn.one_hot(jnp.array([0, 0, 1]), 2)
    for margin, loss in ((0.75, 0.25), (0.25, 0.0)):  # 1 − cos 60° = 0.5, 1 − cos 90° = 1
        training = Training(loss="triplet", triplets=Triplets(margin=margin))
        config = Config(model=Model(distance="cosine"), training=training)
        np.testing.assert_allclose(triplet_losses(embeddings, relations(own, own), config), [loss], atol=1e-6)


@pytest.mark.parametrize("choose", ["semi_hard", "hard"])
def test_no_species_of_the_background_is_chosen_as_a_negative(choose: Literal["semi_hard", "hard"]) -> None:
    species = jax.nn.one_hot(CLASSES, 3).at[0, 1].set(1.0)  # class 1 is in the background of the first anchor
    config = Config(training=Training(loss="triplet", triplets=Triplets(margin=100.0, choose=choose)))
    found = triplet_losses(EMBEDDINGS, related(species), config)
    assert found[0] == 0
    assert found[1] > 0
    species = jax.nn.one_hot(CLASSES, 3).at[4, 0].set(1.0)  # class 0 is in that of (0, 4): (10, 0) is next
    found = triplet_losses(EMBEDDINGS, related(species), config)
    np.testing.assert_allclose(found[0], (3 if choose == "semi_hard" else 8) - 10 + 100, rtol=1e-5)


def test_gradients_are_finite_where_embeddings_are_equal() -> None:
    for model in (Model(), Model(distance="cosine")):
        for choose in ("drawn", "semi_hard", "hard"):
            config = Config(model=model, training=Training(loss="triplet", triplets=Triplets(choose=choose)))
            gradient = jax.grad(lambda x, config=config: triplet_losses(x, related(), config).sum())(jnp.ones((6, 2)))
            assert np.isfinite(gradient).all()


def test_a_share_of_cross_entropy() -> None:
    labels = Labels(CLASSES.astype(jnp.int32), jnp.full((6, 1), -1), jnp.ones(6))
    training = Training(loss="triplet", triplets=Triplets(margin=0.5, cross_entropy=0.25))
    objective = LearnTriplets(Config(training=training), 3)
    loss = objective.loss_function(objective.targets(labels, None), jnp.zeros((6, 1, 1)), ())
    logits = jax.random.normal(jax.random.key(0), (6, 3))
    by_labels = optax.softmax_cross_entropy_with_integer_labels(logits, CLASSES)[:2]
    found = loss(NetworkOutput(logits, EMBEDDINGS))
    np.testing.assert_allclose(found, 0.75 * jnp.array([0, 3.5]) + 0.25 * by_labels, rtol=1e-5, atol=1e-5)


def test_the_output_layer_finds_the_nearest_prototype() -> None:
    generator = np.random.default_rng(1)
    classes = np.repeat(np.arange(4), [1, 5, 30, 4])
    embeddings = generator.normal(size=(40, 6)).astype(np.float32) + 5 * classes[:, None] % 3
    sums = ClassSums(4, 6)
    for part in np.array_split(np.arange(40), 7):
        sums.add(embeddings[part], classes[part])
    kernel, bias = sums.output_layer()
    means = np.stack([embeddings[classes == label].mean(axis=0) for label in range(4)])
    spread = ((embeddings - means[classes]) ** 2).sum(axis=1).mean()
    others = generator.normal(size=(50, 6)).astype(np.float32) * 4
    logits = others @ kernel + bias
    squared = ((others[:, None] - means) ** 2).sum(axis=2)
    expected = jax.nn.softmax(-squared / spread)
    np.testing.assert_allclose(jax.nn.softmax(logits), expected, rtol=1e-3, atol=1e-6)
    assert (logits.argmax(axis=1) == squared.argmin(axis=1)).all()
    alike = ClassSums(2, 1)
    alike.add(np.array([[0.0], [1.0]], np.float32), np.array([0, 1]))
    assert np.isfinite(alike.output_layer()[0]).all()


def test_recall_at_1_looks_at_other_recordings() -> None:
    embeddings = np.array([[0.0], [0.1], [1.0], [5.0], [5.2], [9.0]], np.float32)
    classes, recordings = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 2, 3, 4])
    # the only recording of the last class is left out; the first two clips are not each other's neighbours
    assert recall_at_1(embeddings, classes, recordings) == 1.0
    assert recall_at_1(np.array([[0], [3.5], [1], [5], [5], [9]], np.float32), classes, recordings) == 0.8
    assert recall_at_1(embeddings[:2], classes[:2], recordings[:2]) is None


TRIPLETS = Training(batch_size=8, epochs=2, learning_rate=0.01, loss="triplet")


def test_eight_devices_are_one_with_triplets(tmp_path: Path) -> None:
    eight = on_eight_devices(
        tmp_path, "from tests.learning.test_triplets import sums_of_epochs", result="sums_of_epochs()"
    )
    np.testing.assert_allclose(eight, sums_of_epochs(tmp_path), rtol=1e-5)


def sums_of_epochs(folder: Path = Path()) -> list[tuple[float, ...]]:
    """Return the metrics of two epochs on triplets that are mined.

    By the cosine: Euclidean distances do not change if all embeddings are shifted, so that Adam makes steps of a bias
    out of rounding errors, which the accuracy shows, though not the loss.
    """
    training = dataclasses.replace(TRIPLETS, triplets=Triplets(choose="semi_hard"))
    model = dataclasses.replace(CONFIG.model, distance="cosine")
    config = dataclasses.replace(CONFIG, model=model, training=training, augmentation=Augmentation(), snapshots=folder)
    return after_epochs(config, resident=True, loops=True, epochs=2)[1]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    folder = tmp_path_factory.mktemp("triplets")
    small = extracted(folder)
    model = dataclasses.replace(small.model, embedding=6, distance="cosine")
    training = dataclasses.replace(small.training, loss="triplet", average=0.5, early_stopping=0, validation_share=0.5)
    return dataclasses.replace(small, model=model, training=training)


def weights(run: Path) -> Network:
    latest = find_snapshot(run, "latest")
    assert latest
    return load_network(latest)[1]


def test_triplets_are_learned_and_tested_like_any_model(config: Config) -> None:
    run = dataclasses.replace(config, training=dataclasses.replace(config.training, epochs=12))
    train.main(run)
    rows = read_training_log(run.run_folder / "log.csv", until=99)
    assert rows[-1].loss < 0.7 * rows[0].loss
    recall, mlrap = rows[-1].validation_recall_at_1, rows[-1].validation_mlrap
    assert recall is not None
    assert mlrap is not None
    assert min(recall, mlrap) > 0.9
    tested = test.main(dataclasses.replace(run, testing=dataclasses.replace(run.testing, snapshot="latest")))
    assert tested.headline.mlrap is not None
    assert tested.headline.mlrap > 0.9
    table = pl.read_parquet(run.run_folder / "triplets.parquet")
    assert set(table["epoch"]) == {12}
    # the output layer is that of the prototypes of the training clips
    latest = find_snapshot(run.run_folder, "latest")
    assert latest
    graph, network = load_network(latest)
    examples = read_examples(run)
    images = jnp.asarray(examples.store.spectrograms(examples.rows)) / 255
    embeddings = np.asarray(embed(graph, network, images)[0])
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    primary = examples.labels.primary
    means = np.stack([embeddings[primary == label].mean(axis=0) for label in range(len(examples.classes))])
    nearest = ((embeddings[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    np.testing.assert_array_equal(np.asarray(apply(graph, network, images)[0]).argmax(axis=1), nearest)


def test_a_paused_run_ends_as_an_undisturbed_one(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    training = dataclasses.replace(config.training, epochs=2)
    whole, paused = (dataclasses.replace(config, run=name, training=training) for name in ("whole", "paused"))
    train.main(whole)
    for steps in (2, 3):  # within the first of two epochs of four steps, and in the second
        pause_training(paused, monkeypatch, after=steps)
    train.main(paused)
    for one, other in zip(*(jax.tree.leaves(weights(run.run_folder)) for run in (whole, paused)), strict=True):
        np.testing.assert_array_equal(one, other)
    tables = [pl.read_parquet(run.run_folder / "triplets.parquet") for run in (whole, paused)]
    assert tables[0].equals(tables[1])


def test_noise_is_a_class_with_triplets_of_its_kind(config: Config) -> None:
    store = Store(config.dataset.root)
    store.clips = store.clips.with_columns(accepted=pl.col("index") > 0)  # the first clip of each recording is noise
    with_noise = dataclasses.replace(config, training=dataclasses.replace(config.training, noise_class=True))
    examples = choose_examples(store, read_split(config.dataset), with_noise)
    noise = examples.labels.primary == examples.classes.index("Noise")
    names = store.clips["recording"].to_numpy()[examples.rows]
    drawn = draw_triplets(examples, with_noise.training, epoch=1)
    assert noise.sum() > 2
    assert noise[drawn.positives[noise]].all()
    assert (names[drawn.positives[noise]] != names[noise]).all()
    assert not noise[drawn.negatives[noise]].any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"distillation": Distillation(teachers=(Path("x"),))}, r"training\.loss = .*: should be another loss where"),
        (
            {"augmentation": Augmentation(mixup=1.0)},
            r"augmentation\.mixup = 1\.0: should be 0 for training\.loss = tri",
        ),
        ({"waveform": Waveform(mixup=0.5)}, r"waveform\.mixup = 0\.5"),
        ({"training": dataclasses.replace(TRIPLETS, freeze_epochs=1)}, r"freeze_epochs = 1: nothing would be learned"),
        ({"training": dataclasses.replace(TRIPLETS, backbone_rate=0.0)}, r"backbone_rate = 0\.0: nothing would be"),
        (
            {
                "model": Model(distance="cosine"),
                "training": dataclasses.replace(TRIPLETS, triplets=Triplets(margin=2.0)),
            },
            r"training\.triplets\.margin = 2\.0: should be less than 2, the largest distance",
        ),
    ],
)
def test_what_makes_no_sense_with_triplets_is_refused(changes: dict[str, Any], message: str) -> None:
    base = Config(training=TRIPLETS)
    check(base)
    check(dataclasses.replace(base, **{name: value for name, value in changes.items() if name == "model"}))
    with pytest.raises(SettingsError, match=message) as caught:
        check(dataclasses.replace(base, **{"clips": dataclasses.replace(base.clips, keep="sound"), **changes}))
    assert "\n" not in str(caught.value)


def test_a_frozen_start_is_possible_with_cross_entropy() -> None:
    training = dataclasses.replace(TRIPLETS, freeze_epochs=1, triplets=Triplets(cross_entropy=0.2))
    assert not training.fills_output
    check(Config(training=training))
