"""The steps of `evaluate.py --folds`: which runs there are, the test of each, and the results of all folds together."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from config import Config
from utils import console
from utils.models.snapshots import Snapshot
from utils.models.training_log import read_training_log
from utils.recordings.splits import count_folds, read_split, split_of_fold
from utils.scoring.evaluation.saved_predictions import read_predictions, write_predictions
from utils.scoring.held_out import held_out_recordings
from utils.scoring.inference.ensembles import Member, chosen_members
from utils.scoring.inference.fingerprints import fingerprint_of_scores
from utils.scoring.inference.recordings import Predictions
from utils.scoring.inference.units import predict_units, unit_of
from utils.scoring.testing import (
    check_before_training,
    check_not_trained_on,
    evaluate_and_report,
)
from utils.settings_keys import settings_for_key, short_key
from utils.sound.remote import sizes_and_times, sounds_at

PARTS_VERSION = 1  # of saved predictions, and of how they are found
ALL_EPOCHS = 10**9  # no run has so many


@dataclass(frozen=True)
class FoldRun:
    """One training of a cross-validation.

    Attributes
    ----------
    fold : which is held out
    config : the settings of the run; `training.seed` is its seed
    """

    fold: int
    config: Config


@dataclass(frozen=True)
class TestedFold:
    """A run of a cross-validation, tested on the recordings of its fold.

    Attributes
    ----------
    snapshot : what was tested
    predictions : for the recordings of the fold
    metrics : of these, by key of `registry.METRICS`
    epochs, training_seconds : how long it was trained
    testing_seconds : how long the test took, also if it was not repeated by this call
    """

    __test__ = False  # not a class of tests

    run: FoldRun
    snapshot: Snapshot
    predictions: Predictions
    metrics: dict[str, float | None]
    epochs: int
    training_seconds: float
    testing_seconds: float


def results_folder(config: Config) -> Path:
    """Return the folder of all that a cross-validation leaves besides its runs.

    It is not the run's folder, in which train.py accepts no other files, and which `--fresh` removes.
    """
    return config.snapshots / f"{config.run}-folds"


def check_fold_flags(*, folds: bool, seeds: Sequence[int], models_per_fold: int) -> None:
    """Refuse flags of evaluate.py that do not go together.

    Raises
    ------
    UserError
        That names the flag.
    """
    if not folds and (seeds or models_per_fold != 1):
        flag = "--seeds" if seeds else "--models_per_fold"
        raise console.UserError(f"{flag} has no effect without --folds; add it")
    if len(set(seeds)) < len(seeds):
        raise console.UserError(f"--seeds {' '.join(map(str, seeds))}: names a seed twice; name each once")
    wrong = [seed for seed in seeds if not 0 <= seed < 2**32]
    if wrong:
        raise console.UserError(f"--seeds {wrong[0]}: should be at least 0 and below 2^32, as training.seed")
    if not 1 <= models_per_fold <= max(1, len(seeds)):
        raise console.UserError(
            f"--models_per_fold {models_per_fold}: should be at least 1, and at most the number of --seeds"
        )


def read_folds(config: Config) -> pl.DataFrame:
    """Read the split of a data set that was sorted with folds.

    Raises
    ------
    UserError
        If it has no folds, or another number of folds than `dataset.folds`.
    """
    split, path = read_split(replace(config.dataset, fold=0)), config.dataset.root / "split.parquet"
    folds, wanted = count_folds(split), config.dataset.folds
    if folds < 2:
        raise console.UserError(
            f"{path}: has no folds, which --folds needs; set dataset.folds to 2 or more (such as --dataset.folds 5), "
            "and run sort_data.py with it first"
        )
    if wanted not in (0, folds):
        raise console.UserError(
            f"{path}: has {folds} folds, but dataset.folds = {wanted}; run sort_data.py with the same experiment "
            f"again, or set dataset.folds = {folds}"
        )
    return split


def plan_runs(split: pl.DataFrame, config: Config, *, seeds: Sequence[int]) -> list[FoldRun]:
    """Return the runs of a cross-validation, fold by fold, and check what would end them hours later.

    Parameters
    ----------
    split : from `read_folds`
    seeds : each fold is trained once with each; none: with `training.seed` only

    Raises
    ------
    UserError
        If there is nothing to test on, or something that a test needs is missing.
    """
    unit = unit_of(split.filter(pl.col("fold").is_not_null() & (pl.col("split") != "test")), config)
    testing = replace(config.testing, held_out="val", unit=unit, models=(), weights=())
    runs = []
    for fold in sorted(split["fold"].drop_nulls().unique()):
        for seed in seeds or (config.training.seed,):
            name = f"{config.run}-fold{fold}" + (f"-seed{seed}" if seeds else "")
            settings = replace(
                config,
                run=name,
                dataset=replace(config.dataset, fold=fold),
                training=replace(config.training, seed=seed),
                testing=testing,
            )
            runs.append(FoldRun(fold, settings))
        check_before_training(split_of_fold(split, fold), runs[-1].config)
    return runs


@contextmanager
def naming_the_fold(run: FoldRun) -> Iterator[None]:
    """Let errors of the user, and of files and the disk, name the fold in which they occurred."""
    try:
        yield
    except OSError as error:
        if error.strerror:
            error.strerror += f" (fold {run.fold}: {run.config.run})"
        raise
    except console.UserError as error:
        raise console.UserError(
            f"fold {run.fold} ({run.config.run}): {error}; finished folds are kept, and the same command resumes"
        ) from None


def evaluate_fold(run: FoldRun, split: pl.DataFrame, config: Config) -> TestedFold:
    """Test a run on the recordings of its fold, unless the same model was tested on them with the same settings.

    Parameters
    ----------
    split : from `read_folds`
    config : of the cross-validation

    Raises
    ------
    UserError
        If the run has no snapshot, was trained on these recordings, or none of them could be used.
    """
    of_fold, settings = split_of_fold(split, run.fold), run.config
    (member,) = members = chosen_members(settings)
    recordings = held_out_recordings(of_fold, settings)
    check_not_trained_on(recordings, members, settings)
    part, key = results_folder(config) / "parts" / settings.run, _key(members, recordings, settings)
    found, tested_folder = read_predictions(part, key=key), settings.run_folder / "test"
    # recordings that could not be read are tried again; what a prior or a classifier knows may change, and the noise
    by_others = settings.testing.prior or settings.testing.metadata or settings.testing.noise_folder
    repeat = not found or found[0].failures or by_others or not (tested_folder / "metrics.json").is_file()
    if found and not repeat:
        console.info(f"{settings.run} was tested before, with the same model and settings")
    else:
        elapsed = console.stopwatch()
        with console.alone(tested_folder, "test"):
            predictions = predict_units(members, recordings, settings, unit_of(recordings, settings))
            tested = evaluate_and_report(predictions, members, of_fold, settings, seconds=elapsed())
        metrics = {name: one.value for name, one in tested.metrics.items()}
        found = predictions, write_predictions(part, predictions, key=key, metrics=metrics, seconds=elapsed())
    predictions, description = found
    rows = read_training_log(settings.run_folder / "log.csv", until=ALL_EPOCHS)
    return TestedFold(
        run,
        member.snapshot,
        predictions,
        description.metrics,
        epochs=len(rows),
        training_seconds=sum(row.seconds for row in rows),
        testing_seconds=description.seconds,
    )


def _key(members: Sequence[Member], recordings: pl.DataFrame, config: Config) -> str:
    """Return a text that changes if the model, the settings of the test, the recordings or their labels do."""
    sounds = sizes_and_times(sounds_at(config.dataset.root, recordings["file"]))
    settings = settings_for_key(config, of=("testing.",))
    content = [PARTS_VERSION, fingerprint_of_scores(members, config), settings, sounds]
    return short_key(content, text=recordings.write_ndjson())
