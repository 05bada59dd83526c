"""Teachers with a bird model from a file: what they predict for clips of another length and sample rate."""

from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
import scipy.special
import soundfile

import distill
import sort_data
import spec
import train
from config import Clips, Config, Distillation, External, Model
from tests.bird_models import CLASSES, write_onnx
from tests.conftest import RATE, small_config, write_folders
from utils.console import UserError
from utils.external.embeddings import embed_clip
from utils.learning.distillation import with_cached_predictions, with_embedding_distances
from utils.learning.examples import read_examples
from utils.learning.teacher_embeddings import part_centres, teacher_embeddings
from utils.learning.teachers import chosen_teachers, load_teachers
from utils.learning.unlabelled import dataset_at
from utils.models.networks import apply
from utils.models.saved_networks import load_network
from utils.models.snapshots import Snapshot, find_snapshot
from utils.models.training_log import read_training_log
from utils.spectra.image_folder import ImageFolder
from utils.spectra.store import Store

pytestmark = pytest.mark.usefixtures("undrawn")

LENGTH = 2.5  # seconds of the student's clips; the teacher takes one


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Train a teacher, and extract clips of 2.5 seconds at half its sample rate for a student, beside it."""
    folder = tmp_path_factory.mktemp("teachers")
    write_folders(folder / "archive", recordings=6)
    bird = write_onnx(folder / "bird.onnx")
    (folder / "bird_labels.txt").write_text("\n".join(CLASSES))
    base = small_config(folder / "student", folder / "archive")
    base = replace(base, log=replace(base.log, tensorboard=False))
    teacher = replace(
        base,
        run="teacher",
        dataset=replace(base.dataset, root=folder / "teacher"),
        clips=Clips(max_per_class=0, signal_threshold=0.0, overlap=0.0),
        model=Model(name="External", weights=str(bird)),
        external=External(rate=RATE),
        training=replace(base.training, epochs=15, early_stopping=0, learning_rate=0.03),
    )
    student = replace(
        base,
        run="student",
        clips=replace(base.clips, length=LENGTH, overlap=1.0, signal_threshold=0.0),
        spectrogram=replace(base.spectrogram, rate=RATE // 2, fmax=1900.0),
        distillation=Distillation(
            teachers=(base.snapshots / "teacher",), snapshot="latest", compare_without_teachers=False
        ),
    )
    for one in (teacher, student):
        sort_data.main(one)
        spec.main(one)
    train.main(teacher)
    return student


def teacher_of(config: Config) -> Snapshot:
    found = find_snapshot(config.snapshots / "teacher", "latest")
    assert found is not None
    return found


def test_clips_of_the_teacher_cover_those_of_the_student() -> None:
    clips = pl.DataFrame({"start": [0.0, 4.0], "length": [5.0, 5.0]})
    np.testing.assert_allclose(part_centres(clips, length=3.0), [[1.5, 3.5], [5.5, 7.5]])
    np.testing.assert_allclose(part_centres(clips, length=5.0), [[2.5], [6.5]])
    np.testing.assert_allclose(part_centres(clips, length=15.0), [[2.5], [6.5]])
    np.testing.assert_allclose(part_centres(clips, length=2.0), [[1.0, 2.5, 4.0], [5.0, 6.5, 8.0]])


def test_predictions_are_of_the_sound_of_the_clips(config: Config) -> None:
    """Three windows cover a clip; with one label, the mean of their logits counts."""
    members, examples = chosen_teachers(config), read_examples(config)
    teachers = load_teachers(members, examples.classes, config)
    found = with_cached_predictions(examples, teachers, config).soft_targets
    assert found is not None
    store, snapshot = examples.store, teacher_of(config)
    graph, network = load_network(snapshot)
    inside = store.clips.with_row_index("clip").filter(
        (pl.col("recording") == "Altus clarus/A3") & (pl.col("index") == 0)
    )
    (clip,) = inside["clip"].to_list()
    assert config.dataset.archive is not None
    sound, _ = soundfile.read(config.dataset.archive / "Altus clarus" / "A3.wav", dtype="float32")
    starts = [0.0, 0.75, 1.5]
    windows = [embed_clip(sound[round(start * RATE) :][:RATE], snapshot.config.external) for start in starts]
    logits = np.asarray(apply(graph, network, jnp.asarray(np.stack(windows), jnp.float32))[0])
    expected = scipy.special.softmax(logits.mean(axis=0))
    columns = [examples.classes.index(name) for name in snapshot.classes]
    np.testing.assert_allclose(found.of(np.array([clip]))[0][columns], expected, atol=1e-3)
    every = found.of(np.arange(len(store.clips)))
    right = every.argmax(axis=1) == np.array([examples.classes.index(name) for name in store.clips["class"]])
    assert right.mean() > 0.9  # rows belong to their clips, also behind the first batch


def test_embeddings_are_made_once(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(config.dataset.root, config.spectrogram)
    first = teacher_embeddings(store, config.dataset, teacher_of(config), config)
    assert first.rows.shape == (len(store.clips), 3)
    monkeypatch.setattr("utils.spectra.extraction.embed_clip", None)  # nothing is computed again
    again = teacher_embeddings(store, config.dataset, teacher_of(config), config)
    np.testing.assert_array_equal(first.rows, again.rows)
    rows = np.array([1, 0])
    np.testing.assert_array_equal(first.of(rows), again.of(rows))


def test_a_student_learns_from_it(config: Config) -> None:
    found = distill.main(replace(config, training=replace(config.training, epochs=6)))
    assert found.tested.headline.top1_accuracy is not None
    assert found.tested.headline.top1_accuracy > 0.6
    assert {row.name for row in found.networks} >= {"student", "teacher"}


def student_of_embedding(config: Config, *, width: int) -> Config:
    """Return the settings of a student that learns the embedding, too."""
    distillation = replace(config.distillation, embedding_share=0.5)
    return replace(config, run="embedding", model=replace(config.model, embedding=width), distillation=distillation)


def test_embeddings_are_cached_beside_predictions(config: Config) -> None:
    """The mean over the three windows of a clip."""
    learning = student_of_embedding(config, width=teacher_of(config).config.external.width)
    examples = read_examples(learning)
    teachers = load_teachers(chosen_teachers(learning), examples.classes, learning)
    found = with_cached_predictions(examples, teachers, learning).soft_targets
    alone = with_cached_predictions(examples, load_teachers(teachers.models, examples.classes, config), config)
    assert found is not None
    assert alone.soft_targets is not None
    rows = np.array([3, 0, len(examples.store.clips) - 1])
    assert found.columns == len(examples.classes) + teachers.embedding_width
    np.testing.assert_array_equal(found.of(rows)[:, : len(examples.classes)], alone.soft_targets.of(rows))
    assert isinstance(examples.store, Store)
    of_teacher = teacher_embeddings(examples.store, config.dataset, teacher_of(config), config).of(rows)
    expected = of_teacher.reshape(3, 3, -1).mean(axis=1, dtype=np.float32)
    np.testing.assert_allclose(found.of(rows)[:, len(examples.classes) :], expected, rtol=1e-5)


def test_a_student_learns_the_embedding(config: Config) -> None:
    """The loss of a share of 1 is the mean cosine distance, which training lowers."""
    learning = student_of_embedding(config, width=teacher_of(config).config.external.width)
    learning = replace(
        learning,
        distillation=replace(learning.distillation, embedding_share=1.0),
        training=replace(config.training, epochs=4),
    )
    distill.main(learning)
    losses = [row.loss for row in read_training_log(learning.run_folder / "log.csv", until=4)]
    assert 0 < losses[-1] < 0.8 * losses[0] < 2


def test_an_embedding_of_another_width_is_refused(config: Config) -> None:
    learning = student_of_embedding(config, width=5)
    with pytest.raises(UserError, match=r"embedding has 5 values, that of .* set model\.embedding = \d+, or"):
        load_teachers(chosen_teachers(learning), read_examples(learning).classes, learning)


def test_the_share_of_the_embedding_by_hand() -> None:
    """Cosine distances 1 and 1 − 0.6."""
    found = with_embedding_distances(
        jnp.array([2.0, 4.0]), jnp.array([[3.0, 0.0], [3.0, 4.0]]), jnp.array([[0.0, 2.0], [1.0, 0.0]]), 0.25
    )
    np.testing.assert_allclose(found, [0.75 * 2 + 0.25 * 1, 0.75 * 4 + 0.25 * 0.4], rtol=1e-5)


def test_a_recording_that_is_no_longer_sorted_is_told(config: Config) -> None:
    store = Store(config.dataset.root, config.spectrogram)
    name = pl.when(pl.col("recording") == "Altus clarus/A3").then(pl.lit("gone")).otherwise("recording")
    store.clips = store.clips.with_columns(name.alias("recording"))
    with pytest.raises(UserError, match=r"^gone: is in the store but no longer in split\.parquet"):
        teacher_embeddings(store, config.dataset, teacher_of(config), config)


def test_images_of_a_folder_have_no_sound(config: Config) -> None:
    examples = read_examples(config)
    teachers = load_teachers(chosen_teachers(config), examples.classes, config)
    images = replace(examples, store=object.__new__(ImageFolder))
    with pytest.raises(UserError, match=r"needs the recordings; remove training\.images"):
        with_cached_predictions(images, teachers, config)


def test_other_data_sets_have_no_folds(config: Config, tmp_path: Path) -> None:
    folded = replace(config, dataset=replace(config.dataset, folds=5, fold=2))
    assert dataset_at(tmp_path, folded).fold == 0
    assert dataset_at(config.dataset.root, folded) == folded.dataset
