"""Metrics of predictions for annotated soundscapes, as in the soundscape challenges."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Bool, Float32

from config import Testing
from utils import console
from utils.files import write_json
from utils.recordings.lengths import events_after_end_message, split_at_end
from utils.recordings.recording import Event, event_overlaps
from utils.recordings.spans import labelled_intervals
from utils.scoring.evaluation.metric_texts import detection_rows, unknown_notes
from utils.scoring.evaluation.recordings import (
    Evaluation,
    HeldOutMetrics,
    compute_metrics,
    evaluate_predictions,
)
from utils.scoring.evaluation.soundscape_truth import Truth
from utils.scoring.evaluation.threshold_files import write_threshold_search, write_threshold_table
from utils.scoring.inference.intervals import IntervalScores
from utils.scoring.inference.recordings import Predictions
from utils.scoring.inference.unit_rows import ROWS, interval_rows
from utils.scoring.metrics.bootstrap import Interval
from utils.scoring.metrics.detection_metrics import count, micro, row_f1
from utils.scoring.metrics.detection_rule import DetectionRule
from utils.scoring.metrics.onsets import OnsetMetrics
from utils.scoring.metrics.registry import value_text
from utils.scoring.metrics.thresholds import Thresholds

HEADLINES = ("cmap", "micro_f1", "row_f1", "macro_f1", "mlrap")  # metrics that are printed


@dataclass(frozen=True)
class SoundscapeMetrics:
    """Metrics of predictions for annotated soundscapes.

    Attributes
    ----------
    recordings, intervals : how many are evaluated: they have annotations and could be used
    annotated : number of recordings that have annotations, also those that are not evaluated
    annotations, annotations_used : number of annotations, and of those that count: in evaluated recordings, of species
        that the model knows
    with_birds : intervals in which a species that the model knows is present
    species : number of such species
    notes : what else to know, such as species that the model does not know
    doubtful : annotations that do not count, because they are not by a human
    only : whether only some species were annotated, and only these are evaluated
    metrics : over intervals, with 95% intervals, by key of `registry.METRICS`; as in a test by intervals
    nothing_detected : whether the thresholds of these metrics detect no species, because none is better than that
    thresholds : the scores from which species are detected in the submission
    micro_f1, row_f1 : of the detections by these thresholds; None if no species is present
    onsets : of the events of `submission.events`; None if they were not asked for
    """

    recordings: int
    annotated: int
    annotations: int
    annotations_used: int
    intervals: int
    with_birds: int
    species: int
    doubtful: int
    only: bool
    thresholds: str
    micro_f1: float | None
    row_f1: float | None
    metrics: Mapping[str, Interval] = field(default_factory=dict)
    nothing_detected: bool = False
    notes: tuple[str, ...] = ()
    onsets: OnsetMetrics | None = None

    def value(self, key: str) -> float | None:
        """Return a metric; None if it is not defined."""
        return self.metrics[key].value if key in self.metrics else None


@dataclass(frozen=True)
class SoundscapeEvaluation:
    """What the annotations of soundscapes say about predictions.

    Attributes
    ----------
    found : all metrics, thresholds and the table of thresholds, of the classes that are evaluated
    """

    metrics: SoundscapeMetrics
    found: HeldOutMetrics

    def with_onsets(self, onsets: OnsetMetrics | None) -> "SoundscapeEvaluation":
        """Return the same with the metrics of events."""
        return replace(self, metrics=replace(self.metrics, onsets=onsets))


class SoundscapeEvaluator:
    """Collects predictions and ground truth of annotated recordings, and computes metrics of them.

    Parameters
    ----------
    truth : which species are present when
    classes : the columns of the scores
    rule : which classes are detected in the submission
    settings : how thresholds are found

    Attributes
    ----------
    failures : recordings with annotations after their end
    """

    def __init__(
        self, truth: Truth, classes: tuple[str, ...], rule: DetectionRule, settings: Testing | None = None
    ) -> None:
        self._truth, self._classes, self._rule, self._settings = truth, classes, rule, settings or Testing()
        self._rows: list[pl.DataFrame] = []
        self._scores: list[tuple[Float32[np.ndarray, "_ classes"], Bool[np.ndarray, "_ classes"]]] = []
        self._events: dict[str, tuple[Event, ...]] = {}
        self._unused: set[str] = set()
        self.failures: list[console.Failure] = []

    def through(self, results: Iterable[IntervalScores]) -> Iterator[IntervalScores]:
        """Yield predictions as they come, and collect those of annotated recordings."""
        for one in results:
            self.add(one)
            yield one

    def add(self, one: IntervalScores) -> None:
        """Collect the predictions for one recording, if it is annotated and could be used."""
        events = self._truth.events.get(one.file)
        if events is None or one.reason is not None:
            return
        inside = self._events_inside(one.file, events, length=float(one.ends[-1]))
        if events and not inside:
            self._unused.add(one.file)
            return
        labelled = labelled_intervals(self._truth.labelled.get(one.file), one.starts, one.ends)
        counted = self._events_in(inside, one, labelled)
        if not labelled.any():
            self._unused.add(one.file)
            return
        self._events[one.file] = counted
        rows = interval_rows(inside, one.starts, one.ends, labelled, recording=one.file, file=one.file)
        self._rows.append(pl.DataFrame(rows, schema=ROWS))
        self._scores.append((one.uncalibrated[labelled].astype(np.float32), one.detections(self._rule)[labelled]))

    def _events_inside(self, file: str, events: tuple[Event, ...], *, length: float) -> tuple[Event, ...]:
        """Leave out events that start after the end of the recording, which is known only now, and report them."""
        inside, lost = split_at_end(events, length)
        if lost:
            left_out = "" if inside else "; it is left out of the metrics"
            reason = events_after_end_message(lost, of=len(events), seconds=length)
            self.failures.append(console.Failure(file, f"{reason}{left_out}"))
        return inside

    def _events_in(
        self, events: tuple[Event, ...], one: IntervalScores, labelled: Bool[np.ndarray, " intervals"]
    ) -> tuple[Event, ...]:
        """Leave out events that are in no labelled interval, because their rows cover no whole one, and report them."""
        if labelled.all():
            return events
        intervals = list(zip(one.starts[labelled].tolist(), one.ends[labelled].tolist(), strict=True))
        counted = tuple(
            event
            for event in events
            if any(event_overlaps((event.start, event.end), start, end) for start, end in intervals)
        )
        lost = len(events) - len(counted)
        if lost or not labelled.any():
            left_out = "" if labelled.any() else "; it is left out of the metrics"
            reason = f"{lost} of {len(events)} annotations are in rows that cover no whole interval{left_out}"
            self.failures.append(console.Failure(one.file, reason))
        return counted

    @property
    def used(self) -> Truth:
        """The ground truth that was used."""
        events = {
            file: self._events.get(file, events)
            for file, events in self._truth.events.items()
            if file not in self._unused
        }
        return replace(self._truth, events=events)

    def finish(self, *, made_from: str = "soundscapes") -> SoundscapeEvaluation | None:
        """Return the metrics; None if no recording could be evaluated.

        Parameters
        ----------
        made_from : the run, for the file of thresholds
        """
        if not self._rows or not any(map(len, self._rows)):
            return None
        scores, detected = (np.concatenate(part) for part in zip(*self._scores, strict=True))
        classes, only = self._classes, self._truth.species
        if only is not None:
            columns = [index for index, label in enumerate(classes) if label in only]
            if not columns:
                console.warning("the annotations are of other species than the model's, so there are no metrics")
                return None
            classes = tuple(classes[index] for index in columns)
            scores, detected = scores[:, columns], detected[:, columns]
        table = pl.concat(self._rows)
        no_reasons: list[str | None] = [None] * len(table)
        predictions = Predictions(table, classes, scores, np.ones(len(table), np.int64), no_reasons, unit="interval")
        evaluation = evaluate_predictions(scores, predictions, background=True)
        made_from = f"{made_from}, on {len(table)} intervals of soundscapes"
        settings = replace(self._settings, calibration="none")  # only a test fits it
        found = compute_metrics(predictions, evaluation, settings, made_from=made_from)
        return SoundscapeEvaluation(self._metrics(evaluation, detected, found), found)

    def _metrics(
        self, evaluation: Evaluation, detected: Bool[np.ndarray, "rows classes"], found: HeldOutMetrics
    ) -> SoundscapeMetrics:
        truth, unknown = evaluation.truth, evaluation.unknown
        used = [event for events in self._events.values() for event in events]
        present = truth.any(axis=0)
        missed = 0 if unknown is None else int(unknown.sum())
        defined = present.any() or missed > 0
        return SoundscapeMetrics(
            recordings=len(self._rows),
            annotated=len(self._truth.annotated | self._truth.events.keys()),
            annotations=self._truth.annotations,
            annotations_used=sum(event.species in self._classes for event in used),
            intervals=len(truth),
            with_birds=int(truth.any(axis=1).sum()),
            species=int(present.sum()),
            doubtful=self._truth.doubtful,
            only=self._truth.species is not None,
            thresholds=self._rule.text,
            micro_f1=micro(count(detected, truth), unknown=missed).f1 if defined else None,
            row_f1=float(row_f1(detected, truth, unknown=unknown).mean()) if defined else None,
            metrics=found.metrics,
            nothing_detected=found.nothing_detected,
            notes=tuple(unknown_notes(evaluation, "interval")),
        )


def write_soundscape_thresholds(
    stem: Path,
    evaluation: SoundscapeEvaluation,
    classes: tuple[str, ...],
    *,
    interval: float,
    fingerprint: str,
    title: str,
) -> Thresholds | None:
    """Write the thresholds that are best for annotated soundscapes, as JSON, table and plot.

    If none is better than to detect nothing, only table and plot are written, which show why; None is returned.

    Parameters
    ----------
    stem : path without ending
    classes : of the models; those that were not annotated get the common threshold
    interval : length of the intervals, seconds
    fingerprint : of their scores, from `fingerprint_of_scores`
    """
    found, table = evaluation.found.thresholds, evaluation.found.threshold_table
    if found.common is None:
        stem.with_name(f"{stem.name}.json").unlink(missing_ok=True)  # of an earlier call, with other metrics
        write_threshold_table(stem, found, table, title=title)
        plot = "" if table.is_empty() else f"; see {console.printable(stem)}.png"
        console.warning(f"no threshold is better than to detect nothing, so there is no file of thresholds{plot}")
        return None
    values, per_class = (dict(zip(found.classes, part, strict=True)) for part in (found.values, found.per_class))
    thresholds = replace(
        found,
        classes=classes,
        values=tuple(_not_negative(values.get(label, found.common)) for label in classes),
        per_class=tuple(bool(per_class.get(label, False)) for label in classes),
        common=_not_negative(found.common),
        fingerprint=fingerprint,
        unit="interval",
        interval=interval,
    )
    write_threshold_search(stem, thresholds, table, title=title)
    return thresholds


def _not_negative(value: float | None) -> float | None:
    """Return a threshold; classes that are not on the whitelist have scores below 0, which are no thresholds."""
    return None if value is None else max(value, 0.0)


def write_soundscape_metrics(path: Path, metrics: SoundscapeMetrics) -> None:
    """Write the metrics as JSON."""
    write_json(path, asdict(metrics))


def print_soundscape_metrics(metrics: SoundscapeMetrics) -> None:
    """Print the metrics, and one line for each kind of annotations that do not count."""
    console.show_table("Compared with the annotations", soundscape_rows(metrics))
    for note in metrics.notes:
        console.warning(note)
    if metrics.doubtful:
        console.info(f"{metrics.doubtful} annotations do not count: their table says that they are not by a human")


def soundscape_rows(metrics: SoundscapeMetrics) -> dict[str, str]:
    """Return the metrics as rows of a table."""
    only = "; only the species that were annotated are evaluated" if metrics.only else ""
    return {
        "recordings": f"{metrics.recordings:,} of {metrics.annotated:,} annotated{only}",
        "intervals": f"{metrics.with_birds} of {metrics.intervals} with birds, of {metrics.species} species",
        "annotations": f"{metrics.annotations_used:,} of {metrics.annotations:,} used",
        **detection_rows(
            {key: one for key, one in metrics.metrics.items() if key in HEADLINES}, metrics.nothing_detected
        ),
        "as submitted": f"micro F1 {value_text(metrics.micro_f1)}, row-wise F1 {value_text(metrics.row_f1)}, "
        f"with {metrics.thresholds}",
        **({"events": metrics.onsets.text} if metrics.onsets else {}),
    }
