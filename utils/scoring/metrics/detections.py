"""How right decisions are: which classes were called in which row, against which are there."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64

from utils.scoring.metrics.ranking import mean_of_defined


@dataclass(frozen=True)
class Counts:
    """How often each class was called rightly, called wrongly, and missed."""

    hits: Int64[np.ndarray, " classes"]
    false_calls: Int64[np.ndarray, " classes"]
    misses: Int64[np.ndarray, " classes"]

    @property
    def precision(self) -> Float[np.ndarray, " classes"]:
        """Share of a class's calls that are right: TP / (TP + FP); 0 where it is true and never called, NaN where it is neither."""
        return self._share(self.hits, self.hits + self.false_calls)

    @property
    def recall(self) -> Float[np.ndarray, " classes"]:
        """Share of the rows with a class in which it is called: TP / (TP + FN); 0 where it is called and never true, NaN where it is neither."""
        return self._share(self.hits, self.hits + self.misses)

    @property
    def f1(self) -> Float[np.ndarray, " classes"]:
        """Harmonic mean of precision and recall: 2 TP / (2 TP + FP + FN); NaN where a class is neither true nor called."""
        return self._share(2 * self.hits, 2 * self.hits + self.false_calls + self.misses)

    def _share(
        self, part: Int64[np.ndarray, " classes"], whole: Int64[np.ndarray, " classes"]
    ) -> Float[np.ndarray, " classes"]:
        there = self.hits + self.false_calls + self.misses > 0
        return np.where(there, part / np.maximum(whole, 1), np.nan)


@dataclass(frozen=True)
class Agreement:
    """Precision, recall and F1 of many classes together; None where no class is true or called."""

    precision: float | None
    recall: float | None
    f1: float | None


def count(decided: Bool[np.ndarray, "rows classes"], truth: Bool[np.ndarray, "rows classes"]) -> Counts:
    """Count right calls, wrong calls and misses of each class.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    _check(decided, truth)
    return Counts((decided & truth).sum(axis=0), (decided & ~truth).sum(axis=0), (~decided & truth).sum(axis=0))


def micro(counts: Counts) -> Agreement:
    """Return the figures over all calls, as if they were of one class: frequent classes weigh most.

        P = ΣTP / (ΣTP + ΣFP);  R = ΣTP / (ΣTP + ΣFN);  F1 = 2 ΣTP / (2 ΣTP + ΣFP + ΣFN)

    Source: scikit-learn's precision_recall_fscore_support (average="micro", zero_division=0).
    """
    return macro(Counts(*(part.sum(keepdims=True) for part in (counts.hits, counts.false_calls, counts.misses))))


def macro(counts: Counts) -> Agreement:
    """Return the means over those classes that are true or called in some row: rare classes weigh as much as frequent ones.

        F1 = mean over classes with TP + FP + FN > 0 of  2 TP / (2 TP + FP + FN);  P and R likewise, 0 / 0 being 0 there

    Source: scikit-learn's precision_recall_fscore_support (average="macro", zero_division=0) of these classes, which it
    takes itself where labels are single.
    """
    return Agreement(*(mean_of_defined(values) for values in (counts.precision, counts.recall, counts.f1)))


def weighted(counts: Counts) -> Agreement:
    """Return the means over classes, each weighing as many rows as it is true in.

        F1 = Σ n F1 / Σ n,  n = TP + FN of a class;  P and R likewise

    Source: scikit-learn's precision_recall_fscore_support (average="weighted", zero_division=0).
    """
    rows = counts.hits + counts.misses
    if not rows.any():
        return Agreement(None, None, None)
    return Agreement(
        *(
            float(np.average(np.nan_to_num(values), weights=rows))
            for values in (counts.precision, counts.recall, counts.f1)
        )
    )


def row_f1(
    decided: Bool[np.ndarray, "rows classes"], truth: Bool[np.ndarray, "rows classes"]
) -> Float[np.ndarray, " rows"]:
    """Return the F1 of each row; the mean over rows is the "row-wise micro averaged F1" by which BirdCLEF 2021 was scored.

        F1 = 2 |called ∩ true| / (|called| + |true|),  where an empty set is {nocall}

    A row without any bird is right (1) if nothing is called, and wrong (0) if something is; so is one with birds of
    which none is called.

    Raises
    ------
    ValueError
        If the shapes differ.

    Source: Kahl et al., Overview of BirdCLEF 2021; scikit-learn's f1_score (average="samples") with nocall as one more
    class.
    """
    _check(decided, truth)
    silent, empty = ~decided.any(axis=1), ~truth.any(axis=1)
    hits = (decided & truth).sum(axis=1) + (silent & empty)
    return 2 * hits / (np.maximum(decided.sum(axis=1), 1) + np.maximum(truth.sum(axis=1), 1))


def confusion(
    firsts: Int64[np.ndarray, " rows"], primary: Int64[np.ndarray, " rows"], *, classes: int
) -> Int64[np.ndarray, "classes classes"]:
    """Count how often each class (column) is the first answer where each class (row) is the primary one.

    Parameters
    ----------
    firsts : number of each row's first answer, of `judged_firsts`
    primary : number of each row's own class; −1, a species that was not trained, is left out
    classes : how many there are

    Source: scikit-learn's confusion_matrix.
    """
    known = primary >= 0
    cells = np.bincount(primary[known] * classes + firsts[known], minlength=classes * classes)
    return cells.reshape(classes, classes)


def _check(decided: Bool[np.ndarray, "rows classes"], truth: Bool[np.ndarray, "rows classes"]) -> None:
    if decided.shape != truth.shape:
        raise ValueError(f"decisions are of shape {decided.shape}, the truth of {truth.shape}")
