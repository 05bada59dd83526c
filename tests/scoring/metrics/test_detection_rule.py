"""Dynamic thresholds, by hand: which classes are detected in which intervals of a recording."""

import numpy as np
import pytest

from utils.scoring.metrics.detection_rule import DetectionRule, highest_scores, rule_by_share

# four intervals, of which the last one is short, and four classes
SCORES = np.array(
    [
        [0.9, 0.4, 0.2, -1.0],
        [0.5, 0.4, 0.3, -1.0],
        [0.3, 0.7, 0.9, -1.0],
        [0.4, 0.1, 0.4, -1.0],
    ],
    np.float32,
)
PER_CLASS = np.array([0.8, 0.75, np.inf, 0.0])


def where(detected: np.ndarray) -> list[list[int]]:
    """Return the intervals in which each class is detected."""
    return [np.flatnonzero(column).tolist() for column in detected.T]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_thresholds_alone(dtype: type) -> None:
    scores = SCORES.astype(dtype)
    assert where(DetectionRule(PER_CLASS).detections(scores)) == [[0], [], [], []]
    assert where(DetectionRule(0.4).detections(scores)) == [[0, 1, 3], [0, 1, 2], [2, 3], []]
    assert DetectionRule(PER_CLASS).detected_classes(scores).tolist() == [True, False, False, False]


def test_a_class_that_reaches_its_threshold_is_detected_in_all_the_recording_from_a_lower_one() -> None:
    # class 0: 0.9 ≥ 0.8, so from 0.4 on, also at the end of the file; class 1 never reaches 0.75; class 2 has none
    rule = DetectionRule(PER_CLASS, factor=0.5)
    assert where(rule.detections(SCORES.astype(np.float64))) == [[0, 1, 3], [], [], []]
    assert rule.detected_classes(SCORES).tolist() == [True, False, False, False]
    assert where(rule.detections(SCORES[1:])) == [[], [], [], []]  # another recording: what reached it is not there
    assert where(DetectionRule(0.7, factor=0.5).detections(SCORES)) == [[0, 1, 3], [0, 1, 2], [2, 3], []]
    assert where(DetectionRule(0.7, factor=0.0).detections(SCORES)) == [[0, 1, 2, 3]] * 3 + [[]]
    same = DetectionRule(PER_CLASS, factor=1.0).detections(SCORES)
    np.testing.assert_array_equal(same, DetectionRule(PER_CLASS).detections(SCORES))


def test_limits_of_a_recording_by_its_highest_scores() -> None:
    highest = np.array([0.9, 0.7, 0.9, 0.0])
    np.testing.assert_array_equal(DetectionRule(PER_CLASS, factor=0.5).limits(highest), [0.4, np.inf, np.inf, 0.0])
    np.testing.assert_array_equal(DetectionRule(PER_CLASS).limits(highest), PER_CLASS)


def test_what_is_never_detected_stays_so() -> None:
    limits = np.array([np.inf, np.nan, np.inf, 0.0])
    for rule in (
        DetectionRule(limits),
        DetectionRule(limits, factor=0.0),
        DetectionRule(-2 * np.ones(4) * [0, 0, 0, 1]),
    ):
        assert not rule.detections(SCORES)[:, 3].any()  # not on the whitelist
    for factor in (0.0, 0.5, 1.0):
        assert not DetectionRule(limits, factor=factor).detections(SCORES).any()
    assert not rule_by_share(highest_scores(SCORES, limits), limits, share=1.0).detections(SCORES).any()


@pytest.mark.parametrize("factor", [0.5, 1.0])
def test_long_tables_in_blocks(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    scores = np.random.default_rng(1).random((50, 4)).astype(np.float32)
    whole = DetectionRule(PER_CLASS, factor=factor).detections(scores)
    monkeypatch.setattr("utils.scoring.metrics.detection_rule.SCORES_AT_ONCE", 12)
    np.testing.assert_array_equal(DetectionRule(PER_CLASS, factor=factor).detections(scores), whole)
    assert whole.any()
    assert DetectionRule(0.5, factor=factor).detections(scores[:0]).shape == (0, 4)


@pytest.mark.parametrize(
    ("share", "threshold", "detected"),
    [
        (0.0, np.inf, 0),
        (0.01, 0.9, 1),
        (0.25, 0.9, 1),
        (0.26, 0.7, 2),
        (0.5, 0.7, 2),
        (0.75, 0.5, 3),
        (0.9, 0.4, 4),
        (1.0, 0.4, 4),
    ],
)
def test_a_share_of_intervals(share: float, threshold: float, detected: int) -> None:
    limits = np.array([0.99, 0.99, np.inf, 0.99])
    highest = highest_scores(SCORES, limits)
    assert highest.tolist() == pytest.approx([0.9, 0.5, 0.7, 0.4])  # without class 2, which is never detected
    rule = rule_by_share(highest, limits, share=share)
    hits = rule.detections(SCORES)
    assert hits.any(axis=1).sum() == detected
    assert not hits[:, 2:].any()
    assert rule.thresholds.tolist() == pytest.approx([threshold, threshold, np.inf, threshold])
    np.testing.assert_array_equal(rule.detected_classes(SCORES), hits.any(axis=0))


def test_equal_scores_are_all_detected() -> None:
    highest = np.array([0.5, 0.5, 0.5, 0.1, 0.9], np.float32)
    for share, threshold in ((0.2, 0.9), (0.4, 0.5), (0.6, 0.5), (0.8, 0.5), (1.0, 0.1)):
        assert rule_by_share(highest, 0.3, share=share).thresholds == pytest.approx(threshold)
    # ten times 0.7 is 7, and not one more because 0.7 is none of the computer's numbers
    assert rule_by_share(np.arange(10, dtype=np.float32), 0.3, share=0.7).thresholds == 3
    assert rule_by_share(np.arange(10, dtype=np.float32), 0.3, share=0.71).thresholds == 2


def test_intervals_without_any_class() -> None:
    """Without scores nothing can be detected: a share of 1 then means every interval that has some."""
    assert rule_by_share(np.zeros(0, np.float32), 0.3, share=1.0).thresholds == np.inf
    rule = rule_by_share(np.array([0.5, -1.0, -np.inf], np.float32), 0.3, share=1.0)
    assert rule.thresholds == 0.5


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (DetectionRule(0.1), "a threshold of 0.1"),
        (DetectionRule(np.array([0.25, np.inf, 0.25])), "a threshold of 0.25"),
        (DetectionRule(PER_CLASS), "thresholds per class"),
        (
            DetectionRule(PER_CLASS, factor=0.5),
            "thresholds per class, and 0.5 times that in recordings in which the species reaches it",
        ),
        (DetectionRule(0.3, share=0.5), "a threshold of 0.3, which at least 50% of all intervals reach"),
    ],
)
def test_rules_for_people(rule: DetectionRule, text: str) -> None:
    assert rule.text == text
