"""How right what is said of long recordings is, where somebody has listened: the figures of the soundscape challenges."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32

from utils import console
from utils.files import write_json
from utils.recordings.lengths import inside_and_behind, why_behind
from utils.recordings.recording import Event
from utils.scoring.evaluation.soundscape_truth import Truth, truth_of_intervals
from utils.scoring.inference.interval_scores import IntervalScores
from utils.scoring.metrics.detections import row_f1
from utils.scoring.metrics.ranking import average_precision, class_mean, lrap, mean_of_defined
from utils.scoring.submissions.formats import Sheet
from utils.scoring.submissions.formats.sheet import called

NAMED = 8  # unknown species named in a line


@dataclass(frozen=True)
class SoundscapeFigures:
    """How right the answers are.

    Attributes
    ----------
    recordings, intervals : how many are judged: somebody has listened to them, and they could be used
    annotated : how many recordings have annotations, also those that are not judged
    annotations, annotations_used : how many lie there, and how many count: in recordings that are judged, of species
        that the net knows
    with_birds : intervals in which a species sings that the net knows
    species : how many of those there are
    unknown : species that sing and that the net does not know; they count as nothing
    doubtful : annotations that are not counted
    only : whether only species that were listened for are judged
    cmap : mean over species of the average precision over all intervals, as in 2018
    row_f1 : mean F1 of an interval, nocall where nobody is called, as in 2021
    mlrap : mean label-ranking average precision of intervals with birds
    thresholds : from where on a species is called: 'kept', or the setting's value
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


class SoundscapeScores:
    """Figures that are gathered while the answers pass by; only recordings that somebody listened to are kept.

    Parameters
    ----------
    truth : who sings when
    sheet : classes and thresholds

    Attributes
    ----------
    failures : recordings with annotations that lie behind their end
    """

    def __init__(self, truth: Truth, sheet: Sheet) -> None:
        self._truth, self._sheet = truth, sheet
        self._kept: list[
            tuple[Float32[np.ndarray, "_ classes"], Bool[np.ndarray, "_ classes"], Bool[np.ndarray, "_ classes"]]
        ] = []
        self._heard: dict[str, tuple[Event, ...]] = {}
        self._unused: set[str] = set()
        self.failures: list[console.Failure] = []

    def through(self, results: Iterable[IntervalScores]) -> Iterator[IntervalScores]:
        """Yield the answers as they come, and take in those that can be judged."""
        for one in results:
            self.add(one)
            yield one

    def add(self, one: IntervalScores) -> None:
        """Take in the answers to one recording."""
        events = self._truth.events.get(one.file)
        if events is None or one.reason is not None:
            return
        inside = self._inside(one.file, events, length=float(one.ends[-1]))
        if events and not inside:
            self._unused.add(one.file)
            return
        self._heard[one.file] = inside
        self._kept.append(
            (
                one.uncalibrated.astype(np.float32),
                called(one, self._sheet),
                truth_of_intervals(inside, one.starts, one.ends, self._sheet.classes),
            )
        )

    def _inside(self, file: str, events: tuple[Event, ...], *, length: float) -> tuple[Event, ...]:
        """Leave out the events that begin behind the recording's end, which is known only now, and name them."""
        inside, lost = inside_and_behind(events, length)
        if lost:
            left_out = "" if inside else "; it is left out of the score"
            self.failures.append(console.Failure(file, f"{why_behind(lost, of=len(events), seconds=length)}{left_out}"))
        return inside

    @property
    def used(self) -> Truth:
        """The truth as far as it is used."""
        events = {
            file: self._heard.get(file, events)
            for file, events in self._truth.events.items()
            if file not in self._unused
        }
        return replace(self._truth, events=events)

    def finish(self) -> SoundscapeFigures | None:
        """Return the figures; None where no recording could be judged."""
        if not self._kept:
            return None
        scores, decided, truth = (np.concatenate(part) for part in zip(*self._kept, strict=True))
        only = self._truth.species
        if only is not None:
            judged = [number for number, label in enumerate(self._sheet.classes) if label in only]
            scores, decided, truth = scores[:, judged], decided[:, judged], truth[:, judged]
        used = [event for events in self._heard.values() for event in events]
        sung = {event.species for event in used}
        known = truth.any(axis=0)
        limits = self._sheet.chosen
        return SoundscapeFigures(
            recordings=len(self._kept),
            annotated=len(self._truth.annotated | self._truth.events.keys()),
            annotations=self._truth.annotations,
            annotations_used=sum(event.species in self._sheet.classes for event in used),
            intervals=len(truth),
            with_birds=int(truth.any(axis=1).sum()),
            species=int(known.sum()),
            unknown=tuple(sorted(sung - set(self._sheet.classes))),
            doubtful=self._truth.doubtful,
            only=only is not None,
            cmap=class_mean(average_precision(scores, truth), truth) if known.any() else None,
            row_f1=float(row_f1(decided, truth).mean()) if known.any() else None,
            mlrap=mean_of_defined(lrap(scores, truth)) if known.any() else None,
            thresholds=f"{self._sheet.settings.min_score:g}" if limits is None else "kept",
        )


def write_figures(path: Path, figures: SoundscapeFigures) -> None:
    """Write the figures as JSON."""
    write_json(path, asdict(figures))


def show_figures(figures: SoundscapeFigures) -> None:
    """Print the figures, and one line for what does not count."""
    console.show_table("Against the annotations", figure_rows(figures))
    if figures.unknown:
        more = f" and {len(figures.unknown) - NAMED} more" if len(figures.unknown) > NAMED else ""
        console.warn(
            f"the net does not know {', '.join(figures.unknown[:NAMED])}{more}, which sing here; they do not count"
        )
    if figures.doubtful:
        console.say(f"{figures.doubtful} annotations are not by a human, as their table says, and do not count")


def figure_rows(figures: SoundscapeFigures) -> dict[str, str]:
    """Return the figures as rows of a summary."""
    birds = f"{figures.with_birds} of {figures.intervals} with birds, of {figures.species} species"
    calls = "the thresholds kept" if figures.thresholds == "kept" else f"a score of {figures.thresholds}"
    return {
        "recordings": f"{figures.recordings:,} of {figures.annotated:,} annotated{'; only species that were listened for are judged' if figures.only else ''}",
        "intervals": birds,
        "annotations": f"{figures.annotations_used:,} of {figures.annotations:,} used",
        "class-mean AP": f"{_number(figures.cmap)}, over intervals",
        "row-wise F1": f"{_number(figures.row_f1)}, by {calls}",
        "MLRAP": f"{_number(figures.mlrap)}, over intervals with birds",
    }


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"
