"""Ensembles: snapshots that predict together, which of them take the same spectrograms, and how scores are averaged."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Float32

from config import Clips, Config, External, Spectrogram, Testing
from utils import console
from utils.external.settings import located
from utils.models.onnx.interface import FurtherOutput
from utils.models.prototypes import Prototypes
from utils.models.snapshots import Snapshot, find_snapshot, find_snapshot_at, snapshots_of
from utils.recordings.recording import NOISE
from utils.scoring.inference.frame_grid import joined_frames
from utils.scoring.inference.onnx_sessions import ClipOutputs, Pixels, scores_of
from utils.scoring.inference.prediction_times import BatchTimer
from utils.scoring.inference.snapshot_predictors import SnapshotPredictor, snapshot_predictor
from utils.settings_keys import effective_settings

FROM_SNAPSHOT = ("spectrogram.",)  # settings that every snapshot brings along
CLASSES_IN_WARNING = 3  # classes that a warning lists


class GroupScores(NamedTuple):
    """What a group of members predicts for clips.

    Attributes
    ----------
    columns : the scores of all classes of the group, and the distances of the members `measuring`
    frames : the scores of each frame, if they were asked for
    """

    columns: Float32[np.ndarray, "clips columns"]
    frames: Float32[np.ndarray, "clips frames classes"] | None = None


Scorer = Callable[[Pixels], GroupScores]


@dataclass(frozen=True)
class Member:
    """A snapshot, its weight in the ensemble, and its prototypes if novelty is asked for."""

    snapshot: Snapshot
    weight: float = 1.0
    prototypes: Prototypes | None = field(default=None, compare=False, repr=False)


def chosen_members(config: Config) -> list[Member]:
    """Return the snapshots that `testing.models` names, or, if it is empty, the run's `testing.snapshot`.

    With `testing.soup` it is one, the mean of their parameters, or of those of all snapshots that the run kept. With
    `testing.novelty` they have prototypes. Mean and prototypes are made if they are missing.

    Raises
    ------
    UserError
        If a snapshot is missing, snapshots cannot be averaged, or prototypes cannot be made.
    """
    settings = config.testing
    members = _named_members(config)
    if settings.soup and len(members) == 1:
        console.warning(
            f"testing.soup: {console.printable(members[0].snapshot.folder)} is the only snapshot, so that nothing is "
            "averaged; name several in testing.models, or none: then all that the run kept are averaged "
            "(training.keep_snapshots)"
        )
    members = [with_bird_model(member, config) for member in members]
    if settings.soup and len(members) > 1:
        members = [Member(_soup_of(members, config))]
    _warn_of_ignored_settings(members, config)
    if settings.novelty:
        from utils.scoring.inference.novelty_prototypes import prototypes_of  # imports JAX

        members = [replace(member, prototypes=prototypes_of(member.snapshot, settings)) for member in members]
    return members


def _named_members(config: Config) -> list[Member]:
    settings = config.testing
    if settings.models:
        return members_at(settings.models, settings.weights, which=settings.snapshot, setting="testing.models")
    run = config.run_folder
    found = snapshots_of(run) if settings.soup else [find_snapshot(run, settings.snapshot)]
    members = [Member(one) for one in found if one]
    if not members:
        raise console.UserError(f"{run}: no snapshot; run train.py with the same experiment first")
    return members


def _soup_of(members: Sequence[Member], config: Config) -> Snapshot:
    from utils.models.soup import soup_of  # imports JAX

    return soup_of(
        [member.snapshot for member in members],
        [member.weight for member in members],
        home=config.run_folder,
        inputs=lambda snapshot: input_settings(snapshot.config),
    )


def with_bird_model(member: Member, config: Config) -> Member:
    """Return a member whose bird model from a file, if it has one, is where it is now.

    That is where it was, or at `external.file` or `model.weights` of these settings.

    Raises
    ------
    UserError
        If it is in neither place, or another file is.
    """
    snapshot = member.snapshot
    given = [config.external.file, Path(config.model.weights) if config.model.weights else None]
    external = located(snapshot.config.external, [path for path in given if path])
    return replace(member, snapshot=replace(snapshot, config=replace(snapshot.config, external=external)))


def _warn_of_ignored_settings(members: Sequence[Member], config: Config) -> None:
    """Warn if somebody changed spectrogram settings that no member uses: each snapshot brings its own."""
    given, defaults = effective_settings(config, of=FROM_SNAPSHOT), effective_settings(Config(), of=FROM_SNAPSHOT)
    used = [effective_settings(member.snapshot.config, of=FROM_SNAPSHOT) for member in members]
    ignored = [
        name
        for name, value in given.items()
        if value != defaults.get(name) and all(value != settings.get(name) for settings in used)
    ]
    if ignored:
        are, source = "is" if len(ignored) == 1 else "are", members[0].snapshot.folder / "settings.toml"
        console.warning(
            f"{', '.join(ignored)} {are} ignored: "
            f"spectrograms are made with the settings of the snapshot ({console.printable(source)})"
        )


def members_at(
    paths: Sequence[Path], weights: Sequence[float], *, which: Literal["best", "latest"], setting: str
) -> list[Member]:
    """Return the snapshots at some paths.

    Parameters
    ----------
    paths : snapshots, or folders of runs, of which `which` is taken
    weights : one per path; empty: equal weights
    setting : the name of the setting that holds the paths, for error messages

    Raises
    ------
    UserError
        If a snapshot is missing.
    """
    members = []
    for path, weight in zip(paths, weights or (1.0,) * len(paths), strict=True):
        snapshot = find_snapshot_at(path, which)
        if not snapshot:
            raise console.UserError(f"{path}: neither a snapshot nor the folder of a run with one; fix {setting}")
        members.append(Member(snapshot, weight))
    return members


def outputs_of(snapshot: Snapshot, settings: Testing, *, further: Sequence[FurtherOutput] = ()) -> SnapshotPredictor:
    """Load the network of a snapshot, and return its function from spectrograms to logits, and what else is asked for.

    Raises
    ------
    UserError
        If it cannot be read; the returned function raises it if an output is NaN or infinite.
    """
    predict = snapshot_predictor(snapshot, settings, further=further)
    return lambda pixels: _checked_finite(predict(pixels), snapshot)


def _checked_finite(outputs: ClipOutputs, snapshot: Snapshot) -> ClipOutputs:
    if not all(np.isfinite(part).all() for part in outputs if part is not None):
        raise console.UserError(f"{snapshot.folder}: the network's output is NaN or infinite; the snapshot is damaged")
    return outputs


@dataclass(frozen=True)
class MemberGroup:
    """Members that take the same spectrograms of the same clips, or embeddings, so that these are made once for all.

    Attributes
    ----------
    clips, spectrogram, external : the settings that they share
    members : of the ensemble
    classes : what any of its members predicts, sorted; may include 'Noise'
    weights : per class, the total weight of the members that know it
    frames : whether the scores of frames are wanted, too, which all members must have
    """

    clips: Clips
    spectrogram: Spectrogram
    members: tuple[Member, ...]
    classes: tuple[str, ...]
    weights: Float[np.ndarray, " classes"]
    external: External = field(default_factory=External)
    frames: bool = False

    @property
    def measuring(self) -> tuple[Member, ...]:
        """The members that also measure how far clips are from their prototypes."""
        return tuple(member for member in self.members if member.prototypes)

    @property
    def columns(self) -> int:
        """Number of columns of what its scorer returns."""
        return len(self.classes) + len(self.measuring)

    def scorer(self, settings: Testing) -> Scorer:
        """Load the networks, and return a function from spectrograms to scores, and beside them distances.

        The scores of a class are averaged over the members that know it. Each of the members `measuring` adds a column
        with the distance of each clip.

        'Noise' gets the lowest score of its clip (docs/baseline.md, Testing), so that pooling does not see it.

        Raises
        ------
        UserError
            As `outputs_of` does.
        """
        networks = [outputs_of(member.snapshot, settings, further=self._further(member)) for member in self.members]
        columns = [np.searchsorted(self.classes, member.snapshot.classes) for member in self.members]

        def scores(pixels: Pixels) -> GroupScores:
            total, distances, frames = np.zeros((len(pixels), len(self.classes))), [], []
            for member, network, known in zip(self.members, networks, columns, strict=True):
                found = network(pixels)
                squashed = partial(scores_of, multi_label=member.snapshot.config.training.multi_label)
                total[:, known] += member.weight * squashed(found.logits)
                if member.prototypes and found.embeddings is not None:
                    distances.append(member.prototypes.distances(found.embeddings))
                if found.frames is not None:
                    frames.append((member.weight * squashed(found.frames), known))
            means = (total / self.weights).astype(np.float32)
            if NOISE in self.classes:
                means[:, self.classes.index(NOISE)] = means.min(axis=1)
            table = np.column_stack([means, *distances]) if distances else means
            return GroupScores(table, joined_frames(frames, self.weights) if frames else None)

        return scores

    def _further(self, member: Member) -> list[FurtherOutput]:
        wanted: dict[FurtherOutput, bool] = {"embeddings": member.prototypes is not None, "frames": self.frames}
        return [name for name, used in wanted.items() if used]


@dataclass(frozen=True)
class Ensemble:
    """One model or several that predict together.

    The scores of members that take the same spectrograms are averaged clip by clip and then pooled, as in the 2018
    baseline. Members with other clips or other spectrograms are pooled first and averaged afterwards, because their
    clips do not match one to one.

    Attributes
    ----------
    groups : the members by the spectrograms that they take
    classes : what any member predicts, sorted, without 'Noise'
    timer : measures the batches that it predicts
    loaded : the scorers of its groups, if they stay in memory
    threads : if positive, so many threads of this process decode recordings for it, instead of worker processes
    """

    groups: tuple[MemberGroup, ...]
    classes: tuple[str, ...]
    timer: BatchTimer = field(default_factory=BatchTimer, compare=False)
    loaded: tuple[Scorer, ...] = field(default=(), compare=False, repr=False)
    threads: int = field(default=0, compare=False)

    def scorers(self, settings: Testing) -> tuple[Scorer, ...]:
        """Return the scorers of its groups, measured by `timer`; they are loaded now unless they are in memory.

        Raises
        ------
        UserError
            If a network cannot be read.
        """
        return self.loaded or tuple(self.timer.timed(group.scorer(settings)) for group in self.groups)

    @property
    def measures_novelty(self) -> bool:
        """Whether any member has prototypes."""
        return any(group.measuring for group in self.groups)

    @property
    def predicts_frames(self) -> bool:
        """Whether the scores of frames are wanted, too."""
        return all(group.frames for group in self.groups)

    @property
    def members(self) -> tuple[Member, ...]:
        """All members."""
        return tuple(member for group in self.groups for member in group.members)

    def spread(
        self, scores: Float[np.ndarray, "rows classes"], group: MemberGroup
    ) -> Float[np.ndarray, "rows all_classes"]:
        """Put a group's scores under the classes of the ensemble; NaN for classes that the group does not know.

        Columns with distances are left out.
        """
        wide = np.full((len(scores), len(self.classes)), np.nan, scores.dtype)
        birds = [index for index, label in enumerate(group.classes) if label != NOISE]
        wide[:, [self.classes.index(group.classes[index]) for index in birds]] = scores[:, birds]
        return wide

    def join(self, pooled: Sequence[Float[np.ndarray, "rows _"]]) -> Float[np.ndarray, "rows all_classes"]:
        """Average pooled scores, one table per group: each class over the members that know it, by their weights."""
        total = np.zeros((len(pooled[0]), len(self.classes)))
        weights = np.zeros(len(self.classes))
        for group, scores in zip(self.groups, pooled, strict=True):
            weight = self.spread(group.weights[None], group)[0]
            known = ~np.isnan(weight)
            total[:, known] += weight[known] * self.spread(scores, group)[:, known]
            weights[known] += weight[known]
        return total / weights


def assemble(members: Sequence[Member], *, frames: bool = False) -> Ensemble:
    """Make an ensemble; warn once if some members do not know all classes.

    Parameters
    ----------
    frames : whether the scores of frames are wanted, too, which all members must have
    """
    by_input: dict[tuple[Clips, Spectrogram, External], list[Member]] = {}
    for member in members:
        by_input.setdefault(input_settings(member.snapshot.config), []).append(member)
    groups = tuple(replace(_group(shared, same), frames=frames) for shared, same in by_input.items())
    classes = sorted({label for group in groups for label in group.classes} - {NOISE})
    partly = [label for label in classes if not all(label in member.snapshot.classes for member in members)]
    if partly:
        names = f"{', '.join(partly[:CLASSES_IN_WARNING])}{', …' if len(partly) > CLASSES_IN_WARNING else ''}"
        console.warning(
            f"{len(partly)} of {len(classes)} classes are not known to all {len(members)} models ({names}); "
            "their scores are averaged over the models that know them"
        )
    return Ensemble(groups, tuple(classes))


def _group(shared: tuple[Clips, Spectrogram, External], members: Sequence[Member]) -> MemberGroup:
    clips, spectrogram, external = shared
    classes = tuple(sorted({label for member in members for label in member.snapshot.classes}))
    weights = [sum(member.weight for member in members if label in member.snapshot.classes) for label in classes]
    return MemberGroup(clips, spectrogram, tuple(members), classes, np.array(weights), external)


def input_settings(config: Config) -> tuple[Clips, Spectrogram, External]:
    """Return the settings that decide on a model's spectrograms at inference, with defaults for all others."""
    clips = Clips(length=config.clips.length, overlap=config.clips.overlap, min_length=config.clips.min_length)
    return clips, replace(config.spectrogram, engine="auto", images=False), config.external
