"""What the metadata classifier brings: the main metrics of the models alone beside those of the blend."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from config import Testing
from utils.scoring.evaluation.recordings import evaluate_predictions, scored_rows
from utils.scoring.inference.recordings import Predictions
from utils.scoring.metrics.registry import METRICS, value_text
from utils.scoring.metrics.units import Unit, unit_word

# what is compared, by unit, in the order in which it is shown
COMPARED: Mapping[Unit, tuple[str, ...]] = {
    "recording": ("mlrap", "top1_accuracy"),
    "interval": ("mlrap", "cmap", "micro_f1", "row_f1", "macro_f1"),
    "event": ("mlrap", "top1_accuracy", "argmax_macro_f1"),
}


class AloneAndBlended(NamedTuple):
    """A metric of the models alone, and of the blend."""

    alone: float
    blended: float


@dataclass(frozen=True)
class WithoutMetadata:
    """Metrics with and without the metadata classifier, on the rows whose scores it changes.

    Attributes
    ----------
    metrics : those of `COMPARED` that are defined, by key
    rows : how many there are, of which unit
    """

    metrics: Mapping[str, AloneAndBlended]
    rows: int
    unit: Unit

    @property
    def over(self) -> str:
        """Which rows are compared."""
        return f"{self.rows:,} blended {unit_word(self.unit, self.rows)}"

    @property
    def text(self) -> str:
        """The metrics as one row of a table."""
        parts = (
            f"{METRICS[key].title} {value_text(one.alone)} (blended {value_text(one.blended)})"
            for key, one in self.metrics.items()
        )
        return f"{', '.join(parts)}, over {self.over}"

    @property
    def facts(self) -> dict[str, Any]:
        """What metrics.json contains."""
        return {"rows": self.rows, "metrics": {key: one._asdict() for key, one in self.metrics.items()}}


def compare_without_metadata(predictions: Predictions, settings: Testing) -> WithoutMetadata | None:
    """Return the metrics of the models alone beside those of the blend; None if nothing is blended.

    Thresholds of detections are found for each of the two, on other recordings.
    """
    if predictions.without_metadata is None:
        return None
    where = np.flatnonzero(np.isfinite(predictions.without_metadata).all(axis=1))
    blended = replace(
        predictions,
        rows=predictions.rows[where],
        scores=predictions.scores[where],
        clips=predictions.clips[where],
        reasons=[predictions.reasons[row] for row in where.tolist()],
        novelty=None,
        without_metadata=None,
    )
    alone = _values_compared(replace(blended, scores=predictions.without_metadata[where]), settings)
    both = _values_compared(blended, settings)
    metrics = {key: AloneAndBlended(alone[key], both[key]) for key in alone if key in both}
    return WithoutMetadata(metrics, len(where), predictions.unit)


def _values_compared(predictions: Predictions, settings: Testing) -> dict[str, float]:
    """Return the metrics that are defined, by key."""
    evaluation = evaluate_predictions(predictions.scores, predictions, background=settings.background)
    data = scored_rows(predictions, evaluation, settings, draws=0)
    found = {key: METRICS[key].resampled(data) for key in COMPARED[predictions.unit]}
    return {key: value for key, resampled in found.items() if resampled and (value := resampled[0]) is not None}
