"""From which score on a class is called: thresholds found on labelled rows, the decisions that they make, and the file that keeps them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, MinLen
from jaxtyping import Bool, Float, Int64
from pydantic import AllowInfNan, TypeAdapter
from sklearn.metrics import precision_recall_curve

from utils.console import UserError
from utils.files import write_json
from utils.saved_json import ADVICE, read_kept
from utils.scoring.metrics.ranking import check

NOCALL = "nocall"  # what BirdCLEF calls a row in which nothing is called
FULL = 100_000  # pairs whose curve has a point for every score
Method = Literal["f1", "precision"]
Threshold = Annotated[float, AllowInfNan(False)]


@dataclass(frozen=True)
class Thresholds:
    """From which score on each class is called.

    Attributes
    ----------
    classes : which classes
    values : threshold of each; None is never called
    own : whether a class's threshold was found on its own rows; if not, it is the common one
    common : threshold that is best for all pairs of a row and a class together; None: none would do
    method : what it was found by: the best F1, or the most that can be called with `precision`
    precision : the wanted share of right calls; None where method is f1
    min_positives : classes with fewer true rows took the common threshold
    made_from : the run, and what it was tested on
    fingerprint : of the nets and settings whose scores they are, of `fingerprint_of_scores`; None where that is not
        known
    """

    classes: tuple[str, ...]
    values: tuple[Threshold | None, ...]
    own: tuple[bool, ...]
    common: Threshold | None
    method: Method
    precision: Annotated[float, Ge(0)] | None
    min_positives: Annotated[int, Ge(0)]
    made_from: Annotated[str, MinLen(1)]
    fingerprint: str | None = None


_FILE: TypeAdapter[Thresholds] = TypeAdapter(Thresholds)


@dataclass(frozen=True)
class Curve:
    """Precision, recall and F1 of calling from each score on, in rising order of the scores."""

    thresholds: Float[np.ndarray, " points"]
    precision: Float[np.ndarray, " points"]
    recall: Float[np.ndarray, " points"]

    @property
    def f1(self) -> Float[np.ndarray, " points"]:
        """2 P R / (P + R), and 0 where nothing called is right."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / np.where(total > 0, total, 1)

    def best(self, *, precision: float | None) -> int | None:
        """Return the number of the point of the best F1 or, where a precision is wanted, of the highest recall that has it; of equals the highest threshold.

        None where there is no such point, or nothing called would be right.
        """
        worth = self.f1 if precision is None else np.where(self.precision >= precision, self.recall, 0.0)
        best = len(worth) - 1 - int(worth[::-1].argmax()) if len(worth) else 0
        return best if len(worth) and worth[best] > 0 else None


def curve_of(scores: Float[np.ndarray, " pairs"], right: Bool[np.ndarray, " pairs"]) -> Curve:
    """Return what calling from each score on would give; empty where nothing is right.

    The lowest score is no point of the curve, unless all is right: from it on everything is called, which tells nothing
    and leaves no row to nocall. Of more than FULL pairs, points between two of equal recall are left out; the best ones
    are never among them.

    Source: scikit-learn's precision_recall_curve.
    """
    if not right.any():
        return Curve(np.empty(0), np.empty(0), np.empty(0))
    precision, recall, thresholds = precision_recall_curve(right, scores, drop_intermediate=len(scores) > FULL)
    first = 0 if right.all() else int(thresholds[0] == scores.min())
    return Curve(thresholds[first:].astype(float), precision[first:-1], recall[first:-1])


def find_thresholds(
    scores: Float[np.ndarray, "rows classes"],
    truth: Bool[np.ndarray, "rows classes"],
    classes: Sequence[str],
    *,
    per_class: bool,
    precision: float | None = None,
    min_positives: int = 5,
    made_from: str,
) -> Thresholds:
    """Find thresholds on labelled rows: of each class by its rows, or one for all by all pairs of a row and a class.

        F1(t) = 2 TP / (2 TP + FP + FN)  of the calls  score ≥ t

    On the same rows the decisions look better than on others: see `cross_decided`.

    Parameters
    ----------
    per_class : whether classes have thresholds of their own
    precision : wanted share of right calls, 0 to 1; None: best F1. A class that cannot reach it is never called
    min_positives : a class with fewer true rows takes the common threshold
    made_from : the run, and what it was tested on

    Raises
    ------
    ValueError
        If a score is no number, or shapes differ.
    """
    check(scores, truth)
    if len(classes) != scores.shape[1]:
        raise ValueError(f"{len(classes)} classes, scores of {scores.shape[1]}")
    common = _best(scores.ravel(), truth.ravel(), precision)
    own = per_class & (truth.sum(axis=0) >= max(min_positives, 1))
    values = [
        _best(scores[:, number], truth[:, number], precision) if own[number] else common
        for number in range(len(classes))
    ]
    method: Method = "f1" if precision is None else "precision"
    return Thresholds(
        tuple(classes), tuple(values), tuple(own.tolist()), common, method, precision, min_positives, made_from
    )


def _best(
    scores: Float[np.ndarray, " pairs"], right: Bool[np.ndarray, " pairs"], precision: float | None
) -> float | None:
    curve = curve_of(scores, right)
    point = curve.best(precision=precision)
    return None if point is None else float(curve.thresholds[point])


def decide(scores: Float[np.ndarray, "rows classes"], thresholds: Thresholds) -> Bool[np.ndarray, "rows classes"]:
    """Tell which classes are called in each row: score ≥ threshold.

    Raises
    ------
    ValueError
        If a score is no number, or there are not as many classes.
    """
    if len(thresholds.values) != scores.shape[1]:
        raise ValueError(f"{len(thresholds.values)} thresholds, scores of {scores.shape[1]} classes")
    if not np.isfinite(scores).all():
        raise ValueError("a score is not finite")
    values = np.array([np.inf if value is None else value for value in thresholds.values])
    return scores >= values


def calls(decided: Bool[np.ndarray, "rows classes"], classes: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the names of what is called in each row; 'nocall' where nothing is."""
    return [tuple(label for label, called in zip(classes, row, strict=True) if called) or (NOCALL,) for row in decided]


def cross_decided(
    scores: Float[np.ndarray, "rows classes"],
    truth: Bool[np.ndarray, "rows classes"],
    folds: Int64[np.ndarray, " rows"],
    *,
    per_class: bool,
    precision: float | None = None,
    min_positives: int = 5,
) -> Bool[np.ndarray, "rows classes"]:
    """Decide each row by thresholds that were found on the other folds, so that precision, recall and F1 flatter nobody.

    Parameters
    ----------
    folds : number of each row's fold, of `folds_of`; at least two
    per_class, precision, min_positives : as for `find_thresholds`
    """
    decided = np.zeros(scores.shape, bool)
    names = [str(number) for number in range(scores.shape[1])]
    for fold in np.unique(folds):
        here = folds == fold
        found = find_thresholds(
            scores[~here],
            truth[~here],
            names,
            per_class=per_class,
            precision=precision,
            min_positives=min_positives,
            made_from="the other folds",
        )
        decided[here] = decide(scores[here], found)
    return decided


def folds_of(recordings: Int64[np.ndarray, " rows"], *, folds: int = 5, seed: int) -> Int64[np.ndarray, " rows"]:
    """Draw a fold for each row, the rows of a recording together; there are as many folds as recordings where those are fewer.

    Parameters
    ----------
    recordings : number of each row's recording; np.arange(rows) where each row is one

    Raises
    ------
    ValueError
        If there are fewer than two recordings.
    """
    names, places = np.unique(recordings, return_inverse=True)
    if len(names) < 2:
        raise ValueError("one recording cannot be cut into folds")
    return np.random.default_rng(seed).permutation(np.arange(len(names)) % folds)[places]


def write_thresholds(path: Path, thresholds: Thresholds) -> None:
    """Write thresholds as JSON."""
    write_json(path, asdict(thresholds))


def read_thresholds(path: Path, classes: Sequence[str]) -> Thresholds:
    """Read thresholds, in the order of `classes`; classes that are in the file and not asked for are left out.

    Raises
    ------
    UserError
        If there is no such file, it does not hold thresholds, or lacks a class.
    """
    found: Thresholds = read_kept(path, _FILE)
    if not len(found.classes) == len(found.values) == len(found.own) == len(set(found.classes)):
        raise UserError(f"{path}: does not hold one threshold for each class; {ADVICE}")
    places = {label: number for number, label in enumerate(found.classes)}
    missing = [label for label in classes if label not in places]
    if missing:
        others = f" and {len(missing) - 1} others" if len(missing) > 1 else ""
        raise UserError(
            f"{path}: has no threshold for {missing[0]}{others}; it was made from {found.made_from}, which knows other classes"
        )
    order = [places[label] for label in classes]
    values, own = tuple(found.values[place] for place in order), tuple(found.own[place] for place in order)
    return replace(found, classes=tuple(classes), values=values, own=own)
