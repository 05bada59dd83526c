"""Which recordings the report shows: the best, the worst, and the most surprising."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

PER_KIND = 4  # recordings


@dataclass(frozen=True)
class NotableRecordings:
    """Indices of recordings (rows of the scores), the most notable first; one can be both worst and surprising."""

    best: list[int]
    worst: list[int]
    surprising: list[int]


def lead_of_wrong(
    scores: Float[np.ndarray, "recordings classes"], truth: Bool[np.ndarray, "recordings classes"]
) -> Float[np.ndarray, " recordings"]:
    """Return the highest score of a wrong class minus the highest score of a correct one.

    Above 0, the top prediction is wrong; at 1, the model is fully confident of a wrong class, and gives 0 to all
    correct ones. NaN without scores or correct classes.
    """
    usable = truth.any(axis=1) & ~np.isnan(scores).any(axis=1)
    wrong = np.max(scores, axis=1, where=~truth, initial=0.0)
    return np.where(usable, wrong - np.max(scores, axis=1, where=truth, initial=0.0), np.nan)


def choose_notable(
    scores: Float[np.ndarray, "recordings classes"],
    truth: Bool[np.ndarray, "recordings classes"],
    lrap: Float[np.ndarray, " recordings"],
    primary: Sequence[str],
    *,
    per_kind: int = PER_KIND,
) -> NotableRecordings:
    """Choose among the recordings that have scores and a correct class.

    - best: the highest LRAP; if equal, those whose correct class leads by the most. Different primary labels come
      first, so that one easy class does not fill all places
    - worst: the lowest LRAP below 1; if equal, those whose correct class is furthest behind
    - surprising: the top prediction is wrong, and its score exceeds that of every correct class by the most

    Parameters
    ----------
    scores : pooled, 0 to 1; NaN if there are none
    truth : which classes are correct
    primary : primary label of each recording
    """
    lead = lead_of_wrong(scores, truth)
    usable: list[int] = np.flatnonzero(~np.isnan(lead) & ~np.isnan(lrap)).tolist()
    by_lrap = sorted(usable, key=lambda row: (-lrap[row], lead[row]))
    best = [row for row in _different_first(by_lrap, primary) if lead[row] <= 0][:per_kind]
    imperfect = [row for row in sorted(usable, key=lambda row: (lrap[row], -lead[row])) if lrap[row] < 1]
    worst = [row for row in imperfect if row not in best][:per_kind]
    surprising = [row for row in sorted(usable, key=lambda row: -lead[row]) if lead[row] > 0][:per_kind]
    return NotableRecordings(best, worst, surprising)


def _different_first(rows: Sequence[int], primary: Sequence[str]) -> list[int]:
    """Return rows with the first one of each primary label before the others."""
    first = {primary[row]: row for row in reversed(rows)}
    chosen = set(first.values())
    return [row for row in rows if row in chosen] + [row for row in rows if row not in chosen]
