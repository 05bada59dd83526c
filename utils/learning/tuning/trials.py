"""What a trial does, by its kind: a training, the trainings and tests of all folds, or a test of existing models."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any, Literal

import jax
import polars as pl

from config import Config, SettingsError, Tuning
from utils import console
from utils.learning.devices import is_out_of_memory
from utils.learning.epochs import TrainingFailed
from utils.learning.examples import read_examples
from utils.learning.fold_training import read_fold_examples, train_fold
from utils.learning.loop import learn
from utils.learning.noise_clips import with_noise_folder
from utils.learning.runs import open_run
from utils.learning.tuning.journal import Trial
from utils.learning.tuning.searchable import only_testing
from utils.learning.tuning.space import with_values
from utils.learning.validation import monitored_unit
from utils.models.array_trees import TooLarge
from utils.models.monitor import Monitored
from utils.models.training_log import EpochRow, best_row
from utils.recordings.splits import read_split
from utils.scoring.cross_validation import evaluate_fold, plan_runs, read_folds
from utils.scoring.evaluation.recordings import compute_metrics, evaluate_predictions
from utils.scoring.held_out import held_out_recordings
from utils.scoring.inference.ensembles import Member, chosen_members
from utils.scoring.inference.fingerprints import fingerprint_of_scores
from utils.scoring.inference.units import predict_units, unit_of
from utils.scoring.metrics.registry import METRICS
from utils.scoring.testing import check_not_trained_on
from utils.settings_keys import short_key

TrialKind = Literal["training", "folds", "testing"]
Course = Sequence[float | None]
# training.monitor as a metric of tests, by key of `registry.METRICS`
IN_TESTS = {
    "mlrap": "mlrap",
    "macro_f1": "argmax_macro_f1",
    "weighted_f1": "argmax_weighted_f1",
    "cmap": "cmap",
    "accuracy": "top1_accuracy",
}


@dataclass(frozen=True)
class Target:
    """What trials are compared by.

    Attributes
    ----------
    title : of the metric
    data : fingerprint of what it is computed on
    smaller : whether smaller values are better
    """

    title: str
    data: str
    smaller: bool = False


def kind_of(config: Config, names: Sequence[str]) -> TrialKind:
    """Return what a trial does, by the settings that are searched."""
    if only_testing(names):
        return "testing"
    return "folds" if config.tuning.folds else "training"


def target_of(config: Config, kind: TrialKind) -> Target:
    """Return what trials are compared by, after all checks that need no training.

    Raises
    ------
    UserError
        If trials could not be compared: there are no validation recordings, or no folds.
    """
    if kind == "training":
        examples, settings = with_noise_folder(read_examples(config), config), config.training
        if not len(examples.validation_rows):
            raise console.UserError(
                "there are no validation recordings, by which trials could be compared; increase "
                "training.validation_share (if there is a test/: dataset.val_share)"
            )
        unit = monitored_unit(examples, settings)
        return Target(Monitored(settings.monitor, unit).title, examples.fingerprint, settings.monitor == "loss")
    if config.training.monitor not in IN_TESTS:
        raise console.UserError(
            f"training.monitor = {config.training.monitor}: a test does not compute it, so that trials cannot be "
            f"compared by it; use {', '.join(IN_TESTS)}"
        )
    title = METRICS[IN_TESTS[config.training.monitor]].title
    if kind == "folds":
        runs = plan_runs(read_folds(config), config, seeds=())
        return Target(title, _digest([read_fold_examples(run.config).fingerprint for run in runs]))
    members, recordings = _models_and_recordings(config)
    labels = recordings.select("recording", "class", "background").write_json()
    return Target(title, _digest([fingerprint_of_scores(members, config), labels]))


def _models_and_recordings(config: Config) -> tuple[list[Member], pl.DataFrame]:
    """Return the models that a trial of kind testing tests, and the recordings, which none of them learned."""
    members, recordings = chosen_members(config), held_out_recordings(read_split(config.dataset), config)
    check_not_trained_on(recordings, members, config)
    return members, recordings


def _digest(content: Any) -> str:
    return short_key(content)


def config_of(trial: Trial, config: Config, kind: TrialKind) -> Config:
    """Return the settings of a trial.

    Raises
    ------
    SettingsError
        If its values do not go together.
    """
    with_trial = replace(with_values(config, trial.values), tuning=Tuning())
    return with_trial if kind == "testing" else replace(with_trial, run=f"{config.run}-trial-{trial.title}")


def run_trial(trial: Trial, config: Config, kind: TrialKind, should_stop: Callable[[Course], bool]) -> Trial:
    """Run a trial, or what is missing of it, and return it with its result; it failed if its settings are unusable.

    Parameters
    ----------
    config : of the search
    should_stop : tells by the course of the trial whether it is hopeless

    Raises
    ------
    UserError
        If it cannot run for another reason, so that the next trial could not either.
    """
    elapsed = console.stopwatch()
    try:
        settings = config_of(trial, config, kind)
        trial = replace(trial, run=settings.run)
        done = _RUN[kind](trial, settings, should_stop)
        return done if done.seconds else replace(done, seconds=round(elapsed(), 3))
    except (TrainingFailed, TooLarge, SettingsError) as error:
        return _failed(trial, str(error))
    except MemoryError:
        return _failed(trial, "memory does not suffice")
    except jax.errors.JaxRuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return _failed(trial, "the device's memory does not suffice; lower training.batch_size")
    except console.UserError as error:
        raise console.UserError(
            f"trial {trial.title}: {error}; finished trials are kept, and the same command resumes"
        ) from None


def _failed(trial: Trial, reason: str) -> Trial:
    return replace(trial, state="failed", value=None, reason=console.one_line(reason))


def _train(trial: Trial, config: Config, should_stop: Callable[[Course], bool]) -> Trial:
    """Train once; the value is that of the best epoch on the validation recordings."""
    pruned = False

    def keep_training(rows: Sequence[EpochRow]) -> bool:
        nonlocal pruned
        pruned = bool(rows) and should_stop(_course(rows))
        return not pruned

    examples = with_noise_folder(read_examples(config), config)
    with console.alone(config.snapshots, f"training of {config.run}"):
        open_run(config, fresh=False)
        rows = learn(examples, config, keep_training=keep_training)
    best, course = best_row(rows), _course(rows)
    value = _finite(best.chosen_by.value) if best else None
    if best is None or value is None:
        return _failed(replace(trial, course=course), f"training.monitor = {config.training.monitor} is not defined")
    return replace(
        trial,
        state="pruned" if pruned else "complete",
        value=value,
        course=course,
        epoch=best.epoch,
        seconds=round(sum(row.seconds for row in rows), 3),
    )


def _course(rows: Sequence[EpochRow]) -> tuple[float | None, ...]:
    return tuple(_finite(row.chosen_by.value) for row in rows)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _cross_validate(trial: Trial, config: Config, should_stop: Callable[[Course], bool]) -> Trial:
    """Train and test every fold; the value is the mean of the metric on the recordings of the folds."""
    split, values = read_folds(config), list[float]()
    course, seconds = list[float](), 0.0
    for run in plan_runs(split, config, seeds=()):
        if course and should_stop(course):
            return replace(trial, state="pruned", value=course[-1], course=tuple(course), seconds=round(seconds, 3))
        train_fold(run, fresh=False)
        tested = evaluate_fold(run, split, config)
        value = _finite(tested.metrics.get(IN_TESTS[config.training.monitor]))
        if value is None:
            return _failed(trial, f"training.monitor = {config.training.monitor} is not defined for fold {run.fold}")
        values.append(value)
        course.append(fmean(values))
        seconds += tested.training_seconds
    return replace(trial, state="complete", value=course[-1], course=tuple(course), seconds=round(seconds, 3))


def _test(trial: Trial, config: Config, _: Callable[[Course], bool]) -> Trial:
    """Test existing models on val/; no file is written."""
    members, recordings = _models_and_recordings(config)
    predictions = predict_units(members, recordings, config, unit_of(recordings, config), what=f"trial {trial.title}")
    evaluation = evaluate_predictions(predictions.scores, predictions, background=config.testing.background)
    found = compute_metrics(predictions, evaluation, config.testing, made_from=config.run).metrics
    key = IN_TESTS[config.training.monitor]
    value = _finite(found[key].value) if key in found else None
    if value is None:
        return _failed(trial, f"{METRICS[key].title} is not defined for these recordings")
    return replace(trial, state="complete", value=value, course=(value,))


_RUN: dict[TrialKind, Callable[[Trial, Config, Callable[[Course], bool]], Trial]] = {
    "training": _train,
    "folds": _cross_validate,
    "testing": _test,
}
