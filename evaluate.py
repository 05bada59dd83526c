"""Train a network, test it, and report how good it is (train.py and test.py in one); cross-validate; tune; compare.

    python evaluate.py experiments/demo.toml
    python evaluate.py experiments/mine.toml --folds
    python evaluate.py experiments/mine.toml --folds --seeds 1 2 3
    python evaluate.py experiments/mine.toml --tune 30
    python evaluate.py --compare snapshots/one snapshots/other

`--folds` trains and tests every fold of a data set that was sorted with `dataset.folds`. `snapshots/<run>-folds/` then
has the predictions for every recording by the models that did not learn from it, with their metrics, thresholds and
report, and ensemble.toml, an experiment that predicts with the models of all folds. The same command resumes.

`--tune` searches the settings of `tuning.space` by so many trials: trainings that are compared by their best epoch on
the validation recordings. `snapshots/<run>-tuning/` then has trials.csv, tuning.png, and best.toml, an experiment that
trains as the best trial did. The same command resumes; with a larger number it adds trials.

Source: evaluate.py of the 2018 BirdCLEF baseline.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import test
import train
from config import Config
from utils import console

if TYPE_CHECKING:
    from utils.learning.tuning.search import Tuned
    from utils.scoring.comparison import Comparison
    from utils.scoring.fold_results import CrossValidated
    from utils.scoring.testing import Tested


@dataclass(frozen=True)
class Flags(train.Flags):
    """Flags of a single call, which are never saved with the settings."""

    # only compare these runs (two folders or more) on the recordings that all of them predicted
    compare: tuple[Path, ...] = ()
    # train and test every fold of the data set (dataset.folds), and report on all recordings together
    folds: bool = False
    # with --folds: train every fold once with each of these values of training.seed
    seeds: tuple[int, ...] = ()
    # with --folds and --seeds: how many models of each fold, the best ones, ensemble.toml names
    models_per_fold: int = 1
    # number of trials, in all, of a search over the settings of tuning.space; 0: off
    tune: int = 0


@dataclass(frozen=True)
class EvaluatedRun:
    """The headline metrics of a run.

    Attributes
    ----------
    mlrap : mean label-ranking average precision on the held-out recordings; None if there was nothing to evaluate
    top1_accuracy : share of the recordings whose top prediction is their primary label
    ridge_mlrap : MLRAP of ridge regression on mean spectra, if `testing.ridge` is on
    snapshot, log, report : their paths
    seconds : time of each stage
    complete : whether all held-out recordings could be read to their end
    """

    mlrap: float | None
    top1_accuracy: float | None
    ridge_mlrap: float | None
    snapshot: Path
    log: Path
    report: Path
    seconds: dict[str, float]
    complete: bool = True


def main(config: Config, flags: Flags = Flags()) -> "EvaluatedRun | CrossValidated | Tuned | Comparison":
    """Train and test the run `config.run`, or each of its folds, and print the summary; or tune it; or compare runs."""
    from utils.external.settings import with_external_model
    from utils.learning.tuning.search import check_tuning_flags, search_settings
    from utils.scoring.comparison import compare_runs
    from utils.scoring.cross_validation import check_fold_flags

    check_tuning_flags(trials=flags.tune, folds=flags.folds, compare=bool(flags.compare))
    if flags.compare:
        return compare_runs(flags.compare)
    check_fold_flags(folds=flags.folds, seeds=flags.seeds, models_per_fold=flags.models_per_fold)
    if flags.tune:
        return search_settings(with_external_model(config), trials=flags.tune, fresh=flags.fresh)
    if flags.folds:
        return cross_validate(with_external_model(config), flags)
    return train_and_test(config, flags)


def train_and_test(config: Config, flags: Flags) -> EvaluatedRun:
    """Train and test the run `config.run`, and print the summary."""
    from utils.recordings.splits import read_split
    from utils.scoring.testing import check_before_training
    from utils.timings import times

    check_before_training(read_split(config.dataset), config)
    trained = train.main(config, train.Flags(fresh=flags.fresh))
    tested = test.main(config)
    seconds = {**times(config.dataset.root), "train": trained.seconds, "test": tested.seconds}
    evaluated = EvaluatedRun(
        mlrap=tested.headline.mlrap,
        top1_accuracy=tested.headline.top1_accuracy,
        ridge_mlrap=tested.ridge.mlrap if tested.ridge else None,
        snapshot=tested.snapshot.folder,
        log=trained.folder / "log.csv",
        report=tested.folder / "report.html",
        seconds=seconds,
        complete=tested.complete,
    )
    print_summary(evaluated, tested)
    return evaluated


def cross_validate(config: Config, flags: Flags) -> "CrossValidated":
    """Train and test every fold, with every seed, and report on the predictions for all recordings together."""
    from utils.files import write_text
    from utils.learning.devices import request_determinism
    from utils.learning.fold_training import train_fold
    from utils.learning.runs import refuse_teachers
    from utils.scoring.cross_validation import evaluate_fold, naming_the_fold, plan_runs, read_folds, results_folder
    from utils.scoring.fold_results import conclude
    from utils.settings import to_toml

    elapsed = console.stopwatch()
    refuse_teachers(config)
    request_determinism(config.training)
    split = read_folds(config)
    runs = plan_runs(split, config, seeds=flags.seeds)
    with console.alone(config.snapshots, f"cross-validation of {config.run}"):
        write_text(results_folder(config) / "settings.toml", to_toml(config))
        tested = []
        for count, run in enumerate(runs, 1):
            console.info(f"fold {run.fold}: {run.config.run}, training {count} of {len(runs)}")
            with naming_the_fold(run):
                train_fold(run, fresh=flags.fresh)
                tested.append(evaluate_fold(run, split, config))
        return conclude(tested, split, config, models_per_fold=flags.models_per_fold, seconds=elapsed())


def print_summary(evaluated: EvaluatedRun, tested: "Tested") -> None:
    """Print the metrics, the time of each stage, and the paths of the results."""
    from utils.scoring.testing import headline_rows

    console.show_table(
        "Evaluated",
        {
            **headline_rows(tested),
            "time": ", ".join(f"{stage} {console.clock(seconds)}" for stage, seconds in evaluated.seconds.items()),
            "snapshot": console.printable(evaluated.snapshot),
            "log": console.printable(evaluated.log),
            "report": console.printable(evaluated.report),
        },
    )


if __name__ == "__main__":
    sys.exit(console.run(main, doc=__doc__, flags=Flags, complete=lambda done: getattr(done, "complete", True)))
