"""How well scores put the right classes before the wrong ones, each figure with its formula.

All take `scores` (finite; only their order matters) and `truth` (which classes are right), both of shape (rows,
classes), where a row is a recording or an interval of one. What a row or class has no figure for is NaN, so that means
leave it out: see `mean_of_defined`.
"""

import numpy as np
from jaxtyping import Bool, Float, Int64


def lrap(
    scores: Float[np.ndarray, "rows classes"], truth: Bool[np.ndarray, "rows classes"]
) -> Float[np.ndarray, " rows"]:
    """Return the label-ranking average precision of each row; the mean over rows is the MLRAP.

        LRAP = mean over the true classes c of  |true classes scored ≥ score of c| / |classes scored ≥ score of c|

    Classes of equal score share the worst of their ranks. 1 is best. A row without true classes has none: NaN
    (scikit-learn gives it 1.0).

    Parameters
    ----------
    scores : finite; only their order matters
    truth : which classes are right

    Raises
    ------
    ValueError
        If a score is no number, or the shapes differ.

    Source: Tsoumakas et al., Mining multi-label data, 2010; scikit-learn's label_ranking_average_precision_score;
    `golden/mlrap.npz`.
    """
    check(scores, truth)
    rows = np.full(len(scores), np.nan)
    for number, (row, right) in enumerate(zip(scores, truth, strict=True)):
        own = np.sort(row[right])
        if len(own):
            among_right = len(own) - np.searchsorted(own, own)
            among_all = len(row) - np.searchsorted(np.sort(row), own)
            rows[number] = (among_right / among_all).sum() / len(own)
    return rows


def first_right_ranks(
    scores: Float[np.ndarray, "rows classes"], truth: Bool[np.ndarray, "rows classes"]
) -> Float[np.ndarray, " rows"]:
    """Return the rank of each row's best-scored right class, 1 for the first.

        rank = 1 + |wrong classes scored ≥ the best score of a right class|

    Wrong classes of equal score stand before, so that a net that answers everything alike gains nothing. NaN without
    true classes.

    Raises
    ------
    ValueError
        If a score is no number, or the shapes differ.
    """
    check(scores, truth)
    best = np.max(scores, axis=1, where=truth, initial=-np.inf, keepdims=True)
    ranks = 1.0 + ((scores >= best) & ~truth).sum(axis=1)
    return np.where(truth.any(axis=1), ranks, np.nan)


def within_first(ranks: Float[np.ndarray, " rows"], k: int) -> Float[np.ndarray, " rows"]:
    """Tell for each row (1 or 0) whether a right class is among the `k` first; their mean is the top-k accuracy.

        top-k = mean over rows of  [rank of the first right class ≤ k]

    Parameters
    ----------
    ranks : of `first_right_ranks`; NaN stays NaN

    Source: scikit-learn's top_k_accuracy_score, which knows one right class a row and breaks ties by the order of the
    classes.
    """
    return np.where(np.isnan(ranks), np.nan, ranks <= k)


def mean_reciprocal_rank(ranks: Float[np.ndarray, " rows"]) -> float | None:
    """Return the mean of 1 / rank of the first right class; None where no row has one.

        MRR = mean over rows of  1 / rank

    Parameters
    ----------
    ranks : of `first_right_ranks`

    Source: Voorhees, The TREC-8 question answering track report, 1999; the measure of BirdCLEF 2018's monophone task
    (Kahl et al., arXiv:1804.07177).
    """
    return mean_of_defined(1 / ranks)


def average_precision(
    scores: Float[np.ndarray, "rows classes"], truth: Bool[np.ndarray, "rows classes"]
) -> Float[np.ndarray, " classes"]:
    """Return the average precision of each class: how high its rows stand when all rows are ordered by its score.

        AP = Σ over thresholds (R_n − R_{n−1}) P_n = mean over the class's rows r of  |its rows scored ≥ score of r| /
        |rows scored ≥ score of r|

    That is LRAP with rows and classes exchanged. A class without rows has none: NaN (scikit-learn gives it 0).

    Raises
    ------
    ValueError
        If a score is no number, or the shapes differ.

    Source: scikit-learn's average_precision_score (average=None).
    """
    return lrap(np.ascontiguousarray(scores.T), np.ascontiguousarray(truth.T))


def class_mean(
    values: Float[np.ndarray, " classes"],
    truth: Bool[np.ndarray, "rows classes"],
    *,
    min_positives: int = 1,
) -> float | None:
    """Return the mean over classes, all alike, of those that are right in enough rows; None where no class is.

        cmAP = mean over classes with ≥ min_positives rows of AP;  macro AUROC likewise of AUROC

    Parameters
    ----------
    values : AP or AUROC of each class
    min_positives : a class with fewer true rows is left out: of one or two rows, AP is little but chance

    Source: cmAP of Kahl et al., Overview of BirdCLEF 2021 and 2019; the BirdCLEF challenges since 2023 pad every class
    with five rows instead.
    """
    return mean_of_defined(values[truth.sum(axis=0) >= min_positives])


def micro_average_precision(
    scores: Float[np.ndarray, "rows classes"], truth: Bool[np.ndarray, "rows classes"]
) -> float | None:
    """Return the average precision over all pairs of a row and a class, as if they were one class; None where nothing is true.

        micro AP = mean over the true pairs p of  |true pairs scored ≥ score of p| / |pairs scored ≥ score of p|

    Raises
    ------
    ValueError
        If a score is no number, or the shapes differ.

    Source: scikit-learn's average_precision_score (average="micro").
    """
    return mean_of_defined(lrap(scores.reshape(1, -1), truth.reshape(1, -1)))


def auroc(
    scores: Float[np.ndarray, "rows classes"], truth: Bool[np.ndarray, "rows classes"]
) -> Float[np.ndarray, " classes"]:
    """Return the area under each class's receiver operating curve: how likely one of its rows scores more than another row.

        AUROC = mean over pairs of a row r with and a row s without the class of  [score of r > score of s] + ½ [score
        of r = score of s]

    0.5 is chance. A class that is right in no row or in all has none: NaN.

    Raises
    ------
    ValueError
        If a score is no number, or the shapes differ.

    Source: Mann and Whitney, 1947; scikit-learn's roc_auc_score (average=None).
    """
    check(scores, truth)
    areas = np.full(scores.shape[1], np.nan)
    for number, (column, right) in enumerate(zip(np.ascontiguousarray(scores.T), truth.T, strict=True)):
        own, others = column[right], np.sort(column[~right])
        if len(own) and len(others):
            wins = np.searchsorted(others, own, "left").sum() + np.searchsorted(others, own, "right").sum()
            areas[number] = wins / (2 * len(own) * len(others))
    return areas


def first_answers(scores: Float[np.ndarray, "rows classes"]) -> Int64[np.ndarray, " rows"]:
    """Return the number of each row's first answer; of equal scores, the first in the order of the classes, as in `predictions.csv`."""
    return scores.argmax(axis=1)


def judged_firsts(
    scores: Float[np.ndarray, "rows classes"], truth: Bool[np.ndarray, "rows classes"], own: Int64[np.ndarray, " rows"]
) -> Int64[np.ndarray, " rows"]:
    """Return the number of each row's first answer as it is judged: of equal scores a wrong class stands first and the own one last.

    So the own class is first only where no other scores as much, and a net that answers everything alike gains nothing:
    see `first_right_ranks`.

    Parameters
    ----------
    own : number of each row's own class; −1 where it has none

    Raises
    ------
    ValueError
        If a score is no number, or the shapes differ.
    """
    check(scores, truth)
    highest = scores == scores.max(axis=1, keepdims=True)
    others = np.arange(scores.shape[1]) != own[:, None]
    return (highest * (1 + others + ~truth)).argmax(axis=1)


def mean_of_defined(values: Float[np.ndarray, " rows"]) -> float | None:
    """Return the mean of the values that are numbers: the MLRAP, from each row's LRAP. None where there is none."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else None


def check(scores: Float[np.ndarray, "rows classes"], truth: Bool[np.ndarray, "rows classes"]) -> None:
    """Refuse scores that cannot be ordered, or that are not those of `truth`.

    Raises
    ------
    ValueError
        If a score is no number, or the shapes differ.
    """
    if scores.shape != truth.shape:
        raise ValueError(f"scores are of shape {scores.shape}, the truth of {truth.shape}")
    if not np.isfinite(scores).all():
        raise ValueError("a score is not finite")
