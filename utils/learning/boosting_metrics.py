"""How good the metadata classifier is: its metrics on recordings, beside those of the class prior."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float, Int64

from config import Config
from utils.console import UserError
from utils.learning.boosting_data import BoostingData, placed_recordings
from utils.recordings.labels import ground_truth
from utils.scoring.held_out import held_out_split
from utils.scoring.inference.metadata_classifier import MetadataClassifier
from utils.scoring.metrics.bootstrap import Interval, difference_interval, draw_recordings, interval
from utils.scoring.metrics.metric_kinds import ScoredRows
from utils.scoring.metrics.registry import METRICS

KEYS = ("argmax_macro_f1", "argmax_micro_f1", "top1_accuracy", "mlrap")  # of `registry.METRICS`
INTERVALS = ("classifier", "class_prior", "difference")  # of `ClassifierMetrics`
TIE_BREAK = 1e-9  # by which equal shares of classes are told apart


@dataclass(frozen=True)
class ClassifierMetrics:
    """Metrics of the classifier on some recordings.

    Attributes
    ----------
    recordings : how many
    classifier, class_prior : by key of `registry.METRICS`; the latter always expects the most frequent classes
    difference : the classifier minus the class prior, on the same recordings
    """

    recordings: int
    classifier: dict[str, Interval]
    class_prior: dict[str, Interval]
    difference: dict[str, Interval]

    def as_json(self) -> dict[str, Any]:
        """Return what metrics.json holds."""
        named = {name: getattr(self, name) for name in INTERVALS}
        return {
            "recordings": self.recordings,
            **{
                name: {
                    key: {end: asdict(one)[end] for end in ("value", "low", "high")} for key, one in intervals.items()
                }
                for name, intervals in named.items()
            },
        }


def validation_metrics(classifier: MetadataClassifier, data: BoostingData, config: Config) -> ClassifierMetrics | None:
    """Return the metrics on the validation recordings, by which the number of trees was chosen; None without any."""
    rows = data.recordings.rows.filter(pl.Series(data.is_validation))
    places = [place for place, apart in zip(data.recordings.places, data.is_validation, strict=True) if apart]
    scores = classifier.probabilities(places) if len(rows) else np.empty((0, len(data.classes)))
    return metrics_on(scores, rows, data, config)


def held_out_metrics(
    classifier: MetadataClassifier, split: pl.DataFrame, data: BoostingData, config: Config
) -> ClassifierMetrics | None:
    """Return the metrics on the held-out recordings of classes that it knows, as for test.py; None without any."""
    name = held_out_split(split, config.testing)
    held_out = placed_recordings(split.filter(pl.col("split") == name, pl.col("class").is_in(data.classes)), config)
    scores = classifier.probabilities(list(held_out.places)) if held_out.places else np.empty((0, len(data.classes)))
    return metrics_on(scores, held_out.rows, data, config)


def metrics_on(
    scores: Float[np.ndarray, "rows classes"], rows: pl.DataFrame, data: BoostingData, config: Config
) -> ClassifierMetrics | None:
    """Compare scores for some recordings with their labels; None if there are no recordings.

    Parameters
    ----------
    rows : of the split
    """
    if rows.is_empty():
        return None
    prior = np.tile(class_shares(data.label[~data.is_validation], classes=len(data.classes)), (len(rows), 1))
    ours, theirs = (_rows_to_compare(table, rows, data.classes, config) for table in (scores, prior))
    found = {key: (METRICS[key].resampled(ours), METRICS[key].resampled(theirs)) for key in KEYS}
    known = {key: (one, other) for key, (one, other) in found.items() if one is not None and other is not None}
    return ClassifierMetrics(
        len(rows),
        {key: interval(*one) for key, (one, _) in known.items()},
        {key: interval(*one) for key, (_, one) in known.items()},
        {
            key: difference_interval(one[0], other[0], drawn_a=one[1], drawn_b=other[1])
            for key, (one, other) in known.items()
        },
    )


def class_shares(label: Int64[np.ndarray, " recordings"], *, classes: int) -> Float[np.ndarray, " classes"]:
    """Return the share of each class, and break ties by their order: tied scores would all count as wrong."""
    return np.bincount(label, minlength=classes) / max(len(label), 1) - TIE_BREAK * np.arange(classes)


def _rows_to_compare(
    scores: Float[np.ndarray, "rows classes"], rows: pl.DataFrame, classes: Sequence[str], config: Config
) -> ScoredRows:
    index = {label: column for column, label in enumerate(classes)}
    return ScoredRows(
        scores=scores,
        truth=ground_truth(rows, tuple(classes), background=config.testing.background),
        primary=np.array([index[label] for label in rows["class"]], np.int64),
        draws=draw_recordings(np.arange(len(rows)), seed=config.testing.seed),
    )


def read_classifier_metrics(path: Path) -> dict[str, ClassifierMetrics]:
    """Read the metrics of a classifier that was trained before; without their numbers of draws.

    Raises
    ------
    UserError
        If the file is damaged.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {name: _metrics_from(found[name]) for name in ("validation", "held_out") if name in found}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UserError(f"{path}: is damaged; run train_metadata.py with --fresh") from None


def _metrics_from(entry: Mapping[str, Any]) -> ClassifierMetrics:
    intervals = (
        {key: Interval(one["value"], one["low"], one["high"], 0) for key, one in entry[name].items()}
        for name in INTERVALS
    )
    return ClassifierMetrics(int(entry["recordings"]), *intervals)
