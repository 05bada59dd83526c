"""What is learned from teachers: their answers, alone and together, live and kept, and the loss that is made of them."""

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
from utils.learning.cached_predictions import keep_answers, never_varied
from utils.learning.examples import Examples
from utils.learning.sampling import clips_per_epoch, epoch_order
from utils.learning.steps import Batch, Lesson, epoch_key, first_state, lesson_losses, make_step
from utils.learning.targets import Labels, class_weights, taught_losses
from utils.learning.teachers import Teachers, chosen_teachers, gather
from utils.models.networks import apply, build, from_pixels, stretch
from utils.models.snapshots import Snapshot, load_network, save
from utils.scoring.inference.ensembles import Model
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
) -> Model:
    """Save an untrained net, made surer of itself by larger last weights."""
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, filters=(4 * wide,)))
    net = build(config.model, classes=len(classes), shape=config.spectrogram.shape, seed=seed)[1]
    net = jax.tree.map(lambda leaf: 3 * leaf, net)
    snapshot = Snapshot(folder / "epoch_001", config, classes, 1, 0.5, "")
    save(snapshot, net, {"count": np.zeros(1, np.float32)}, learned=["x"])
    return Model(snapshot, weight)


def teachers_of(*models: Model, config: Config = STILL, **settings: object) -> Teachers:
    taught = dataclasses.replace(config, distillation=Distillation(teachers=(Path("x"),), **settings))  # type: ignore[arg-type]
    return gather(models, NAMES, taught)


def pictures(examples: Examples) -> jax.Array:
    return from_pixels(jnp.asarray(examples.store.pictures(np.arange(CLIPS))))


def alone(model: Model, seen: jax.Array) -> np.ndarray:
    graph, net = load_network(model.snapshot)
    return np.asarray(apply(graph, net, stretch(seen))[0], np.float64)


def test_the_loss_is_cross_entropy_against_the_teacher(tmp_path: Path) -> None:
    """One teacher, temperature 1, no augmentation: −mean Σ softmax(teacher) · log softmax(student), written out."""
    one, examples = teacher(tmp_path), made_up()
    config = dataclasses.replace(STILL, distillation=Distillation())
    teachers = teachers_of(one)
    graph, net = build(config.model, classes=CLASSES, shape=config.spectrogram.shape, seed=1)
    seen = pictures(examples)
    labels = Labels(*(jnp.asarray(leaf) for leaf in examples.labels))
    labels = labels._replace(weight=jnp.ones(CLIPS))
    batch = Batch(jnp.asarray(examples.store.pictures(np.arange(CLIPS))), labels)
    step = jax.jit(make_step(graph, config, jnp.ones(CLASSES), teachers))
    state = first_state(net, config.training)
    after, metrics = step(
        state, batch, jnp.asarray(examples.noise), jnp.float32(0.01), epoch_key(seed=1, epoch=1), teachers.nets
    )
    answers = scipy.special.softmax(alone(one, seen), axis=1)
    logits = np.asarray(apply(graph, net, stretch(seen), train=True)[0], np.float64)
    expected = -(answers * scipy.special.log_softmax(logits, axis=1)).sum(axis=1).mean()
    assert float(metrics.loss) == pytest.approx(expected, rel=1e-5)
    assert any(
        not np.array_equal(old, new)
        for old, new in zip(jax.tree.leaves(net.params), jax.tree.leaves(after.net.params), strict=True)
    )
    wrong = batch._replace(labels=labels._replace(own=(labels.own + 1) % CLASSES))  # true labels take no part
    _, other = step(
        state, wrong, jnp.asarray(examples.noise), jnp.float32(0.01), epoch_key(seed=1, epoch=1), teachers.nets
    )
    assert float(other.loss) == pytest.approx(expected, rel=1e-5)
    kept = batch._replace(answers=jnp.asarray(answers, jnp.float32))
    assert float(
        step(state, kept, jnp.asarray(examples.noise), jnp.float32(0.01), epoch_key(seed=1, epoch=1))[1].loss
    ) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("mapped", [False, True])
def test_stacked_teachers_answer_what_they_answer_alone(tmp_path: Path, mapped: bool) -> None:
    models = [
        teacher(tmp_path / str(seed), seed=seed, weight=float(seed), wide=2 if seed == 2 else 1) for seed in (1, 2, 3)
    ]
    teachers = dataclasses.replace(teachers_of(*models), mapped=mapped)
    assert [group.members for group in teachers.groups] == [(0, 2), (1,)]
    seen = pictures(made_up())
    each = np.stack([scipy.special.softmax(alone(model, seen), axis=1) for model in models])
    np.testing.assert_allclose(
        teachers.answer(teachers.nets, seen), np.average(each, axis=0, weights=[1, 2, 3]), atol=1e-5
    )
    for number, model in enumerate(models):
        single = teachers_of(model)
        np.testing.assert_allclose(single.answer(single.nets, seen), each[number], atol=1e-5)


def test_averages_at_a_temperature(tmp_path: Path) -> None:
    models = [teacher(tmp_path / str(seed), seed=seed) for seed in (1, 2)]
    seen = pictures(made_up())
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
        np.testing.assert_allclose(teachers.answer(teachers.nets, seen), expected, atol=2e-5)
    mixed = teachers_of(sigmoids[0], models[0], average="logits", loss="binary")
    soft = scipy.special.softmax(2 * logits[0], axis=1)
    expected = scipy.special.expit((2 * logits[0] + scipy.special.logit(soft)) / 2)
    np.testing.assert_allclose(mixed.answer(mixed.nets, seen), expected, atol=1e-4)


def test_losses_by_hand() -> None:
    logits, answers = jnp.array([[1.0, -2.0, 0.5]]), jnp.array([[0.6, 0.0, 0.4]])
    cooled = np.array([0.5, -1.0, 0.25])
    cross = -(np.array([0.6, 0.0, 0.4]) * scipy.special.log_softmax(cooled)).sum()
    entropy = -(0.6 * np.log(0.6) + 0.4 * np.log(0.4))
    p = scipy.special.expit(cooled)
    binary = -np.mean(
        [0.6 * np.log(p[0]) + 0.4 * np.log(1 - p[0]), np.log(1 - p[1]), 0.4 * np.log(p[2]) + 0.6 * np.log(1 - p[2])]
    )
    for loss, expected in {"cross_entropy": cross, "kullback_leibler": cross - entropy, "binary": binary}.items():
        found = taught_losses(logits, answers, Distillation(loss=loss, temperature=2.0))  # type: ignore[arg-type]
        assert float(found[0]) == pytest.approx(4 * expected, rel=1e-5)


def test_true_labels_take_their_share_where_there_are_some() -> None:
    config = dataclasses.replace(CONFIG, distillation=Distillation(true_share=0.25))
    logits, answers = jnp.array([[1.0, -2.0, 0.5]] * 2), jnp.array([[0.6, 0.0, 0.4]] * 2)
    lesson = Lesson(jnp.array([[0.0, 1.0, 0.0]] * 2), jnp.ones(2), answers, jnp.array([1.0, 0.0]))
    log_scores = scipy.special.log_softmax([1.0, -2.0, 0.5])
    taught = -(0.6 * log_scores[0] + 0.4 * log_scores[2])
    np.testing.assert_allclose(
        lesson_losses(logits, lesson, config), [0.75 * taught - 0.25 * log_scores[1], taught], rtol=1e-5
    )


def test_classes_are_matched_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = teacher(tmp_path, classes=("c", "x", "b"))
    teachers = teachers_of(model)
    said = " ".join(capsys.readouterr().out.split())
    assert "does not know 1 of 3 classes (a) and knows 1 others (x), which are left out" in said
    seen = pictures(made_up())
    theirs = scipy.special.softmax(alone(model, seen)[:, [2, 0]], axis=1)
    answers = np.asarray(teachers.answer(teachers.nets, seen))
    np.testing.assert_allclose(answers, np.column_stack([np.zeros(CLIPS), theirs]), atol=1e-5)
    both = teachers_of(model, teacher(tmp_path / "other", seed=3))
    np.testing.assert_allclose(both.answer(both.nets, seen).sum(axis=1), 1, atol=1e-5)
    logits = teachers_of(model, average="logits")
    np.testing.assert_allclose(logits.answer(logits.nets, seen), np.column_stack([np.zeros(CLIPS), theirs]), atol=1e-5)
    with pytest.raises(UserError, match=r"knows none of the student's 3 classes \(a, b, c\)"):
        teachers_of(teacher(tmp_path / "strange", classes=("x", "y", "z")))


def test_teachers_see_pictures_in_their_size(tmp_path: Path) -> None:
    large = dataclasses.replace(CONFIG, spectrogram=dataclasses.replace(CONFIG.spectrogram, height=16, width=24))
    models = [teacher(tmp_path / "large", config=large), teacher(tmp_path / "same")]
    teachers = teachers_of(*models)
    assert [group.shape for group in teachers.groups] == [(16, 24), (8, 16)]
    seen = pictures(made_up())
    resized = jax.image.resize(seen, (CLIPS, 16, 24), "linear")
    each = [scipy.special.softmax(alone(model, of), axis=1) for model, of in zip(models, (resized, seen), strict=True)]
    np.testing.assert_allclose(teachers.answer(teachers.nets, seen), np.mean(each, axis=0), atol=1e-5)


def test_a_teacher_that_is_no_number_is_refused(tmp_path: Path) -> None:
    model = teacher(tmp_path)
    _, net = load_network(model.snapshot)
    save(model.snapshot, jax.tree.map(lambda leaf: leaf * np.nan, net), {"count": np.zeros(1, np.float32)}, learned=[])
    with pytest.raises(UserError, match="weights that are no number"):
        teachers_of(model)


def test_kept_answers_are_the_live_ones(tmp_path: Path) -> None:
    import polars as pl

    examples = made_up()
    store, seen = examples.store, pictures(examples)
    store.folder = tmp_path
    (tmp_path / "settings.toml").write_text("")
    columns = {"recording": "r", "number": np.arange(CLIPS), "start": 0.0, "length": 1.0, "score": 0.1}
    store.clips = pl.DataFrame(
        {
            name: pl.Series(np.full(CLIPS, value) if isinstance(value, str | float) else value)
            for name, value in columns.items()
        }
    )
    teachers = teachers_of(teacher(tmp_path / "one"), teacher(tmp_path / "two", seed=2, wide=2))
    live = np.asarray(teachers.answer(teachers.nets, seen))
    kept = keep_answers([store], teachers, NAMES)  # type: ignore[list-item]
    rows = np.array([[3, 0], [CLIPS - 1, 5]])
    np.testing.assert_allclose(kept.of(rows), live[rows], atol=1e-6)
    (file,) = tmp_path.glob("answers_*.npy")
    whole, written = file.read_bytes(), file.stat().st_mtime_ns
    keep_answers([store], teachers, NAMES)  # type: ignore[list-item]
    assert file.stat().st_mtime_ns == written
    file.write_bytes(whole[:-4])
    keep_answers([store], teachers, NAMES)  # type: ignore[list-item]
    assert file.read_bytes() == whole
    keep_answers([store], teachers_of(teacher(tmp_path / "one"), teacher(tmp_path / "two", seed=3, wide=2)), NAMES)  # type: ignore[list-item]
    assert len(list(tmp_path.glob("answers_*.npy"))) == 2
    joined = keep_answers([store, store], teachers, NAMES)  # type: ignore[list-item]
    np.testing.assert_allclose(joined.of(np.array([CLIPS + 3, 4])), live[[3, 4]], atol=1e-6)


def test_when_answers_stay_the_same() -> None:
    assert never_varied(Augmentation(count=0), noise_pictures=4)
    assert never_varied(Augmentation(roll_v=0.0), noise_pictures=0)
    assert not never_varied(Augmentation(roll_v=0.0), noise_pictures=4)
    assert not never_varied(Augmentation(), noise_pictures=0)
    assert not never_varied(Augmentation(count=0, mixup=0.2), noise_pictures=0)


def test_how_many_unlabelled_clips_an_epoch_sees() -> None:
    own = np.array([0, 1, 1, -1, -1, -1, -1, -1, -1, -1], np.int32)
    settings = Training(batch_size=3)
    for ratio, unlabelled in {0.0: 0, 1.0: 3, 9.0: 7}.items():
        assert clips_per_epoch(own, settings, unlabelled_ratio=ratio) == 3 + unlabelled
        order = epoch_order(own, settings, epoch=1, unlabelled_ratio=ratio).ravel()[: 3 + unlabelled]
        assert sorted(set(order)) == sorted(order)
        assert (own[order] >= 0).sum() == 3
    assert class_weights(own, 2, Training(class_weights="balanced")).tolist() == pytest.approx([1.5, 0.75])


def test_clips_without_labels_learn_from_teachers_alone(tmp_path: Path) -> None:
    """Whatever the true labels' share, also mixed with labelled ones: a step with an unlabelled clip does not depend on what stands in its label."""
    examples, teachers = made_up(), teachers_of(teacher(tmp_path))
    config = dataclasses.replace(
        CONFIG, augmentation=Augmentation(count=0, mixup=0.5), distillation=Distillation(true_share=0.5)
    )
    graph, net = build(config.model, classes=CLASSES, shape=config.spectrogram.shape, seed=1)
    labels = Labels(*(jnp.asarray(leaf) for leaf in examples.labels))
    pixels = jnp.asarray(examples.store.pictures(np.arange(CLIPS)))
    step = jax.jit(make_step(graph, config, jnp.array([1.0, 2.0, 3.0]), teachers))

    def loss(labels: Labels) -> tuple[float, float]:
        state = first_state(net, config.training)
        _, metrics = step(
            state,
            Batch(pixels, labels),
            jnp.asarray(examples.noise),
            jnp.float32(0.01),
            epoch_key(seed=1, epoch=1),
            teachers.nets,
        )
        return float(metrics.loss), float(metrics.accuracy)

    none = labels._replace(own=jnp.full(CLIPS, -1))
    assert loss(none) == loss(none._replace(others=jnp.zeros_like(labels.others)))
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
            other.pictures(np.array([2]))[0],
            one.pictures(np.array([0]))[0],
            other.pictures(np.array([0]))[0],
            one.pictures(np.array([5]))[0],
        ]
    )
    np.testing.assert_array_equal(both.pictures(rows), expected)
    assert both.clips["recording"][rows.tolist()].to_list() == ["r1", "r0", "r1", "r0"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ("missing", r"gone: neither a snapshot nor the folder of a run with one; mend distillation\.teachers"),
        ("kind", r'learned from other pictures \(spectrogram\.kind was "linear", is "mel"\)'),
        ("version", "is of version 99, this program reads version 1"),
        ("truncated", "is no whole snapshot"),
        ("own", "is the student's own run"),
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
        run="run" if spoil == "own" else "student",
        distillation=Distillation(teachers=paths),
    )
    with pytest.raises(UserError, match=message):
        chosen_teachers(config)
