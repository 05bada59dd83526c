"""Made-up scores of recordings, and layouts to write them in, for tests of submissions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from config import Submission
from utils.scoring.inference.intervals import IntervalScores
from utils.scoring.submissions.formats.layout import SubmissionLayout

CLASSES = ("Altus clarus", "Bassus gravis", "Solus unicus")


def scores_of(file: str, scores: Sequence[Sequence[float]], *, seconds: float, interval: float = 5.0) -> IntervalScores:
    """Return a recording of so many seconds, cut into intervals, with one row of uncalibrated scores each."""
    starts, table = np.arange(len(scores)) * interval, np.array(scores, float)
    return IntervalScores(Path(file).stem, file, starts, np.minimum(starts + interval, seconds), table, table)


def unreadable(file: str, *, classes: int = len(CLASSES)) -> IntervalScores:
    nothing, no_scores = np.zeros(0), np.zeros((0, classes))
    return IntervalScores(Path(file).stem, file, nothing, nothing, no_scores, no_scores, "is empty (0 bytes)")


def layout_of(
    root: Path,
    files: Sequence[str],
    *,
    classes: tuple[str, ...] = CLASSES,
    thresholds: Sequence[float] | None = None,
    monophone: bool = False,
    **settings: Any,
) -> SubmissionLayout:
    per_class = None if thresholds is None else np.array(thresholds, float)
    return SubmissionLayout(
        classes, Submission(**{"format": "birdclef2018", **settings}), root, root, per_class, tuple(files), monophone
    )


def write_labelset(folder: Path, codes: Sequence[str], classes: Sequence[str] = CLASSES) -> Path:
    """Write a labelset of 2018: ids, and beside them scientific names."""
    (folder / "labelset_sci.txt").write_text("\n".join(classes) + "\n", encoding="utf-8")
    path = folder / "labelset.txt"
    path.write_text("\n".join(codes) + "\n", encoding="utf-8")
    return path
