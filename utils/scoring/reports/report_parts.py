"""The parts of a report as plain values, and those that are made from metrics and predictions; `page.py` draws them."""

from collections import Counter
from dataclasses import dataclass
from math import ceil

import numpy as np
import polars as pl
from jaxtyping import Float, Int64

from config import Testing
from utils.scoring.evaluation.confusions import confusion_pairs
from utils.scoring.evaluation.recordings import Evaluation, HeadlineMetrics, HeldOutMetrics
from utils.scoring.evaluation.without_metadata import WithoutMetadata
from utils.scoring.inference.metadata_blend import blend_text
from utils.scoring.inference.recordings import Predictions
from utils.scoring.metrics.registry import METRICS, note_for
from utils.scoring.metrics.units import Unit, unit_word

CONFUSION_CLASSES = 40  # classes in the confusion matrix, at most
NOVEL_ROWS = 12  # in the list of the most novel recordings
THRESHOLD_STEPS = 100  # thresholds of the chart between 0 and 1


@dataclass(frozen=True)
class MetricRow:
    """One row of the table of metrics.

    Attributes
    ----------
    value : None if it is not defined
    low, high : ends of its 95% interval; None if there is none
    note : what it is the mean or share of
    """

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Line:
    """One line of a chart; a `y` of None or NaN leaves a gap."""

    name: str
    x: tuple[float, ...]
    y: tuple[float | None, ...]


@dataclass(frozen=True)
class Chart:
    """Some lines over one axis.

    Attributes
    ----------
    ends : lowest and highest y; None: from 0 to the highest value
    mark, mark_text : an x to mark, and the text there
    note : what the reader should know
    slide : whether the reader can move along the axis and read off the values; all lines must then have the same x
    """

    title: str
    x_label: str
    lines: tuple[Line, ...]
    ends: tuple[float, float] | None = (0.0, 1.0)
    mark: float | None = None
    mark_text: str = ""
    note: str = ""
    slide: bool = False


@dataclass(frozen=True)
class Confusion:
    """How many recordings, intervals or calls of each class (rows) have each class as their top prediction (columns).

    The last column is for all classes that have no row. Top predictions that are correct in the background are not
    counted, so that everything off the diagonal is wrong.

    Attributes
    ----------
    left_out : how many of the tested classes are not shown
    """

    labels: tuple[str, ...]
    counts: Int64[np.ndarray, "rows columns"]
    left_out: int = 0


@dataclass(frozen=True)
class Strip:
    """The scores of one class along an excerpt.

    Attributes
    ----------
    correct : whether the class is correct for the recording
    pooled : its score for the whole recording
    scores : of the clips in the excerpt, 0 to 1
    """

    label: str
    correct: bool
    pooled: float
    scores: Float[np.ndarray, " clips"]


@dataclass(frozen=True)
class Excerpt:
    """Some seconds of a recording, to look at and listen to.

    Attributes
    ----------
    recording : its name
    correct : the correct classes
    lrap : of the whole recording
    start, seconds : start of the excerpt in the recording, and its length
    recording_seconds : length of the part of the recording that was scored
    spectrogram : a JPEG, low frequencies at the bottom
    ticks : frequencies, and their heights in the spectrogram, from 0 (bottom) to 1 (top)
    sound : MP3; b'' if there is none
    times : the part of the excerpt to which each clip's score belongs, from and to, seconds
    strips : the classes with the highest scores, and the correct ones
    credit : who recorded it, under which licence; '' if not known
    """

    recording: str
    correct: tuple[str, ...]
    lrap: float
    start: float
    seconds: float
    recording_seconds: float
    spectrogram: bytes
    ticks: tuple[tuple[str, float], ...]
    sound: bytes
    times: tuple[tuple[float, float], ...]
    strips: tuple[Strip, ...]
    credit: str = ""


@dataclass(frozen=True)
class Gallery:
    """Excerpts of one kind.

    Attributes
    ----------
    shown_above : recordings of this kind that an earlier gallery shows
    """

    title: str
    note: str
    excerpts: tuple[Excerpt, ...]
    shown_above: tuple[str, ...] = ()


@dataclass(frozen=True)
class NovelRow:
    """A recording, interval or call that is unlike the training clips.

    Attributes
    ----------
    name : of the recording, with the time of an interval or call
    labels : its species, those that the model does not know included
    known : False if the model knows none of them
    top1, score : the top prediction
    """

    name: str
    novelty: float
    labels: str
    known: bool
    top1: str
    score: float


@dataclass(frozen=True)
class Report:
    """Everything on the page.

    Attributes
    ----------
    facts : short texts about the test, by heading
    classes : one row per class: `class`, `recordings`, `ap`, `auroc`, `f1`, `threshold` and `confused_with`; null if
        not defined
    failures : recordings that could not be used, and the reasons
    settings : of the run, as TOML
    networks : of a distillation: headings, then one row per network
    unit : what a prediction is for, in the plural
    most_novel : what is most unlike the training clips, the most novel first
    score_plot : histograms of scores, a PNG; b'' if there are none
    """

    title: str
    facts: dict[str, str]
    metrics: tuple[MetricRow, ...]
    charts: tuple[Chart, ...]
    classes: pl.DataFrame
    confusion: Confusion
    galleries: tuple[Gallery, ...] = ()
    failures: tuple[tuple[str, str], ...] = ()
    settings: str = ""
    warnings: tuple[str, ...] = ()
    networks: tuple[tuple[str, ...], ...] = ()
    unit: str = "recordings"
    most_novel: tuple[NovelRow, ...] = ()
    score_plot: bytes = b""


def metric_rows(
    held_out: HeldOutMetrics,
    ridge: HeadlineMetrics | None,
    unit: Unit = "recording",
    without_metadata: WithoutMetadata | None = None,
) -> tuple[MetricRow, ...]:
    """Return the rows of all metrics that are defined, in the order of the registry.

    Parameters
    ----------
    ridge : metrics of the baseline, if it was asked for
    without_metadata : what the metadata classifier brings, if there is one
    """
    rows = [
        MetricRow(METRICS[key].title, found.value, found.low, found.high, note_for(METRICS[key], unit))
        for key, found in held_out.metrics.items()
        if found.value is not None
    ]
    if without_metadata:
        over = f"the models alone, on {without_metadata.over}"
        rows += [
            MetricRow(f"{METRICS[key].title} without metadata", one.alone, note=f"{over}; blended {one.blended:.3f}")
            for key, one in without_metadata.metrics.items()
        ]
    if ridge:
        note = "a baseline that knows only the mean spectrum of each recording"
        rows += [
            MetricRow("MLRAP of the ridge regression", ridge.mlrap, note=note),
            MetricRow("top-1 accuracy of the ridge regression", ridge.top1_accuracy),
        ]
    return tuple(rows)


def facts_of_rows(predictions: Predictions, headline: HeadlineMetrics, settings: Testing) -> dict[str, str]:
    """Return how many recordings, and intervals of which length or calls, were scored, and the metadata classifier."""
    unit = predictions.unit
    recordings = {} if unit == "recording" else {"recordings": f"{predictions.rows['recording'].n_unique():,}"}
    length = f", of {settings.interval:g} s each" if unit == "interval" else ""
    scored = f"{headline.scored:,} of {headline.recordings:,} scored{length}"
    return {**recordings, unit_word(unit): scored, **blend_text(settings)}


def class_table(held_out: HeldOutMetrics) -> pl.DataFrame:
    """Return one row per class as the page shows it, with the most frequent confusion and its count in one column."""
    confused_with = pl.format("{} ({}×)", "confused_with", "confused").fill_null("").alias("confused_with")
    return held_out.per_class.with_columns(confused_with).drop("confused", "clips")


def confusion_of(predictions: Predictions, evaluation: Evaluation, *, classes: int = CONFUSION_CLASSES) -> Confusion:
    """Count the pairs of primary label and top prediction.

    Parameters
    ----------
    classes : how many to show at most: those with the most wrong top predictions
    """
    pairs = Counter(confusion_pairs(predictions, evaluation))
    labels = sorted({label for pair in pairs for label in pair})
    wrong = Counter[str]()
    for (primary, top1), count in pairs.items():
        if primary != top1:
            wrong.update({primary: count, top1: count})
    shown = sorted(sorted(labels, key=lambda label: -wrong[label])[:classes])
    indices = {label: index for index, label in enumerate(shown)}
    counts = np.zeros((len(shown), len(shown) + 1), np.int64)
    for (primary, top1), count in pairs.items():
        if primary in indices:
            counts[indices[primary], indices.get(top1, len(shown))] += count
    return Confusion(tuple(shown), counts, len(labels) - len(shown))


def most_novel_rows(predictions: Predictions, evaluation: Evaluation) -> tuple[NovelRow, ...]:
    """Return the rows with the highest novelty; nothing if it was not asked for."""
    if predictions.novelty is None:
        return ()
    scored = np.flatnonzero(~np.isnan(predictions.novelty))
    order = scored[np.argsort(-predictions.novelty[scored], kind="stable")][:NOVEL_ROWS]
    rows = []
    for index in order.tolist():
        name, label, events = predictions.rows.select("recording", "class", "events").row(index)
        times = "" if predictions.unit == "recording" else f", {predictions.rows['start'][index]:g} s"
        top1 = int(predictions.scores[index].argmax())
        rows.append(
            NovelRow(
                f"{name}{times}",
                float(predictions.novelty[index]),
                label or ", ".join(dict.fromkeys(event["species"] for event in events)),
                evaluation.novel is None or not evaluation.novel[index],
                predictions.classes[top1],
                float(predictions.scores[index, top1]),
            )
        )
    return tuple(rows)


def threshold_charts(predictions: Predictions, evaluation: Evaluation) -> list[Chart]:
    """Return a chart of precision, recall and F1 by a common threshold for all classes; none if no class is correct."""
    scored = ~np.isnan(predictions.scores).any(axis=1)
    scores, truth = predictions.scores[scored], evaluation.truth[scored]
    if not truth.any():
        return []
    thresholds = _threshold_steps(scores)
    correct, detected = _counts_from(scores[truth], thresholds), _counts_from(scores.ravel(), thresholds)
    precision = np.where(detected > 0, correct / np.maximum(detected, 1), np.nan)
    recall = correct / truth.sum()
    f1 = 2 * correct / (detected + truth.sum())
    best = int(f1.argmax())
    chart = Chart(
        "Thresholds",
        "threshold",
        tuple(
            Line(name, thresholds, tuple(values.tolist()))
            for name, values in (("precision", precision), ("recall", recall), ("F1", f1))
        ),
        mark=thresholds[best],
        mark_text=f"best F1: {f1[best]:.2f} at {thresholds[best]:g}",
        note=f"For the detections of all classes in all {unit_word(predictions.unit)}. "
        "The best F1 is slightly optimistic, because its threshold was chosen on the same recordings.",
        slide=True,
    )
    return [chart]


def _threshold_steps(scores: Float[np.ndarray, "*shape"]) -> tuple[float, ...]:
    """Return the thresholds of the chart, from 0 to 1, or to the highest score: a prior can raise scores above 1."""
    highest = max(THRESHOLD_STEPS, ceil(THRESHOLD_STEPS * float(scores.max(initial=0.0))))
    return tuple(step / THRESHOLD_STEPS for step in range(highest + 1))


def _counts_from(
    scores: Float[np.ndarray, " scores"], thresholds: tuple[float, ...]
) -> Float[np.ndarray, " thresholds"]:
    """Count the scores that reach each threshold; a score of 0 reaches none."""
    ordered = np.sort(scores[scores > 0])
    return (len(ordered) - np.searchsorted(ordered, thresholds, "left")).astype(float)
