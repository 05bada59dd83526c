"""Out-of-fold predictions: each recording by the models that did not learn from it, joined into one table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

import numpy as np
import polars as pl
from jaxtyping import Float32, Int64

from utils.scoring.inference.recordings import Predictions


@dataclass(frozen=True)
class Spread:
    """A metric over folds.

    Attributes
    ----------
    mean : over the folds in which it is defined; each fold counts once, with its mean over seeds
    deviation : standard deviation of these (n − 1); None for fewer than two
    folds : number of folds in which it is defined
    """

    mean: float
    deviation: float | None
    folds: int


def mean_over_seeds(parts: Sequence[Predictions], classes: Sequence[str]) -> Predictions:
    """Return the mean of the scores of models with different seeds for the recordings of one fold.

    Parameters
    ----------
    parts : the predictions of each model for the same rows
    classes : the columns of the result; each is averaged over the models that know it, and is 0 if none does

    Raises
    ------
    ValueError
        If the rows differ.
    """
    first, *others = parts
    if not all(other.rows.equals(first.rows) for other in others):
        raise ValueError("the models predicted different rows")
    columns = {label: index for index, label in enumerate(classes)}
    total, known = np.zeros((len(first.rows), len(classes))), np.zeros(len(classes))
    for part in parts:
        where = [columns[label] for label in part.classes]
        total[:, where] += part.scores
        known[where] += 1
    reasons = [next(filter(None, of_row), None) for of_row in zip(*(part.reasons for part in parts), strict=True)]
    scores = (total / np.maximum(known, 1)).astype(np.float32)
    scores[[reason is not None for reason in reasons]] = np.nan
    return replace(
        first,
        classes=tuple(classes),
        scores=scores,
        clips=np.max([part.clips for part in parts], axis=0),
        reasons=reasons,
        clip_scores={},
        fingerprint=None,
        warnings=_joined_warnings(parts),
        novelty=_mean_novelty(parts),
        without_metadata=None,
    )


def _mean_novelty(parts: Sequence[Predictions]) -> Float32[np.ndarray, " rows"] | None:
    found = [part.novelty for part in parts if part.novelty is not None]
    return np.stack(found).mean(axis=0) if len(found) == len(parts) else None


def pool_folds(
    folds: Sequence[Sequence[Predictions]], recordings: Sequence[str], *, fingerprint: str | None
) -> Predictions:
    """Join the predictions of all folds into one table.

    Parameters
    ----------
    folds : for each fold, the predictions of its models, one per seed
    recordings : names of all recordings in the order of the result; rows of a recording keep their order
    fingerprint : what thresholds and calibration are saved with

    Raises
    ------
    ValueError
        If a recording is in two folds, or the models of a fold predicted different rows.
    """
    classes = sorted({label for parts in folds for part in parts for label in part.classes})
    means = [mean_over_seeds(parts, classes) for parts in folds]
    rows = pl.concat([mean.rows for mean in means])
    if sum(mean.rows["recording"].n_unique() for mean in means) != rows["recording"].n_unique():
        raise ValueError("a recording is in two folds")
    places = {name: place for place, name in enumerate(recordings)}
    order = np.argsort([places[name] for name in rows["recording"]], kind="stable")
    scores: Float32[np.ndarray, "rows classes"] = np.concatenate([mean.scores for mean in means])[order]
    reasons = [reason for mean in means for reason in mean.reasons]
    return Predictions(
        rows[order],
        tuple(classes),
        scores,
        np.concatenate([mean.clips for mean in means])[order],
        [reasons[index] for index in order.tolist()],
        fingerprint=fingerprint,
        warnings=_joined_warnings(means),
        unit=means[0].unit,
        novelty=_joined_novelty(means, order),
    )


def _joined_novelty(
    means: Sequence[Predictions], order: Int64[np.ndarray, " rows"]
) -> Float32[np.ndarray, " rows"] | None:
    found = [mean.novelty for mean in means if mean.novelty is not None]
    return np.concatenate(found)[order] if len(found) == len(means) else None


def _joined_warnings(parts: Sequence[Predictions]) -> dict[str, tuple[str, ...]]:
    texts: dict[str, dict[str, None]] = {}
    for part in parts:
        for name, warnings in part.warnings.items():
            texts.setdefault(name, {}).update(dict.fromkeys(warnings))
    return {name: tuple(found) for name, found in texts.items()}


def spread_over_folds(folds: Sequence[Sequence[Mapping[str, float | None]]]) -> dict[str, Spread]:
    """Return mean and standard deviation over folds of each metric.

    Parameters
    ----------
    folds : for each fold, the metrics of its models by key; None where a metric is not defined
    """
    keys = dict.fromkeys(key for models in folds for metrics in models for key in metrics)
    found = {key: [mean_over_models(key, models) for models in folds] for key in keys}
    defined = {key: [value for value in values if value is not None] for key, values in found.items()}
    return {
        key: Spread(fmean(values), stdev(values) if len(values) > 1 else None, len(values))
        for key, values in defined.items()
        if values
    }


def mean_over_models(key: str, models: Sequence[Mapping[str, float | None]]) -> float | None:
    """Return the mean of a metric over the models for which it is defined; None if it is for none."""
    values = [value for metrics in models if (value := metrics.get(key)) is not None]
    return fmean(values) if values else None
