"""What a search leaves: trials.csv, tuning.png, and best.toml, the experiment that trains as the best trial did."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from config import Config, Tuning
from utils import console
from utils.files import write_text
from utils.learning.tuning.journal import Journal, Trial
from utils.learning.tuning.space import Dimension, with_values
from utils.learning.tuning.study import settings_importance
from utils.learning.tuning.tuning_plot import draw_search
from utils.settings import to_toml
from utils.tables import write_csv


def write_results(
    journal: Journal, space: Sequence[Dimension], config: Config, folder: Path, *, testing: bool
) -> Path | None:
    """Write all results of the trials so far.

    Parameters
    ----------
    testing : whether trials test existing models and train none

    Returns
    -------
    The path of best.toml; None while there is no complete trial.
    """
    write_csv(folder / "trials.csv", trials_table(journal, space))
    draw_search(
        folder / "tuning.png", journal, space, settings_importance(journal, space, config.tuning), title=config.run
    )
    best = journal.best
    if best is None:
        return None
    experiment = replace(with_values(config, best.values), tuning=Tuning())
    if testing:  # the models stay; what was chosen on val/ is tested on test/, if there is one
        experiment = replace(experiment, testing=replace(experiment.testing, held_out="auto"))
    else:
        experiment = replace(experiment, run=f"{config.run}-best")
    write_text(folder / "best.toml", to_toml(experiment))
    return folder / "best.toml"


def trials_table(journal: Journal, space: Sequence[Dimension]) -> pl.DataFrame:
    """Return one row for each trial that ended: its result, and a column for each setting."""
    rows = [
        {
            "trial": trial.title,
            "state": trial.state,
            "value": trial.value,
            "epoch": trial.epoch,
            "steps": len(trial.course),
            "seconds": trial.seconds,
            "run": trial.run,
            "reason": trial.reason if trial.repeats is None else f"the same values as trial {trial.repeats + 1:03d}",
            **{one.name: _cell(trial.values[one.name]) for one in space},
        }
        for trial in journal.finished
    ]
    kinds = {"value": pl.Float64(), "epoch": pl.Int64(), "seconds": pl.Float64()}
    return pl.DataFrame(rows, schema_overrides=kinds, infer_schema_length=None)


def _cell(value: object) -> object:
    return json.dumps(value) if isinstance(value, list) else value


def values_text(trial: Trial) -> str:
    """Write the values of a trial for people."""
    return ", ".join(f"{name} = {_value_text(value)}" for name, value in trial.values.items())


def _value_text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else json.dumps(value)


def report_trial(trial: Trial, *, of: int, best: Trial | None = None) -> None:
    """Print a line about a trial that starts, or, with the best one so far, about one that ended."""
    if trial.state == "running":
        console.info(f"trial {trial.title} of {of:03d}: {values_text(trial)}")
        return
    so_far = "" if best is None or best.value is None else f"; best so far {best.value:.4f} in trial {best.title}"
    if trial.state == "failed":
        console.warning(f"trial {trial.title} failed: {trial.reason}{so_far}")
        return
    how = "is stopped early" if trial.state == "pruned" else "ended"
    repeated = "" if trial.repeats is None else f", the same values as trial {trial.repeats + 1:03d}"
    console.info(f"trial {trial.title} {how} with {trial.value:.4f}{repeated}{so_far}")


def print_result(journal: Journal, best: Trial, config: Config, folder: Path, *, seconds: float) -> None:
    """Print the best trial, where the results are, and the next commands."""
    counts = {
        state: sum(trial.state == state for trial in journal.finished) for state in ("complete", "pruned", "failed")
    }
    show, trained = console.printable, best.run != config.run
    final = f"python train.py {show(folder / 'best.toml')} --run {config.run}-final --training.all_data"
    epochs = f" --training.epochs {best.epoch}" if best.epoch else ""
    console.show_table(
        f"Tuned: {journal.metric}",
        {
            "trials": ", ".join(f"{count} {state}" for state, count in counts.items() if count),
            "best": f"{best.value:.4f}, trial {best.title}" + (f", epoch {best.epoch}" if best.epoch else ""),
            **{name: _value_text(value) for name, value in best.values.items()},
            "trials and plot": f"{show(folder / 'trials.csv')}, {show(folder / 'tuning.png')}",
            "experiment": show(folder / "best.toml"),
            "time": console.clock(seconds),
            "next": f"python {'evaluate.py' if trained else 'test.py'} {show(folder / 'best.toml')}"
            + (" --folds" if config.tuning.folds else ""),
            **({"final training": f"{final}{epochs}"} if trained else {}),
        },
    )
    failures = [console.Failure(f"trial {trial.title}", trial.reason) for trial in journal.failed]
    console.report_failures(failures, what="trials", done="failed")
