"""How good the answers are, each figure with its formula."""

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import rankdata


def lrap(scores: Float[np.ndarray, "rows classes"], truth: Bool[np.ndarray, "rows classes"]) -> Float[np.ndarray, " rows"]:
    """Return the label-ranking average precision of each row.

        LRAP = mean over the true classes c of  |true classes scored ≥ score of c| / |classes scored ≥ score of c|

    Classes of equal score share the worst of their ranks. 1 is best. A row without true classes has none: NaN (scikit-learn gives it 1.0).

    Parameters
    ----------
    scores : finite; only their order matters
    truth : which classes are right

    Raises
    ------
    ValueError
        If a score is no number.

    Source: Tsoumakas et al., Mining multi-label data, 2010; scikit-learn's label_ranking_average_precision_score; `golden/mlrap.npz`.
    """
    if not np.isfinite(scores).all():
        raise ValueError("a score is not finite")
    rows = np.full(len(scores), np.nan)
    for number, (row, right) in enumerate(zip(-scores, truth, strict=True)):
        if right.any():
            among_all = rankdata(row, "max")[right]
            among_right = rankdata(row[right], "max")
            rows[number] = np.mean(among_right / among_all)
    return rows


def mean_of_defined(values: Float[np.ndarray, " rows"]) -> float | None:
    """Return the mean of the values that are numbers: the MLRAP, from each row's LRAP. None where there is none."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else None
