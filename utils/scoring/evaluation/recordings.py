"""The figures of a test."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64

from utils.recordings.labels import truth_of
from utils.recordings.recording import LONG, NOISE
from utils.scoring.inference.recordings import Answers
from utils.scoring.metrics.ranking import judged_firsts, lrap, mean_of_defined


@dataclass(frozen=True)
class Figures:
    """How good the answers to some recordings are.

    Attributes
    ----------
    mlrap : mean label-ranking average precision over the recordings that have a right answer; None where none has
    top1_accuracy : share of the recordings of trained species whose first answer is that species; where others score as
        much, it is not
    top1_confidence : mean score of the first answers
    recordings, scored : how many there are, and how many could be used
    ranked : how many of these have a right answer, and so a part in `mlrap`
    without_truth : how many of these are of species that are no trained classes, and do not count
    """

    mlrap: float | None
    top1_accuracy: float | None
    top1_confidence: float | None
    recordings: int
    scored: int
    without_truth: int
    ranked: int = 0


@dataclass(frozen=True)
class Judged:
    """Figures, and what they are the means of.

    Attributes
    ----------
    own : number of each recording's own class; −1 where that was not trained
    firsts : number of each recording's first answer, of equals a wrong one; −1 without score
    lrap, first_right : of each recording; NaN where not defined
    """

    figures: Figures
    truth: Bool[np.ndarray, "recordings classes"]
    own: Int64[np.ndarray, " recordings"]
    firsts: Int64[np.ndarray, " recordings"]
    lrap: Float[np.ndarray, " recordings"]
    first_right: Float[np.ndarray, " recordings"]


def judge(scores: Float[np.ndarray, "recordings classes"], answers: Answers, *, background: bool) -> Judged:
    """Compare scores with the truth about the recordings of `answers`; rows of NaN are recordings without an answer.

    Parameters
    ----------
    background : whether species in the background count as right answers
    """
    truth = truth_of(answers.recordings, answers.classes, background=background)
    scored = ~np.isnan(scores).any(axis=1)
    numbers = {label: number for number, label in enumerate(answers.classes)}
    own = np.array([numbers.get(label, -1) for label in answers.recordings["class"]], np.int64)
    each, firsts = np.full(len(scores), np.nan), np.full(len(scores), -1)
    each[scored] = lrap(scores[scored], truth[scored])
    firsts[scored] = judged_firsts(scores[scored], truth[scored], own[scored])
    first_right = np.where(scored & (own >= 0), firsts == own, np.nan)
    figures = Figures(
        mlrap=mean_of_defined(each),
        top1_accuracy=mean_of_defined(first_right),
        top1_confidence=mean_of_defined(scores[scored].max(axis=1)) if scored.any() else None,
        recordings=len(scores),
        scored=int(scored.sum()),
        without_truth=int((scored & ~truth.any(axis=1) & (answers.recordings["class"] != NOISE).to_numpy()).sum()),
        ranked=int(np.isfinite(each).sum()),
    )
    return Judged(figures, truth, own, firsts, each, first_right)


def taken_for(answers: Answers, judged: Judged) -> list[tuple[str, str]]:
    """Return the own class of each recording that has a right answer, and the class that was answered first.

    Left out are recordings whose first answer is right and not their own, but in the background: nothing was taken for
    another. Long recordings have no own class: they and any right first answer to them are called LONG.
    """
    pairs = []
    for own, first, right in zip(answers.recordings["class"], judged.firsts, judged.truth, strict=True):
        if first < 0 or not right.any():
            continue
        label = answers.classes[first]
        if own == label or not right[first]:
            pairs.append((own or LONG, label))
        elif not own:
            pairs.append((LONG, LONG))
    return pairs
