"""Distillation: predictions of teachers, alone and together, computed in steps or cached, and the loss against them."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from config import Augmentation, Config, Distillation, Training
from tests.learning.test_steps import CLASSES, CLIPS, CONFIG, made_up
from utils.console import UserError
from utils.learning.batch_images import Batch
from utils.learning.cached_predictions import cache_predictions, is_deterministic
from utils.learning.distillation import LearnFromTeachers, blended_losses, distillation_losses
from utils.learning.examples import Examples
from utils.learning.noise import Noise
from utils.learning.sampling import clips_per_epoch, epoch_order
from utils.learning.steps import epoch_key, initial_state, make_step
from utils.learning.targets import Labels, class_weights
from utils.learning.teachers import Teachers, chosen_teachers, load_teachers
from utils.models.input_scaling import from_pixels
from utils.models.networks import apply, build_network
from utils.models.saved_networks import load_network, save_snapshot
from utils.models.snapshots import Snapshot
from utils.scoring.inference.ensembles import Member
from utils.spectra.joined_store import JoinedStore

STILL = dataclasses.replace(CONFIG, augmentation=Augmentation(count=0))
NAMES = ("a", "b", "c")


def teacher(
    folder: Path,
    *,
    classes: tuple[str, ...] = NAMES,
    seed: int = 7,
    weight: float = 1.0,
    config: Config = CONFIG,
    wide: int = 1,
) -> Member:
    """Save an untrained network with larger weights, so that its predictions differ more."""
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, filters=(4 * wide,)))
    network = build_network(config.model, classes=len(classes), shape=config.spectrogram.shape, seed=seed)[1]
    network = jax.tree.map(lambda leaf: 3 * leaf, network)
    snapshot = Snapshot(folder / "epoch_001", config, classes, 1, 0.5, "")
    save_snapshot(snapshot, network, {"count": np.zeros(1, np.float32)}, recordings=["x"])
    return Member(snapshot, weight)


def teachers_of(*models: Member, config: Config = STILL, **settings: object) -> Teachers:
    distillation = Distillation(teachers=(Path("x"),), **settings)  # type: ignore[arg-type]
    return load_teachers(models, NAMES, dataclasses.replace(config, distillation=distillation))


def spectrograms(examples: Examples) -> jax.Array:
    return from_pixels(jnp.asarray(examples.store.spectrograms(np.arange(CLIPS))))


def objective_of(teachers: Teachers, config: Config) -> LearnFromTeachers:
    return LearnFromTeachers(teachers, config, CLASSES, cached=False)


def alone(model: Member, seen: jax.Array) -> np.ndarray:
    graph, network = load_network(model.snapshot)
    return np.asarray(apply(graph, network, seen)[0], np.float64)


def test_the_loss_is_cross_entropy_against_the_teacher(tmp_path: Path) -> None:
    """One teacher, temperature 1, no augmentation: −mean Σ softmax(teacher) · log softmax(student), written out."""
    one, examples = teacher(tmp_path), made_up()
    config = dataclasses.replace(STILL, distillation=Distillation())
    teachers = teachers_of(one)
    graph, network = build_network(config.model, classes=CLASSES, shape=config.spectrogram.shape, seed=1)
    seen = spectrograms(examples)
    labels = Labels(*(jnp.asarray(leaf) for leaf in examples.labels))
    labels = labels._replace(weight=jnp.ones(CLIPS))
    batch = Batch(jnp.asarray(examples.store.spectrograms(np.arange(CLIPS))), labels)
    step = jax.jit(make_step(graph, config, jnp.ones(CLASSES), objective_of(teachers, config)))
    state = initial_state(network, config.training)
    after, metrics = step(
        state, batch, jax.device_put(examples.noise), jnp.float32(0.01), epoch_key(seed=1, epoch=1), teachers.networks
    )
    predictions = scipy.special.softmax(alone(one, seen), axis=1)
    logits = np.asarray(apply(graph, network, seen, train=True)[0], np.float64)
    expected = -(predictions * scipy.special.log_softmax(logits, axis=1)).sum(axis=1).mean()
    assert float(metrics.loss) == pytest.approx(expected, rel=1e-5)
    assert any(
        not np.array_equal(old, new)
        for old, new in zip(jax.tree.leaves(network.params), jax.tree.leaves(after.network.params), strict=True)
    )
    wrong = batch._replace(labels=labels._replace(primary=(labels.primary + 1) % CLASSES))  # labels take no part
    _, other = step(
        state, wrong, jax.device_put(examples.noise), jnp.float32(0.01), epoch_key(seed=1, epoch=1), teachers.networks
    )
    assert float(other.loss) == pytest.approx(expected, rel=1e-5)
    cached = batch._replace(soft_targets=jnp.asarray(predictions, jnp.float32))
    step = jax.jit(
        make_step(graph, config, jnp.ones(CLASSES), LearnFromTeachers(teachers, config, CLASSES, cached=True))
    )
    assert float(
        step(state, cached, jax.device_put(examples.noise), jnp.float32(0.01), epoch_key(seed=1, epoch=1))[1].loss
    ) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("mapped", [False, True])
def test_stacked_teachers_predict_what_they_predict_alone(tmp_path: Path, mapped: bool) -> None:
    models = [
        teacher(tmp_path / str(seed), seed=seed, weight=float(seed), wide=2 if seed == 2 else 1) for seed in (1, 2, 3)
    ]
    teachers = dataclasses.replace(teachers_of(*models), mapped=mapped)
    assert [group.members for group in teachers.groups] == [(0, 2), (1,)]
    seen = spectrograms(made_up())
    each = np.stack([scipy.special.softmax(alone(model, seen), axis=1) for model in models])
    np.testing.assert_allclose(
        teachers.predict_images(teachers.networks, seen), np.average(each, axis=0, weights=[1, 2, 3]), atol=1e-5
    )
    for number, model in enumerate(models):
        single = teachers_of(model)
        np.testing.assert_allclose(single.predict_images(single.networks, seen), each[number], atol=1e-5)


def test_averages_at_a_temperature(tmp_path: Path) -> None:
    models = [teacher(tmp_path / str(seed), seed=seed) for seed in (1, 2)]
    seen = spectrograms(made_up())
    logits = np.stack([alone(model, seen) for model in models]) / 2.0
    means = {
        ("probabilities", "cross_entropy"): scipy.special.softmax(logits, axis=2).mean(axis=0),
        ("logits", "cross_entropy"): scipy.special.softmax(logits.mean(axis=0), axis=1),
        ("probabilities", "binary"): scipy.special.expit(logits).mean(axis=0),
        ("logits", "binary"): scipy.special.expit(logits.mean(axis=0)),
    }
    many = dataclasses.replace(CONFIG, training=dataclasses.replace(CONFIG.training, loss="binary"))
    sigmoids = [teacher(tmp_path / f"many{seed}", seed=seed, config=many) for seed in (1, 2)]
    for (average, loss), expected in means.items():
        teachers = teachers_of(*(sigmoids if loss == "binary" else models), average=average, loss=loss, temperature=2.0)
        np.testing.assert_allclose(teachers.predict_images(teachers.networks, seen), expected, atol=2e-5)
    mixed = teachers_of(sigmoids[0], models[0], average="logits", loss="binary")
    soft = scipy.special.softmax(2 * logits[0], axis=1)
    expected = scipy.special.expit((2 * logits[0] + scipy.special.logit(soft)) / 2)
    np.testing.assert_allclose(mixed.predict_images(mixed.networks, seen), expected, atol=1e-4)


def test_losses_by_hand() -> None:
    logits, predictions = jnp.array([[1.0, -2.0, 0.5]]), jnp.array([[0.6, 0.0, 0.4]])
    cooled = np.array([0.5, -1.0, 0.25])
    cross = -(np.array([0.6, 0.0, 0.4]) * scipy.special.log_softmax(cooled)).sum()
    entropy = -(0.6 * np.log(0.6) + 0.4 * np.log(0.4))
    p = scipy.special.expit(cooled)
    binary = -np.mean(
        [0.6 * np.log(p[0]) + 0.4 * np.log(1 - p[0]), np.log(1 - p[1]), 0.4 * np.log(p[2]) + 0.6 * np.log(1 - p[2])]
    )
    for loss, expected in {"cross_entropy": cross, "kullback_leibler": cross - entropy, "binary": binary}.items():
        settings = Distillation(loss=loss, temperature=2.0)  # type: ignore[arg-type]
        found = distillation_losses(logits, predictions, settings)
        assert float(found[0]) == pytest.approx(4 * expected, rel=1e-5)


def test_labels_take_their_share_if_there_are_some() -> None:
    config = dataclasses.replace(CONFIG, distillation=Distillation(true_share=0.25))
    logits, predictions = jnp.array([[1.0, -2.0, 0.5]] * 2), jnp.array([[0.6, 0.0, 0.4]] * 2)
    targets, labelled = jnp.array([[0.0, 1.0, 0.0]] * 2), jnp.array([1.0, 0.0])
    log_scores = scipy.special.log_softmax([1.0, -2.0, 0.5])
    by_teachers = -(0.6 * log_scores[0] + 0.4 * log_scores[2])
    np.testing.assert_allclose(
        blended_losses(logits, predictions, targets, labelled, config),
        [0.75 * by_teachers - 0.25 * log_scores[1], by_teachers],
        rtol=1e-5,
    )


def test_classes_are_matched_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = teacher(tmp_path, classes=("c", "x", "b"))
    teachers = teachers_of(model)
    said = " ".join(capsys.readouterr().out.split())
    assert "does not know 1 of 3 classes (a) and knows 1 other classes (x), which are not used" in said
    seen = spectrograms(made_up())
    theirs = scipy.special.softmax(alone(model, seen)[:, [2, 0]], axis=1)
    predictions = np.asarray(teachers.predict_images(teachers.networks, seen))
    np.testing.assert_allclose(predictions, np.column_stack([np.zeros(CLIPS), theirs]), atol=1e-5)
    both = teachers_of(model, teacher(tmp_path / "other", seed=3))
    np.testing.assert_allclose(both.predict_images(both.networks, seen).sum(axis=1), 1, atol=1e-5)
    logits = teachers_of(model, average="logits")
    np.testing.assert_allclose(
        logits.predict_images(logits.networks, seen), np.column_stack([np.zeros(CLIPS), theirs]), atol=1e-5
    )
    with pytest.raises(UserError, match=r"knows none of the student's 3 classes \(a, b, c\)"):
        teachers_of(teacher(tmp_path / "strange", classes=("x", "y", "z")))
    with pytest.raises(UserError, match=r"none knows 1 of the 3 classes \(a\), so that pseudo labels would call them"):
        teachers_of(model, rounds=1)


def test_teachers_see_images_in_their_size(tmp_path: Path) -> None:
    large = dataclasses.replace(CONFIG, spectrogram=dataclasses.replace(CONFIG.spectrogram, height=16, width=24))
    models = [teacher(tmp_path / "large", config=large), teacher(tmp_path / "same")]
    teachers = teachers_of(*models)
    assert [group.shape for group in teachers.groups] == [(16, 24), (8, 16)]
    seen = spectrograms(made_up())
    resized = jax.image.resize(seen, (CLIPS, 16, 24), "linear")
    each = [scipy.special.softmax(alone(model, of), axis=1) for model, of in zip(models, (resized, seen), strict=True)]
    np.testing.assert_allclose(teachers.predict_images(teachers.networks, seen), np.mean(each, axis=0), atol=1e-5)


def test_a_teacher_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    model = teacher(tmp_path)
    _, network = load_network(model.snapshot)
    save_snapshot(
        model.snapshot,
        jax.tree.map(lambda leaf: leaf * np.nan, network),
        {"count": np.zeros(1, np.float32)},
        recordings=[],
    )
    with pytest.raises(UserError, match="has NaN or infinite weights"):
        teachers_of(model)


def test_cached_predictions_are_those_of_steps(tmp_path: Path) -> None:
    import polars as pl

    examples = made_up()
    store, seen = examples.store, spectrograms(examples)
    store.folder = tmp_path
    (tmp_path / "settings.toml").write_text("")
    columns = {"recording": "r", "index": np.arange(CLIPS), "start": 0.0, "length": 1.0, "score": 0.1}
    store.clips = pl.DataFrame(
        {
            name: pl.Series(np.full(CLIPS, value) if isinstance(value, str | float) else value)
            for name, value in columns.items()
        }
    )
    teachers = teachers_of(teacher(tmp_path / "one"), teacher(tmp_path / "two", seed=2, wide=2))
    expected = np.asarray(teachers.predict_images(teachers.networks, seen))
    cached = cache_predictions([store], teachers, NAMES, STILL)  # type: ignore[list-item]
    rows = np.array([[3, 0], [CLIPS - 1, 5]])
    np.testing.assert_allclose(cached.of(rows), expected[rows], atol=1e-6)
    (file,) = tmp_path.glob("predictions_*.npy")
    whole, written = file.read_bytes(), file.stat().st_mtime_ns
    cache_predictions([store], teachers, NAMES, STILL)  # type: ignore[list-item]
    assert file.stat().st_mtime_ns == written
    file.write_bytes(whole[:-4])
    cache_predictions([store], teachers, NAMES, STILL)  # type: ignore[list-item]
    assert file.read_bytes() == whole
    others = teachers_of(teacher(tmp_path / "one"), teacher(tmp_path / "two", seed=3, wide=2))
    cache_predictions([store], others, NAMES, STILL)  # type: ignore[list-item]
    assert len(list(tmp_path.glob("predictions_*.npy"))) == 2
    two = dataclasses.replace(STILL, distillation=Distillation(unlabelled=(tmp_path,)))
    joined = cache_predictions([store, store], teachers, NAMES, two)  # type: ignore[list-item]
    np.testing.assert_allclose(joined.of(np.array([CLIPS + 3, 4])), expected[[3, 4]], atol=1e-6)


def test_when_images_are_the_same_in_each_epoch() -> None:
    some, none = (Noise(np.zeros((count, 1, 1), np.uint8)) for count in (4, 0))
    assert is_deterministic(Config(augmentation=Augmentation(count=0)), some)
    assert is_deterministic(Config(augmentation=Augmentation(roll_v=0.0)), none)
    assert not is_deterministic(Config(augmentation=Augmentation(roll_v=0.0)), some)
    assert not is_deterministic(Config(augmentation=Augmentation()), none)
    assert not is_deterministic(Config(augmentation=Augmentation(count=0, mixup=0.2)), none)


def test_how_many_unlabelled_clips_an_epoch_sees() -> None:
    primary = np.array([0, 1, 1, -1, -1, -1, -1, -1, -1, -1], np.int32)
    settings = Training(batch_size=3)
    for ratio, unlabelled in {0.0: 0, 1.0: 3, 9.0: 7}.items():
        assert clips_per_epoch(primary, settings, drawn_ratio=ratio) == 3 + unlabelled
        order = epoch_order(primary, settings, epoch=1, drawn_ratio=ratio).ravel()[: 3 + unlabelled]
        assert sorted(set(order)) == sorted(order)
        assert (primary[order] >= 0).sum() == 3
    assert class_weights(primary, 2, Training(class_weights="balanced")).tolist() == pytest.approx([1.5, 0.75])


def test_unlabelled_clips_learn_from_teachers_alone(tmp_path: Path) -> None:
    """Also if mixed with labelled clips: a step does not depend on the labels of unlabelled clips."""
    examples, teachers = made_up(), teachers_of(teacher(tmp_path))
    config = dataclasses.replace(
        CONFIG, augmentation=Augmentation(count=0, mixup=0.5), distillation=Distillation(true_share=0.5)
    )
    graph, network = build_network(config.model, classes=CLASSES, shape=config.spectrogram.shape, seed=1)
    labels = Labels(*(jnp.asarray(leaf) for leaf in examples.labels))
    pixels = jnp.asarray(examples.store.spectrograms(np.arange(CLIPS)))
    step = jax.jit(make_step(graph, config, jnp.array([1.0, 2.0, 3.0]), objective_of(teachers, config)))

    def loss(labels: Labels) -> tuple[float, float]:
        state = initial_state(network, config.training)
        _, metrics = step(
            state,
            Batch(pixels, labels),
            jax.device_put(examples.noise),
            jnp.float32(0.01),
            epoch_key(seed=1, epoch=1),
            teachers.networks,
        )
        return float(metrics.loss), float(metrics.accuracy)

    none = labels._replace(primary=jnp.full(CLIPS, -1))
    assert loss(none) == loss(none._replace(background=jnp.zeros_like(labels.background)))
    assert loss(none)[1] == 0
    assert loss(labels)[0] != pytest.approx(loss(none)[0], rel=1e-3)


def test_stores_are_joined() -> None:
    one, other = made_up().store, made_up().store
    import polars as pl

    for number, store in enumerate((one, other)):
        store.folder, store.recordings = Path(str(number)), pl.DataFrame({"recording": ["r"]})
        store.clips = pl.DataFrame({"recording": [f"r{number}"] * CLIPS})
    other.pixels = 255 - other.pixels  # type: ignore[attr-defined]
    both = JoinedStore([one, other])
    rows = np.array([CLIPS + 2, 0, CLIPS, 5])
    expected = np.stack(
        [
            other.spectrograms(np.array([2]))[0],
            one.spectrograms(np.array([0]))[0],
            other.spectrograms(np.array([0]))[0],
            one.spectrograms(np.array([5]))[0],
        ]
    )
    np.testing.assert_array_equal(both.spectrograms(rows), expected)
    assert both.clips["recording"][rows.tolist()].to_list() == ["r1", "r0", "r1", "r0"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ("missing", r"gone: neither a snapshot nor the folder of a run with one; fix distillation\.teachers"),
        ("kind", r'was trained on other spectrograms \(spectrogram\.kind was "linear", is "mel"\)'),
        ("version", "has version 99, but this program reads version 1"),
        ("truncated", "is a damaged snapshot"),
        ("itself", "is the run of the student itself"),
        ("none", r"distillation\.teachers is empty"),
    ],
)
def test_teachers_that_cannot_be_used(tmp_path: Path, spoil: str, message: str) -> None:
    other = dataclasses.replace(CONFIG.spectrogram, kind="linear") if spoil == "kind" else CONFIG.spectrogram
    model = teacher(tmp_path / "run", config=dataclasses.replace(CONFIG, spectrogram=other))
    about = model.snapshot.folder / "snapshot.json"
    if spoil == "version":
        about.write_text(about.read_text().replace('"version": 1', '"version": 99'))
    if spoil == "truncated":
        about.write_text(about.read_text()[:20])
    paths = {"missing": (tmp_path / "gone",), "none": ()}.get(spoil, (tmp_path / "run",))
    config = dataclasses.replace(
        CONFIG,
        snapshots=tmp_path,
        run="run" if spoil == "itself" else "student",
        distillation=Distillation(teachers=paths),
    )
    with pytest.raises(UserError, match=message):
        chosen_teachers(config)
