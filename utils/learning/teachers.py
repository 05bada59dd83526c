"""Teachers: nets that were trained before, whose answers another net learns.

They answer the very pictures that the student sees, each in the size of its own pictures, in evaluation (no dropout,
running statistics), and without gradients. Classes are matched by name. Source of the rule: TEACHER of the 2018
baseline, whose targets were the mean of the teachers' softmax outputs.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int64

from config import Config, Distillation, differences
from utils import console
from utils.learning.devices import arithmetic, on_accelerator
from utils.learning.targets import Targets
from utils.models.networks import Network, apply, stretch
from utils.models.snapshots import Snapshot, load_network
from utils.scoring.inference.ensembles import Model, models_at

NAMED = 3  # classes that a line names, at most
# settings of the spectrogram in which a teacher's may differ from the student's
SIZE = ("height", "width", "n_fft", "hop", "resize", "engine", "pictures")

Pictures = Float[Array, "batch height width"]
Opinion = Float[Array, "batch theirs"]


@dataclass(frozen=True)
class Group:
    """Teachers of one architecture, whose weights are stacked.

    Attributes
    ----------
    shape : height and width of their pictures, pixels
    members : their places among the teachers
    """

    graph: nnx.GraphDef
    shape: tuple[int, int]
    members: tuple[int, ...]


@dataclass(frozen=True)
class Teachers:
    """Nets that teach.

    Attributes
    ----------
    models : their snapshots, and how much each counts
    binary : of each, whether it learned many labels, and so answers sigmoids
    columns : of each, which of its outputs each class of the student is; −1 for those it does not know
    contents : of each, a text that changes when its weights or classes do
    groups, nets : those of one architecture together, and their weights; the latter are an argument of what is
        compiled, not a part of it
    mapped : whether the nets of a group are computed at once (best on accelerators) or in turn (on CPUs, where
        convolutions in groups are slow)
    """

    models: tuple[Model, ...]
    binary: tuple[bool, ...]
    columns: Int64[np.ndarray, "teachers classes"]
    contents: tuple[str, ...]
    groups: tuple[Group, ...]
    nets: tuple[Network, ...]
    settings: Distillation
    mapped: bool

    @property
    def named_contents(self) -> dict[str, str]:
        """The content of each teacher by its snapshot's folder."""
        return {
            model.snapshot.folder.as_posix(): content for model, content in zip(self.models, self.contents, strict=True)
        }

    def answer(self, nets: tuple[Network, ...], pictures: Pictures) -> Targets:
        """Return the mean of the teachers' answers to pictures from 0 to 1, as `distillation.average` says, at its temperature; runs on the device.

        Of one label a clip they sum to 1, whatever else the teachers know; of many labels each stands alone. Each class
        is averaged over those that know it, and is 0 where none does.

        Parameters
        ----------
        nets : those of this object
        """
        settings = self.settings
        total = jnp.zeros((len(pictures), self.columns.shape[1]))
        for group, stacked in zip(self.groups, nets, strict=True):
            seen = stretch(fitted(pictures, group.shape))
            for member, logits in zip(group.members, _logits(group, stacked, seen, mapped=self.mapped), strict=True):
                theirs = opinion(logits / settings.temperature, settings, binary=self.binary[member])
                columns = self.columns[member]
                total += self.models[member].weight * jnp.where(columns >= 0, theirs[:, columns], 0.0)
        weights = np.array([model.weight for model in self.models])
        heard = (weights[:, None] * (self.columns >= 0)).sum(axis=0)
        return jax.lax.stop_gradient(
            joined(total / np.where(heard > 0, heard, 1.0).astype(np.float32), heard > 0, settings)
        )


def opinion(logits: Opinion, settings: Distillation, *, binary: bool) -> Opinion:
    """Return what is averaged of a teacher's logits, which are divided by the temperature already: probabilities, their logarithms, or log-odds.

    Parameters
    ----------
    binary : whether they are of sigmoids
    """
    if settings.average == "probabilities":
        return jax.nn.sigmoid(logits) if binary else jax.nn.softmax(logits)
    if settings.loss != "binary":
        return jax.nn.log_sigmoid(logits) if binary else jax.nn.log_softmax(logits)
    if binary:
        return logits
    log_scores = jax.nn.log_softmax(logits)
    return log_scores - jnp.log(jnp.maximum(-jnp.expm1(log_scores), 1e-7))


def joined(mean: Targets, known: np.ndarray, settings: Distillation) -> Targets:
    """Return targets from the mean of opinions; `known` tells which classes (classes,) any teacher knows."""
    if settings.loss == "binary":
        return jnp.where(known, jax.nn.sigmoid(mean) if settings.average == "logits" else mean, 0.0)
    if settings.average == "logits":
        return jax.nn.softmax(jnp.where(known, mean, -jnp.inf))
    return mean / jnp.maximum(mean.sum(axis=1, keepdims=True), 1e-12)


def fitted(pictures: Pictures, shape: tuple[int, int]) -> Float[Array, "batch theirs_high theirs_wide"]:
    """Return pictures in another size, where it is another."""
    return pictures if pictures.shape[1:] == shape else jax.image.resize(pictures, (len(pictures), *shape), "linear")


def _logits(
    group: Group, stacked: Network, pictures: Float[Array, "batch height width 1"], *, mapped: bool
) -> Sequence[Opinion] | Array:
    """Return the logits of each of the nets that are stacked."""
    if mapped:
        return jax.vmap(lambda net: apply(group.graph, net, pictures)[0])(stacked)
    nets = [jax.tree.map(lambda leaf, number=number: leaf[number], stacked) for number in range(len(group.members))]
    return [apply(group.graph, net, pictures)[0] for net in nets]


def chosen_teachers(config: Config) -> list[Model]:
    """Return the snapshots that `distillation.teachers` names.

    Raises
    ------
    UserError
        If none is named, one is not there, is the student itself, or made its pictures otherwise than by another size.
    """
    settings = config.distillation
    if not settings.teachers:
        raise console.UserError(
            "distillation.teachers is empty; name the runs to learn from, such as --distillation.teachers snapshots/one snapshots/other"
        )
    models = models_at(settings.teachers, settings.weights, which=settings.snapshot, setting="distillation.teachers")
    for path, model in zip(settings.teachers, models, strict=True):
        folder = model.snapshot.folder.resolve()
        if config.run_folder.resolve() in (folder, folder.parent):
            raise console.UserError(
                f"{path}: is the student's own run; choose another --run, or mend distillation.teachers"
            )
        _check_hears(model.snapshot, config)
    return models


def _check_hears(snapshot: Snapshot, config: Config) -> None:
    """Refuse a teacher that was trained on pictures of another kind than the student's, but for their size."""
    size = {f"spectrogram.{name}" for name in SIZE}
    changed = [
        line
        for line in differences(snapshot.config, config, of=("spectrogram.", "clips.length"))
        if line.split(" ", 1)[0] not in size
    ]
    if changed:
        raise console.UserError(
            f"{snapshot.folder}: learned from other pictures ({'; '.join(changed)}), so that it cannot teach on these"
        )


def gather(models: Sequence[Model], classes: tuple[str, ...], config: Config) -> Teachers:
    """Load teachers, match their classes to the student's, and put those of one architecture together.

    Raises
    ------
    UserError
        If one has no class in common with the student, or cannot be read.
    """
    columns = np.array([_columns(model.snapshot, classes) for model in models], np.int64)
    _say_unknown(columns, classes, config)
    loaded = [load_network(model.snapshot, dtype=arithmetic(config.training)) for model in models]
    for model, (_, net) in zip(models, loaded, strict=True):
        if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(net)):
            raise console.UserError(f"{model.snapshot.folder}: holds weights that are no number; it cannot teach")
    alike: dict[tuple[nnx.GraphDef, tuple[int, int], int], list[int]] = {}
    for place, (model, (graph, _)) in enumerate(zip(models, loaded, strict=True)):
        alike.setdefault((graph, model.snapshot.config.spectrogram.shape, len(model.snapshot.classes)), []).append(
            place
        )
    return Teachers(
        models=tuple(models),
        binary=tuple(model.snapshot.config.training.loss == "binary" for model in models),
        columns=columns,
        contents=tuple(_content(model.snapshot, net) for model, (_, net) in zip(models, loaded, strict=True)),
        groups=tuple(Group(graph, shape, tuple(members)) for (graph, shape, _), members in alike.items()),
        nets=tuple(
            jax.tree.map(lambda *leaves: jnp.stack(leaves), *(loaded[place][1] for place in members))
            for members in alike.values()
        ),
        settings=config.distillation,
        mapped=on_accelerator(),
    )


def _columns(snapshot: Snapshot, classes: tuple[str, ...]) -> list[int]:
    """Return which output of a teacher each of the classes is, −1 for none, and say in a line what does not match."""
    places = {label: number for number, label in enumerate(snapshot.classes)}
    lacks = [label for label in classes if label not in places]
    adds = [label for label in snapshot.classes if label not in classes]
    if len(lacks) == len(classes):
        raise console.UserError(
            f"{snapshot.folder}: knows none of the student's {len(classes)} classes ({_some(classes)}), so that it has nothing to teach"
        )
    parts = [f"does not know {len(lacks)} of {len(classes)} classes ({_some(lacks)})"] if lacks else []
    parts += [f"knows {len(adds)} others ({_some(adds)}), which are left out"] if adds else []
    if parts:
        console.say(f"{console.shown(snapshot.folder)} {' and '.join(parts)}")
    return [places.get(label, -1) for label in classes]


def _say_unknown(columns: Int64[np.ndarray, "teachers classes"], classes: tuple[str, ...], config: Config) -> None:
    unknown = [classes[number] for number in np.flatnonzero((columns < 0).all(axis=0))]
    if unknown:
        never = (
            "" if config.distillation.true_share else "; with distillation.true_share = 0 the student never learns them"
        )
        console.warn(f"{len(unknown)} classes are known to no teacher ({_some(unknown)}){never}")


def _some(names: Sequence[str]) -> str:
    return f"{', '.join(names[:NAMED])}{', …' if len(names) > NAMED else ''}"


def _content(snapshot: Snapshot, net: Network) -> str:
    about = {"classes": snapshot.classes, "model": repr(snapshot.config.model), "loss": snapshot.config.training.loss}
    content = hashlib.sha256(json.dumps(about).encode())
    for leaf in jax.tree.leaves(net):
        content.update(np.asarray(leaf).tobytes())
    return content.hexdigest()[:16]
