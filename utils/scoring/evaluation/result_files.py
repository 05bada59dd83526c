"""The files of a test: all scores, one row per recording, the metrics, and plots of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Bool
from matplotlib.axes import Axes

from utils.files import write_json
from utils.plotting import new_figure, write_figure
from utils.recordings.recording import LONG_RECORDINGS
from utils.scoring.evaluation.confusions import confusion_pairs
from utils.scoring.evaluation.plots import draw_reliability
from utils.scoring.evaluation.recordings import Evaluation, HeldOutMetrics
from utils.scoring.evaluation.saved_scores import LABELS, SCORE_COLUMN
from utils.scoring.evaluation.score_histograms import ScoreCounts, ScorePanel, draw_score_panels
from utils.scoring.evaluation.threshold_files import write_threshold_search
from utils.scoring.inference.recordings import Predictions
from utils.scoring.metrics.calibration import write_calibration
from utils.scoring.metrics.registry import value_text
from utils.scoring.metrics.units import Unit, unit_word
from utils.tables import write_csv, write_table

SCORE_PLOT = "scores.png"
OPTIONAL_FILES = ("calibration.json", "reliability.png", "noise.parquet", SCORE_PLOT)  # not every test writes them
SCORE_LAYERS = ("without the class", "with the class")
LISTED_PREDICTIONS = 5  # per row in predictions.csv
PLOTTED_CLASSES = 60  # at most, in report.png: those with the lowest mean LRAP
HARDEST_SHOWN = 24  # at most, in scores.png: those with the lowest average precision


def write_result_files(
    folder: Path,
    predictions: Predictions,
    evaluation: Evaluation,
    held_out: HeldOutMetrics,
    summary: Mapping[str, Any],
) -> None:
    """Write the tables and plots of a test into a folder and, last, `summary` as metrics.json.

    Optional files of an earlier test are removed.
    """
    write_table(folder / "scores.parquet", scores_table(predictions, evaluation, held_out.detected))
    write_csv(folder / "predictions.csv", predictions_table(predictions, evaluation))
    write_csv(folder / "per_class.csv", held_out.per_class.rename({"recordings": unit_word(predictions.unit)}))
    title = folder.parent.name
    for name in OPTIONAL_FILES:
        (folder / name).unlink(missing_ok=True)
    thresholds = replace(held_out.thresholds, fingerprint=predictions.fingerprint)
    write_threshold_search(folder / "thresholds", thresholds, held_out.threshold_table, title=title)
    if held_out.calibration and held_out.reliability:
        calibration = replace(held_out.calibration, fingerprint=predictions.fingerprint)
        write_calibration(folder / "calibration.json", calibration)
        draw_reliability(folder / "reliability.png", held_out.reliability, title=title)
    if held_out.noise is not None:
        write_table(folder / "noise.parquet", held_out.noise)
    draw_report(folder / "report.png", predictions, evaluation, title=title)
    if panels := right_and_wrong_panels(predictions, evaluation, held_out):
        draw_score_panels(folder / SCORE_PLOT, panels, SCORE_LAYERS, title=_panels_title(panels, held_out, predictions))
    write_json(folder / "metrics.json", dict(summary))


def scores_table(
    predictions: Predictions, evaluation: Evaluation, detected: Bool[np.ndarray, "rows classes"] | None = None
) -> pl.DataFrame:
    """Return one row for each scored recording and class: the score, whether the class is correct (`right`), detected.

    Of intervals and events, which are many, one row for each and one column `score: <class>` per class. If novelty was
    asked for, it is a column, too.

    Parameters
    ----------
    detected : which classes are detected, from `HeldOutMetrics`; None: null
    """
    scored = [index for index, reason in enumerate(predictions.reasons) if reason is None]
    if predictions.unit != "recording":
        return _wide_scores(predictions, evaluation, scored, detected)
    names, classes = predictions.rows["recording"][scored], pl.Series(predictions.classes, dtype=pl.String)
    novelty = {} if predictions.novelty is None else {"novelty": np.repeat(predictions.novelty[scored], len(classes))}
    return pl.DataFrame(
        {
            "recording": names.gather(np.repeat(np.arange(len(scored)), len(classes))),
            "class": classes.gather(np.tile(np.arange(len(classes)), len(scored))),
            "score": predictions.scores[scored].ravel().astype(np.float32),
            "right": evaluation.truth[scored].ravel(),
            **novelty,
        }
    ).with_columns(detected=pl.lit(None, pl.Boolean) if detected is None else pl.Series(detected[scored].ravel()))


def _wide_scores(
    predictions: Predictions,
    evaluation: Evaluation,
    scored: Sequence[int],
    detected: Bool[np.ndarray, "rows classes"] | None,
) -> pl.DataFrame:
    """Return recording, start, end, primary class, correct, detected and unknown classes, and scores of each row."""
    classes, unknown = predictions.classes, evaluation.unknown_labels or [[]] * len(predictions.rows)

    def named(flags: Bool[np.ndarray, "rows classes"]) -> list[list[str]]:
        return [[classes[index] for index in np.flatnonzero(row)] for row in flags[scored]]

    return (
        predictions.rows[scored]
        .select("recording", "start", "end", "class")
        .with_columns(
            pl.Series("correct", named(evaluation.truth), LABELS),
            pl.Series("detected", [None] * len(scored) if detected is None else named(detected), LABELS),
            pl.Series("unknown", [unknown[row] for row in scored], LABELS),
            *([] if predictions.novelty is None else [pl.Series("novelty", predictions.novelty[scored])]),
            *(
                pl.Series(f"{SCORE_COLUMN}{label}", predictions.scores[scored, index].astype(np.float32))
                for index, label in enumerate(classes)
            ),
        )
    )


def predictions_table(predictions: Predictions, evaluation: Evaluation) -> pl.DataFrame:
    """Return one row per recording, interval or event: its labels, the top predictions, or why it could not be used."""
    times = ["start", "end"] if predictions.unit != "recording" else []
    rows = []
    for index, (name, primary, events, background) in enumerate(
        predictions.rows.select("recording", "class", "events", "background").iter_rows()
    ):
        annotated = ", ".join(dict.fromkeys(event["species"] for event in events))
        rows.append(
            {
                "recording": name,
                **{time: predictions.rows[time][index] for time in times},
                "class": primary or annotated,
                "background": ", ".join(background),
                "clips": int(predictions.clips[index]),
                "lrap": None if np.isnan(evaluation.lrap[index]) else float(evaluation.lrap[index]),
                **_top_predictions(predictions, index),
                **_novelty(predictions, index),
                "reason": predictions.reasons[index],
                "warning": "; ".join(predictions.warnings.get(name, ())) or None,
            }
        )
    text, decimal = pl.String(), pl.Float64()
    listed = range(1, LISTED_PREDICTIONS + 1)
    schema = {"recording": text, **dict.fromkeys(times, decimal), "class": text, "background": text}
    schema |= {"clips": pl.Int64(), "lrap": decimal}
    schema |= {f"{what}_{rank}": kind for rank in listed for what, kind in (("prediction", text), ("score", decimal))}
    schema |= {} if predictions.novelty is None else {"novelty": decimal}
    return pl.DataFrame(rows, schema=schema | {"reason": text, "warning": text})


def _top_predictions(predictions: Predictions, index: int) -> dict[str, str | float]:
    """Return the top predictions of a recording, as columns of predictions.csv; nothing if it could not be used."""
    if predictions.reasons[index] is not None:
        return {}
    scores = predictions.scores[index]
    columns: dict[str, str | float] = {}
    for rank, best in enumerate(np.argsort(-scores, kind="stable")[:LISTED_PREDICTIONS].tolist(), 1):
        columns |= {f"prediction_{rank}": predictions.classes[best], f"score_{rank}": float(scores[best])}
    return columns


def _novelty(predictions: Predictions, index: int) -> dict[str, float]:
    if predictions.novelty is None or np.isnan(predictions.novelty[index]):
        return {}
    return {"novelty": float(predictions.novelty[index])}


def draw_report(path: Path, predictions: Predictions, evaluation: Evaluation, *, title: str) -> None:
    """Draw the mean LRAP of each class, and the confusion matrix of top predictions."""
    means = _mean_lraps(predictions, evaluation)
    labels = sorted(means, key=lambda label: means[label])[:PLOTTED_CLASSES]
    height = 0.22 * len(labels) + 3.0
    figure = new_figure(height + 6, height)
    bars, confusion = figure.subplots(1, 2, width_ratios=(1, 1.4))
    _draw_bars(bars, means, labels)
    _draw_confusion(confusion, confusion_pairs(predictions, evaluation), labels, unit=predictions.unit)
    figure.suptitle(f"{title}: {_headline_text(evaluation, predictions.unit)}{_plotted_text(len(means))}")
    write_figure(path, figure)


def right_and_wrong_panels(
    predictions: Predictions, evaluation: Evaluation, held_out: HeldOutMetrics
) -> list[ScorePanel]:
    """Return histograms of wrong and right scores of the classes with the lowest average precision; each has positives.

    A score is right if the class is correct for its row.
    """
    right, wrong = (ScoreCounts(len(predictions.classes)) for _ in range(2))
    right.add(predictions.scores, evaluation.truth)
    wrong.add(predictions.scores, ~evaluation.truth)
    precision = dict(held_out.per_class.select("class", "ap").drop_nulls().iter_rows())
    thresholds = dict(zip(held_out.thresholds.classes, held_out.thresholds.values, strict=True))
    shown = sorted(precision, key=lambda label: precision[label])[:HARDEST_SHOWN]
    return [
        ScorePanel(
            label,
            (wrong.counts[index], right.counts[index]),
            [np.inf if (value := thresholds.get(label)) is None else value],
        )
        for label, index in ((label, predictions.classes.index(label)) for label in shown)
    ]


def read_score_plot(folder: Path) -> bytes:
    """Return the histograms of scores that a test left, a PNG; b'' if no class has positives."""
    path = folder / SCORE_PLOT
    return path.read_bytes() if path.is_file() else b""


def _panels_title(panels: Sequence[ScorePanel], held_out: HeldOutMetrics, predictions: Predictions) -> str:
    classes = len(held_out.per_class["ap"].drop_nulls())
    some = f", the {len(panels)} hardest of {classes:,} classes" if classes > len(panels) else ""
    return f"scores of {unit_word(predictions.unit)}{some}"


def _mean_lraps(predictions: Predictions, evaluation: Evaluation) -> dict[str, float]:
    """Return the mean LRAP of the rows of each class; of intervals, of those in which the class is."""
    labels_of = predictions.rows["class"].replace("", LONG_RECORDINGS).to_numpy()
    ranked = ~np.isnan(evaluation.lrap)
    by_class = {
        label: ranked & (evaluation.truth[:, index] if predictions.unit == "interval" else labels_of == label)
        for index, label in enumerate(predictions.classes)
    }
    if predictions.unit == "recording":
        by_class[LONG_RECORDINGS] = ranked & (labels_of == LONG_RECORDINGS)
    return {label: float(evaluation.lrap[some].mean()) for label, some in by_class.items() if some.any()}


def _headline_text(evaluation: Evaluation, unit: Unit) -> str:
    headline = evaluation.headline
    return f"MLRAP {value_text(headline.mlrap)} over {headline.ranked} of {headline.recordings} {unit_word(unit)}"


def _plotted_text(classes: int) -> str:
    return f", the {PLOTTED_CLASSES} hardest of {classes} classes" if classes > PLOTTED_CLASSES else ""


def _draw_bars(axes: Axes, means: Mapping[str, float], labels: list[str]) -> None:
    values = [means[label] for label in labels]
    axes.barh(range(len(labels)), values, color="tab:green")
    axes.set_yticks(range(len(labels)), labels, fontsize="small")
    axes.set(title="mean LRAP by class", xlim=(0, 1), ylim=(len(labels) - 0.5, -0.5))
    axes.grid(axis="x", alpha=0.3)


def _draw_confusion(axes: Axes, pairs: Sequence[tuple[str, str]], labels: list[str], *, unit: Unit) -> None:
    """Draw the share of the recordings (intervals, calls) of each class whose top prediction is each class (column)."""
    indices = {label: index for index, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels) + 1))
    for primary, top1 in pairs:
        if primary in indices:
            counts[indices[primary], indices.get(top1, len(labels))] += 1
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="viridis", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(labels) + 1), [*labels, "other"], rotation=90, fontsize="small")
    axes.set_yticks(range(len(labels)), labels, fontsize="small")
    axes.set(title=f"top predictions: share of {unit_word(unit)}", xlabel="top prediction", ylabel="primary label")
    axes.figure.colorbar(image, ax=axes, shrink=0.7)
