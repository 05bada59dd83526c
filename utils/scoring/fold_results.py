"""What a cross-validation leaves: out-of-fold predictions with their metrics, a table of folds, and the ensemble."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import polars as pl

from config import Config
from utils import console
from utils.external.description import described
from utils.files import write_text
from utils.scoring.cross_validation import TestedFold, results_folder
from utils.scoring.evaluation.out_of_fold import Spread, pool_folds, spread_over_folds
from utils.scoring.evaluation.recordings import HeldOutMetrics, compute_metrics, evaluate_predictions
from utils.scoring.evaluation.result_files import read_score_plot, write_result_files
from utils.scoring.inference.ensembles import Member
from utils.scoring.inference.fingerprints import fingerprint_of_scores
from utils.scoring.inference.interval_rules import for_unit, rules_facts
from utils.scoring.inference.metadata_blend import blend_facts
from utils.scoring.inference.recordings import Predictions
from utils.scoring.metrics.bootstrap import Interval
from utils.scoring.metrics.calibration import write_calibration
from utils.scoring.metrics.registry import METRICS, value_and_ends_text
from utils.scoring.metrics.units import Unit, unit_word
from utils.scoring.reports.fold_report import fold_report, spread_text
from utils.scoring.reports.page import write_report
from utils.settings import to_toml
from utils.sound.report import is_partial
from utils.tables import write_csv

# metrics that are printed
HEADLINE = ("mlrap", "top1_accuracy", "cmap", "argmax_macro_f1", "macro_f1", "micro_f1", "row_f1")
NOT_RAISED = (
    "testing.max_false_alarms raises the thresholds of each fold's test; those of all folds together, which "
    "ensemble.toml uses, stay as they are"
)
REASONS = 3  # in a note, at most
# the metric on the recordings of a fold by which its best run is chosen, if it has several
CHOSEN_BY: Mapping[Unit, str] = {"recording": "mlrap", "interval": "cmap", "event": "argmax_macro_f1"}


@dataclass(frozen=True)
class CrossValidated:
    """The result of a cross-validation.

    Attributes
    ----------
    metrics : of the out-of-fold predictions together, by key of `registry.METRICS`
    spread : mean and deviation of each over folds
    folder : where the results are; `test/` in it is as test.py leaves it
    ensemble : path of the experiment that predicts with the best models of all folds
    failures, odd : recordings that could not be used, and those with warnings
    """

    metrics: dict[str, Interval]
    spread: dict[str, Spread]
    folder: Path
    ensemble: Path
    failures: list[console.Failure]
    odd: list[console.Failure]

    @property
    def complete(self) -> bool:
        """Whether all recordings were used, and none only in part."""
        return not (self.failures or any(is_partial(warning.reason) for warning in self.odd))


def conclude(
    tested: Sequence[TestedFold], split: pl.DataFrame, config: Config, *, models_per_fold: int = 1, seconds: float
) -> CrossValidated:
    """Join the predictions of all folds, write the results, and print the main metrics.

    Parameters
    ----------
    tested : all runs, tested on the recordings of their folds
    split : from `read_folds`
    models_per_fold : runs of each fold in the ensemble, at most: the best ones
    seconds : how long this call took until now
    """
    folder, folds = results_folder(config), _by_fold(tested)
    ensemble, members = ensemble_of(folds, config, models_per_fold=models_per_fold)
    fingerprint = fingerprint_of_scores(members, for_unit(ensemble, tested[0].predictions.unit))
    predictions = pool_folds(
        [[one.predictions for one in runs] for runs in folds.values()],
        split["recording"].to_list(),
        fingerprint=fingerprint,
    )
    evaluation = evaluate_predictions(predictions.scores, predictions, background=config.testing.background)
    made_from = f"{folder.name}, on {len(predictions.rows)} {unit_word(predictions.unit)} of {len(folds)} folds"
    held_out = compute_metrics(predictions, evaluation, config.testing, made_from=made_from)
    if config.testing.max_false_alarms is not None:
        console.warning(NOT_RAISED)
    metrics = {fold: [one.metrics for one in runs] for fold, runs in folds.items()}
    spread, notes = spread_over_folds(list(metrics.values())), _notes(split)
    summary = {**asdict(evaluation.headline), **_summary(predictions, held_out, spread, folds, split, config)}
    write_csv(folder / "folds.csv", folds_table(tested))
    write_result_files(folder / "test", predictions, evaluation, held_out, {**summary, "seconds": round(seconds, 2)})
    page = fold_report(predictions, evaluation, held_out, metrics, spread, config, title=folder.name, notes=notes)
    write_report(folder / "test" / "report.html", replace(page, score_plot=read_score_plot(folder / "test")))
    path = _write_ensemble(ensemble, held_out, folder, fingerprint)
    result = CrossValidated(held_out.metrics, spread, folder, path, predictions.failures, predictions.odd)
    _print_result(result, predictions, folds, notes, seconds=seconds)
    return result


def _by_fold(tested: Sequence[TestedFold]) -> dict[int, list[TestedFold]]:
    folds: dict[int, list[TestedFold]] = {}
    for one in tested:
        folds.setdefault(one.run.fold, []).append(one)
    return folds


def ensemble_of(
    folds: Mapping[int, Sequence[TestedFold]], config: Config, *, models_per_fold: int
) -> tuple[Config, list[Member]]:
    """Return the experiment of the ensemble: the best runs of each fold, with equal weights; and its members.

    The best runs have the highest metric (`CHOSEN_BY`) on the recordings of their fold, which are the same for all
    runs of a fold; validation recordings differ with the seed. Of equal runs, the first is taken.
    """
    chosen = [run for runs in folds.values() for run in _best_first(runs)[:models_per_fold]]
    soup = config.testing.soup  # of one run; folds have learned apart, so that their scores are averaged
    models = tuple(one.snapshot.folder if soup else one.run.config.run_folder for one in chosen)
    testing = replace(config.testing, models=models, weights=(), soup=False)
    submission = config.submission
    if submission.thresholds is None:
        submission = replace(submission, thresholds=results_folder(config) / "test" / "thresholds.json")
    ensemble = replace(config, run=f"{config.run}-ensemble", testing=testing, submission=submission)
    return ensemble, [Member(one.snapshot) for one in chosen]


def _best_first(runs: Sequence[TestedFold]) -> list[TestedFold]:
    def worth(one: TestedFold) -> float:
        value = one.metrics.get(CHOSEN_BY[one.predictions.unit])
        return -1.0 if value is None else value

    return sorted(runs, key=worth, reverse=True)


def _write_ensemble(ensemble: Config, held_out: HeldOutMetrics, folder: Path, fingerprint: str) -> Path:
    """Write the experiment of the ensemble, and the calibration to where submissions look for it."""
    if held_out.calibration:
        path = ensemble.run_folder / "test" / "calibration.json"
        write_calibration(path, replace(held_out.calibration, fingerprint=fingerprint))
    write_text(folder / "ensemble.toml", to_toml(ensemble))
    return folder / "ensemble.toml"


def folds_table(tested: Sequence[TestedFold]) -> pl.DataFrame:
    """Return one row for each run: its fold and seed, how much it was tested on, its main metrics, and its times."""
    keys = ("mlrap", "top1_accuracy", "macro_f1", "argmax_macro_f1")
    rows = [
        {
            "fold": one.run.fold,
            "seed": one.run.config.training.seed,
            "run": one.run.config.run,
            "recordings": one.predictions.rows["recording"].n_unique(),
            "rows": len(one.predictions.rows),
            **{key: one.metrics.get(key) for key in keys},
            "best_epoch": one.snapshot.epoch,
            "epochs": one.epochs,
            "training_seconds": round(one.training_seconds, 1),
            "testing_seconds": round(one.testing_seconds, 1),
        }
        for one in tested
    ]
    return pl.DataFrame(rows, schema_overrides=dict.fromkeys(keys, pl.Float64()))


def _notes(split: pl.DataFrame) -> list[str]:
    """Return a sentence about recordings that every model learned from, if there are any."""
    always = split.filter(pl.col("fold").is_null() & (pl.col("split") != "test"))
    if always.is_empty():
        return []
    reasons = ", ".join(always["reason"].unique().sort().to_list()[:REASONS])
    one = len(always) == 1
    return [
        f"{len(always):,} {'recording is' if one else 'recordings are'} in no fold and {'has' if one else 'have'} no "
        f"predictions here, because every model learned from {'it' if one else 'them'} ({reasons})"
    ]


def _summary(
    predictions: Predictions,
    held_out: HeldOutMetrics,
    spread: Mapping[str, Spread],
    folds: Mapping[int, Sequence[TestedFold]],
    split: pl.DataFrame,
    config: Config,
) -> dict[str, Any]:
    """Return what metrics.json contains, but for the headline and the time."""
    tested, bird_models = set(predictions.rows["recording"]), described([config.external])
    return {
        "metrics": {
            key: {"value": one.value, "low": one.low, "high": one.high} for key, one in held_out.metrics.items()
        },
        "folds": {key: asdict(one) for key, one in spread.items()},
        "unit": predictions.unit,
        **({"interval": config.testing.interval} if predictions.unit == "interval" else {}),
        "background": config.testing.background,
        "clips": int(predictions.clips.sum()),
        "models": [
            {"fold": fold, "snapshot": one.snapshot.folder.as_posix()} for fold, runs in folds.items() for one in runs
        ],
        **({"external": bird_models} if bird_models else {}),
        "not_predicted": int((~split.filter(pl.col("split") != "test")["recording"].is_in(list(tested))).sum()),
        "pooling": config.testing.pooling,
        **rules_facts(config.testing, predictions.unit),
        "prior": config.testing.prior and config.testing.prior.as_posix(),
        **blend_facts(config.testing),
    }


def _print_result(
    result: CrossValidated,
    predictions: Predictions,
    folds: Mapping[int, Sequence[TestedFold]],
    notes: Sequence[str],
    *,
    seconds: float,
) -> None:
    models = sum(map(len, folds.values()))
    console.show_grid(
        f"Cross-validated: {len(folds)} folds, {models} models",
        ["metric", f"all {unit_word(predictions.unit)} (95%)", "mean ± deviation of folds"],
        [
            [METRICS[key].title, value_and_ends_text(result.metrics[key]), spread_text(result.spread[key])]
            for key in HEADLINE
            if key in result.spread and key in result.metrics and result.metrics[key].value is not None
        ],
    )
    test, show = result.folder / "test", console.printable
    scored = f"{int(predictions.scored.sum()):,} of {len(predictions.rows):,} {unit_word(predictions.unit)} scored"
    training = fmean(one.training_seconds for runs in folds.values() for one in runs)
    console.show_table(
        "",
        {
            "predictions": f"{scored}, each by models that did not learn from it: {show(test / 'scores.parquet')}",
            "report": ", ".join(show(test / name) for name in ("report.html", "metrics.json", "per_class.csv")),
            "folds": show(result.folder / "folds.csv"),
            "ensemble": show(result.ensemble),
            "time": f"{console.clock(seconds)}; a training took {console.clock(training)} on average",
        },
    )
    for note in notes:
        console.warning(note)
    console.info(
        f"next: python submission_soundscape.py {show(result.ensemble)} predicts with the models of all folds; "
        f"evaluate.py --compare {show(result.folder)} OTHER-folds compares two cross-validations"
    )
    console.report_failures(result.failures, what="recordings")
    console.report_failures(result.odd, what="recordings", done="read, with a warning")
