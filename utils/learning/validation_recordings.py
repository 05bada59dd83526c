"""Which recordings of train/ are set apart for validation.

Recordings with a class are drawn class by class. Long recordings, which only events label, are drawn whole and by their
events: about `training.validation_share` of the events, with as many species as possible, while every class keeps clips
to learn from.
"""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from config import Config
from utils.console import warning
from utils.recordings.grouping import Groups
from utils.recordings.recording import Event, Recording
from utils.recordings.splits import draw_names, quotas
from utils.recordings.splitting import assign_splits

LEAST_RECORDINGS = 3  # of a class, or of all long ones; of fewer, none is set apart
MOST_FOLDS = 50  # the smallest share of long recordings is a fiftieth: more folds take long
NEAR = (0.5, 1.5)  # a fold has about the wanted number of events if its number is within these multiples of it


def choose_validation_recordings(split: pl.DataFrame, learnable: pl.DataFrame, config: Config) -> set[str]:
    """Return the recordings for validation: val/ if there is also test/, else `validation_share` of train/.

    Recordings that the model will be tested on (`testing.held_out = val`, as with folds) are not for validation. With
    `training.all_data`, none are.

    Parameters
    ----------
    learnable : recording and class of every clip that could be learned from, if no recording were set apart
    """
    if config.training.all_data:
        return set()
    if {"val", "test"} <= set(split["split"]) and config.testing.held_out != "val":
        return set(split.filter(split="val")["recording"])
    train, settings = split.filter(split="train"), config.training
    long = train.filter((pl.col("class") == "") & (pl.col("events").list.len() > 0))
    classes = train.group_by("class", maintain_order=True).agg("recording")
    counts = quotas(
        classes["recording"].list.len().to_list(),
        share=settings.validation_share,
        least=LEAST_RECORDINGS,
        seed=settings.seed,
    )
    drawn = (
        draw_names(names, count, seed=settings.seed, label=label)
        for (label, names), count in zip(classes.iter_rows(), counts, strict=True)
        if label or long.is_empty()
    )
    return set().union(*drawn, _draw_long(long, learnable, config))


def _draw_long(long: pl.DataFrame, learnable: pl.DataFrame, config: Config) -> set[str]:
    """Draw long recordings: whole groups of the split, or single recordings if groups are too few or too large."""
    if long.is_empty() or not config.training.validation_share:
        return set()
    recordings = [
        Recording(
            name, Path(), "", events=tuple(Event(event["start"], event["end"], event["species"]) for event in events)
        )
        for name, events in long.select("recording", "events").iter_rows()
    ]
    reason = f"at least {LEAST_RECORDINGS} are needed"
    if len(long) >= LEAST_RECORDINGS:
        reason = "each is the only one with clips of some species"
        for groups in (long["group"].fill_null(long["recording"]), long["recording"]):
            drawn = _keep_all_classes(_draw_by_events(recordings, groups, config), learnable)
            if drawn:
                return drawn
    warning(
        f"no long recording of train/ is set apart for validation ({len(long)} in all: {reason}); without other "
        "validation recordings, the last epoch counts as the best, and training does not stop early; add recordings"
    )
    return set()


def _draw_by_events(recordings: list[Recording], groups: pl.Series, config: Config) -> set[str]:
    """Divide groups into folds that are balanced by species; return the folds that add the most species."""
    names, index = np.unique(np.array(groups.to_list()), return_inverse=True)
    share, seed = config.training.validation_share, config.training.seed
    folds = min(max(round(1 / share), 2), MOST_FOLDS, len(names))
    if folds < 2:
        return set()
    settings = replace(config.dataset, split="recordings", folds=folds, fold=0, test_share=0.0, seed=seed)
    assignments = assign_splits(recordings, Groups(index.astype(np.int64), names.tolist()), settings)
    of_fold: dict[int, list[Recording]] = {}
    for recording, assignment in zip(recordings, assignments, strict=True):
        if assignment.fold is not None:
            of_fold.setdefault(assignment.fold, []).append(recording)
    order = np.random.default_rng((seed, 4)).permutation(sorted(of_fold)).tolist()  # of folds that are equally good
    species = {fold: [event.species for recording in of_fold[fold] for event in recording.events] for fold in order}
    chosen = _choose_folds(species, wanted=share * sum(len(recording.events) for recording in recordings))
    return {recording.name for fold in chosen for recording in of_fold[fold]}


def _choose_folds(species: dict[int, list[str]], *, wanted: float) -> list[int]:
    """Choose about as many folds as give the wanted number of events, each for the species that it adds.

    Parameters
    ----------
    species : of the events of each fold
    """
    chosen, found = list[int](), set[str]()
    events = sum(map(len, species.values()))  # fewer than of all recordings: some have to stay in train/
    count = min(max(round(wanted * len(species) / max(events, 1)), 1), max(len(species) // 2, 1))
    for _ in range(count if species else 0):
        near = {fold: NEAR[0] * wanted <= len(labels) * count <= NEAR[1] * wanted for fold, labels in species.items()}
        rest = [fold for fold in species if fold not in chosen]
        chosen.append(max(rest, key=lambda fold: (near[fold], len({*species[fold]} - found))))
        found.update(species[chosen[-1]])
    return chosen


def _keep_all_classes(drawn: set[str], learnable: pl.DataFrame) -> set[str]:
    """Return the draw without the recordings, the smallest first, that a class needs to have clips to learn from."""
    clips = Counter(learnable["recording"].to_list())
    by_class = learnable.group_by("class").agg(pl.col("recording").unique()).sort("class")
    for _, names in by_class.iter_rows():
        if drawn.issuperset(names):
            drawn = drawn - {min(names, key=lambda name: (clips[name], name))}
    return drawn
