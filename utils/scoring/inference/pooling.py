"""Pooling: from the scores of clips to the scores of their recording, or of the intervals that they lie in.

Every pooling is a sum or a maximum over clips, so that clips can be added one by one and none has to be stored.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64, Integer

from config import Testing

TIMES_MEDIAN = 1.5  # scores below this many times the median of their clip are noise

ClipScores = Float[np.ndarray, "clips classes"]
Totals = Float[np.ndarray, "groups classes"]


@dataclass(frozen=True)
class Pooling:
    """A way of pooling: a function of each clip's scores, how clips are combined, and a function of the result.

    Attributes
    ----------
    term : (clips, classes) → (clips, classes)
    join : sum or maximum
    nothing : the value of a group before its first clip
    finish : from the joined terms (groups, classes) and the numbers of clips (groups, 1), each at least 1, to scores
    """

    term: Callable[[ClipScores], ClipScores]
    finish: Callable[[Totals, Integer[np.ndarray, "groups 1"]], Totals]
    join: np.ufunc = np.add
    nothing: float = 0.0


def pooling_of(settings: Testing) -> Pooling:
    """Return the pooling that `testing.pooling` names."""
    if settings.pooling == "log_mean_exp":
        return log_mean_exp(settings.sharpness)
    return {"median_filtered": MEDIAN_FILTERED, "mean_exponential": MEAN_EXPONENTIAL, "mean": MEAN, "max": MAX}[
        settings.pooling
    ]


def _above_median(scores: ClipScores) -> ClipScores:
    return np.where(scores < TIMES_MEDIAN * np.median(scores, axis=1, keepdims=True), 0, scores)


def _stretched(pooled: Totals) -> Totals:
    pooled = pooled - pooled.min(axis=1, keepdims=True)
    return pooled / np.maximum(pooled.max(axis=1, keepdims=True), 1.0)


# p = 0 if p < 1.5 · median of p over classes, per clip; pooled = mean of (2p)²; pooled −= min;
# if max > 1: pooled /= max (docs/baseline.md, Testing)
MEDIAN_FILTERED = Pooling(
    lambda scores: (2 * _above_median(scores)) ** 2, lambda total, clips: _stretched(total / clips)
)
# mean of (2p)², at most 1 (docs/baseline.md, Testing)
MEAN_EXPONENTIAL = Pooling(lambda scores: (2 * scores) ** 2, lambda total, clips: np.minimum(total / clips, 1.0))
MEAN = Pooling(lambda scores: scores, lambda total, clips: total / clips)
MAX = Pooling(lambda scores: scores, lambda total, _: total, join=np.maximum, nothing=-np.inf)


def log_mean_exp(sharpness: float) -> Pooling:
    """Return the pooling between the mean (sharpness towards 0) and the maximum (high sharpness).

        pooled = log(mean of exp(sharpness · p)) / sharpness

    Source: Pinheiro and Collobert, From Image-level to Pixel-level Labeling with Convolutional Networks, 2015, equation
    3.
    """
    return Pooling(lambda scores: np.exp(sharpness * scores), lambda total, clips: np.log(total / clips) / sharpness)


class Pool:
    """Pools scores as they come, in memory that does not grow with the number of clips.

    Parameters
    ----------
    pooling : which pooling
    classes : number of scores per clip
    """

    def __init__(self, pooling: Pooling, *, classes: int) -> None:
        self._pooling = pooling
        self._totals = np.full((0, classes), pooling.nothing)
        self._clips = np.zeros((0, 1), np.int64)

    @property
    def clips(self) -> Int64[np.ndarray, " groups"]:
        """How many clips each group has so far."""
        return self._clips[:, 0]

    def add(self, scores: ClipScores, groups: Integer[np.ndarray, " clips"] | None = None) -> None:
        """Add clips.

        Parameters
        ----------
        scores : from 0 to 1
        groups : the group of each clip, from 0, in any order; −1: none; None: all clips belong to group 0
        """
        groups = np.zeros(len(scores), np.int64) if groups is None else groups
        if (groups < 0).any():
            scores, groups = scores[groups >= 0], groups[groups >= 0]
        if len(groups) == 0:
            return
        self._grow(int(groups.max()) + 1)
        terms = self._pooling.term(scores.astype(np.float64))
        # one clip after the other, so that the result is the same bit for bit however clips come in parts
        self._pooling.join.at(self._totals, groups, terms)
        np.add.at(self._clips[:, 0], groups, 1)

    def take(self, groups: int) -> Totals:
        """Return the pooled scores of the first groups, as `finish` does, and remove them; the next becomes group 0."""
        pooled = self.finish(groups)
        self._totals, self._clips = self._totals[groups:].copy(), self._clips[groups:].copy()
        return pooled

    def _grow(self, groups: int) -> None:
        # by half of its size: growing by one group would copy everything each time
        missing = max(groups - len(self._clips), len(self._clips) // 2)
        if groups > len(self._clips):
            self._totals = np.concatenate(
                [self._totals, np.full((missing, self._totals.shape[1]), self._pooling.nothing)]
            )
            self._clips = np.concatenate([self._clips, np.zeros((missing, 1), np.int64)])

    def finish(self, groups: int = 1) -> Totals:
        """Return the pooled scores of groups 0 to `groups` − 1, from 0 to 1; NaN for groups without a clip."""
        self._grow(groups)
        pooled = np.full((groups, self._totals.shape[1]), np.nan)
        filled = self.clips[:groups] > 0
        pooled[filled] = self._pooling.finish(self._totals[:groups][filled], self._clips[:groups][filled])
        return pooled


def pool(scores: ClipScores, pooling: Pooling) -> Float[np.ndarray, " classes"]:
    """Pool the clips of one recording.

    Parameters
    ----------
    scores : from 0 to 1

    Returns
    -------
    Scores from 0 to 1.

    Raises
    ------
    ValueError
        If there is no clip.
    """
    if len(scores) == 0:
        raise ValueError("no clips to pool")
    return pool_groups(scores, np.zeros(len(scores), np.int64), pooling, count=1)[0]


def pool_groups(scores: ClipScores, groups: Integer[np.ndarray, " clips"], pooling: Pooling, *, count: int) -> Totals:
    """Pool clips by groups, such as the intervals that they lie in.

    Parameters
    ----------
    scores : from 0 to 1; a clip that lies in several groups is repeated (`scores[rows]`)
    groups : the group of each clip, from 0 to `count` − 1; −1: none

    Returns
    -------
    Scores from 0 to 1, one row per group; NaN for groups without a clip.

    Raises
    ------
    ValueError
        If there is a group above `count` − 1.
    """
    if len(groups) and groups.max() >= count:
        raise ValueError(f"group {groups.max()} of {count}")
    pooled = Pool(pooling, classes=scores.shape[1])
    pooled.add(scores, groups)
    return pooled.finish(count)


def median_filtered(scores: ClipScores) -> Float[np.ndarray, " classes"]:
    """Pool by median-filtered mean: scores near the median of their clip count as 0, high scores more than low ones.

        p = 0 if p < 1.5 · median of p over classes, per clip
        pooled = mean over clips of (2p)²;  pooled −= min;  if max > 1: pooled /= max

    Parameters, return value and errors are those of `pool`.

    Source: docs/baseline.md, Testing.
    """
    return pool(scores, MEDIAN_FILTERED)
