"""The contents of the report of a test: metrics, tables and charts, and excerpts of notable recordings."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import tomli_w

from config import Config
from utils import console
from utils.external.description import described_in_text
from utils.models.training_log import best_row, read_training_log
from utils.recordings.recording import read_metadata
from utils.scoring.evaluation.false_alarms import FALSE_ALARMS, FalseAlarms
from utils.scoring.evaluation.metric_texts import unknown_notes
from utils.scoring.evaluation.recordings import Evaluation, HeadlineMetrics, HeldOutMetrics
from utils.scoring.evaluation.without_metadata import WithoutMetadata
from utils.scoring.inference.ensembles import Member
from utils.scoring.inference.recordings import Predictions, predict_recordings
from utils.scoring.metrics.units import unit_word
from utils.scoring.reports.distillation_table import HEADINGS, read_table_of, row_texts
from utils.scoring.reports.excerpts import make_excerpt, make_row_excerpt
from utils.scoring.reports.notable_recordings import choose_notable
from utils.scoring.reports.report_parts import (
    Chart,
    Excerpt,
    Gallery,
    Line,
    Report,
    class_table,
    confusion_of,
    facts_of_rows,
    metric_rows,
    most_novel_rows,
    threshold_charts,
)
from utils.settings import to_toml
from utils.sound.remote import local_copy, sound_at
from utils.spectra.decode import AudioError

ALL_EPOCHS = 10**9  # no run has so many
SHOWN_SETTINGS = ("clips", "spectrogram", "external", "augmentation", "model", "training", "testing")
PRIVATE_SETTINGS = ("images", "pretrained")  # of training: paths on the user's machine
# by section, with a bird model, whose file the facts name
PRIVATE_OF_EXTERNAL: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"external": ("file", "labels"), "model": ("weights",)}
)
GALLERIES = {
    "best": (
        "Best",
        "The highest LRAP, different species first; if equal, those whose correct class leads by the most.",
    ),
    "worst": (
        "Worst",
        "The lowest LRAP; if equal, those whose correct class is furthest behind the top prediction.",
    ),
    "surprising": (
        "Most surprising",
        "Confident and wrong: the top prediction is wrong, and its score exceeds that of every correct class "
        "by the most.",
    ),
}


def report_of(
    predictions: Predictions,
    evaluation: Evaluation,
    held_out: HeldOutMetrics,
    ridge: HeadlineMetrics | None,
    members: Sequence[Member],
    config: Config,
    without_metadata: WithoutMetadata | None = None,
    *,
    score_plot: bytes = b"",
) -> Report:
    """Return everything that the page shows; the clips of notable recordings are scored again.

    Parameters
    ----------
    ridge : metrics of the baseline, if it was asked for
    score_plot : histograms of scores, a PNG; b'' if there are none
    members : what was tested. For an ensemble, there are no learning curves, and the settings are those of the first
        member
    without_metadata : what the metadata classifier brings, if there is one
    """
    unit = predictions.unit
    return Report(
        title=config.run,
        facts=_facts(predictions, evaluation.headline, members, config, held_out.false_alarms),
        metrics=metric_rows(held_out, ridge, unit, without_metadata),
        charts=(*curves_of(members), *threshold_charts(predictions, evaluation)),
        classes=class_table(held_out),
        confusion=confusion_of(predictions, evaluation),
        galleries=galleries(predictions, evaluation, members, config),
        failures=tuple((failure.name, failure.reason) for failure in predictions.failures),
        settings=shown_settings(members[0].snapshot.config),
        warnings=tuple(
            f"{text[0].upper()}{text[1:]}."
            for text in (
                *unknown_notes(evaluation, unit),
                *(held_out.false_alarms.notes if held_out.false_alarms else ()),
            )
        ),
        networks=networks_of(config),
        unit=unit_word(unit),
        most_novel=most_novel_rows(predictions, evaluation),
        score_plot=score_plot,
    )


def _facts(
    predictions: Predictions,
    headline: HeadlineMetrics,
    members: Sequence[Member],
    config: Config,
    false_alarms: FalseAlarms | None,
) -> dict[str, str]:
    snapshots = [member.snapshot for member in members]
    return {
        **facts_of_rows(predictions, headline, config.testing),
        "clips": f"{int(predictions.clips.sum()):,}",
        "classes": f"{len(predictions.classes):,}",
        "model" if len(members) == 1 else "models": "; ".join(
            f"{snapshot.config.model.name}, {snapshot.folder.name}" for snapshot in snapshots
        ),
        **described_in_text(snapshot.config.external for snapshot in snapshots),
        "background species": "count as correct" if config.testing.background else "do not count",
        **({FALSE_ALARMS: false_alarms.text, "recall": false_alarms.recall_text} if false_alarms else {}),
    }


def curves_of(members: Sequence[Member]) -> list[Chart]:
    """Return the learning curves of the model that was tested, whichever run it is from; none for an ensemble."""
    return learning_charts(members[0].snapshot.folder.resolve().parent / "log.csv") if len(members) == 1 else []


def learning_charts(log: Path) -> list[Chart]:
    """Return the learning curves of a run, losses and metrics; none if the run has no log."""
    rows = read_training_log(log, until=ALL_EPOCHS)
    if not rows:
        return []
    epochs, best = tuple(float(row.epoch) for row in rows), best_row(rows)
    mark, mark_text = (float(best.epoch), "best epoch") if best else (None, "")

    def line(name: str, column: str) -> Line:
        return Line(name, epochs, tuple(getattr(row, column) for row in rows))

    losses = (line("training", "loss"), line("validation", "validation_loss"))
    metrics = (
        line("accuracy, training", "accuracy"),
        line("accuracy, validation", "validation_accuracy"),
        Line(f"{rows[-1].shown.title}, validation", epochs, tuple(row.shown.value for row in rows)),
    )
    return [
        Chart("Loss", "epoch", losses, ends=None, mark=mark, mark_text=mark_text),
        Chart("Metrics during training", "epoch", metrics, mark=mark, mark_text=mark_text),
    ]


def networks_of(config: Config) -> tuple[tuple[str, ...], ...]:
    """Return the table of a distillation, headings first; empty if the run is not a distillation."""
    rows = read_table_of(config)
    return (HEADINGS, *(tuple(row_texts(row)) for row in rows)) if rows else ()


def shown_settings(config: Config) -> str:
    """Return the settings that the metrics depend on, as TOML."""
    tree = tomllib.loads(to_toml(config))
    tree["training"] = {key: value for key, value in tree["training"].items() if key not in PRIVATE_SETTINGS}
    if not config.external.sha256:
        return tomli_w.dumps({name: tree[name] for name in SHOWN_SETTINGS if name != "external"})
    for name, private in PRIVATE_OF_EXTERNAL.items():
        tree[name] = {key: value for key, value in tree[name].items() if key not in private}
    return tomli_w.dumps({name: tree[name] for name in SHOWN_SETTINGS})


def galleries(
    predictions: Predictions, evaluation: Evaluation, members: Sequence[Member], config: Config
) -> tuple[Gallery, ...]:
    """Return excerpts of the best, the worst and the most surprising rows, each row once."""
    primary = predictions.rows["class"].to_list()
    chosen = choose_notable(predictions.scores, evaluation.truth, evaluation.lrap, primary)
    indices = sorted({*chosen.best, *chosen.worst, *chosen.surprising})
    make = _excerpts if predictions.unit == "recording" else _row_excerpts
    excerpts = dict(make(indices, predictions, evaluation, members, config))
    result, shown = [], set[int]()
    for kind, (title, note) in GALLERIES.items():
        indices_of_kind = [index for index in getattr(chosen, kind) if index in excerpts]
        above = tuple(excerpts[index].recording for index in indices_of_kind if index in shown)
        new = tuple(excerpts[index] for index in indices_of_kind if index not in shown)
        result.append(Gallery(title, note, new, above))
        shown.update(indices_of_kind)
    return tuple(result)


def _excerpts(
    indices: list[int], predictions: Predictions, evaluation: Evaluation, members: Sequence[Member], config: Config
) -> Iterator[tuple[int, Excerpt]]:
    """Yield excerpts of some recordings; those that cannot be read any more are left out.

    Scores of clips are those of the first member, and of the others that take the same spectrograms.
    """
    names = predictions.rows["recording"]
    clip_scores = predict_recordings(
        members, predictions.rows[indices], config, clips_of=names[indices].to_list(), what="report"
    ).clip_scores
    for index in indices:
        if names[index] not in clip_scores:
            continue
        file = sound_at(config.dataset.root, predictions.rows["file"][index])
        try:
            with local_copy(file) as sound:
                excerpt = make_excerpt(
                    sound,
                    np.nan_to_num(clip_scores[names[index]][0].scores),
                    predictions.scores[index],
                    evaluation.truth[index],
                    name=names[index],
                    classes=predictions.classes,
                    lrap=float(evaluation.lrap[index]),
                    credit=credit_of(config.dataset.root, names[index]),
                    settings=members[0].snapshot.config,
                )
        except (AudioError, ConnectionError) as error:
            console.warning(f"{file}: {error}; the report does not show it")
        else:
            yield index, excerpt


def _row_excerpts(
    indices: list[int], predictions: Predictions, evaluation: Evaluation, members: Sequence[Member], config: Config
) -> Iterator[tuple[int, Excerpt]]:
    """Yield excerpts of some intervals or events, with the sound beside short ones."""
    for index in indices:
        columns = ("recording", "file", "class", "start", "end")
        name, path, label, start, end = predictions.rows.select(columns).row(index)
        file = config.dataset.root / path
        try:
            excerpt = make_row_excerpt(
                file,
                predictions.scores[index],
                evaluation.truth[index],
                start=start,
                end=end,
                name=", ".join(part for part in (name, f"{start:g} s", label) if part),
                classes=predictions.classes,
                lrap=float(evaluation.lrap[index]),
                credit=credit_of(config.dataset.root, name),
                settings=members[0].snapshot.config,
            )
        except AudioError as error:
            console.warning(f"{file}: {error}; the report does not show it")
        else:
            yield index, excerpt


def credit_of(root: Path, name: str) -> str:
    """Return who recorded a recording, under which licence; '' if its metadata do not contain it."""
    try:
        metadata = read_metadata(root / "metadata" / f"{name}.json")
    except (OSError, ValueError):
        return ""
    return ", ".join(str(metadata[key]) for key in ("author", "licence") if metadata.get(key))
