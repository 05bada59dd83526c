"""Predicting the recordings of a submission into their parts, and reading these as scores of intervals."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import numpy as np

from config import Config
from utils import console
from utils.scoring.inference.intervals import IntervalPrediction, IntervalScores
from utils.scoring.inference.recording_groups import PredictSome, predict_on_workers
from utils.scoring.submissions.score_parts import (
    is_score_part_complete,
    predict_parts,
    read_score_part,
    wait_for_parts,
)
from utils.scoring.submissions.task import Task
from utils.spectra.interval_grid import interval_times


@dataclass(frozen=True)
class InferenceResult:
    """What inference did in this call.

    Attributes
    ----------
    failures : the recordings that could not be used, by index
    seconds : of sound, and `time`, how many seconds it took
    """

    failures: dict[int, console.Failure]
    seconds: float
    time: float


def predict_missing(task: Task, config: Config) -> InferenceResult:
    """Predict the recordings that have no part yet, and write the part of each as it is finished.

    Raises
    ------
    UserError
        If a network is damaged.
    """
    missing = [index for index, target in enumerate(task.targets) if not is_score_part_complete(target)]
    task.parts.report_others()
    done = len(task.files) - len(missing)
    if done:
        console.info(f"{done:,} of {len(task.files):,} recordings were predicted before")
    failures: dict[int, console.Failure] = {}
    seconds, elapsed = 0.0, console.stopwatch()
    files = [task.files[index] for index in missing]
    task.parts.folder.mkdir(parents=True, exist_ok=True)  # workers of a cluster look for it
    sizes = [1 + (file.stat().st_size if file.is_file() else 0) for file in files]
    whole, share = sum(sizes), 0.0

    def predict_rows(rows: Sequence[int]) -> PredictSome[IntervalPrediction]:
        some = [missing[row] for row in rows]
        return partial(
            predict_parts,
            files=[task.files[index] for index in some],
            targets=[task.targets[index] for index in some],
            interval=task.interval,
            scratch_in=task.parts.folder,
        )

    predictions = predict_on_workers(predict_rows, files, task.ensemble, config, needs=[task.parts.folder])
    with (
        console.progress("inference", total=len(task.files), unit="recordings", in_words=True) as advance,
        closing(predictions),
    ):
        advance(done)
        for row, one in predictions:
            if isinstance(one, console.Failure):
                failures[missing[row]] = one
            else:
                seconds += one.length.frames / one.length.rate
            share += sizes[row] / whole
            left = console.clock(elapsed() * max(1 - share, 0.0) / share)
            advance(1, note=f"{seconds / elapsed():,.0f} × real time, {left} left")
    wait_for_parts(task.targets[index] for index in missing if index not in failures)
    return InferenceResult(failures, seconds, elapsed())


def interval_scores(task: Task, failures: dict[int, console.Failure]) -> Iterator[IntervalScores]:
    """Yield the scores of each recording, in the order of files."""
    no_times, no_scores = np.zeros(0), np.zeros((0, len(task.layout.classes)))
    for index, (file, target) in enumerate(zip(task.layout.files, task.targets, strict=True)):
        name = task.files[index].stem
        if index in failures:
            yield IntervalScores(name, file, no_times, no_times, no_scores, no_scores, failures[index].reason)
            continue
        part = read_score_part(target)
        scores, uncalibrated = task.postprocessing.scores(part, index=index, scratch_in=task.parts.folder)
        starts, ends = interval_times(part.length, interval=task.interval)
        yield IntervalScores(
            name, file, starts, ends, scores, uncalibrated, warnings=part.length.warnings, novelty=part.novelty
        )
