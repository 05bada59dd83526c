"""Predictions for annotated events: the scores of the clips around each event are pooled."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float, Float32, Int64

from config import Config
from utils import console
from utils.scoring.inference.batching import ScoredClips, predict_in_batches
from utils.scoring.inference.clip_workers import spectrograms_of_events
from utils.scoring.inference.ensembles import Ensemble, MemberGroup
from utils.scoring.inference.novelty import ColumnPool, novelty_of
from utils.scoring.inference.pooling import Pooling, pooling_of
from utils.spectra.clip_selection import EventSpan
from utils.spectra.decode import Length
from utils.spectra.event_clips import EventSpectrograms


@dataclass(frozen=True)
class EventPrediction:
    """What an ensemble predicts for the events of one recording.

    Attributes
    ----------
    row : index of the recording in its table
    length : of the recording
    scores : one row per event, one column per class of the ensemble, without prior; NaN for events after its end
    clips : number of clips of each event
    failure : why the recording could not be used; it has no scores then
    novelty : of each event, 0 to 1; None if it was not asked for
    """

    row: int
    length: Length
    scores: Float[np.ndarray, "events classes"]
    clips: Int64[np.ndarray, " events"]
    failure: console.Failure | None = None
    novelty: Float32[np.ndarray, " events"] | None = None


def predict_events(
    ensemble: Ensemble, recordings: pl.DataFrame, events: Sequence[Sequence[EventSpan]], config: Config
) -> Generator[EventPrediction]:
    """Yield the pooled scores of each recording's events as it is finished.

    Clips are cut around events as in training (`clips.choose = annotations`), with the settings of the snapshots.

    Parameters
    ----------
    recordings : with the columns `recording` and `file`, the latter relative to `dataset.root`
    events : of each recording, at least one

    Raises
    ------
    UserError
        If a network is damaged.
    """
    pooling = pooling_of(config.testing)
    unfinished: dict[int, list[_EventScores]] = {}
    for part in predict_in_batches(
        ensemble, spectrograms_of_events(ensemble, recordings, events, config), config.testing
    ):
        row = part.source.row
        if row not in unfinished:
            unfinished[row] = [_EventScores(group, pooling) for group in ensemble.groups]
        unfinished[row][part.source.group].add(part)
        if all(collected.complete for collected in unfinished[row]):
            yield _joined_events(row, ensemble, unfinished.pop(row), count=len(events[row]))


class _EventScores:
    """Collects the scores of the clips around a recording's events, by one group of members."""

    def __init__(self, group: MemberGroup, pooling: Pooling) -> None:
        self.pool = ColumnPool(group, pooling)
        self.outcome: EventSpectrograms | console.Failure | None = None
        self._clips = 0

    def add(self, part: ScoredClips) -> None:
        """Take in the scores of the next clips, or that the recording could not be used."""
        outcome = part.source.outcome
        if isinstance(outcome, (EventSpectrograms, console.Failure)):
            self.outcome = outcome
        if isinstance(outcome, EventSpectrograms):
            self.pool.add(part.scores, outcome.events[self._clips : self._clips + len(part.scores)])
            self._clips += len(part.scores)

    @property
    def complete(self) -> bool:
        """Whether all clips were taken in, or none will come."""
        return isinstance(self.outcome, console.Failure) or (
            self.outcome is not None and self._clips == self.outcome.count
        )


def _joined_events(row: int, ensemble: Ensemble, collected: Sequence[_EventScores], *, count: int) -> EventPrediction:
    """Join the scores of all groups; if one group cannot use a recording, the others alone do not predict it."""
    failure = next((one.outcome for one in collected if isinstance(one.outcome, console.Failure)), None)
    if failure:
        no_scores = np.full((count, len(ensemble.classes)), np.nan)
        return EventPrediction(row, Length(0, 1), no_scores, np.zeros(count, np.int64), failure)
    outcomes = [one.outcome for one in collected if isinstance(one.outcome, EventSpectrograms)]
    warnings = dict.fromkeys(text for outcome in outcomes for text in outcome.length.warnings)
    length = outcomes[0].length._replace(warnings=tuple(warnings))
    clips = np.max([np.bincount(outcome.events, minlength=count) for outcome in outcomes], axis=0)
    pooled = [one.pool.finish(count) for one in collected]
    novelty = novelty_of(ensemble, pooled, whole=False)
    return EventPrediction(row, length, ensemble.join(pooled), clips, novelty=novelty)
