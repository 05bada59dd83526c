"""Scores of the recordings without birds in `testing.noise_folder`, and which of its files are used."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float32

from config import Config
from utils import console
from utils.recordings.noise_files import (
    advice_for,
    distinct_files,
    known_recordings,
    noise_files,
    refuse_shared_noise,
)
from utils.recordings.recording import NOISE
from utils.scoring.inference.ensembles import Ensemble, Member, assemble
from utils.scoring.inference.interval_rules import for_unit
from utils.scoring.inference.intervals import (
    IntervalPrediction,
    predict_intervals_in_memory,
    scores_and_novelty,
)
from utils.scoring.inference.recording_groups import PredictSome, predict_on_workers
from utils.scoring.metrics.false_alarms import NoiseScores
from utils.scoring.metrics.units import Unit
from utils.spectra.interval_grid import interval_times

TESTED = "testing.noise_folder"
SAME_LENGTH = 1e-6  # seconds


def check_noise_folder(config: Config) -> None:
    """Refuse a `testing.noise_folder` without sound files, or with noise that is learned, before anything is predicted.

    Raises
    ------
    UserError
        If it does not exist, neither it nor its subfolders contain sound files, or `training.noise_folder` has some of
        them, too.
    """
    if config.testing.noise_folder is not None:
        noise_files(config.testing.noise_folder, TESTED)
        refuse_shared_noise(config.training.noise_folder, config.testing.noise_folder)


def predict_noise(members: Sequence[Member], split: pl.DataFrame, config: Config, unit: Unit) -> NoiseScores | None:
    """Return the scores of all intervals of `testing.noise_folder`; None if it is not set.

    Intervals are as long as those of the test or, if its unit is not the interval, as a clip, so that the score of an
    interval is that of one clip. They are cut as for a submission and, with unit interval, post-processed as there, but
    a last one that is shorter does not count, unless it is all that a recording has. Files are left out, with one line
    each, that cannot be read, are shorter than `clips.min_length`, are held out, or are recordings of birds that the
    data set learns from.

    Raises
    ------
    UserError
        If no recording can be used, or a model learned one of them from its `training.noise_folder`.
    """
    folder = config.testing.noise_folder
    if folder is None:
        return None
    for learned in {member.snapshot.config.training.noise_folder for member in members}:
        refuse_shared_noise(learned, folder)
    files, unread = noise_files(folder, TESTED)
    used, known = _without_known(files, split, config)
    ensemble = assemble(members)
    clips = [group.clips for group in ensemble.groups]
    interval = config.testing.interval if unit == "interval" else max(one.length for one in clips)
    found = _Found(max(one.min_length for one in clips))
    _predict(found, used, ensemble, for_unit(config, unit), interval=interval)
    failures = [
        console.Failure(Path(one.name).relative_to(folder).as_posix(), one.reason) for one in (*known, *found.failures)
    ]
    console.report_failures([*unread, *failures], what="recordings of testing.noise_folder")
    if not found.tables:
        raise console.UserError(
            f"{console.printable(folder)}: none of its {len(files)} sound files can be used as noise; "
            f"{advice_for(TESTED)}"
        )
    return NoiseScores(np.concatenate(found.tables), interval, found.seconds, len(found.tables))


@dataclass
class _Found:
    """What was predicted so far; recordings that are shorter than `shortest` (seconds) are left out."""

    shortest: float
    tables: list[Float32[np.ndarray, "_ classes"]] = field(default_factory=list)
    seconds: float = 0.0
    failures: list[console.Failure] = field(default_factory=list)


def _predict(found: _Found, files: Sequence[Path], ensemble: Ensemble, config: Config, *, interval: float) -> None:
    def predict_rows(rows: Sequence[int]) -> PredictSome[IntervalPrediction]:
        return partial(predict_intervals_in_memory, files=[files[row] for row in rows], interval=interval)

    tables: dict[int, Float32[np.ndarray, "_ classes"]] = {}
    with (
        console.progress("noise", total=len(files), unit="recordings") as advance,
        closing(predict_on_workers(predict_rows, files, ensemble, config)) as coming,
    ):
        for row, one in coming:
            advance()
            if isinstance(one, console.Failure):
                found.failures.append(console.Failure(str(files[row]), one.reason))
                continue
            starts, ends = interval_times(one.length, interval=interval)
            if one.length.frames < int(found.shortest * one.length.rate):
                reason = f"is {ends[-1]:.2f} s long, shorter than a clip (clips.min_length = {found.shortest:g} s)"
                found.failures.append(console.Failure(str(files[row]), reason))
                continue
            whole = max(1, int((ends - starts > interval - SAME_LENGTH).sum()))
            scores, _ = scores_and_novelty(one, config, classes=len(ensemble.classes))
            tables[row], found.seconds = scores[:whole], found.seconds + float(ends[whole - 1])
    found.tables = [tables[row] for row in sorted(tables)]


def _without_known(
    files: Sequence[Path], split: pl.DataFrame, config: Config
) -> tuple[list[Path], list[console.Failure]]:
    """Leave out files that are held out or recordings of birds, and warn of noise that the data set learns from."""
    distinct, left_out = distinct_files(files)
    used, learned, known = list[Path](), list[Path](), known_recordings(distinct, split, config)
    for file in distinct:
        if file not in known:
            used.append(file)
            continue
        part, label = known[file]
        if part == "train" and label == NOISE:
            learned.append(file)
            used.append(file)
        else:
            reason = f"is held out, in {part}/" if part != "train" else f"is learned as {label or 'annotated birds'}"
            left_out.append(console.Failure(str(file), f"{reason}, and does not count as noise"))
    if learned:
        console.warning(
            f"testing.noise_folder: {len(learned)} of its {len(files)} recordings are learned as {NOISE} "
            f"({learned[0].name}{', …' if len(learned) > 1 else ''}); other noise will have more false alarms"
        )
    return used, left_out
