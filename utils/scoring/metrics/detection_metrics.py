"""How correct detections are: which classes were detected in which row, compared with the ground truth."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Int64

from utils.scoring.metrics.ranking import mean_of_defined


@dataclass(frozen=True)
class Counts:
    """How often each class was detected correctly, detected falsely, and missed."""

    hits: Int64[np.ndarray, " classes"]
    false_detections: Int64[np.ndarray, " classes"]
    misses: Int64[np.ndarray, " classes"]

    @property
    def precision(self) -> Float[np.ndarray, " classes"]:
        """Share of a class's detections that are correct: TP / (TP + FP).

        0 for a class that is present but never detected, NaN for one that is neither.
        """
        return self._share(self.hits, self.hits + self.false_detections)

    @property
    def recall(self) -> Float[np.ndarray, " classes"]:
        """Share of a class's rows in which it is detected: TP / (TP + FN).

        0 for a class that is detected but never present, NaN for one that is neither.
        """
        return self._share(self.hits, self.hits + self.misses)

    @property
    def f1(self) -> Float[np.ndarray, " classes"]:
        """F1, the harmonic mean of precision and recall: 2 TP / (2 TP + FP + FN); NaN like `precision`."""
        return self._share(2 * self.hits, 2 * self.hits + self.false_detections + self.misses)

    def _share(
        self, part: Int64[np.ndarray, " classes"], whole: Int64[np.ndarray, " classes"]
    ) -> Float[np.ndarray, " classes"]:
        occurs = self.hits + self.false_detections + self.misses > 0
        return np.where(occurs, part / np.maximum(whole, 1), np.nan)


@dataclass(frozen=True)
class PrecisionRecallF1:
    """Precision, recall and F1 over several classes; None if no class is present or detected."""

    precision: float | None
    recall: float | None
    f1: float | None


def count(detected: Bool[np.ndarray, "rows classes"], truth: Bool[np.ndarray, "rows classes"]) -> Counts:
    """Count the correct detections, false detections and misses of each class.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    _check_same_shape(detected, truth)
    return Counts((detected & truth).sum(axis=0), (detected & ~truth).sum(axis=0), (~detected & truth).sum(axis=0))


def count_top_classes(top1: Int[np.ndarray, " rows"], primary: Int[np.ndarray, " rows"], *, classes: int) -> Counts:
    """Count the same if the top class of each row is its only detection, and the primary class its only true one.

    Parameters
    ----------
    top1 : index of each row's top class, for example from `top1_ties_as_errors`
    primary : index of each row's primary class; rows with −1 are left out
    classes : how many there are
    """
    top1, primary = top1[primary >= 0], primary[primary >= 0]
    correct = top1 == primary
    return Counts(
        *(np.bincount(some, minlength=classes) for some in (primary[correct], top1[~correct], primary[~correct]))
    )


def micro(counts: Counts, *, unknown: int = 0) -> PrecisionRecallF1:
    """Return the metrics over all detections, as if they were of one class: frequent classes weigh most.

        P = ΣTP / (ΣTP + ΣFP);  R = ΣTP / (ΣTP + ΣFN);  F1 = 2 ΣTP / (2 ΣTP + ΣFP + ΣFN)

    Parameters
    ----------
    unknown : true labels that are no class of the model, which are misses too

    Source: scikit-learn's precision_recall_fscore_support (average="micro", zero_division=0).
    """
    hits, false_detections, misses = (
        part.sum(keepdims=True) for part in (counts.hits, counts.false_detections, counts.misses)
    )
    return macro(Counts(hits, false_detections, misses + unknown))


def macro(counts: Counts) -> PrecisionRecallF1:
    """Return the unweighted means over the classes that are present or detected in some row.

        F1 = mean over classes with TP + FP + FN > 0 of  2 TP / (2 TP + FP + FN);  P and R likewise, with 0 / 0 = 0

    Source: scikit-learn's precision_recall_fscore_support (average="macro", zero_division=0) over these classes, which
    it selects itself if each row has one label.
    """
    return PrecisionRecallF1(*(mean_of_defined(values) for values in (counts.precision, counts.recall, counts.f1)))


def weighted(counts: Counts) -> PrecisionRecallF1:
    """Return the means over classes, each weighted by the number of rows in which it is present.

        F1 = Σ n F1 / Σ n,  n = TP + FN of a class;  P and R likewise

    Source: scikit-learn's precision_recall_fscore_support (average="weighted", zero_division=0).
    """
    rows = counts.hits + counts.misses
    if not rows.any():
        return PrecisionRecallF1(None, None, None)
    return PrecisionRecallF1(
        *(
            float(np.average(np.nan_to_num(values), weights=rows))
            for values in (counts.precision, counts.recall, counts.f1)
        )
    )


AVERAGES = {"micro": micro, "macro": macro, "weighted": weighted}


def row_f1(
    detected: Bool[np.ndarray, "rows classes"],
    truth: Bool[np.ndarray, "rows classes"],
    *,
    unknown: Int64[np.ndarray, " rows"] | None = None,
) -> Float[np.ndarray, " rows"]:
    """Return the F1 of each row; the mean over rows is the "row-wise micro averaged F1" of BirdCLEF 2021.

        F1 = 2 |detected ∩ true| / (|detected| + |true|),  where an empty set is {nocall}

    A row without any bird gets 1 if nothing is detected in it, else 0. A row with birds of which none is detected gets
    0.

    Parameters
    ----------
    unknown : how many true labels of each row are no class of the model, besides those of `truth`; None: none

    Raises
    ------
    ValueError
        If the shapes differ.

    Source: Kahl et al., Overview of BirdCLEF 2021; scikit-learn's f1_score (average="samples") with nocall as one more
    class.
    """
    _check_same_shape(detected, truth)
    detections, present = detected.sum(axis=1), truth.sum(axis=1) + (0 if unknown is None else unknown)
    hits = (detected & truth).sum(axis=1) + ((detections == 0) & (present == 0))
    return 2 * hits / (np.maximum(detections, 1) + np.maximum(present, 1))


def confusion(
    top1: Int64[np.ndarray, " rows"], primary: Int64[np.ndarray, " rows"], *, classes: int
) -> Int64[np.ndarray, "classes classes"]:
    """Count how often each class (column) is the top prediction for each primary class (row).

    Parameters
    ----------
    top1 : index of each row's top class, from `top1_ties_as_errors`
    primary : index of each row's primary class; rows with −1, a species the model does not know, are left out
    classes : how many there are

    Source: scikit-learn's confusion_matrix.
    """
    known = primary >= 0
    cells = np.bincount(primary[known] * classes + top1[known], minlength=classes * classes)
    return cells.reshape(classes, classes)


def _check_same_shape(detected: Bool[np.ndarray, "rows classes"], truth: Bool[np.ndarray, "rows classes"]) -> None:
    if detected.shape != truth.shape:
        raise ValueError(f"detections have shape {detected.shape}, the truth has {truth.shape}")
