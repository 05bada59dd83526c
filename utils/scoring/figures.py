"""The figures of a test."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64

from utils.recordings.labels import truth_of
from utils.recordings.recording import NOISE
from utils.scoring.answers import Answers
from utils.scoring.metrics import lrap, mean_of_defined


@dataclass(frozen=True)
class Figures:
    """How good the answers to some recordings are.

    Attributes
    ----------
    mlrap : mean label-ranking average precision over the recordings that have a right answer; None where none has
    top1_accuracy : share of the recordings of trained species whose first answer is that species
    top1_confidence : mean score of the first answers
    recordings, scored : how many there are, and how many could be used
    without_truth : how many of these are of species that are no trained classes, and do not count
    """

    mlrap: float | None
    top1_accuracy: float | None
    top1_confidence: float | None
    recordings: int
    scored: int
    without_truth: int


@dataclass(frozen=True)
class Judged:
    """Figures, and what they are the means of.

    Attributes
    ----------
    own : number of each recording's own class; −1 where that was not trained
    lrap, first_right : of each recording; NaN where not defined
    """

    figures: Figures
    truth: Bool[np.ndarray, "recordings classes"]
    own: Int64[np.ndarray, " recordings"]
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
    each = np.full(len(scores), np.nan)
    each[scored] = lrap(scores[scored], truth[scored])
    numbers = {label: number for number, label in enumerate(answers.classes)}
    own = np.array([numbers.get(label, -1) for label in answers.recordings["class"]], np.int64)
    first_right = np.where(own >= 0, np.nan_to_num(scores, nan=-np.inf).argmax(axis=1) == own, np.nan)
    figures = Figures(
        mlrap=mean_of_defined(each),
        top1_accuracy=mean_of_defined(first_right[scored]),
        top1_confidence=mean_of_defined(scores[scored].max(axis=1)) if scored.any() else None,
        recordings=len(scores),
        scored=int(scored.sum()),
        without_truth=int((scored & ~truth.any(axis=1) & (answers.recordings["class"] != NOISE).to_numpy()).sum()),
    )
    return Judged(figures, truth, own, each, first_right)
