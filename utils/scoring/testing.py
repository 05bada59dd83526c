"""The steps of test.py: select held-out recordings, compare predictions with the truth, and report the metrics."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from config import Config, Testing
from utils import console
from utils.external.description import described
from utils.models.snapshots import Snapshot, recordings_used
from utils.recordings.lengths import AFTER_END
from utils.scoring.evaluation.false_alarms import FALSE_ALARMS, FalseAlarms
from utils.scoring.evaluation.false_detections import false_detections, noise_recordings
from utils.scoring.evaluation.metric_texts import detection_rows, unknown_notes
from utils.scoring.evaluation.recordings import (
    HeadlineMetrics,
    compute_metrics,
    evaluate_predictions,
    with_noise,
)
from utils.scoring.evaluation.result_files import predictions_table, read_score_plot, write_result_files
from utils.scoring.evaluation.ridge_baseline import ridge_scores
from utils.scoring.evaluation.without_metadata import WithoutMetadata, compare_without_metadata
from utils.scoring.held_out import held_out_recordings
from utils.scoring.inference.engines import check_engine, engine_text
from utils.scoring.inference.ensembles import Member, members_at
from utils.scoring.inference.interval_rules import rules_facts, rules_text
from utils.scoring.inference.metadata_blend import blend_facts, blend_text, check_not_learned_by_classifier
from utils.scoring.inference.noise_folder import check_noise_folder, predict_noise
from utils.scoring.inference.novelty_prototypes import check_can_calibrate
from utils.scoring.inference.recordings import Predictions
from utils.scoring.inference.units import unit_of
from utils.scoring.inference.zero_scores import zero_scores_of
from utils.scoring.learned_recordings import advice_on_learned, refuse_all_data
from utils.scoring.metrics.bootstrap import Interval
from utils.scoring.metrics.registry import METRICS, value_and_ends_text, value_text
from utils.scoring.metrics.thresholds import rows_text
from utils.scoring.metrics.units import Unit, unit_word
from utils.scoring.reports.contents import report_of
from utils.scoring.reports.page import write_report
from utils.sound.report import is_partial
from utils.tables import write_csv

FEW_RECORDINGS = 10  # over fewer, the MLRAP is mostly chance
# metrics that are printed besides the MLRAP, by unit
HEADLINES: Mapping[Unit, tuple[str, ...]] = {
    "recording": (),
    "interval": ("cmap", "micro_f1", "row_f1", "macro_f1"),
    "event": ("argmax_macro_f1", "argmax_weighted_f1", "macro_f1"),
}
NOVELTY = "novelty_auroc"  # is printed, too, where there is one
NO_PRIMARY = "none (no recording has a primary label that the model knows)"


@dataclass(frozen=True)
class Tested:
    """The result of a test.

    Attributes
    ----------
    snapshot : what was tested; of several models, the first
    headline : the main metrics
    ridge : those of the ridge regression, if it was asked for
    folder : where the files of the test are
    failures : the recordings that could not be used
    odd : the recordings with warnings, such as that their end is missing
    seconds : how long this call took
    metrics : all metrics, by key of `registry.METRICS`
    unit : what a prediction was made for
    notes : what else to know, such as species that the model does not know
    interval : length of an interval, seconds
    without_metadata : what the metadata classifier brings; None if nothing is blended with it
    nothing_detected : whether the thresholds of `metrics` detect no class in any row
    false_alarms : how many there are in `testing.noise_folder`; None: it is not set
    """

    snapshot: Snapshot
    headline: HeadlineMetrics
    ridge: HeadlineMetrics | None
    folder: Path
    failures: list[console.Failure]
    odd: list[console.Failure]
    seconds: float
    metrics: Mapping[str, Interval] = field(default_factory=dict)
    unit: Unit = "recording"
    notes: tuple[str, ...] = ()
    interval: float = 0.0
    without_metadata: WithoutMetadata | None = None
    nothing_detected: bool = False
    false_alarms: FalseAlarms | None = None

    @property
    def complete(self) -> bool:
        """Whether all recordings were used, and none only in part; other warnings lose no sound."""
        left_out = any(is_partial(warning.reason) or AFTER_END in warning.reason for warning in self.odd)
        return not (self.failures or left_out)


def check_before_training(split: pl.DataFrame, config: Config) -> None:
    """Refuse settings that would end the test of the trained model hours later.

    Raises
    ------
    UserError
        If nothing is held out, the prior, the folder of noise or a model that `testing` names does not exist, or its
        engine is not installed.
    """
    refuse_all_data(config)
    recordings = held_out_recordings(split, config)
    unit_of(recordings, config)
    check_not_learned_by_classifier(recordings, config)
    settings = config.testing
    if settings.prior and not settings.prior.is_file():
        raise console.UserError(f"{settings.prior}: no such file; fix testing.prior")
    check_noise_folder(config)
    this_run = config.run_folder.resolve()  # is not trained yet
    others = [path for path in settings.models if this_run not in (path.resolve(), *path.resolve().parents)]
    members_at(others, (), which=settings.snapshot, setting="testing.models")
    check_engine(settings)
    check_can_calibrate(split, config)


def check_not_trained_on(recordings: pl.DataFrame, members: Sequence[Member], config: Config | None = None) -> None:
    """Refuse to test models on recordings that one of them was trained on, as after sorting the data set again.

    Parameters
    ----------
    config : that names the metadata classifier, which must not have learned them either; None: there is none

    Raises
    ------
    UserError
        With how many there are.
    """
    if config:
        check_not_learned_by_classifier(recordings, config)
    for snapshot in (member.snapshot for member in members):
        known = sorted(recordings_used(snapshot) & set(recordings["recording"]))
        if known:
            more = ", …" if len(known) > 1 else ""
            raise console.UserError(
                f"{snapshot.folder}: was trained on {len(known)} recordings that are now held out ({known[0]}{more}), "
                f"so that its metrics would be too good: {advice_on_learned(snapshot, models=len(members))}"
            )


def evaluate_and_report(
    predictions: Predictions, members: Sequence[Member], split: pl.DataFrame, config: Config, *, seconds: float
) -> Tested:
    """Compare predictions with the ground truth, write the report, and print the main metrics.

    Raises
    ------
    UserError
        If no recording could be scored.
    """
    folder, settings = config.run_folder / "test", config.testing
    evaluation = evaluate_predictions(predictions.scores, predictions, background=settings.background)
    if not evaluation.headline.scored:
        console.report_failures(predictions.failures, what="recordings")
        write_csv(folder / "predictions.csv", predictions_table(predictions, evaluation))
        raise console.UserError(
            f"no held-out recording could be used; see {console.printable(folder / 'predictions.csv')} for the reasons"
        )
    ridge = _ridge_metrics(predictions, split, config) if settings.ridge else None
    without_metadata = compare_without_metadata(predictions, settings)
    made_from = f"{config.run}, on {len(predictions.rows)} {unit_word(predictions.unit)}"
    held_out = compute_metrics(
        predictions,
        evaluation,
        settings,
        made_from=made_from,
        noise=predict_noise(members, split, config, predictions.unit),
    )
    noise = noise_recordings(predictions)
    if len(noise) and predictions.unit == "recording":
        held_out = with_noise(held_out, false_detections(members, noise, held_out.thresholds, config), settings)
    summary = _summary(predictions, evaluation.headline, held_out.metrics, ridge, members, config)
    summary["without_metadata"] = without_metadata and without_metadata.facts
    summary["false_alarms"] = held_out.false_alarms and held_out.false_alarms.facts
    write_result_files(
        folder, predictions, evaluation, held_out, {**summary, "seconds": round(seconds, 2), **predictions.times.facts}
    )
    plot = read_score_plot(folder)
    report = report_of(predictions, evaluation, held_out, ridge, members, config, without_metadata, score_plot=plot)
    write_report(folder / "report.html", report)
    tested = Tested(
        members[0].snapshot,
        evaluation.headline,
        ridge,
        folder,
        predictions.failures,
        predictions.odd,
        seconds,
        held_out.metrics,
        predictions.unit,
        (*unknown_notes(evaluation, predictions.unit), *(held_out.false_alarms.notes if held_out.false_alarms else ())),
        settings.interval,
        without_metadata,
        held_out.nothing_detected,
        held_out.false_alarms,
    )
    _print_tested(tested, members, predictions, settings)
    return tested


def _ridge_metrics(predictions: Predictions, split: pl.DataFrame, config: Config) -> HeadlineMetrics | None:
    if predictions.unit != "recording":
        console.warning(f"testing.ridge works for whole recordings only; left out (testing.unit = {predictions.unit})")
        return None
    scores = ridge_scores(split.filter(split="train"), predictions, config)
    return evaluate_predictions(scores, predictions, background=config.testing.background).headline


def _summary(
    predictions: Predictions,
    headline: HeadlineMetrics,
    metrics: Mapping[str, Interval],
    ridge: HeadlineMetrics | None,
    members: Sequence[Member],
    config: Config,
) -> dict[str, Any]:
    """Return what metrics.json contains, but for the time."""
    settings = config.testing
    bird_models = described(member.snapshot.config.external for member in members)
    return {
        **asdict(headline),
        "unit": predictions.unit,
        **({"interval": settings.interval} if predictions.unit == "interval" else {}),
        "metrics": {key: {"value": one.value, "low": one.low, "high": one.high} for key, one in metrics.items()},
        "background": settings.background,
        "clips": int(predictions.clips.sum()),
        "snapshot": members[0].snapshot.folder.name,
        "models": [{"snapshot": member.snapshot.folder.as_posix(), "weight": member.weight} for member in members],
        **({"external": bird_models} if bird_models else {}),
        "engine": engine_text(settings),
        "pooling": settings.pooling,
        **rules_facts(settings, predictions.unit),
        "prior": settings.prior and settings.prior.as_posix(),
        **blend_facts(settings),
        "ridge": None if ridge is None else asdict(ridge),
    }


def headline_rows(tested: Tested) -> dict[str, str]:
    """Return the main metrics of a test as rows of a table."""
    headline, ridge = tested.headline, tested.ridge
    mlrap, top1 = METRICS["mlrap"].title, METRICS["top1_accuracy"].title
    over = f"over {headline.ranked:,} of {headline.recordings:,} {unit_word(tested.unit)}"
    rows = {mlrap: f"{value_text(headline.mlrap)}, {over}"}
    if tested.unit != "interval":
        rows[top1] = value_text(headline.top1_accuracy, otherwise=NO_PRIMARY)
    shown = {key: tested.metrics[key] for key in HEADLINES[tested.unit] if key in tested.metrics}
    rows |= detection_rows(shown, tested.nothing_detected)
    if NOVELTY in tested.metrics:
        rows[METRICS[NOVELTY].title] = value_and_ends_text(tested.metrics[NOVELTY])
    if tested.false_alarms:
        rows[FALSE_ALARMS] = f"{tested.false_alarms.text}; {tested.false_alarms.recall_text}"
    if tested.without_metadata:
        rows["without metadata"] = tested.without_metadata.text
    if ridge:
        accuracy = value_text(ridge.top1_accuracy, otherwise=NO_PRIMARY)
        rows["ridge on mean spectra"] = f"{mlrap} {value_text(ridge.mlrap)}, {top1} {accuracy}"
    return rows


def _print_tested(tested: Tested, members: Sequence[Member], predictions: Predictions, settings: Testing) -> None:
    headline, unit = tested.headline, tested.unit
    recordings = {} if unit == "recording" else {"recordings": f"{predictions.rows['recording'].n_unique():,}"}
    stored = f"those of {predictions.from_store:,} of {headline.recordings:,} recordings from the store"
    size = f" of {tested.interval:g} s" if unit == "interval" else f", {int(predictions.clips.sum())} clips"
    files = ("report.html", "report.png", "predictions.csv", "scores.parquet", "metrics.json")
    console.show_table(
        "Tested",
        {
            "snapshot" if len(members) == 1 else "snapshots": ", ".join(
                console.printable(member.snapshot.folder) for member in members
            ),
            **recordings,
            unit_word(unit): f"{headline.scored} of {headline.recordings} scored{size}",
            **headline_rows(tested),
            "top-1 confidence": value_text(headline.top1_confidence),
            **rules_text(settings, unit),
            "thresholds": f"{console.printable(tested.folder / 'thresholds.json')}, chosen on "
            f"{rows_text(unit, tested.interval)}; predict.py and submissions of this run use them",
            **blend_text(settings),
            **({"embeddings": stored} if predictions.from_store else {}),
            "engine": engine_text(settings),
            **({"speed": predictions.times.text} if predictions.times.text else {}),
            "report": ", ".join(console.printable(tested.folder / name) for name in files),
            "time": console.clock(tested.seconds),
        },
    )
    if 0 < headline.ranked_recordings < FEW_RECORDINGS:
        over = f"{headline.ranked_recordings} {unit_word('recording', headline.ranked_recordings)}"
        over += "" if unit == "recording" else f" ({headline.ranked:,} {unit_word(unit, headline.ranked)})"
        console.warning(
            f"the MLRAP is the mean over only {over}, so it is mostly chance; test on {FEW_RECORDINGS} or more"
        )
    zero_scores_of(predictions.scores, predictions.recording_of_row).warn(settings)
    for note in tested.notes:
        console.warning(note)
    console.report_failures(tested.failures, what="recordings")
    console.report_failures(tested.odd, what="recordings", done="read, with a warning")
