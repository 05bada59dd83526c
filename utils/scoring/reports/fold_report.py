"""The contents of the report of a cross-validation: out-of-fold metrics, classes, confusion, and a chart of folds."""

from collections.abc import Mapping, Sequence

from config import Config
from utils.external.description import described_in_text
from utils.scoring.evaluation.metric_texts import unknown_notes
from utils.scoring.evaluation.out_of_fold import Spread, mean_over_models
from utils.scoring.evaluation.recordings import Evaluation, HeldOutMetrics
from utils.scoring.inference.recordings import Predictions
from utils.scoring.metrics.registry import METRICS
from utils.scoring.metrics.units import unit_word
from utils.scoring.reports.contents import shown_settings
from utils.scoring.reports.report_parts import (
    Chart,
    Line,
    Report,
    class_table,
    confusion_of,
    facts_of_rows,
    metric_rows,
    most_novel_rows,
    threshold_charts,
)

FOLD_METRICS = ("mlrap", "top1_accuracy", "macro_f1")  # of the chart of folds; the template has three kinds of lines


def fold_report(
    predictions: Predictions,
    evaluation: Evaluation,
    held_out: HeldOutMetrics,
    folds: Mapping[int, Sequence[Mapping[str, float | None]]],
    spread: Mapping[str, Spread],
    config: Config,
    *,
    title: str,
    notes: Sequence[str] = (),
) -> Report:
    """Return everything that the page of a cross-validation shows; excerpts are on the pages of the folds.

    Parameters
    ----------
    predictions, evaluation, held_out : of all folds together
    folds : for each fold, the metrics of its models by key
    spread : of each metric over folds
    notes : what the reader should know
    """
    unit = predictions.unit
    warnings = [f"{text[0].upper()}{text[1:]}." for text in (*notes, *unknown_notes(evaluation, unit))]
    return Report(
        title=title,
        facts=_facts(predictions, evaluation, folds, spread, config),
        metrics=metric_rows(held_out, None, unit),
        charts=(_fold_chart(folds), *threshold_charts(predictions, evaluation)),
        classes=class_table(held_out),
        confusion=confusion_of(predictions, evaluation),
        failures=tuple((failure.name, failure.reason) for failure in predictions.failures),
        settings=shown_settings(config),
        warnings=tuple(warnings),
        unit=unit_word(unit),
        most_novel=most_novel_rows(predictions, evaluation),
    )


def spread_text(spread: Spread) -> str:
    """Write mean and deviation of a metric for people."""
    return f"{spread.mean:.3f}" + ("" if spread.deviation is None else f" ± {spread.deviation:.3f}")


def _facts(
    predictions: Predictions,
    evaluation: Evaluation,
    folds: Mapping[int, Sequence[Mapping[str, float | None]]],
    spread: Mapping[str, Spread],
    config: Config,
) -> dict[str, str]:
    models = max(map(len, folds.values()))
    return {
        "folds": f"{len(folds)}, each predicted by "
        + ("the model that did not learn from it" if models == 1 else f"{models} models that did not learn from it"),
        **facts_of_rows(predictions, evaluation.headline, config.testing),
        "classes": f"{len(predictions.classes):,}",
        "model": config.model.name,
        **described_in_text([config.external]),
        "background species": "count as correct" if config.testing.background else "do not count",
        **{
            f"{METRICS[key].title}, mean ± deviation of folds": spread_text(spread[key])
            for key in FOLD_METRICS
            if key in spread
        },
    }


def _fold_chart(folds: Mapping[int, Sequence[Mapping[str, float | None]]]) -> Chart:
    """Return a chart of the main metrics of each fold, each the mean of its models."""
    x = tuple(float(fold) for fold in folds)
    lines = tuple(
        Line(METRICS[key].title, x, tuple(mean_over_models(key, models) for models in folds.values()))
        for key in FOLD_METRICS
    )
    return Chart("Folds", "fold", lines, note="How much the metrics depend on which recordings are held out.")
