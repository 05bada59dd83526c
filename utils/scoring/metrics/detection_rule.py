"""From the scores of a recording's intervals to detections: by thresholds, or by dynamic ones."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from jaxtyping import Bool, Float, Float32

SCORES_AT_ONCE = 2**22  # that are compared with thresholds at once: tables of long recordings lie in files

Limits = Float[np.ndarray, " classes"] | float


@dataclass(frozen=True)
class DetectionRule:
    """Which classes are detected in which intervals of a recording.

    Scores are not negative, but for classes that are never detected (not on the whitelist).

    Attributes
    ----------
    thresholds : the score from which each class is detected, or one for all classes; NaN or infinite: never
    factor : below 1: a class that reaches its threshold in any interval of a recording is detected in all its intervals
        in which its score is at least factor × threshold
    share : the share of all intervals for which a common threshold was chosen; None: thresholds were not chosen so
    """

    thresholds: Limits
    factor: float = 1.0
    share: float | None = None

    def detections(self, scores: Float[np.ndarray, "intervals classes"]) -> Bool[np.ndarray, "intervals classes"]:
        """Tell which classes are detected in each interval of one recording."""
        limits = self.limits(scores.max(axis=0) if self.factor < 1 and len(scores) else np.zeros(scores.shape[1]))
        detected = np.empty(scores.shape, bool)
        for rows in _blocks(scores):
            np.greater_equal(scores[rows], limits, out=detected[rows])
        return detected

    def limits(self, highest: Float[np.ndarray, " classes"]) -> Limits:
        """Return the score from which each class is detected in a recording; infinite: never.

        Parameters
        ----------
        highest : the highest score of each class in the recording; it matters only with a `factor` below 1
        """
        limits: Limits = _never_below_zero(self.thresholds)
        if self.factor < 1:
            reached = highest >= limits
            limits = np.where(reached, self.factor * np.where(reached, limits, 0.0), np.inf)
        return limits

    def detected_classes(self, scores: Float[np.ndarray, "intervals classes"]) -> Bool[np.ndarray, " classes"]:
        """Tell which classes are detected in some interval of one recording: those that reach their threshold."""
        if not len(scores):
            return np.zeros(scores.shape[1], bool)
        return np.asarray(scores.max(axis=0) >= _never_below_zero(self.thresholds))

    @property
    def text(self) -> str:
        """What the thresholds are, for people."""
        if math.isinf(self._common):
            return "no threshold: nothing can be detected"
        if self.share is not None:
            return f"a threshold of {self._common:.3g}, which at least {100 * self.share:g}% of all intervals reach"
        values = {value for value in np.ravel(self.thresholds).tolist() if math.isfinite(value)}
        text = "thresholds per class" if len(values) > 1 else f"a threshold of {self._common:.3g}"
        if self.factor < 1:
            text += f", and {self.factor:g} times that in recordings in which the species reaches it"
        return text

    @property
    def _common(self) -> float:
        return float(np.min(_never_below_zero(self.thresholds), initial=np.inf))


def _never_below_zero(limits: Limits) -> Limits:
    """Return limits that no negative score reaches; NaN, which no score reaches, becomes infinite."""
    if isinstance(limits, np.ndarray):
        return np.where(np.isnan(limits), np.inf, limits).clip(0.0)
    return max(limits, 0.0)


def _blocks(scores: Float[np.ndarray, "intervals classes"]) -> Iterator[slice]:
    size = max(1, SCORES_AT_ONCE // max(1, scores.shape[1]))
    for first in range(0, len(scores), size):
        yield slice(first, first + size)


def highest_scores(
    scores: Float[np.ndarray, "intervals classes"], thresholds: Limits
) -> Float32[np.ndarray, " intervals"]:
    """Return the highest score of each interval among classes whose threshold is finite; −inf if there is none."""
    possible = np.broadcast_to(np.isfinite(thresholds), scores.shape[1:])
    return np.max(scores, axis=1, where=possible, initial=-np.inf).astype(np.float32)


def rule_by_share(highest: Float32[np.ndarray, " intervals"], thresholds: Limits, *, share: float) -> DetectionRule:
    """Return the rule with one threshold for all classes by which a share of intervals have a detection.

    It is the highest score that at least this share of the intervals reach. More do if several have that very score:
    they are all detected. Share 0 detects nothing; share 1 something in every interval that has a score.

    Parameters
    ----------
    highest : from `highest_scores`, of all intervals of all recordings
    thresholds : classes whose threshold is not finite are never detected; that of the others is replaced
    share : 0 to 1
    """
    wanted = math.ceil(Fraction(str(share)) * len(highest))  # 0.7 × 10 intervals are 7, not 7.000000000000001
    found = highest[highest >= 0]
    wanted = min(wanted, len(found))
    common = float(np.partition(found, len(found) - wanted)[len(found) - wanted]) if wanted else math.inf
    limits = np.where(np.isfinite(thresholds), common, np.inf) if isinstance(thresholds, np.ndarray) else common
    return DetectionRule(limits, share=share)
