"""The threshold by which a wanted share of all intervals have a detection, found before a submission is written."""

from collections.abc import Container, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from utils.console import info
from utils.scoring.metrics.detection_rule import DetectionRule, highest_scores, rule_by_share
from utils.scoring.submissions.formats.layout import SubmissionLayout
from utils.scoring.submissions.postprocessing import Postprocessing
from utils.scoring.submissions.score_parts import read_score_part
from utils.scoring.submissions.task import Task


def with_share_threshold(task: Task, *, failed: Container[int]) -> Task:
    """Return the task with the threshold of `submission.dynamic = share`; unchanged with another setting.

    Parameters
    ----------
    failed : the recordings that have no part, by index; they do not count
    """
    if task.layout.settings.dynamic != "share":
        return task
    parts = {index: target for index, target in enumerate(task.targets) if index not in failed}
    rule = shared_rule(parts, task.postprocessing, task.layout)
    info(f"submission.dynamic = share: {rule.text}")
    return replace(task, layout=replace(task.layout, shared=rule))


def shared_rule(parts: Mapping[int, Path], postprocessing: Postprocessing, layout: SubmissionLayout) -> DetectionRule:
    """Return the rule by which `submission.dynamic_share` of all intervals have a detection.

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
    scores = np.concatenate([np.zeros(0, np.float32), *highest])
    return rule_by_share(scores, layout.thresholds, share=layout.settings.dynamic_share)
