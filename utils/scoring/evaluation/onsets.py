"""Events of soundscapes, compared with their annotations: which calls were found, and how far off the onsets are."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from utils.recordings.recording import Event
from utils.scoring.evaluation.soundscape_truth import Truth
from utils.scoring.inference.frame_events import FrameEvent
from utils.scoring.metrics.onsets import OnsetMetrics, onset_errors, onset_metrics


class OnsetEvaluator:
    """Compares the events of annotated recordings with their annotations.

    Recordings that are labelled in rows of fixed length, as Kaggle's, do not count: their labels do not say when a call
    starts.

    Parameters
    ----------
    truth : as `SoundscapeEvaluator.used`
    classes : of the events
    """

    def __init__(self, truth: Truth, classes: Sequence[str]) -> None:
        self._calls: Mapping[str, tuple[Event, ...]] = {
            file: events for file, events in truth.events.items() if file not in truth.labelled
        }
        self._classes = classes
        self._errors: list[Float[np.ndarray, " calls"]] = []

    def add(self, file: str, events: Sequence[FrameEvent]) -> None:
        """Take in the events of a recording; one without annotations does not count."""
        calls = self._calls.get(file, ())
        for index, label in enumerate(self._classes):
            annotated = [(call.start, call.end) for call in calls if call.species == label]
            if annotated:
                found = [(event.start_time, event.end_time) for event in events if event.class_index == index]
                self._errors.append(onset_errors(np.array(annotated), np.array(found).reshape(-1, 2)))

    def metrics(self) -> OnsetMetrics | None:
        """Return the metrics of all recordings so far; None if they have no annotated call of a known species."""
        return onset_metrics(self._errors) if self._errors else None
