"""How well scores rank the correct classes above the others, each metric with its formula.

All functions take `scores` (finite; only their order matters) and `truth` (which classes are correct), both of shape
(rows, classes). A row is a recording or an interval of one. A row or class for which a metric is not defined gets NaN,
and means leave it out: see `mean_of_defined`.
"""

import numpy as np
from jaxtyping import Bool, Float, Int64


def lrap(
    scores: Float[np.ndarray, "rows classes"], truth: Bool[np.ndarray, "rows classes"]
) -> Float[np.ndarray, " rows"]:
    """Return the label-ranking average precision of each row; the mean over rows is the MLRAP.

        LRAP = mean over the true classes c of  |true classes scored ≥ score of c| / |classes scored ≥ score of c|

    Classes of equal score share the worst of their ranks. 1 is best. A row without true classes gets NaN (scikit-learn
    gives it 1.0).

    Parameters
    ----------
    scores : finite; only their order matters
    truth : which classes are correct

    Raises
    ------
    ValueError
        If a score is not finite, or the shapes differ.

    Source: Tsoumakas et al., Mining multi-label data, 2010; scikit-learn's label_ranking_average_precision_score.

    Examples
    --------
    Two recordings of three species. In the second, the only correct species has the second-highest score.

    >>> import numpy as np
    >>> scores = np.array([[0.9, 0.5, 0.1], [0.7, 0.2, 0.6]])
    >>> truth = np.array([[True, True, False], [False, False, True]])
    >>> lrap(scores, truth).tolist()
    [1.0, 0.5]
    >>> float(lrap(scores, truth).mean())
    0.75
    """
    check_scores(scores, truth)
    rows = np.full(len(scores), np.nan)
    for index, (row, correct) in enumerate(zip(scores, truth, strict=True)):
        true_scores = np.sort(row[correct])
        if len(true_scores):
            among_true = len(true_scores) - np.searchsorted(true_scores, true_scores)
            among_all = len(row) - np.searchsorted(np.sort(row), true_scores)
            rows[index] = (among_true / among_all).sum() / len(true_scores)
    return rows


def first_correct_ranks(
    scores: Float[np.ndarray, "rows classes"], truth: Bool[np.ndarray, "rows classes"]
) -> Float[np.ndarray, " rows"]:
    """Return the rank of each row's best-scored correct class; 1 is the top.

        rank = 1 + |wrong classes scored ≥ the best score of a correct class|

    Wrong classes of equal score rank higher, so that a network that gives all classes the same score gains nothing. NaN
    without true classes.

    Raises
    ------
    ValueError
        If a score is not finite, or the shapes differ.
    """
    check_scores(scores, truth)
    best = np.max(scores, axis=1, where=truth, initial=-np.inf, keepdims=True)
    ranks = 1.0 + ((scores >= best) & ~truth).sum(axis=1)
    return np.where(truth.any(axis=1), ranks, np.nan)


def top_k_correct(ranks: Float[np.ndarray, " rows"], k: int) -> Float[np.ndarray, " rows"]:
    """Tell for each row (1 or 0) whether a correct class is among the top `k`; their mean is the top-k accuracy.

        top-k = mean over rows of  [rank of the first correct class ≤ k]

    Parameters
    ----------
    ranks : from `first_correct_ranks`; NaN stays NaN

    Source: scikit-learn's top_k_accuracy_score, which knows one correct class per row and breaks ties by the order of
    the classes.
    """
    return np.where(np.isnan(ranks), np.nan, ranks <= k)


def reciprocal_ranks(ranks: Float[np.ndarray, " rows"]) -> Float[np.ndarray, " rows"]:
    """Return 1 / rank of the first correct class of each row; their mean is the mean reciprocal rank.

        MRR = mean over rows of  1 / rank

    Parameters
    ----------
    ranks : from `first_correct_ranks`; NaN stays NaN

    Source: Voorhees, The TREC-8 QA track report, 1999; the metric of BirdCLEF 2018's monophone task
    (Kahl et al., arXiv:1804.07177).
    """
    return 1 / ranks


def average_precision(
    scores: Float[np.ndarray, "rows classes"], truth: Bool[np.ndarray, "rows classes"]
) -> Float[np.ndarray, " classes"]:
    """Return the average precision of each class: how high its rows rank when all rows are ordered by its score.

        AP = Σ over thresholds (R_n − R_{n−1}) P_n = mean over the class's rows r of  |its rows scored ≥ score of r| /
        |rows scored ≥ score of r|

    That is LRAP with rows and classes exchanged. A class without rows gets NaN (scikit-learn gives it 0).

    Raises
    ------
    ValueError
        If a score is not finite, or the shapes differ.

    Source: scikit-learn's average_precision_score (average=None).
    """
    return lrap(np.ascontiguousarray(scores.T), np.ascontiguousarray(truth.T))


def class_mean(
    values: Float[np.ndarray, " classes"],
    truth: Bool[np.ndarray, "rows classes"],
    *,
    min_positives: int = 1,
) -> float | None:
    """Return the unweighted mean over the classes that are correct in enough rows; None if no class is.

        cmAP = mean over classes with ≥ min_positives rows of AP;  macro AUROC likewise of AUROC

    Parameters
    ----------
    values : AP or AUROC of each class
    min_positives : a class with fewer true rows is left out: with one or two rows, AP is mostly chance

    Source: cmAP of Kahl et al., Overview of BirdCLEF 2021 and 2019; the BirdCLEF challenges since 2023 pad every class
    with five rows instead.
    """
    return mean_of_defined(values[truth.sum(axis=0) >= min_positives])


def micro_average_precision(
    scores: Float[np.ndarray, "rows classes"], truth: Bool[np.ndarray, "rows classes"]
) -> float | None:
    """Return the average precision over all pairs of a row and a class, as if of one class; None if no pair is true.

        micro AP = mean over the true pairs p of  |true pairs scored ≥ score of p| / |pairs scored ≥ score of p|

    Raises
    ------
    ValueError
        If a score is not finite, or the shapes differ.

    Source: scikit-learn's average_precision_score (average="micro").
    """
    return mean_of_defined(lrap(scores.reshape(1, -1), truth.reshape(1, -1)))


def auroc(
    scores: Float[np.ndarray, "rows classes"], truth: Bool[np.ndarray, "rows classes"]
) -> Float[np.ndarray, " classes"]:
    """Return the area under each class's ROC curve: how likely one of its rows scores higher than another row.

        AUROC = mean over pairs of a row r with and a row s without the class of  [score of r > score of s] + ½ [score
        of r = score of s]

    0.5 is chance. A class that is correct in no row or in all rows gets NaN.

    Raises
    ------
    ValueError
        If a score is not finite, or the shapes differ.

    Source: Mann and Whitney, 1947; scikit-learn's roc_auc_score (average=None).
    """
    check_scores(scores, truth)
    areas = np.full(scores.shape[1], np.nan)
    for index, (column, correct) in enumerate(zip(np.ascontiguousarray(scores.T), truth.T, strict=True)):
        positives, negatives = column[correct], np.sort(column[~correct])
        if len(positives) and len(negatives):
            wins = np.searchsorted(negatives, positives, "left").sum()
            wins += np.searchsorted(negatives, positives, "right").sum()
            areas[index] = wins / (2 * len(positives) * len(negatives))
    return areas


def top1_classes(scores: Float[np.ndarray, "rows classes"]) -> Int64[np.ndarray, " rows"]:
    """Return the index of each row's top class; of equal scores, the first class, as in `predictions.csv`."""
    return scores.argmax(axis=1)


def top1_ties_as_errors(
    scores: Float[np.ndarray, "rows classes"],
    truth: Bool[np.ndarray, "rows classes"],
    primary: Int64[np.ndarray, " rows"],
) -> Int64[np.ndarray, " rows"]:
    """Return the index of each row's top class; of equal scores, a wrong class comes first and the primary class last.

    So the primary class is on top only if no other class has the same score, and a network that gives all classes the
    same score gains nothing: see `first_correct_ranks`.

    Parameters
    ----------
    primary : index of each row's primary class; −1 if it has none

    Raises
    ------
    ValueError
        If a score is not finite, or the shapes differ.
    """
    check_scores(scores, truth)
    highest = scores == scores.max(axis=1, keepdims=True)
    top1 = scores.argmax(axis=1)
    tied = np.flatnonzero(highest.sum(axis=1) > 1)
    others = np.arange(scores.shape[1]) != primary[tied, None]
    top1[tied] = (highest[tied] * (np.int8(1) + others + ~truth[tied])).argmax(axis=1)
    return top1


def mean_of_defined(values: Float[np.ndarray, " rows"]) -> float | None:
    """Return the mean of the values that are not NaN: the MLRAP, from each row's LRAP. None if all are NaN."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else None


def check_scores(scores: Float[np.ndarray, "rows classes"], truth: Bool[np.ndarray, "rows classes"]) -> None:
    """Refuse scores that cannot be ordered, or whose shape is not that of `truth`.

    Raises
    ------
    ValueError
        If a score is not finite, or the shapes differ.
    """
    if scores.shape != truth.shape:
        raise ValueError(f"scores have shape {scores.shape}, the truth has {truth.shape}")
    if not np.isfinite(scores).all():
        raise ValueError("a score is not finite")
