"""Pseudo labels: what models predict for clips without labels, learned by a student as if it were labels.

They never come from a model that learned from the recording itself: each round learns another part of the unlabelled
recordings than the models that label it did, and recordings that a teacher learned from are left out.

    <run>/pseudo_labels.csv   the clips that have pseudo labels: recording, index and start, the class with the highest
                              prediction, that prediction, and whether the clip is learned

Source: Xie et al., Self-training with Noisy Student, arXiv:1911.04252; powers and a choice by confidence are those of
leading solutions of BirdCLEF 2024 and 2025.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import polars as pl
from jaxtyping import Array, Bool, Float, Float32, Int64

from config import Config
from utils import console
from utils.files import write_text
from utils.learning.cached_predictions import CachedPredictions, unlabelled_predictions
from utils.learning.examples import Examples
from utils.learning.objectives import LearnLabels
from utils.learning.targets import Labels, Targets, targets_of
from utils.learning.teachers import Teachers
from utils.learning.unlabelled import with_unlabelled
from utils.models.snapshots import recordings_learned
from utils.scoring.inference.ensembles import Member
from utils.spectra.store import Store

PREDICTED_AT_ONCE = 2**16  # whose predictions are in memory


@dataclass(frozen=True)
class PseudoTargets:
    """The pseudo labels of unlabelled clips, and zeros for all others, whose labels are learned.

    Attributes
    ----------
    predictions : of the teachers, 0 to 1
    power : `distillation.pseudo_labels.power` of the round
    multi_label : whether each class is by itself; else the pseudo labels of a clip sum to 1
    """

    predictions: CachedPredictions
    power: float
    multi_label: bool

    @property
    def columns(self) -> int:
        """Number of classes."""
        return self.predictions.columns

    def of(self, rows: Int64[np.ndarray, "*batch"]) -> Float32[np.ndarray, "*batch classes"]:
        """Return the pseudo labels of some rows of the store."""
        return sharpened(self.predictions.of(rows), self.power, multi_label=self.multi_label)


def sharpened(
    predictions: Float32[np.ndarray, "*batch classes"], power: float, *, multi_label: bool
) -> Float32[np.ndarray, "*batch classes"]:
    """Return predictions to a power; those of one distribution sum to 1 again, unless all are 0."""
    powers = predictions ** np.float32(power)
    if multi_label:
        return powers
    total = powers.sum(axis=-1, keepdims=True)
    return powers / np.where(total > 0, total, np.float32(1))


class NothingToLearn(console.UserError):
    """No clip of a round can have pseudo labels."""


@dataclass(frozen=True)
class LearnPseudoLabels(LearnLabels):
    """Learn labels, and pseudo labels where there are none, all by `training.loss`."""

    def targets(
        self, labels: Labels, soft_targets: Float[Array, "batch soft_columns"] | None
    ) -> Float[Array, "batch columns"]:
        """Return the targets by `training`, or the pseudo labels, which are the soft targets."""
        by_labels: Targets = targets_of(labels, self.classes, self.settings)
        return by_labels if soft_targets is None else jnp.where((labels.primary >= 0)[:, None], by_labels, soft_targets)


def with_pseudo_labels(examples: Examples, teachers: Teachers, config: Config) -> Examples:
    """Return examples with the unlabelled clips of one round, and their pseudo labels by some teachers.

    These are the clips of `distillation.unlabelled` in the part `pseudo_labels.first_part`, of recordings that no
    teacher learned from, whose highest prediction reaches `pseudo_labels.confidence`. Which clips have pseudo labels is
    written to pseudo_labels.csv in the run's folder.

    Parameters
    ----------
    examples : with labels alone
    teachers : of the same classes

    Raises
    ------
    NothingToLearn
        If no clip is left.
    """
    settings, labelled = config.distillation.pseudo_labels, len(examples.rows)
    examples = with_unlabelled(examples, config)
    rows = examples.rows[labelled:]
    recordings = examples.store.clips["recording"][rows]
    parts = parts_of(recordings.unique().to_list(), parts=settings.parts)
    in_part = recordings.is_in([name for name, part in parts.items() if part == settings.first_part]).to_numpy()
    usable = in_part & ~_learned_by(teachers.models, recordings)
    _report_learned(recordings, in_part & ~usable)
    rows = rows[usable]
    stores = [store for store in examples.stores if isinstance(store, Store)]
    predictions = unlabelled_predictions(stores, teachers, examples.classes, config)
    top, highest = _highest_predictions(predictions, rows)
    confident = highest >= settings.confidence
    if not confident.any():
        raise NothingToLearn(
            f"part {settings.first_part} of distillation.unlabelled: has no clip to learn ({len(rows)} clips of "
            "recordings that no teacher learned from); lower distillation.pseudo_labels.confidence, or add recordings"
        )
    names = [examples.classes[index] for index in top]
    _write_pseudo_labels(config.run_folder / "pseudo_labels.csv", examples.store.clips[rows], names, highest, confident)
    console.info(
        f"{confident.sum():,} of {len(rows):,} unlabelled clips are learned with pseudo labels "
        f"(part {settings.first_part} of {settings.parts})"
    )
    chosen = np.concatenate([np.ones(labelled, bool), np.isin(examples.rows[labelled:], rows[confident])])
    return replace(
        examples,
        rows=examples.rows[chosen],
        labels=Labels(*(leaf[chosen] for leaf in examples.labels)),
        soft_targets=PseudoTargets(predictions, settings.power[0], config.training.multi_label),
    )


def parts_of(recordings: Sequence[str], *, parts: int) -> dict[str, int]:
    """Return the part that each unlabelled recording belongs to: dealt in turn, in the order of their names."""
    return {name: index % parts for index, name in enumerate(sorted(recordings))}


def _learned_by(teachers: Sequence[Member], recordings: pl.Series) -> Bool[np.ndarray, " clips"]:
    learned = set[str]().union(*(recordings_learned(teacher.snapshot) for teacher in teachers))
    return recordings.is_in(sorted(learned)).to_numpy()


def _report_learned(recordings: pl.Series, left_out: Bool[np.ndarray, " clips"]) -> None:
    names = recordings.filter(pl.Series(left_out)).unique().sort().to_list()
    if names:
        console.warning(
            f"{len(names)} unlabelled recordings are left out ({console.printable(names[0])}"
            f"{', …' if len(names) > 1 else ''}): a teacher learned from them"
        )


def _highest_predictions(
    predictions: CachedPredictions, rows: Int64[np.ndarray, " clips"]
) -> tuple[Int64[np.ndarray, " clips"], Float32[np.ndarray, " clips"]]:
    """Return the class with the highest prediction of each clip, and that prediction; few are in memory at once."""
    classes, values = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.float32)
    for first in range(0, len(rows), PREDICTED_AT_ONCE):
        some = slice(first, first + PREDICTED_AT_ONCE)
        found = predictions.of(rows[some])
        classes[some], values[some] = found.argmax(axis=1), found.max(axis=1)
    return classes, values


def _write_pseudo_labels(
    path: Path,
    clips: pl.DataFrame,
    classes: Sequence[str],
    predictions: Float32[np.ndarray, " clips"],
    learned: Bool[np.ndarray, " clips"],
) -> None:
    table = clips.select("recording", "index", "start").with_columns(
        pl.Series("class", classes, pl.String),
        pl.Series("prediction", predictions.astype(np.float64).round(4)),
        pl.Series("learned", learned),
    )
    write_text(path, table.write_csv())
