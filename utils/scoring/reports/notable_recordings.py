"""Which recordings are worth a look: the best, the worst, and the most surprising."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

EACH = 4  # recordings of each kind


@dataclass(frozen=True)
class Striking:
    """Numbers of recordings (rows of the scores), the most striking first; a recording may be among the worst and the most surprising."""

    best: list[int]
    worst: list[int]
    surprising: list[int]


def lead(
    scores: Float[np.ndarray, "recordings classes"], truth: Bool[np.ndarray, "recordings classes"]
) -> Float[np.ndarray, " recordings"]:
    """Return by how much the highest score of a wrong class exceeds the highest score of a right one; NaN without score or right answer.

    Above 0 the first answer is wrong, at 1 the net was as sure as it can be of something wrong and saw nothing of what
    is right.
    """
    usable = truth.any(axis=1) & ~np.isnan(scores).any(axis=1)
    wrong = np.max(scores, axis=1, where=~truth, initial=0.0)
    return np.where(usable, wrong - np.max(scores, axis=1, where=truth, initial=0.0), np.nan)


def choose(
    scores: Float[np.ndarray, "recordings classes"],
    truth: Bool[np.ndarray, "recordings classes"],
    lrap: Float[np.ndarray, " recordings"],
    own: Sequence[str],
    *,
    each: int = EACH,
) -> Striking:
    """Choose recordings that have scores and a right answer.

    best : the highest LRAP, of equals those whose right answer leads most; first of different classes, so that not one
        easy class fills them
    worst : an LRAP below 1, the lowest, of equals those whose right answer is furthest behind
    surprising : confident and wrong, that is, the first answer is wrong, and its score exceeds that of every right
        class most

    Parameters
    ----------
    scores : pooled, 0 to 1; NaN where there are none
    truth : which classes are right
    own : each recording's own class
    """
    behind = lead(scores, truth)
    usable = np.flatnonzero(~np.isnan(behind) & ~np.isnan(lrap)).tolist()
    by_success = sorted(usable, key=lambda row: (-lrap[row], behind[row]))
    seen: set[str] = set()
    firsts = [row for row in by_success if own[row] not in seen and not seen.add(own[row])]  # type: ignore[func-returns-value]
    best = [*firsts, *(row for row in by_success if row not in set(firsts))]
    best = [row for row in best if behind[row] <= 0][:each]
    worst = [
        row for row in sorted(usable, key=lambda row: (lrap[row], -behind[row])) if lrap[row] < 1 and row not in best
    ][:each]
    surprising = [row for row in sorted(usable, key=lambda row: -behind[row]) if behind[row] > 0][:each]
    return Striking(best, worst, surprising)
