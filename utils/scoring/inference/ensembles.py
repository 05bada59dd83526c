"""Nets that answer together: which they are, which of them hear the same pictures, and how their scores become one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, Float32, UInt8

from config import Clips, Config, Spectrogram, Testing, deciding
from utils import console
from utils.models.snapshots import Snapshot, find, find_at, load_network
from utils.recordings.recording import NOISE
from utils.scoring.inference.predictors import chosen_predictor, scores_of

SEES = ("spectrogram.",)  # settings that a snapshot brings back
NAMED = 3  # classes that a warning names

Pixels = UInt8[np.ndarray, "clips height width"]


@dataclass(frozen=True)
class Model:
    """A snapshot, and how much its scores count."""

    snapshot: Snapshot
    weight: float = 1.0


def chosen_models(config: Config) -> list[Model]:
    """Return the snapshots that `testing.models` names, or, where it names none, the one of the run that `testing.snapshot` names.

    Raises
    ------
    UserError
        If one is not there.
    """
    settings = config.testing
    if settings.models:
        models = models_at(settings.models, settings.weights, which=settings.snapshot, setting="testing.models")
    else:
        snapshot = find(config.run_folder, settings.snapshot)
        if not snapshot:
            raise console.UserError(f"{config.run_folder}: no snapshot; run train.py with the same experiment first")
        models = [Model(snapshot)]
    _say_ignored(models, config)
    return models


def _say_ignored(models: Sequence[Model], config: Config) -> None:
    """Warn of settings of spectrograms that somebody made, and that count for no model: each brings its own back."""
    own, usual = deciding(config, of=SEES), deciding(Config(), of=SEES)
    theirs = [deciding(model.snapshot.config, of=SEES) for model in models]
    ignored = [
        name
        for name, value in own.items()
        if value != usual.get(name) and all(value != their.get(name) for their in theirs)
    ]
    if ignored:
        are, kept = "is" if len(ignored) == 1 else "are", console.shown(models[0].snapshot.folder / "settings.toml")
        console.warn(f"{', '.join(ignored)} {are} ignored: recordings are heard as the model was trained ({kept})")


def models_at(
    paths: Sequence[Path], weights: Sequence[float], *, which: Literal["best", "latest"], setting: str
) -> list[Model]:
    """Return the snapshots at some paths; `setting` is what names them.

    Parameters
    ----------
    weights : one for each; none: all count alike

    Raises
    ------
    UserError
        If one is not there.
    """
    models = []
    for path, weight in zip(paths, weights or (1.0,) * len(paths), strict=True):
        snapshot = find_at(path, which)
        if not snapshot:
            raise console.UserError(f"{path}: neither a snapshot nor the folder of a run with one; mend {setting}")
        models.append(Model(snapshot, weight))
    return models


def logits_of(snapshot: Snapshot, settings: Testing) -> Callable[[Pixels], Float[np.ndarray, "clips classes"]]:
    """Return what answers for a snapshot: the one place where its net is loaded and what runs it is chosen."""
    graph, net = load_network(snapshot)
    return partial(chosen_predictor(graph, net, shape=snapshot.config.spectrogram.shape, settings=settings), net)


@dataclass(frozen=True)
class Listener:
    """Models that hear the same clips as the same pictures; recordings are heard once for all of them.

    Attributes
    ----------
    clips, spectrogram : how it hears
    models : of the ensemble
    classes : what any of its models answers, sorted; perhaps 'Noise'
    weights : of each class, the weights of the models that know it
    """

    clips: Clips
    spectrogram: Spectrogram
    models: tuple[Model, ...]
    classes: tuple[str, ...]
    weights: Float[np.ndarray, " classes"]

    def scorer(self, settings: Testing) -> Callable[[Pixels], Float32[np.ndarray, "clips classes"]]:
        """Load the nets and return a function from pictures to the mean scores of the models that know each class.

        'Noise' gets the lowest score of its clip (BASELINE, Testing), so that pooling does not see it.

        Raises
        ------
        UserError
            If a net cannot be read; the function, if one answers what is no number.
        """
        nets = [logits_of(model.snapshot, settings) for model in self.models]
        places = [np.searchsorted(self.classes, model.snapshot.classes) for model in self.models]

        def scores(pixels: Pixels) -> Float32[np.ndarray, "clips classes"]:
            total = np.zeros((len(pixels), len(self.classes)))
            for model, net, place in zip(self.models, nets, places, strict=True):
                total[:, place] += model.weight * scores_of(
                    _finite(net(pixels), model.snapshot), model.snapshot.config.training.loss
                )
            means = (total / self.weights).astype(np.float32)
            if NOISE in self.classes:
                means[:, self.classes.index(NOISE)] = means.min(axis=1)
            return means

        return scores


def _finite(logits: Float[np.ndarray, "clips classes"], snapshot: Snapshot) -> Float[np.ndarray, "clips classes"]:
    if not np.isfinite(logits).all():
        raise console.UserError(f"{snapshot.folder}: the net answers what is no number; it is damaged")
    return logits


@dataclass(frozen=True)
class Ensemble:
    """One model or several that answer together.

    The scores of models that hear the same pictures are averaged clip by clip and then pooled, as the 2018 baseline
    did. Models that hear other clips, or see them otherwise, are pooled first, and then averaged: their clips do not
    stand side by side.

    Attributes
    ----------
    listeners : the models by what they hear
    classes : what any model answers, sorted, without 'Noise'
    """

    listeners: tuple[Listener, ...]
    classes: tuple[str, ...]

    @property
    def models(self) -> tuple[Model, ...]:
        """All models."""
        return tuple(model for listener in self.listeners for model in listener.models)

    def spread(
        self, scores: Float[np.ndarray, "rows classes"], listener: Listener
    ) -> Float[np.ndarray, "rows all_classes"]:
        """Put a listener's scores under the classes of the ensemble; NaN for those that it does not know."""
        wide = np.full((len(scores), len(self.classes)), np.nan, scores.dtype)
        birds = [number for number, label in enumerate(listener.classes) if label != NOISE]
        wide[:, [self.classes.index(listener.classes[number]) for number in birds]] = scores[:, birds]
        return wide

    def join(self, pooled: Sequence[Float[np.ndarray, "rows _"]]) -> Float[np.ndarray, "rows all_classes"]:
        """Average pooled scores, one table a listener: each class over the models that know it, by their weights."""
        total = np.zeros((len(pooled[0]), len(self.classes)))
        weights = np.zeros(len(self.classes))
        for listener, scores in zip(self.listeners, pooled, strict=True):
            weight = self.spread(listener.weights[None], listener)[0]
            known = ~np.isnan(weight)
            total[:, known] += weight[known] * self.spread(scores, listener)[:, known]
            weights[known] += weight[known]
        return total / weights


def assemble(models: Sequence[Model]) -> Ensemble:
    """Put models together; warn, in one line, of classes that not all of them know."""
    hearing: dict[tuple[Clips, Spectrogram], list[Model]] = {}
    for model in models:
        hearing.setdefault(_hears(model.snapshot.config), []).append(model)
    listeners = tuple(_listener(clips, spectrogram, own) for (clips, spectrogram), own in hearing.items())
    classes = sorted({label for listener in listeners for label in listener.classes} - {NOISE})
    partly = [label for label in classes if not all(label in model.snapshot.classes for model in models)]
    if partly:
        names = f"{', '.join(partly[:NAMED])}{', …' if len(partly) > NAMED else ''}"
        console.warn(
            f"{len(partly)} of {len(classes)} classes are not known to all {len(models)} models ({names}); their scores are means of those that know them"
        )
    return Ensemble(listeners, tuple(classes))


def _listener(clips: Clips, spectrogram: Spectrogram, models: Sequence[Model]) -> Listener:
    classes = tuple(sorted({label for model in models for label in model.snapshot.classes}))
    weights = [sum(model.weight for model in models if label in model.snapshot.classes) for label in classes]
    return Listener(clips, spectrogram, tuple(models), classes, np.array(weights))


def _hears(config: Config) -> tuple[Clips, Spectrogram]:
    """Return the settings that decide what the pictures of a test are; the others as by default."""
    clips = Clips(length=config.clips.length, overlap=config.clips.overlap, min_length=config.clips.min_length)
    return clips, replace(config.spectrogram, engine="auto", pictures=False)
