"""False alarms: intervals without birds in which a species reaches its threshold; thresholds that limit them."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float32, Float64

from utils.scoring.metrics.thresholds import Thresholds, detect

HIGHEST_ON_NOISE = 1.0  # no recording of noise has a prior
NEVER = np.inf


@dataclass(frozen=True)
class NoiseScores:
    """The scores of intervals of recordings without birds.

    Attributes
    ----------
    scores : one row per interval, without any prior, 0 to 1
    interval : length of an interval, seconds; the only one of a recording may be shorter
    seconds : length of all intervals together
    recordings : how many they are of
    """

    scores: Float32[np.ndarray, "intervals classes"]
    interval: float
    seconds: float
    recordings: int

    @property
    def hours(self) -> float:
        """Length of all intervals together, hours."""
        return self.seconds / 3600

    def allowed(self, max_per_hour: float) -> int:
        """Return how many false alarms keep within so many per hour."""
        return int(max_per_hour * self.hours + 1e-9)  # 0.1 per hour × 10 hours are 1


def count_false_alarms(noise: NoiseScores, thresholds: Thresholds) -> int:
    """Return the number of intervals in which one or more species reach their thresholds."""
    return int(detect(noise.scores, thresholds).any(axis=1).sum())


def raise_thresholds(thresholds: Thresholds, noise: NoiseScores, *, max_per_hour: float, per_class: bool) -> Thresholds:
    """Raise thresholds until there are at most so many false alarms per hour of noise; none is lowered.

    If they keep within the limit, they stay. Else a common threshold is raised until it is just above the interval of
    noise that is one too many, in the order of the highest scores of intervals. With thresholds per class, no class may
    reach its own in more than n intervals of noise, and n is the largest number with which all classes together keep
    within the limit; then classes, one after the other, get n + 1 while all together still do. Classes that noise never
    resembles keep their thresholds. A threshold that would have to be above 1 becomes None.

    Parameters
    ----------
    per_class : whether classes are raised one by one; the common threshold is then raised as if it stood alone
    """
    allowed = noise.allowed(max_per_hour)
    raised = replace(thresholds, max_false_alarms=max_per_hour)
    common = np.full(len(thresholds.classes), NEVER if thresholds.common is None else thresholds.common)
    common = _common_limits(noise.scores, common, allowed)
    limits = _limits_of(thresholds)
    limits = (_limits_per_class if per_class else _common_limits)(noise.scores, limits, allowed)
    return replace(raised, values=tuple(map(_threshold_of, limits.tolist())), common=_threshold_of(float(common[0])))


def _limits_of(thresholds: Thresholds) -> Float64[np.ndarray, " classes"]:
    return np.array([NEVER if value is None else value for value in thresholds.values], np.float64)


def _threshold_of(limit: float) -> float | None:
    return None if np.isinf(limit) else limit


def _alarms(
    scores: Float32[np.ndarray, "intervals classes"], limits: Float64[np.ndarray, " classes"]
) -> Bool[np.ndarray, " intervals"]:
    return np.asarray((scores >= limits).any(axis=1))


def _above(scores: Float32[np.ndarray, " some"]) -> Float64[np.ndarray, " some"]:
    """Return the next higher score that there can be; infinite above the highest."""
    above = np.nextafter(scores, np.float32(np.inf)).astype(np.float64)
    return np.where(scores >= HIGHEST_ON_NOISE, NEVER, above)


def _common_limits(
    scores: Float32[np.ndarray, "intervals classes"], limits: Float64[np.ndarray, " classes"], allowed: int
) -> Float64[np.ndarray, " classes"]:
    """Raise all limits to one level, above the highest scores that are detected in all but `allowed` intervals."""
    highest = np.where(scores >= limits, scores, np.float32(-np.inf)).max(axis=1, initial=-np.inf)
    if (highest > -np.inf).sum() <= allowed:
        return limits
    level = _above(np.partition(highest, len(highest) - 1 - allowed)[[len(highest) - 1 - allowed]])
    return np.maximum(limits, level)


def _limits_per_class(
    scores: Float32[np.ndarray, "intervals classes"], limits: Float64[np.ndarray, " classes"], allowed: int
) -> Float64[np.ndarray, " classes"]:
    """Raise each limit so that its class is detected in at most n intervals; the largest n that is few enough."""
    if _alarms(scores, limits).sum() <= allowed:
        return limits
    # of each class, the `allowed` + 1 highest scores; there are more intervals, or there were not too many alarms
    highest = np.sort(np.partition(scores, len(scores) - 1 - allowed, axis=0)[-1 - allowed :], axis=0)[::-1]
    fewest, most = 0, allowed + 1  # n = 0 detects nothing, which is few enough; n = most is too many, or not wanted
    while most - fewest > 1:
        middle = (fewest + most) // 2
        few_enough = _alarms(scores, np.maximum(limits, _above(highest[middle]))).sum() <= allowed
        fewest, most = (middle, most) if few_enough else (fewest, middle)
    raised = np.maximum(limits, _above(highest[fewest]))
    return raised if fewest == allowed else _lowered(scores, raised, np.maximum(limits, _above(highest[most])), allowed)


def _lowered(
    scores: Float32[np.ndarray, "intervals classes"],
    limits: Float64[np.ndarray, " classes"],
    lower: Float64[np.ndarray, " classes"],
    allowed: int,
) -> Float64[np.ndarray, " classes"]:
    """Lower the limits of single classes, from the most to be gained, while there are few enough alarms."""
    limits, alarms = limits.copy(), _alarms(scores, limits)
    for index in np.argsort(lower - limits.clip(max=2 * HIGHEST_ON_NOISE), kind="stable").tolist():
        together = alarms | (scores[:, index] >= lower[index])
        if together.sum() <= allowed:
            limits[index], alarms = lower[index], together
    return limits
