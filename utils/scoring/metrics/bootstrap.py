"""Confidence of a metric: 95% intervals, and intervals of the difference of two systems, by bootstrap over recordings.

A draw takes as many recordings as there are, with replacement. It is stored as weights: how often each recording was
taken. With weights, a mean is one product of matrices, whatever the number of rows that a recording has;
scipy.stats.bootstrap would sort every class again in each draw (minutes instead of seconds). Two systems that are
evaluated with the same draws are evaluated on the same recordings, whatever the metric.

Source: Efron and Tibshirani, An introduction to the bootstrap, 1993 (percentile method).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64, Real, Shaped

DRAWS = 1000
TAILS = (0.025, 0.975)  # the 95% interval lies between these quantiles
DrawnMetrics = dict[str, Float[np.ndarray, " draws"]]  # each metric in each draw, by name
_ClassCounts = Float32[np.ndarray, "draws classes"]


@dataclass(frozen=True)
class Interval:
    """A metric with its 95% interval.

    Attributes
    ----------
    value : the metric over all rows
    low, high : 2.5% and 97.5% quantiles of the draws; None if the metric is not defined, or in no draw
    draws : number of draws in which it was defined
    """

    value: float | None
    low: float | None
    high: float | None
    draws: int


@dataclass(frozen=True)
class Draws:
    """Draws of recordings, with replacement: the rows of a recording are taken together, because they are alike.

    Attributes
    ----------
    weights : how often each draw took each recording
    recording : index of each row's recording
    """

    weights: Float32[np.ndarray, "draws recordings"]
    recording: Int64[np.ndarray, " rows"]

    def __len__(self) -> int:
        return len(self.weights)

    def sums(self, values: Shaped[np.ndarray, "rows *columns"]) -> Float[np.ndarray, "draws *columns"]:
        """Return the sum of the values over the rows of each draw."""
        return self.weights @ self.by_recording(values)

    def by_recording(self, values: Shaped[np.ndarray, "rows *columns"]) -> Shaped[np.ndarray, "recordings *columns"]:
        """Return the sum of the values over the rows of each recording; of bool, the number of True as float32."""
        dtype = np.dtype(np.float32) if values.dtype == bool else values.dtype
        if self._row_is_recording:
            return values.astype(dtype, copy=False)
        present, starts, order = self._groups
        sums = np.zeros((self.weights.shape[1], *values.shape[1:]), dtype)
        if len(starts):
            sums[present] = np.add.reduceat(values if order is None else values[order], starts, axis=0, dtype=dtype)
        return sums

    def of_rows(self, rows: Shaped[np.ndarray, " some"]) -> "Draws":
        """Return the same draws for some of the rows, by index or mask."""
        return Draws(self.weights, self.recording[rows])

    @cached_property
    def _row_is_recording(self) -> bool:
        return np.array_equal(self.recording, np.arange(self.weights.shape[1]))

    @cached_property
    def _groups(
        self,
    ) -> tuple[Int64[np.ndarray, " present"], Int64[np.ndarray, " present"], Int64[np.ndarray, " rows"] | None]:
        """The recordings that have rows, where the rows of each start in their order, and that order if it is new."""
        order = None if (np.diff(self.recording) >= 0).all() else np.argsort(self.recording, kind="stable")
        present, starts = np.unique(self.recording if order is None else self.recording[order], return_index=True)
        return present, starts, order


def draw_recordings(recording: Int64[np.ndarray, " rows"], *, draws: int = DRAWS, seed: int) -> Draws:
    """Draw recordings with replacement, as many as there are.

    Memory: 4 bytes × draws × recordings.

    Parameters
    ----------
    recording : index of each row's recording, from 0 without gaps: np.arange(rows) if each row is a recording
    """
    rng = np.random.default_rng(seed)
    count = int(recording.max()) + 1 if len(recording) else 0
    # counts, exact below 16 million; float32 for quick products
    weights = np.empty((draws, count), np.float32)
    for row in weights if count else ():
        row[:] = np.bincount(rng.integers(count, size=count), minlength=count)
    return Draws(weights, recording)


def drawn_means(values: Float[np.ndarray, " rows"], draws: Draws) -> Float[np.ndarray, " draws"]:
    """Return the mean of the values that are not NaN in each draw: for the LRAP of each row, the MLRAP."""
    defined = ~np.isnan(values)
    return drawn_ratios(np.where(defined, values, 0.0), defined.astype(float), draws)


def drawn_ratios(
    part: Float[np.ndarray, " rows"], whole: Float[np.ndarray, " rows"], draws: Draws
) -> Float[np.ndarray, " draws"]:
    """Return Σ part / Σ whole in each draw; NaN if the whole is 0.

    With the correct detections and all detections of each row, that is the micro precision.
    """
    return ratio(draws.sums(part), draws.sums(whole))


def drawn_precision_recall_f1(
    detected: Bool[np.ndarray, "rows classes"],
    truth: Bool[np.ndarray, "rows classes"],
    draws: Draws,
    *,
    unknown: Int64[np.ndarray, " rows"] | None = None,
) -> dict[str, DrawnMetrics]:
    """Return precision, recall and F1 in each draw: by average, then by field of `PrecisionRecallF1`.

    NaN if a draw took no row in which a class is present or detected; for the weighted ones, if no class is present.

    Parameters
    ----------
    unknown : how many true labels of each row are no class of the model: misses of the micro metrics; None: none
    """
    counts = (draws.sums(part) for part in (detected & truth, detected, truth))
    missed = None if unknown is None else draws.sums(unknown.astype(np.float32))
    return _averages(*counts, missed=missed)


def drawn_top_class_f1(
    top1: Int64[np.ndarray, " rows"], primary: Int64[np.ndarray, " rows"], draws: Draws, *, classes: int
) -> dict[str, DrawnMetrics]:
    """Return the same if the top class of each row is its only detection, and the primary class its only true one.

    Parameters
    ----------
    top1, primary : index of each row's top class and primary class
    """
    recordings = draws.weights.shape[1]

    def counts(
        of: Int64[np.ndarray, " rows"], rows: Bool[np.ndarray, " rows"] | slice
    ) -> Float32[np.ndarray, "draws classes"]:
        cells = np.bincount(draws.recording[rows] * classes + of[rows], minlength=recordings * classes)
        return draws.weights @ cells.reshape(recordings, classes).astype(np.float32)

    return _averages(counts(primary, top1 == primary), counts(top1, slice(None)), counts(primary, slice(None)))


def _averages(
    hits: _ClassCounts,
    detections: _ClassCounts,
    present: _ClassCounts,
    *,
    missed: Float32[np.ndarray, " draws"] | None = None,
) -> dict[str, DrawnMetrics]:
    """Return all averages from the counts of each class in each draw.

    Parameters
    ----------
    missed : true labels besides, which are no class
    """
    rows = present.sum(axis=1)
    every = [part.sum(axis=1, keepdims=True) for part in (hits, detections, present)]
    if missed is not None:
        every[2] = every[2] + missed[:, None]
    return {
        "micro": _means_over_occurring(*every),
        "macro": _means_over_occurring(hits, detections, present),
        "weighted": {
            key: ratio((values * present).sum(axis=1), rows)
            for key, values in _shares(hits, detections, present).items()
        },
    }


def _shares(hits: _ClassCounts, detections: _ClassCounts, present: _ClassCounts) -> dict[str, _ClassCounts]:
    """Return precision, recall and F1 of each class in each draw; 0 / 0 is 0."""
    wholes = {"precision": detections, "recall": present, "f1": (detections + present) / 2}
    return {key: hits / np.where(whole > 0, whole, 1) for key, whole in wholes.items()}


def _means_over_occurring(hits: _ClassCounts, detections: _ClassCounts, present: _ClassCounts) -> DrawnMetrics:
    """Return the means in each draw over the classes that are present or detected in it; others have shares of 0."""
    occurring = (detections + present > 0).sum(axis=1)
    shares = _shares(hits, detections, present)
    return {key: ratio(values.sum(axis=1), occurring) for key, values in shares.items()}


def ratio(part: Float[np.ndarray, " draws"], whole: Real[np.ndarray, " draws"]) -> Float[np.ndarray, " draws"]:
    """Return part / whole in each draw; NaN where the whole is 0."""
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)


def interval(value: float | None, drawn: Float[np.ndarray, " draws"]) -> Interval:
    """Return a metric with its interval, from its value in each draw."""
    defined = drawn[~np.isnan(drawn)]
    if value is None or not len(defined):
        return Interval(value, None, None, 0)
    low, high = np.quantile(defined, TAILS)
    return Interval(value, float(low), float(high), len(defined))


def difference_interval(
    a: float | None, b: float | None, *, drawn_a: Float[np.ndarray, " draws"], drawn_b: Float[np.ndarray, " draws"]
) -> Interval:
    """Return how much higher system A scores than system B by one metric, with the interval of the difference.

    Parameters
    ----------
    a, b : the metric of each over all rows
    drawn_a, drawn_b : its value in each of the same draws
    """
    return interval(None if a is None or b is None else a - b, drawn_a - drawn_b)


def paired_interval(
    one: Float[np.ndarray, " rows"],
    other: Float[np.ndarray, " rows"],
    *,
    recording: Int64[np.ndarray, " rows"] | None = None,
) -> tuple[float, float] | None:
    """Return the ends of the 95% interval of mean(one) − mean(other); None for fewer than two recordings.

    Both are resampled by the same draws. This pairing removes how much harder some recordings are than others, which
    tells nothing about the systems.

    Parameters
    ----------
    recording : of each row, by any number; None: each row is one
    """
    _, recording = np.unique(np.arange(len(one)) if recording is None else recording, return_inverse=True)
    if not recording.any():
        return None
    draws = draw_recordings(recording, seed=0)
    found = difference_interval(
        float(one.mean()), float(other.mean()), drawn_a=drawn_means(one, draws), drawn_b=drawn_means(other, draws)
    )
    return None if found.low is None or found.high is None else (found.low, found.high)
