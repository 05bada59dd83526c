"""The threshold by which a wanted share of all intervals have a detection, found before a submission is written."""

from collections.abc import Container, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from utils.console import info
from utils.scoring.metrics.detection_rule import DetectionRule, highest_scores, rule_by_share
from utils.scoring.submissions.formats.layout import SubmissionLayout
from utils.scoring.submissions.postprocessing import Postprocessing
from utils.scoring.submissions.score_parts import read_score_part
from utils.scoring.submissions.task import Task


def with_share_threshold(task: Task, *, failed: Container[int]) -> Task:
    """Return the task with the threshold of `submission.dynamic = share`; unchanged with another setting.

    A line tells the threshold, and the share of the intervals that reach it.

    Parameters
    ----------
    failed : the recordings that have no part, by index; they do not count
    """
    if task.layout.settings.dynamic != "share":
        return task
    parts = {index: target for index, target in enumerate(task.targets) if index not in failed}
    highest = highest_of(parts, task.postprocessing, task.layout)
    rule = shared_rule(highest, task.layout)
    info(f"submission.dynamic = share: {reached_text(highest, rule, wanted=task.layout.settings.dynamic_share)}")
    return replace(task, layout=replace(task.layout, shared=rule))


def highest_of(
    parts: Mapping[int, Path], postprocessing: Postprocessing, layout: SubmissionLayout
) -> Float32[np.ndarray, " intervals"]:
    """Return the highest score of each interval, of the classes that can be detected.

    All parts are read once; memory holds one score per interval.

    Parameters
    ----------
    parts : of the recordings that have scores, by index
    """
    highest = [
        highest_scores(table, layout.thresholds)
        for index, part in parts.items()
        for table in postprocessing.uncalibrated(read_score_part(part), index=index)
    ]
    return np.concatenate([np.zeros(0, np.float32), *highest])


def shared_rule(highest: Float32[np.ndarray, " intervals"], layout: SubmissionLayout) -> DetectionRule:
    """Return the rule by which `submission.dynamic_share` of all intervals have a detection."""
    return rule_by_share(highest, layout.thresholds, share=layout.settings.dynamic_share)


def reached_text(highest: Float32[np.ndarray, " intervals"], rule: DetectionRule, *, wanted: float) -> str:
    """Return the threshold and the share of intervals that reach it, for people.

    It is more than the wanted share if several intervals have that very score, and less if intervals have no score.

    Parameters
    ----------
    highest : from `highest_of`
    rule : from `shared_rule`
    wanted : `submission.dynamic_share`
    """
    threshold, intervals = float(np.min(rule.thresholds, initial=np.inf)), len(highest)
    reached = int((highest >= threshold).sum())
    what = "no threshold" if np.isinf(threshold) else f"a threshold of {threshold:.3g}"
    share = f" ({100 * reached / intervals:.3g}%)" if intervals else ""
    return f"{what}; {reached:,} of {intervals:,} intervals{share} have a detection, {100 * wanted:g}% are wanted"
