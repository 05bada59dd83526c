"""Pooled scores of recordings: the scores of their clips are pooled as they come, without what else is known."""

from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
from jaxtyping import Float, Float32

from config import Config
from utils.console import Failure
from utils.scoring.inference.batching import predict_in_batches
from utils.scoring.inference.clip_workers import spectrograms_of_recordings
from utils.scoring.inference.ensembles import Ensemble, MemberGroup
from utils.scoring.inference.novelty import novelty_of
from utils.scoring.inference.pooling import Pooling, pool_groups, pooling_of
from utils.scoring.inference.score_collector import ScoreCollector
from utils.spectra.clips import clip_samples

SAME_STEP = 0.001  # steps; clips at other sampling rates may be apart by less, as they start at whole samples


@dataclass(frozen=True)
class ClipPredictions:
    """The scores of a recording's clips, by one group of members.

    Attributes
    ----------
    starts : of the clips, seconds
    length : of a clip, seconds
    scores : one column per class of the ensemble, 0 to 1, without any prior; NaN for classes that the group does not
        know
    """

    starts: Float[np.ndarray, " clips"]
    length: float
    scores: Float32[np.ndarray, "clips classes"]


@dataclass(frozen=True)
class RecordingPrediction:
    """What an ensemble predicts for one recording.

    Attributes
    ----------
    row : index of the recording in its table
    scores : pooled over the recording, one column per class of the ensemble; NaN if it could not be used
    clips : how many clips were scored; if groups have different clips, the largest number
    reason : why it could not be used; None if it could
    warnings : what is odd about its file, and how much of it was read
    clip_scores : if they were asked for: one entry per group of members
    alone : likewise, (clips, classes): the prediction for each clip as a recording of its own. If groups have different
        clips, one row per clip of the group with the longest step; the clips of the other groups that start within
        one step are pooled
    novelty : how unlike the training clips it is, 0 to 1; None if that was not asked for
    without_metadata : `scores` without the metadata classifier; None if it is not blended
    from_store : whether its embeddings were read from the data set's store
    """

    row: int
    scores: Float[np.ndarray, " classes"]
    clips: int
    reason: str | None = None
    warnings: tuple[str, ...] = ()
    clip_scores: tuple[ClipPredictions, ...] = ()
    alone: Float[np.ndarray, "_ _"] = field(default_factory=lambda: np.empty((0, 0)))
    novelty: float | None = None
    without_metadata: Float[np.ndarray, " classes"] | None = None
    from_store: bool = False

    @property
    def failure(self) -> Failure | None:
        """`reason` as other predictions have it, without a name."""
        return None if self.reason is None else Failure("", self.reason)


def pooled_predictions(
    ensemble: Ensemble, recordings: pl.DataFrame, config: Config, clips_of: Collection[str] = ()
) -> Generator[RecordingPrediction]:
    """Yield the prediction for each recording as it is finished, without metadata classifier and prior.

    Parameters and errors are those of `utils.scoring.inference.recordings.iter_predictions`.
    """
    pooling, names = pooling_of(config.testing), recordings["recording"]
    spectrograms = spectrograms_of_recordings(ensemble, recordings, config)
    unfinished: dict[int, list[ScoreCollector]] = {}
    for part in predict_in_batches(ensemble, spectrograms, config.testing):
        row = part.source.row
        if row not in unfinished:
            keep = names[row] in clips_of
            unfinished[row] = [ScoreCollector(group, pooling, keep_clips=keep) for group in ensemble.groups]
        unfinished[row][part.source.group].add(part)
        if all(collector.complete for collector in unfinished[row]):
            yield _joined_prediction(row, ensemble, unfinished.pop(row), pooling)


def _joined_prediction(
    row: int, ensemble: Ensemble, collectors: Sequence[ScoreCollector], pooling: Pooling
) -> RecordingPrediction:
    """Join the scores of all groups; if one group cannot use a recording, the others alone do not predict it."""
    for collector in collectors:
        if collector.reason is not None:
            return RecordingPrediction(row, np.full(len(ensemble.classes), np.nan), 0, collector.reason)
    pooled = [collector.pool.finish() for collector in collectors]
    (scores,), novelty = ensemble.join(pooled), novelty_of(ensemble, pooled, whole=True)
    warnings = tuple(dict.fromkeys(text for collector in collectors for text in collector.warnings))
    clips = max(collector.clips or 0 for collector in collectors)
    prediction = RecordingPrediction(
        row,
        scores,
        clips,
        warnings=warnings,
        novelty=None if novelty is None else float(novelty[0]),
        from_store=any(collector.from_store for collector in collectors),
    )
    kept = [(collector.group, np.concatenate(collector.kept)) for collector in collectors if collector.kept]
    if not kept:
        return prediction
    parts = tuple(
        ClipPredictions(np.arange(len(table)) * _step(group), group.clips.length, ensemble.spread(table, group))
        for group, table in kept
    )
    return replace(prediction, clip_scores=parts, alone=_clips_alone(ensemble, [table for _, table in kept], pooling))


def _step(group: MemberGroup) -> float:
    """Return the seconds from the start of one clip to that of the next."""
    _, step, _ = clip_samples(group.clips, rate=group.spectrogram.rate)
    return step / group.spectrogram.rate


def _clips_alone(
    ensemble: Ensemble, tables: Sequence[Float32[np.ndarray, "_ _"]], pooling: Pooling
) -> Float[np.ndarray, "steps all_classes"]:
    steps = [_step(group) for group in ensemble.groups]
    indices = [
        np.floor(np.arange(len(table)) * step / max(steps) + SAME_STEP).astype(np.int64)
        for table, step in zip(tables, steps, strict=True)
    ]
    count = min(int(of_group[-1]) + 1 for of_group in indices)  # clips that all groups have
    common = [np.where(of_group < count, of_group, -1) for of_group in indices]
    return ensemble.join(
        [pool_groups(table, of_group, pooling, count=count) for table, of_group in zip(tables, common, strict=True)]
    )
