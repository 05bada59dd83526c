"""Which values a trial tries, and when it is stopped: Optuna's tree-structured Parzen estimator and median rule.

Optuna keeps nothing on disk: its study is made anew from the journal for each trial, and its sampler is seeded by the
trial, so that a search that was killed continues with the same trials.

Source: Akiba et al., arXiv:1907.10902; Bergstra et al., Algorithms for Hyper-Parameter Optimization (2011).
"""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from config import Tuning
from utils.console import UserError
from utils.learning.tuning.journal import Journal, Trial
from utils.learning.tuning.space import Dimension

if TYPE_CHECKING:
    import optuna

OPTUNA_STATES = {"complete": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}
LEAST_FOR_IMPORTANCE = 4  # complete trials


def check_optuna() -> None:
    """Refuse to search without Optuna.

    Raises
    ------
    UserError
        If it is not installed.
    """
    if not find_spec("optuna"):
        raise UserError("--tune: needs Optuna, which is not installed (pip install '.[tune]')")


def choose_values(journal: Journal, space: Sequence[Dimension], settings: Tuning) -> dict[str, Any]:
    """Return the values that the next trial should try, by the trials that ended."""
    study = _study_of(journal, space, settings, seed=_seed_of(settings, index=len(journal.finished)))
    trial = study.ask({dimension.name: _distribution(dimension) for dimension in space})
    return {dimension.name: _from_parameter(dimension, trial.params[dimension.name]) for dimension in space}


def stopping_rule(
    journal: Journal, space: Sequence[Dimension], settings: Tuning
) -> Callable[[Sequence[float | None]], bool]:
    """Return a function that tells by the course of a trial whether to stop it, as worse than the others' median.

    The rule asks after every step, and forgets nothing in between, so that a trial that was killed is stopped where it
    would have been.
    """
    study = _study_of(journal, space, settings, seed=0)
    trial = study.ask()
    reported = 0

    def should_stop(course: Sequence[float | None]) -> bool:
        nonlocal reported
        for step, value in enumerate(course[reported:], reported + 1):
            if value is not None:
                trial.report(value, step)
        reported = len(course)
        return settings.prune and reported > 0 and course[-1] is not None and bool(trial.should_prune())

    return should_stop


def settings_importance(journal: Journal, space: Sequence[Dimension], settings: Tuning) -> dict[str, float]:
    """Return how much of the variance of values each setting explains, the largest first; empty for few trials."""
    complete = [trial for trial in journal.trials if trial.state == "complete"]
    if len(complete) < LEAST_FOR_IMPORTANCE or len({trial.value for trial in complete}) < 2:
        return {}
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    study = _study_of(journal, space, settings, seed=0)
    found = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=settings.seed))
    return {name: float(share) for name, share in found.items()}


def _seed_of(settings: Tuning, *, index: int) -> int:
    return int(np.random.default_rng((settings.seed, index)).integers(2**31))


def _study_of(journal: Journal, space: Sequence[Dimension], settings: Tuning, *, seed: int) -> "optuna.Study":
    """Return a study in memory with the trials that ended."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        direction="minimize" if journal.smaller else "maximize",
        sampler=optuna.samplers.TPESampler(n_startup_trials=settings.random_trials, seed=seed),
        pruner=optuna.pruners.MedianPruner(
            n_startup_trials=settings.random_trials, n_warmup_steps=settings.prune_after
        ),
    )
    study.add_trials([_frozen(trial, space) for trial in journal.finished])
    return study


def _frozen(trial: Trial, space: Sequence[Dimension]) -> "optuna.trial.FrozenTrial":
    from optuna.trial import TrialState, create_trial

    return create_trial(
        state=TrialState[OPTUNA_STATES[trial.state]],
        value=trial.value if trial.state == "complete" else None,
        params={one.name: _to_parameter(one, trial.values[one.name]) for one in space},
        distributions={one.name: _distribution(one) for one in space},
        intermediate_values={step: value for step, value in enumerate(trial.course, 1) if value is not None},
    )


def _distribution(dimension: Dimension) -> "optuna.distributions.BaseDistribution":
    """Return a dimension as Optuna has it; choices are their indices, because they may be lists."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if dimension.choices:
        return CategoricalDistribution(range(len(dimension.choices)))
    if dimension.integer:
        return IntDistribution(
            int(dimension.low), int(dimension.high), log=dimension.log, step=int(dimension.step) or 1
        )
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step or None)


def _from_parameter(dimension: Dimension, parameter: Any) -> Any:
    return dimension.choices[parameter] if dimension.choices else parameter


def _to_parameter(dimension: Dimension, value: Any) -> Any:
    return dimension.choices.index(value) if dimension.choices else value
