"""Thresholds, the scores from which classes are detected: found on labelled rows, applied, and saved in a file."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt, MinLen
from jaxtyping import Bool, Float, Int64
from pydantic import AliasChoices, AllowInfNan, Field, TypeAdapter

from utils.console import UserError
from utils.files import write_json
from utils.scoring.metrics.ranking import check_scores
from utils.scoring.metrics.row_thresholds import best_row_threshold
from utils.scoring.metrics.units import Unit, unit_word
from utils.tables import RUN_TEST_AGAIN, read_json

NOCALL = "nocall"  # the label of a row without detections in BirdCLEF
FULL_CURVE = 100_000  # up to so many pairs, the curve has a point for each score
ThresholdMethod = Literal["f1", "row_f1", "precision"]
ThresholdMetric = Literal["micro_f1", "row_f1"]
HIGHEST_SCORE = 1.5  # with a prior; without one 1
SAME_SCORE = 1e-6  # scores of float32 may exceed the highest one by less


@dataclass(frozen=True)
class Thresholds:
    """The score from which each class is detected.

    Attributes
    ----------
    classes : which classes
    values : threshold of each; None: the class is never detected
    per_class : whether the threshold of a class was found on the rows of that class; if not, it is the common one
    common : threshold that is best for all pairs of a row and a class together; None if no threshold is any use
    method : how they were found: best F1 over pairs, best row-wise F1, or highest recall with `precision`
    precision : wanted share of correct detections; None if method is not precision
    min_positives : classes with fewer true rows took the common threshold
    made_from : the run, and what it was tested on
    fingerprint : of the networks and settings whose scores they are, from `fingerprint_of_scores`; None if not known
    unit : what a row is that they were found on; None if not known, as in files of earlier versions
    interval : length of these rows, seconds, if the unit is the interval
    max_false_alarms : they were raised until noise had at most so many false alarms per hour; None: they were not
    """

    classes: tuple[str, ...]
    values: tuple[float | None, ...]
    # earlier versions saved it as "own"
    per_class: Annotated[tuple[bool, ...], Field(validation_alias=AliasChoices("per_class", "own"))]
    common: float | None
    method: ThresholdMethod
    precision: Annotated[float, Ge(0)] | None
    min_positives: Annotated[int, Ge(0)]
    made_from: Annotated[str, MinLen(1)]
    fingerprint: str | None = None
    unit: Unit | None = None
    interval: Annotated[float, Gt(0), AllowInfNan(False)] | None = None
    max_false_alarms: Annotated[float, Ge(0), AllowInfNan(False)] | None = None


_THRESHOLDS_FILE: TypeAdapter[Thresholds] = TypeAdapter(Thresholds)


@dataclass(frozen=True)
class Curve:
    """Precision, recall and F1 with each score as the threshold, in rising order of the scores."""

    thresholds: Float[np.ndarray, " points"]
    precision: Float[np.ndarray, " points"]
    recall: Float[np.ndarray, " points"]

    @property
    def f1(self) -> Float[np.ndarray, " points"]:
        """2 P R / (P + R), and 0 where no detection is correct."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / np.where(total > 0, total, 1)

    def best(self, *, precision: float | None) -> int | None:
        """Return the index of the point of the best F1 or, if a precision is wanted, of the highest recall with it.

        Of equally good points, the one with the highest threshold. None if there is no such point, or no detection
        would be correct.
        """
        worth = self.f1 if precision is None else np.where(self.precision >= precision, self.recall, 0.0)
        best = len(worth) - 1 - int(worth[::-1].argmax()) if len(worth) else 0
        return best if len(worth) and worth[best] > 0 else None


def curve_of(scores: Float[np.ndarray, " pairs"], correct: Bool[np.ndarray, " pairs"], *, unknown: int = 0) -> Curve:
    """Return precision and recall for each score as the threshold; empty if no pair is correct.

    The lowest score is not a point of the curve, unless all pairs are correct: as the threshold, it would detect
    everything, and no row would be nocall. Of more than `FULL_CURVE` pairs, points between two of equal recall are
    left out; the best ones are never among them. Memory: one sorted copy of the scores.

    Parameters
    ----------
    unknown : number of true labels that are no class: they are missed, whatever is detected

    Source: scikit-learn's precision_recall_curve, which needs ten times as much memory.
    """
    true = np.sort(scores[correct])
    if not len(true):
        return Curve(np.empty(0), np.empty(0), np.empty(0))
    ordered = np.sort(scores)
    points = _ends_of_plateaus(ordered, true) if len(scores) > FULL_CURVE else _distinct(ordered)
    points = points[0 if len(true) == len(ordered) else 1 :]
    hits = len(true) - np.searchsorted(true, points)
    detected = len(ordered) - np.searchsorted(ordered, points)
    return Curve(points.astype(float), hits / detected, hits / (len(true) + unknown))


def _ends_of_plateaus(
    ordered: Float[np.ndarray, " pairs"], true: Float[np.ndarray, " hits"]
) -> Float[np.ndarray, " points"]:
    """Return the scores of correct pairs, and the next higher score of any pair, besides the lowest and the highest."""
    levels = _distinct(true)
    above = np.searchsorted(ordered, levels, side="right")
    return np.unique(np.concatenate([ordered[[0, -1]], levels, ordered[above[above < len(ordered)]]]))


def _distinct(ordered: Float[np.ndarray, " some"]) -> Float[np.ndarray, " distinct"]:
    return ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])]


def find_thresholds(
    scores: Float[np.ndarray, "rows classes"],
    truth: Bool[np.ndarray, "rows classes"],
    classes: Sequence[str],
    *,
    per_class: bool,
    metric: ThresholdMetric = "micro_f1",
    precision: float | None = None,
    min_positives: int = 5,
    unknown: Int64[np.ndarray, " rows"] | None = None,
    made_from: str,
    unit: Unit | None = None,
    interval: float | None = None,
) -> Thresholds:
    """Find thresholds on labelled rows: one per class, or one for all classes on all pairs of a row and a class.

        F1(t) = 2 TP / (2 TP + FP + FN)  of the detections  score ≥ t

    On the same rows, detections look better than on others: see `cross_detected`.

    Parameters
    ----------
    per_class : whether each class gets its own threshold
    metric : what the common threshold is chosen for: best F1 over all pairs, or best mean F1 of rows with nocall, as in
        BirdCLEF 2021 (`detection_metrics.row_f1`), for which classes cannot have their own
    precision : wanted share of correct detections, 0 to 1, instead of the best F1; a class that cannot reach it is not
        detected
    min_positives : a class with fewer true rows gets the common threshold
    unknown : number of true labels of each row that are no class: they count as missed
    made_from : the run, and what it was tested on
    unit : what a row is; None if that is not to be saved
    interval : length of the rows, seconds, if they are intervals; does not count for other units

    Raises
    ------
    ValueError
        If a score is not finite, shapes differ, or thresholds per class are wanted for rows.
    """
    by_rows = metric == "row_f1" and precision is None
    if by_rows and per_class:
        raise ValueError("the F1 of rows can choose only a common threshold, not one per class")
    check_scores(scores, truth)
    if len(classes) != scores.shape[1]:
        raise ValueError(f"{len(classes)} classes, but scores of {scores.shape[1]}")
    if by_rows:
        common = best_row_threshold(scores, truth, unknown=unknown)
    else:
        common = _best(scores.ravel(), truth.ravel(), precision, unknown=0 if unknown is None else int(unknown.sum()))
    enough = per_class & (truth.sum(axis=0) >= max(min_positives, 1))
    values = [
        _best(scores[:, index], truth[:, index], precision) if enough[index] else common
        for index in range(len(classes))
    ]
    return Thresholds(
        classes=tuple(classes),
        values=tuple(values),
        per_class=tuple(enough.tolist()),
        common=common,
        method="precision" if precision is not None else "row_f1" if by_rows else "f1",
        precision=precision,
        min_positives=min_positives,
        made_from=made_from,
        unit=unit,
        interval=interval if unit == "interval" else None,
    )


def _best(
    scores: Float[np.ndarray, " pairs"],
    correct: Bool[np.ndarray, " pairs"],
    precision: float | None,
    *,
    unknown: int = 0,
) -> float | None:
    curve = curve_of(scores, correct, unknown=unknown)
    point = curve.best(precision=precision)
    return None if point is None else float(curve.thresholds[point])


def detect(scores: Float[np.ndarray, "rows classes"], thresholds: Thresholds) -> Bool[np.ndarray, "rows classes"]:
    """Tell which classes are detected in each row: score ≥ threshold.

    Raises
    ------
    ValueError
        If a score is not finite, or the number of classes differs.
    """
    if len(thresholds.values) != scores.shape[1]:
        raise ValueError(f"{len(thresholds.values)} thresholds, but scores of {scores.shape[1]} classes")
    if not np.isfinite(scores).all():
        raise ValueError("a score is not finite")
    values = np.array([np.inf if value is None else value for value in thresholds.values])
    return scores >= values


def cross_detected(
    scores: Float[np.ndarray, "rows classes"],
    truth: Bool[np.ndarray, "rows classes"],
    folds: Int64[np.ndarray, " rows"],
    *,
    per_class: bool,
    metric: ThresholdMetric = "micro_f1",
    precision: float | None = None,
    min_positives: int = 5,
    unknown: Int64[np.ndarray, " rows"] | None = None,
    changed: Callable[[Thresholds], Thresholds] | None = None,
) -> Bool[np.ndarray, "rows classes"]:
    """Detect in each row by thresholds that were found on the other folds, so that the metrics are not optimistic.

    Parameters
    ----------
    folds : index of each row's fold, from `folds_of`; at least two
    per_class, metric, precision, min_positives, unknown : as in `find_thresholds`
    changed : returns the thresholds that are used instead of those found; None: these
    """
    detected = np.zeros(scores.shape, bool)
    names = [str(index) for index in range(scores.shape[1])]
    for fold in np.unique(folds):
        here = folds == fold
        found = find_thresholds(
            scores[~here],
            truth[~here],
            names,
            per_class=per_class,
            metric=metric,
            precision=precision,
            min_positives=min_positives,
            unknown=None if unknown is None else unknown[~here],
            made_from="the other folds",
        )
        detected[here] = detect(scores[here], changed(found) if changed else found)
    return detected


def folds_of(recordings: Int64[np.ndarray, " rows"], *, folds: int = 5, seed: int) -> Int64[np.ndarray, " rows"]:
    """Draw a fold for each row; rows of the same recording share a fold. Fewer recordings than folds give fewer folds.

    Parameters
    ----------
    recordings : index of each row's recording; np.arange(rows) if each row is one

    Raises
    ------
    ValueError
        If there are fewer than two recordings.
    """
    names, indices = np.unique(recordings, return_inverse=True)
    if len(names) < 2:
        raise ValueError("one recording cannot be split into folds")
    return np.random.default_rng(seed).permutation(np.arange(len(names)) % folds)[indices]


def write_thresholds(path: Path, thresholds: Thresholds) -> None:
    """Write thresholds as JSON."""
    write_json(path, asdict(thresholds))


def read_thresholds(path: Path, classes: Sequence[str], *, highest: float = HIGHEST_SCORE) -> Thresholds:
    """Read thresholds, in the order of `classes`; other classes in the file are left out.

    Parameters
    ----------
    highest : the highest score that there can be

    Raises
    ------
    UserError
        If there is no such file, it does not contain thresholds, one is below 0 or above `highest`, or a class is
        missing.
    """
    found: Thresholds = read_json(path, _THRESHOLDS_FILE)
    if not len(found.classes) == len(found.values) == len(found.per_class) == len(set(found.classes)):
        raise UserError(f"{path}: does not have one threshold per class; {RUN_TEST_AGAIN}")
    if (found.unit == "interval") != (found.interval is not None):
        raise UserError(f"{path}: should have an interval if its unit is 'interval', and only then; {RUN_TEST_AGAIN}")
    _check_range(path, found, highest)
    indices = {label: index for index, label in enumerate(found.classes)}
    missing = [label for label in classes if label not in indices]
    if missing:
        others = f" and {len(missing) - 1} others" if len(missing) > 1 else ""
        raise UserError(
            f"{path}: has no threshold for {missing[0]}{others}; "
            f"it was made from {found.made_from}, which has other classes"
        )
    order = [indices[label] for label in classes]
    return replace(
        found,
        classes=tuple(classes),
        values=tuple(found.values[index] for index in order),
        per_class=tuple(found.per_class[index] for index in order),
    )


def _check_range(path: Path, found: Thresholds, highest: float) -> None:
    """Refuse thresholds that no score can have, NaN among them."""
    names = [*found.classes, "all classes together"]
    for name, value in zip(names, [*found.values, found.common], strict=True):
        if value is not None and not 0 <= value <= highest + SAME_SCORE:
            without = "" if highest > 1 else " without testing.prior"
            raise UserError(
                f"{path}: the threshold of {name} is {value:g}, but scores are from 0 to {highest:g}{without}; "
                f"{RUN_TEST_AGAIN} with the settings of the submission, or fix the file"
            )


def rows_text(unit: Unit, interval: float | None) -> str:
    """Return what thresholds are chosen on or used for, for people.

    Parameters
    ----------
    interval : seconds, if the unit is the interval and its length is known
    """
    if unit == "recording":
        return "whole recordings"
    return f"intervals of {interval:g} s" if unit == "interval" and interval else f"single {unit_word(unit)}"
