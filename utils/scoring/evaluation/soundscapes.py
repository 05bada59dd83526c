"""Metrics of predictions for annotated soundscapes, as in the soundscape challenges."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Float32

from utils import console
from utils.files import write_json
from utils.recordings.lengths import events_after_end_message, split_at_end
from utils.recordings.recording import Event
from utils.scoring.evaluation.soundscape_truth import Truth, truth_of_intervals
from utils.scoring.inference.intervals import IntervalScores
from utils.scoring.metrics.detection_metrics import row_f1
from utils.scoring.metrics.ranking import average_precision, class_mean, lrap, mean_of_defined
from utils.scoring.metrics.registry import METRICS, value_text

LISTED_SPECIES = 8  # unknown species in one line of the console
PER_CLASS = "per class"  # instead of one threshold


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
    unknown : species that are present and that the model does not know; they do not count
    doubtful : annotations that do not count, because they are not by a human
    only : whether only some species were annotated, and only these are evaluated
    cmap : mean over species of the average precision over all intervals, as in 2018
    row_f1 : mean F1 of an interval, nocall where nothing is detected, as in 2021
    mlrap : mean label-ranking average precision of intervals with birds
    thresholds : the score from which a species is detected, or 'per class'
    """

    recordings: int
    annotated: int
    annotations: int
    annotations_used: int
    intervals: int
    with_birds: int
    species: int
    unknown: tuple[str, ...]
    doubtful: int
    only: bool
    cmap: float | None
    row_f1: float | None
    mlrap: float | None
    thresholds: str


class SoundscapeEvaluator:
    """Collects predictions and ground truth of annotated recordings, and computes metrics of them.

    Parameters
    ----------
    truth : which species are present when
    classes : the columns of the scores
    thresholds : the uncalibrated score from which a class is detected: one for all classes, or one per class

    Attributes
    ----------
    failures : recordings with annotations after their end
    """

    def __init__(
        self, truth: Truth, classes: tuple[str, ...], thresholds: Float[np.ndarray, " classes"] | float
    ) -> None:
        self._truth, self._classes, self._thresholds = truth, classes, thresholds
        self._collected: list[
            tuple[Float32[np.ndarray, "_ classes"], Bool[np.ndarray, "_ classes"], Bool[np.ndarray, "_ classes"]]
        ] = []
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
        self._events[one.file] = inside
        detected = one.uncalibrated >= self._thresholds
        truth = truth_of_intervals(inside, one.starts, one.ends, self._classes)
        self._collected.append((one.uncalibrated.astype(np.float32), detected, truth))

    def _events_inside(self, file: str, events: tuple[Event, ...], *, length: float) -> tuple[Event, ...]:
        """Leave out events that start after the end of the recording, which is known only now, and report them."""
        inside, lost = split_at_end(events, length)
        if lost:
            left_out = "" if inside else "; it is left out of the metrics"
            reason = events_after_end_message(lost, of=len(events), seconds=length)
            self.failures.append(console.Failure(file, f"{reason}{left_out}"))
        return inside

    @property
    def used(self) -> Truth:
        """The ground truth that was used."""
        events = {
            file: self._events.get(file, events)
            for file, events in self._truth.events.items()
            if file not in self._unused
        }
        return replace(self._truth, events=events)

    def finish(self) -> SoundscapeMetrics | None:
        """Return the metrics; None if no recording could be evaluated."""
        if not self._collected:
            return None
        scores, detected, truth = (np.concatenate(part) for part in zip(*self._collected, strict=True))
        only = self._truth.species
        if only is not None:
            columns = [index for index, label in enumerate(self._classes) if label in only]
            scores, detected, truth = scores[:, columns], detected[:, columns], truth[:, columns]
        used = [event for events in self._events.values() for event in events]
        present = truth.any(axis=0)
        return SoundscapeMetrics(
            recordings=len(self._collected),
            annotated=len(self._truth.annotated | self._truth.events.keys()),
            annotations=self._truth.annotations,
            annotations_used=sum(event.species in self._classes for event in used),
            intervals=len(truth),
            with_birds=int(truth.any(axis=1).sum()),
            species=int(present.sum()),
            unknown=tuple(sorted({event.species for event in used} - set(self._classes))),
            doubtful=self._truth.doubtful,
            only=only is not None,
            cmap=class_mean(average_precision(scores, truth), truth) if present.any() else None,
            row_f1=float(row_f1(detected, truth).mean()) if present.any() else None,
            mlrap=mean_of_defined(lrap(scores, truth)) if present.any() else None,
            thresholds=PER_CLASS if isinstance(self._thresholds, np.ndarray) else f"{self._thresholds:g}",
        )


def write_soundscape_metrics(path: Path, metrics: SoundscapeMetrics) -> None:
    """Write the metrics as JSON."""
    write_json(path, asdict(metrics))


def print_soundscape_metrics(metrics: SoundscapeMetrics) -> None:
    """Print the metrics, and one line for each kind of annotations that do not count."""
    console.show_table("Compared with the annotations", soundscape_rows(metrics))
    if metrics.unknown:
        names = ", ".join(metrics.unknown[:LISTED_SPECIES])
        more = f" and {len(metrics.unknown) - LISTED_SPECIES} more" if len(metrics.unknown) > LISTED_SPECIES else ""
        console.warning(f"the model does not know these annotated species, so they do not count: {names}{more}")
    if metrics.doubtful:
        console.info(f"{metrics.doubtful} annotations do not count: their table says that they are not by a human")


def soundscape_rows(metrics: SoundscapeMetrics) -> dict[str, str]:
    """Return the metrics as rows of a table."""
    only = "; only the species that were annotated are evaluated" if metrics.only else ""
    limits = "thresholds per class" if metrics.thresholds == PER_CLASS else f"a threshold of {metrics.thresholds}"
    return {
        "recordings": f"{metrics.recordings:,} of {metrics.annotated:,} annotated{only}",
        "intervals": f"{metrics.with_birds} of {metrics.intervals} with birds, of {metrics.species} species",
        "annotations": f"{metrics.annotations_used:,} of {metrics.annotations:,} used",
        METRICS["cmap"].title: f"{value_text(metrics.cmap)}, over intervals",
        METRICS["row_f1"].title: f"{value_text(metrics.row_f1)}, with {limits}",
        METRICS["mlrap"].title: f"{value_text(metrics.mlrap)}, over intervals with birds",
    }
