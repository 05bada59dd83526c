"""Teachers: trained networks whose predictions another network, the student, learns.

They predict the same images as the student sees, each in the size that it was trained on, in evaluation mode (no
dropout, running statistics), and without gradients. Classes are matched by name. Source of the rule: TEACHER of the
2018 baseline, whose targets were the mean of the teachers' softmax outputs.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int64

from config import Config, Distillation, External, Model
from utils import console
from utils.learning.devices import compute_dtype, on_accelerator
from utils.learning.targets import Targets
from utils.models.networks import Network, abstract_network, apply, embed
from utils.models.saved_networks import load_network
from utils.models.snapshots import Snapshot
from utils.scoring.inference.ensembles import Member, members_at, with_bird_model
from utils.settings_keys import changed_settings, settings_for_key

# settings that came after the first version: runs on disk keep the text of a model that has none of them
ADDED_SETTINGS = ("head", "stages", "features", "pool")
NAMED_CLASSES = 3  # classes that a message names, at most
# settings of the spectrogram in which a teacher may differ from the student
SIZE_SETTINGS = ("height", "width", "n_fft", "hop", "resize", "engine", "images")

ImageBatch = Float[Array, "batch height width"]
TeacherOutput = Float[Array, "batch teacher_classes"]


@dataclass(frozen=True)
class TeacherGroup:
    """Teachers of one architecture, whose weights are stacked.

    Attributes
    ----------
    shape : height and width of their spectrograms, pixels
    members : their indices among the teachers
    source : if they take the embeddings of a bird model from a file, the snapshot of one of them; else None
    """

    graph: nnx.GraphDef
    shape: tuple[int, int]
    members: tuple[int, ...]
    source: Snapshot | None = None


@dataclass(frozen=True)
class Teachers:
    """Networks that teach.

    Attributes
    ----------
    models : their snapshots and weights
    multi_label : of each, whether it was trained with several labels per clip, and so predicts sigmoids
    columns : of each, the index of its output for each class of the student; −1 for classes that it does not know
    contents : of each, a text that changes if its weights or classes do
    groups, networks : teachers of one architecture together, and their stacked weights; the latter are an argument of
        compiled functions, not a part of them
    mapped : whether the networks of a group are computed at once (best on accelerators) or in turn (on CPUs, where
        grouped convolutions are slow)
    """

    models: tuple[Member, ...]
    multi_label: tuple[bool, ...]
    columns: Int64[np.ndarray, "teachers classes"]
    contents: tuple[str, ...]
    groups: tuple[TeacherGroup, ...]
    networks: tuple[Network, ...]
    settings: Distillation
    mapped: bool

    @property
    def named_contents(self) -> dict[str, str]:
        """The content of each teacher by its snapshot's folder."""
        return {
            model.snapshot.folder.as_posix(): content for model, content in zip(self.models, self.contents, strict=True)
        }

    @property
    def embedding_width(self) -> int:
        """Values of the teacher's embedding, if the student learns it, too; else 0."""
        return self.groups[0].shape[1] if self.settings.embedding_share else 0

    @property
    def take_sound(self) -> bool:
        """Whether any has a bird model from a file, so that the student's images are of no use to it."""
        return any(group.source for group in self.groups)

    def predict_images(self, networks: tuple[Network, ...], images: ImageBatch) -> Targets:
        """Return the mean of the teachers' predictions for images from 0 to 1, in the size of each; see `predict`."""
        return self.predict(networks, [resized(images, group.shape) for group in self.groups], clips=len(images))

    def predict(self, networks: tuple[Network, ...], inputs: Sequence[Float[Array, "_ _ _"]], *, clips: int) -> Targets:
        """Return the mean of the teachers' predictions; runs on the device.

        The mean is that of `distillation.average`, at `distillation.temperature`. With one label per clip predictions
        sum to 1, even if the teachers know other classes; with several labels each stands alone. Each class is averaged
        over the teachers that know it, and is 0 if none does.

        Parameters
        ----------
        networks : those of this object
        inputs : of each group, images from 0 to 1, or embeddings (clips · parts, windows, values)
        clips : number of the student's clips
        """
        settings = self.settings
        total = jnp.zeros((clips, self.columns.shape[1]))
        for group, stacked, seen in zip(self.groups, networks, inputs, strict=True):
            logits_of_members = _group_logits(group, stacked, seen, mapped=self.mapped)
            for member, logits in zip(group.members, logits_of_members, strict=True):
                logits = over_parts(logits, clips, multi_label=self.multi_label[member])
                output = averageable(logits / settings.temperature, settings, multi_label=self.multi_label[member])
                columns = self.columns[member]
                total += self.models[member].weight * jnp.where(columns >= 0, output[:, columns], 0.0)
        weights = np.array([model.weight for model in self.models])
        known = (weights[:, None] * (self.columns >= 0)).sum(axis=0)
        mean = total / np.where(known > 0, known, 1.0).astype(np.float32)
        return jax.lax.stop_gradient(targets_from_mean(mean, known > 0, settings))


def over_parts(
    logits: Float[Array, "parts teacher_classes"], clips: int, *, multi_label: bool
) -> Float[Array, "{clips} teacher_classes"]:
    """Return the logits of clips from those of their parts, the parts of a clip one after the other.

    With several labels the highest of all parts counts; with one label their mean.
    """
    parts = logits.reshape(clips, -1, logits.shape[1])
    return parts.max(axis=1) if multi_label else parts.mean(axis=1)


def averageable(logits: TeacherOutput, settings: Distillation, *, multi_label: bool) -> TeacherOutput:
    """Return what is averaged over teachers: probabilities, their logarithms, or log-odds.

    Parameters
    ----------
    logits : of one teacher, already divided by the temperature
    multi_label : whether they are of sigmoids
    """
    if settings.average == "probabilities":
        return jax.nn.sigmoid(logits) if multi_label else jax.nn.softmax(logits)
    if not settings.multi_label:
        return jax.nn.log_sigmoid(logits) if multi_label else jax.nn.log_softmax(logits)
    if multi_label:
        return logits
    log_scores = jax.nn.log_softmax(logits)
    return log_scores - jnp.log(jnp.maximum(-jnp.expm1(log_scores), 1e-7))


def targets_from_mean(mean: Targets, known: np.ndarray, settings: Distillation) -> Targets:
    """Return targets from the mean over teachers; `known` tells which classes (classes,) any teacher knows."""
    if settings.multi_label:
        return jnp.where(known, jax.nn.sigmoid(mean) if settings.average == "logits" else mean, 0.0)
    if settings.average == "logits":
        return jax.nn.softmax(jnp.where(known, mean, -jnp.inf))
    return mean / jnp.maximum(mean.sum(axis=1, keepdims=True), 1e-12)


def resized(images: ImageBatch, shape: tuple[int, int]) -> Float[Array, "batch teacher_height teacher_width"]:
    """Return images in another size, or as they are if it is the same."""
    return images if images.shape[1:] == shape else jax.image.resize(images, (len(images), *shape), "linear")


def _group_logits(
    group: TeacherGroup, stacked: Network, images: ImageBatch, *, mapped: bool
) -> Sequence[TeacherOutput] | Array:
    """Return the logits of each of the stacked networks."""
    if mapped:
        return jax.vmap(lambda network: apply(group.graph, network, images)[0])(stacked)
    networks = [jax.tree.map(lambda leaf, index=index: leaf[index], stacked) for index in range(len(group.members))]
    return [apply(group.graph, network, images)[0] for network in networks]


def chosen_teachers(config: Config) -> list[Member]:
    """Return the snapshots that `distillation.teachers` names.

    Raises
    ------
    UserError
        If none is named, one does not exist, is the student itself, or was trained on another kind of spectrogram.
    """
    settings = config.distillation
    if not settings.teachers:
        raise console.UserError(
            "distillation.teachers is empty; name the runs to learn from, such as --distillation.teachers "
            "snapshots/one snapshots/other"
        )
    models = members_at(settings.teachers, settings.weights, which=settings.snapshot, setting="distillation.teachers")
    for path, model in zip(settings.teachers, models, strict=True):
        folder = model.snapshot.folder.resolve()
        if config.run_folder.resolve() in (folder, folder.parent):
            raise console.UserError(
                f"{path}: is the run of the student itself; choose another --run, or fix distillation.teachers"
            )
        if not model.snapshot.config.external.sha256:
            _check_spectrograms(model.snapshot, config)
    return [with_bird_model(model, config) for model in models]


def _check_spectrograms(snapshot: Snapshot, config: Config) -> None:
    """Refuse a teacher that was trained on another kind of spectrogram than the student's; their sizes may differ."""
    size = {f"spectrogram.{name}" for name in SIZE_SETTINGS}
    changed = [
        line
        for line in changed_settings(snapshot.config, config, of=("spectrogram.", "clips.length"))
        if line.split(" ", 1)[0] not in size
    ]
    if changed:
        raise console.UserError(
            f"{snapshot.folder}: was trained on other spectrograms ({'; '.join(changed)}), so it cannot be a teacher "
            "here"
        )


def load_teachers(models: Sequence[Member], classes: tuple[str, ...], config: Config) -> Teachers:
    """Load teachers, match their classes to the student's, and group them by architecture.

    Raises
    ------
    UserError
        If one has no class in common with the student, or cannot be read; in rounds, if none knows some class.
    """
    _check_embedding(models, classes, config)
    columns = np.array([_match_classes(model.snapshot, classes) for model in models], np.int64)
    _check_unknown(columns, classes, config)
    loaded = [load_network(model.snapshot, dtype=compute_dtype(config.training)) for model in models]
    for model, (_, network) in zip(models, loaded, strict=True):
        if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(network)):
            raise console.UserError(f"{model.snapshot.folder}: has NaN or infinite weights; it cannot be a teacher")
    alike: dict[tuple[nnx.GraphDef, tuple[int, int], int, External], list[int]] = {}
    for index, (model, (graph, _)) in enumerate(zip(models, loaded, strict=True)):
        about = model.snapshot.config
        key = (graph, about.input_shape, len(model.snapshot.classes), about.external)
        alike.setdefault(key, []).append(index)
    return Teachers(
        models=tuple(models),
        multi_label=tuple(model.snapshot.config.training.multi_label for model in models),
        columns=columns,
        contents=tuple(_content(model.snapshot, network) for model, (_, network) in zip(models, loaded, strict=True)),
        groups=tuple(
            TeacherGroup(graph, shape, tuple(members), models[members[0]].snapshot if external.sha256 else None)
            for (graph, shape, _, external), members in alike.items()
        ),
        networks=tuple(
            jax.tree.map(lambda *leaves: jnp.stack(leaves), *(loaded[index][1] for index in members))
            for members in alike.values()
        ),
        settings=config.distillation,
        mapped=on_accelerator(),
    )


def _check_embedding(models: Sequence[Member], classes: tuple[str, ...], config: Config) -> None:
    """Refuse a teacher whose embedding the student cannot learn (`distillation.embedding_share`)."""
    if not config.distillation.embedding_share:
        return
    external = models[0].snapshot.config.external
    if not external.sha256:
        raise console.UserError(
            f"{models[0].snapshot.folder}: distillation.embedding_share needs a teacher with model.name = External, "
            "whose embedding the student can learn"
        )
    graph, network = abstract_network(config.model, classes=len(classes), shape=config.input_shape)
    image = jax.ShapeDtypeStruct((1, *config.input_shape), jnp.float32)
    width = jax.eval_shape(lambda network, image: embed(graph, network, image)[0], network, image).shape[1]
    if width != external.width:
        raise console.UserError(
            f"distillation.embedding_share: the student's embedding has {width} values, that of {external.title} has "
            f"{external.width}; set model.embedding = {external.width}, or model.features with an EfficientNet"
        )


def _match_classes(snapshot: Snapshot, classes: tuple[str, ...]) -> list[int]:
    """Return the index of a teacher's output for each class, −1 for none, and report in a line what does not match."""
    indices = {label: index for index, label in enumerate(snapshot.classes)}
    missing = [label for label in classes if label not in indices]
    extra = [label for label in snapshot.classes if label not in classes]
    if len(missing) == len(classes):
        raise console.UserError(
            f"{snapshot.folder}: knows none of the student's {len(classes)} classes ({_some(classes)}), so it cannot "
            "be a teacher here"
        )
    parts = [f"does not know {len(missing)} of {len(classes)} classes ({_some(missing)})"] if missing else []
    parts += [f"knows {len(extra)} other classes ({_some(extra)}), which are not used"] if extra else []
    if parts:
        console.info(f"{console.printable(snapshot.folder)} {' and '.join(parts)}")
    return [indices.get(label, -1) for label in classes]


def _check_unknown(columns: Int64[np.ndarray, "teachers classes"], classes: tuple[str, ...], config: Config) -> None:
    """Warn of classes that no teacher knows; refuse them in rounds, whose pseudo labels would call them absent."""
    unknown = [classes[index] for index in np.flatnonzero((columns < 0).all(axis=0))]
    if not unknown:
        return
    if config.distillation.rounds:
        raise console.UserError(
            f"distillation.teachers: none knows {len(unknown)} of the {len(classes)} classes ({_some(unknown)}), so "
            "that pseudo labels would call them absent; name other teachers, or none"
        )
    never = "" if config.distillation.true_share else "; with distillation.true_share = 0 the student never learns them"
    console.warning(f"no teacher knows {len(unknown)} of the classes ({_some(unknown)}){never}")


def _some(names: Sequence[str]) -> str:
    return f"{', '.join(names[:NAMED_CLASSES])}{', …' if len(names) > NAMED_CLASSES else ''}"


def _content(snapshot: Snapshot, network: Network) -> str:
    config = snapshot.config
    about: dict[str, object] = {
        "classes": snapshot.classes,
        "model": _model_text(config.model),
        "loss": config.training.loss,
    }
    if config.external.sha256:
        about["external"] = settings_for_key(config, of=("external.", "clips.length"))
    content = hashlib.sha256(json.dumps(about).encode())
    for leaf in jax.tree.leaves(network):
        content.update(np.asarray(leaf).tobytes())
    return content.hexdigest()[:16]


def _model_text(settings: Model) -> str:
    """Return a text that changes if a setting of the model does, and not because the toolkit has got a new one."""
    kept = [
        f"{field.name}={getattr(settings, field.name)!r}"
        for field in fields(settings)
        if field.name not in ADDED_SETTINGS or getattr(settings, field.name) != field.default
    ]
    return f"Model({', '.join(kept)})"
