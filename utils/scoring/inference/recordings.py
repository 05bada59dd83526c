"""Predictions for recordings: pooled scores, blended with what else is known of each, and all in one table."""

import tempfile
from collections.abc import Collection, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Float32, Int64

from config import Config, Testing
from utils import console
from utils.models.snapshots import Snapshot
from utils.scoring.inference.ensembles import Ensemble, Member, assemble
from utils.scoring.inference.fingerprints import fingerprint_of_scores
from utils.scoring.inference.interval_rules import for_unit
from utils.scoring.inference.metadata_blend import Blend, blend_of
from utils.scoring.inference.pooled_recordings import ClipPredictions, RecordingPrediction, pooled_predictions
from utils.scoring.inference.pooling import Pool, pooling_of
from utils.scoring.inference.prediction_times import NOT_MEASURED, PredictionTimes
from utils.scoring.inference.prior import prior_of
from utils.scoring.inference.recording_groups import PredictSome, predict_on_workers
from utils.scoring.metrics.units import Unit
from utils.sound.remote import sounds_at
from utils.spectra.extraction import Job
from utils.spectra.recording_spectrograms import first_spectrograms


@dataclass(frozen=True)
class Predictions:
    """Predictions for a table of recordings, or of their intervals or events.

    Attributes
    ----------
    rows : one row for each prediction: the split's rows of recordings, in their order; for intervals and events a
        table of `units.ROWS`
    classes : the columns of `scores`
    scores : pooled over each row, 0 to 1 (with a prior, up to 1.5); NaN for rows that could not be used
    clips : how many clips of each were scored
    reasons : why a row could not be used; None if it could
    clip_scores : by name, of the recordings for which they were asked
    fingerprint : of the networks and settings, from `fingerprint_of_scores`
    warnings : by name, what is odd about a recording's file
    unit : what a row is
    novelty : of each row, 0 to 1, NaN for rows that could not be used; None if it was not asked for
    times : how fast clips were predicted; not measured if predictions were read, not made
    without_metadata : `scores` without the metadata classifier, NaN for rows that are not blended with it; None if none
        is
    from_store : of how many recordings the embeddings were read from the data set's store
    """

    rows: pl.DataFrame
    classes: tuple[str, ...]
    scores: Float[np.ndarray, "rows classes"]
    clips: Int64[np.ndarray, " rows"]
    reasons: list[str | None]
    clip_scores: dict[str, tuple[ClipPredictions, ...]] = field(default_factory=dict)
    fingerprint: str | None = None
    warnings: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unit: Unit = "recording"
    novelty: Float32[np.ndarray, " rows"] | None = None
    times: PredictionTimes = NOT_MEASURED
    without_metadata: Float32[np.ndarray, "rows classes"] | None = None
    from_store: int = 0

    @property
    def scored(self) -> Bool[np.ndarray, " rows"]:
        """Which rows have scores."""
        return ~np.isnan(self.scores[:, 0]) if len(self.classes) else np.zeros(len(self.rows), bool)

    @property
    def recording_of_row(self) -> Int64[np.ndarray, " rows"]:
        """Index of each row's recording, from 0 without gaps."""
        names = self.rows["recording"]
        return names.cast(pl.Enum(names.unique(maintain_order=True))).to_physical().cast(pl.Int64).to_numpy()

    @property
    def failures(self) -> list[console.Failure]:
        """The recordings that could not be used, or not all of whose events, each once."""
        found: dict[str, dict[str, None]] = {}
        for file, reason in zip(self.rows["file"], self.reasons, strict=True):
            if reason is not None:
                found.setdefault(file, {})[reason] = None
        return [console.Failure(file, _first_of(list(reasons))) for file, reasons in found.items()]

    @property
    def odd(self) -> list[console.Failure]:
        """The recordings that were used with a warning, such as a missing end."""
        pairs = dict(self.rows.select("recording", "file").iter_rows())
        return [
            console.Failure(file, "; ".join(self.warnings[name]))
            for name, file in pairs.items()
            if name in self.warnings
        ]


def _first_of(reasons: Sequence[str]) -> str:
    """Return the first reason, and how many others there are."""
    return reasons[0] if len(reasons) == 1 else f"{reasons[0]}; and {len(reasons) - 1} more"


def predict_file(snapshot: Snapshot, file: Path, settings: Testing | None = None) -> dict[str, float]:
    """Return the score of each class for one sound file, highest first; the same as test.py's, without its prior.

    Parameters
    ----------
    snapshot : from `utils.models.snapshots.find_snapshot` or `find_snapshot_at`
    settings : `max_clips` (0: the whole file), `pooling`, `sharpness` and `batch_size` count; None: the defaults

    Raises
    ------
    AudioError
        If the file cannot be used.
    UserError
        If a network cannot be read.

    Examples
    --------
    >>> from utils.models.snapshots import find_snapshot_at
    >>> snapshot = find_snapshot_at(run_folder, "best")  # the folder of a run, such as Path("snapshots/demo")
    >>> scores = predict_file(snapshot, sound_file)
    >>> sorted(scores) == sorted(snapshot.classes)
    True
    >>> list(scores.values()) == sorted(scores.values(), reverse=True)
    True
    """
    ensemble, settings = assemble([Member(snapshot)]), settings or Testing()
    (group,) = ensemble.groups
    scorer, pool = group.scorer(settings), Pool(pooling_of(settings), classes=len(group.classes))
    with tempfile.TemporaryDirectory() as scratch:
        part = Path(scratch) / "spectrograms"
        job = Job(file.name, file, settings.max_clips, group.clips, group.spectrogram, part=part)
        for pixels in first_spectrograms(job).blocks(settings.batch_size):
            pool.add(scorer(pixels).columns)
    (scores,) = ensemble.join([pool.finish()])
    best = np.argsort(-scores, kind="stable")
    return {ensemble.classes[index]: float(scores[index]) for index in best.tolist()}


def predict_recordings(
    members: Sequence[Member],
    recordings: pl.DataFrame,
    config: Config,
    *,
    clips_of: Collection[str] = (),
    what: str = "testing",
) -> Predictions:
    """Predict the classes of recordings, and put the predictions into one table.

    Parameters and errors are those of `iter_predictions`; `what` is the title of the progress bar.
    """
    elapsed = console.stopwatch()
    ensemble, fingerprint = assemble(members), fingerprint_of_scores(members, for_unit(config, "recording"))
    scores = np.full((len(recordings), len(ensemble.classes)), np.nan, np.float32)
    novelty = np.full(len(recordings), np.nan, np.float32) if ensemble.measures_novelty else None
    without_metadata = np.full(scores.shape, np.nan, np.float32)
    clips = np.zeros(len(recordings), np.int64)
    reasons: list[str | None] = [None] * len(recordings)
    clip_scores, warnings, from_store = {}, {}, 0
    with (
        console.progress(what, total=len(recordings), unit="recordings") as advance,
        closing(iter_predictions(ensemble, recordings, config, clips_of)) as coming,
    ):
        for one in coming:
            scores[one.row], clips[one.row], reasons[one.row] = one.scores, one.clips, one.reason
            from_store += one.from_store
            if novelty is not None and one.novelty is not None:
                novelty[one.row] = one.novelty
            if one.without_metadata is not None:
                without_metadata[one.row] = one.without_metadata
            if one.clip_scores:
                clip_scores[recordings["recording"][one.row]] = one.clip_scores
            if one.warnings:
                warnings[recordings["recording"][one.row]] = one.warnings
            advance()
    found = Predictions(
        recordings, ensemble.classes, scores, clips, reasons, clip_scores, fingerprint, warnings, novelty=novelty
    )
    return replace(
        found,
        times=ensemble.timer.times(clips=int(clips.sum()), seconds=elapsed()),
        without_metadata=without_metadata if np.isfinite(without_metadata).any() else None,
        from_store=from_store,
    )


def iter_predictions(
    ensemble: Ensemble, recordings: pl.DataFrame, config: Config, clips_of: Collection[str] = ()
) -> Generator[RecordingPrediction]:
    """Yield the prediction for each recording as it is finished: pooled scores of its first clips, with what is known.

    That is the metadata classifier, which is blended with the scores, and the prior, which multiplies them.

    Spectrograms are made with the settings of the snapshots, whatever `config` says, and no clip is rejected. The
    'Noise' class is never returned as a prediction. Memory does not grow with the number of recordings or their length.
    Scores depend on neither batch size nor the number of workers.

    Parameters
    ----------
    ensemble : from `assemble`
    recordings : with the columns `recording` and `file`, the latter relative to `dataset.root`
    clips_of : names of recordings whose clips' scores are returned, too

    Raises
    ------
    UserError
        If a network, the metadata classifier or the prior's table is damaged.
    """
    blend, prior = blend_of(recordings, ensemble.classes, config), prior_of(recordings, ensemble.classes, config)
    names = recordings["recording"]
    files = sounds_at(config.dataset.root, recordings["file"])

    def predict_rows(rows: Sequence[int]) -> PredictSome[RecordingPrediction]:
        some = recordings.select("recording", "file")[list(rows)]
        return partial(pooled_predictions, recordings=some, clips_of=frozenset(clips_of))

    with closing(predict_on_workers(predict_rows, files, ensemble, config)) as coming:
        for row, one in coming:
            if isinstance(one, console.Failure):
                one = RecordingPrediction(row, np.full(len(ensemble.classes), np.nan), 0, one.reason)
            prediction = replace(one, row=row)
            prediction = _blended(prediction, blend(names[row])) if blend else prediction
            yield prediction if prior is None else _times_prior(prediction, prior(names[row]))


def _blended(prediction: RecordingPrediction, blend: Blend) -> RecordingPrediction:
    """Blend the scores of a recording and of its clips with those of the metadata classifier."""
    if not blend.applies or prediction.reason is not None:
        return prediction
    alone = blend.blended(prediction.alone) if len(prediction.alone) else prediction.alone
    without = prediction.scores.astype(np.float32)
    return replace(prediction, scores=blend.blended(without), alone=alone, without_metadata=without)


def _times_prior(prediction: RecordingPrediction, factors: Float[np.ndarray, " classes"]) -> RecordingPrediction:
    """Multiply scores by the prior, rounded before as in a submission's parts, so that both are equal bit for bit."""
    alone = prediction.alone.astype(np.float32) * factors if len(prediction.alone) else prediction.alone
    without = None if prediction.without_metadata is None else prediction.without_metadata * factors
    scores = prediction.scores.astype(np.float32) * factors
    return replace(prediction, scores=scores, alone=alone, without_metadata=without)
