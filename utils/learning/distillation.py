"""Distillation: a student learns the predictions of teachers, with or without the labels, as distill.py asks for.

A new distillation loss is one function here, an entry in `DISTILLATION_LOSSES`, and its name in `Distillation.loss` of
config.py.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from config import Config, Distillation
from utils import console
from utils.files import write_json
from utils.learning.cached_predictions import cache_predictions, is_deterministic
from utils.learning.examples import Examples
from utils.learning.losses import ClipLosses, Logits, losses
from utils.learning.objectives import LossFunction, with_frame_loss
from utils.learning.runs import latest_snapshot
from utils.learning.targets import Labels, Targets, targets_of
from utils.learning.teachers import Teachers
from utils.learning.triplet_losses import Embeddings
from utils.models.architectures.classifier import NetworkOutput
from utils.models.networks import Network
from utils.models.snapshots import Snapshot, recordings_used, validation_recordings_of
from utils.scoring.inference.ensembles import Member
from utils.spectra.store import Store

WITHOUT_TEACHERS = "-without-teachers"  # ending of the run of the same model without teachers
EARLIER_ENDING = "-untaught"  # the same in earlier versions


def soft_cross_entropy(logits: Logits, predictions: Targets) -> ClipLosses:
    """−Σ a · log p,  with the teachers' predictions a and p = softmax(logits)."""
    return optax.softmax_cross_entropy(logits, predictions)


def kullback_leibler(logits: Logits, predictions: Targets) -> ClipLosses:
    """Σ a · (log a − log p): the same gradient, but 0 if the student predicts what the teachers do."""
    entropy = jax.scipy.special.xlogy(predictions, predictions).sum(axis=1)
    return optax.softmax_cross_entropy(logits, predictions) + entropy


def soft_binary_cross_entropy(logits: Logits, predictions: Targets) -> ClipLosses:
    """−mean over classes of a · log p + (1 − a) · log(1 − p),  p = sigmoid(logits)."""
    return optax.sigmoid_binary_cross_entropy(logits, predictions).mean(axis=1)


DISTILLATION_LOSSES: dict[str, Callable[[Logits, Targets], ClipLosses]] = {
    "cross_entropy": soft_cross_entropy,
    "kullback_leibler": kullback_leibler,
    "binary": soft_binary_cross_entropy,
}


def distillation_losses(logits: Logits, predictions: Targets, settings: Distillation) -> ClipLosses:
    """Return the loss of each clip between the student and its teachers, by `distillation.loss`, at the temperature T.

    The student's logits are divided by T, and the loss is multiplied by T², so that gradients keep the size of those of
    true labels. Source: Hinton et al., arXiv:1503.02531.
    """
    loss = DISTILLATION_LOSSES[settings.loss](logits / settings.temperature, predictions)
    return settings.temperature**2 * loss


def blended_losses(
    logits: Logits, predictions: Targets, targets: Targets, labelled: Float[Array, " batch"], config: Config
) -> ClipLosses:
    """Return the loss of each clip by its teachers' predictions, and to the part `true_share` by its labels.

    Parameters
    ----------
    labelled : which part of a clip has labels: 0 or 1, or between if clips are mixed
    """
    by_teachers = distillation_losses(logits, predictions, config.distillation)
    if not config.distillation.true_share:
        return by_teachers
    share = config.distillation.true_share * labelled
    return (1 - share) * by_teachers + share * losses(logits, targets, config.training)


def with_embedding_distances(
    found: ClipLosses, embeddings: Embeddings, of_teacher: Float[Array, "batch values"], share: float
) -> ClipLosses:
    """Return losses of which `share` is the cosine distance, 0 to 2, between the embeddings of student and teacher."""
    distances: ClipLosses = optax.cosine_distance(embeddings, of_teacher, epsilon=1e-6)
    return (1 - share) * found + share * distances


@dataclass(frozen=True)
class LearnFromTeachers:
    """Learn the predictions of teachers for the augmented images, or those of `Examples.soft_targets`.

    Attributes
    ----------
    cached : whether the batches have the predictions
    """

    teachers: Teachers
    config: Config
    classes: int
    cached: bool

    @classmethod
    def of(cls, examples: Examples, teachers: Teachers, config: Config) -> "LearnFromTeachers":
        """Return the objective for some examples."""
        return cls(teachers, config, len(examples.classes), cached=examples.soft_targets is not None)

    @property
    def frozen(self) -> tuple[Network, ...]:
        """The teachers, unless their predictions are cached."""
        return () if self.cached else self.teachers.networks

    def targets(
        self, labels: Labels, soft_targets: Float[Array, "batch soft_columns"] | None
    ) -> Float[Array, "batch columns"]:
        """Return the targets by labels, and more columns, mixed like them: whether there are labels; soft targets.

        Soft targets are the predictions of the teachers, and after them, if it is learned, the embedding of one.
        """
        labelled = labels.primary >= 0
        targets = targets_of(labels, self.classes, self.config.training)
        columns = [targets * labelled[:, None], labelled[:, None]]
        return jnp.concatenate(columns if soft_targets is None else [*columns, soft_targets], axis=1)

    def loss_function(
        self,
        targets: Float[Array, "batch columns"],
        images: Float[Array, "batch height width"],
        frozen: tuple[Network, ...],
    ) -> LossFunction:
        """Return the loss by `distillation`."""
        by_labels, labelled, soft_targets = jnp.split(targets, [self.classes, self.classes + 1], axis=1)
        of_teacher = soft_targets[:, self.classes :]
        predictions = soft_targets[:, : self.classes] if self.cached else self.teachers.predict_images(frozen, images)
        by_labels = by_labels / jnp.maximum(labelled, 1e-6)
        share = self.config.distillation.embedding_share

        def loss_of(logits: Logits) -> ClipLosses:
            return blended_losses(logits, predictions, by_labels, labelled[:, 0], self.config)

        def loss(output: NetworkOutput) -> ClipLosses:
            found = with_frame_loss(loss_of, output, self.config.training)
            return with_embedding_distances(found, output.embeddings, of_teacher, share) if share else found

        return loss


def check_student(config: Config) -> None:
    """Refuse settings that would test another model than the student at the end.

    Raises
    ------
    UserError
        That names them.
    """
    if config.testing.models:
        raise console.UserError(
            "testing.models is set, but distill.py tests the student; remove the setting, and name the teachers in "
            "distillation.teachers"
        )
    if config.testing.soup:
        raise console.UserError(
            "testing.soup is set, but distill.py tests single snapshots; remove the setting, and run test.py with it "
            "afterwards"
        )
    if config.training.all_data:
        raise console.UserError(
            "training.all_data is set, but distill.py tests the student at the end, on recordings that it must not "
            "have learned; remove the setting"
        )


def without_teachers(config: Config) -> Config:
    """Return the settings of the same training without teachers, for the run <run>-without-teachers."""
    return replace(config, run=run_without_teachers(config), distillation=Distillation())


def run_without_teachers(config: Config) -> str:
    """Return the name of the run of the same model without teachers; a run of an earlier version keeps its name.

    In rounds that start without teachers, it is what comes before the first round.
    """
    if config.distillation.starts_alone:
        return round_run(config, 0)
    name, earlier = f"{config.run}{WITHOUT_TEACHERS}", f"{config.run}{EARLIER_ENDING}"
    is_earlier = (config.snapshots / earlier).is_dir() and not (config.snapshots / name).exists()
    return earlier if is_earlier else name


def round_run(config: Config, index: int) -> str:
    """Return the name of the run of a round of `distillation.rounds`; 0: of the model that learns labels alone."""
    return f"{config.run}-round-{index}"


def report_earlier_name(config: Config) -> None:
    """Report if the run without teachers was made by an earlier version, whose name it keeps."""
    name = run_without_teachers(config)
    if name.endswith(EARLIER_ENDING):
        console.info(
            f"{console.printable(config.snapshots / name)} was made by an earlier version; it is used as "
            f"{config.run}{WITHOUT_TEACHERS}"
        )


def record_teachers(folder: Path, contents: Mapping[str, str]) -> None:
    """Save in teachers.json which teachers a run has, or check that they are the same as when it was started.

    Parameters
    ----------
    contents : of each teacher, by its path: a text that changes if the teacher does

    Raises
    ------
    UserError
        That names a teacher that has changed since.
    """
    path = folder / "teachers.json"
    if not latest_snapshot(folder):
        write_json(path, dict(contents))
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        changed = [name for name, content in contents.items() if before.get(name) != content]
    except (OSError, ValueError, AttributeError, RecursionError):
        raise console.UserError(
            f"{path}: is missing or damaged, so the teachers of this run are not known; start over with --fresh"
        ) from None
    if changed:
        raise console.UserError(
            f"{changed[0]}: has changed since {folder} was started; choose another --run, or start over with --fresh"
        )


def with_teachers_recordings(examples: Examples, models: Sequence[Member]) -> Examples:
    """Return examples that include the recordings of the teachers.

    The student learns from them too, and must not be tested on them.

    Warns if the teachers learned from validation recordings, and were not only validated on them.
    """
    used = frozenset[str]().union(*(recordings_used(model.snapshot) for model in models))
    learned = set[str]().union(*(_recordings_trained_on(model.snapshot) for model in models))
    validation = set(examples.store.clips["recording"][examples.validation_rows])
    known = len(validation & learned)
    if known:
        console.warning(
            f"the teachers were trained on {known} of the {len(validation)} validation recordings, so validation "
            "metrics may be too high; the test is not affected"
        )
    return replace(examples, indirect_recordings=used)


def _recordings_trained_on(snapshot: Snapshot) -> set[str]:
    """Return what a network learned; snapshots of earlier versions do not tell what they were only validated on."""
    told = (snapshot.folder / "validation.txt").is_file()
    return recordings_used(snapshot) - (validation_recordings_of(snapshot) if told else set())


def with_cached_predictions(examples: Examples, teachers: Teachers, config: Config) -> Examples:
    """Return examples with the teachers' predictions as soft targets, if images are the same in each epoch.

    Those of teachers with a bird model are always computed before: they take the clips as they were recorded.

    Raises
    ------
    UserError
        If such a teacher is given clips that have no recordings.
    """
    # a folder of images can change without notice
    stores = [store for store in examples.stores if isinstance(store, Store)]
    if teachers.take_sound and len(stores) < len(examples.stores):
        raise console.UserError(
            "distillation.teachers: a bird model from a file needs the recordings; remove training.images"
        )
    if not teachers.take_sound and (
        not config.distillation.cache_predictions
        or len(stores) < len(examples.stores)
        or not is_deterministic(config, examples.noise)
    ):
        return examples
    return replace(examples, soft_targets=cache_predictions(stores, teachers, examples.classes, config))
