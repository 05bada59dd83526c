"""The scores of one recording's clips by one group of members, which are pooled as they come."""

import numpy as np
from jaxtyping import Float32

from utils import console
from utils.scoring.inference.batching import ScoredClips
from utils.scoring.inference.ensembles import MemberGroup
from utils.scoring.inference.novelty import ColumnPool
from utils.scoring.inference.pooling import Pooling
from utils.scoring.inference.stored_embeddings import StoredEmbeddings
from utils.spectra.recording_spectrograms import RecordingSpectrograms


class ScoreCollector:
    """Collects the scores of a recording's clips by one group of members, and pools them.

    Attributes
    ----------
    clips : how many clips the recording has; None before the first scores came
    reason : why the recording could not be used
    warnings : what is odd about its file
    from_store : whether its clips were read from the data set's store
    kept : the scores of its clips, if they are kept
    """

    def __init__(self, group: MemberGroup, pooling: Pooling, *, keep_clips: bool) -> None:
        self.group, self.pool = group, ColumnPool(group, pooling)
        self.clips: int | None = None
        self.reason: str | None = None
        self.warnings: tuple[str, ...] = ()
        self.from_store = False
        self.kept: list[Float32[np.ndarray, "_ classes"]] | None = [] if keep_clips else None

    def add(self, part: ScoredClips) -> None:
        """Take in the scores of the next clips, or that the recording could not be used."""
        outcome = part.source.outcome
        if isinstance(outcome, console.Failure):
            self.reason = outcome.reason
            return
        self.clips = outcome.count
        self.from_store = isinstance(outcome, StoredEmbeddings)
        if isinstance(outcome, RecordingSpectrograms | StoredEmbeddings):
            self.warnings = outcome.warnings
        self.pool.add(part.scores)
        if self.kept is not None:
            # a view would keep the whole batch in memory
            self.kept.append(part.scores[:, : len(self.group.classes)].copy())

    @property
    def complete(self) -> bool:
        """Whether all clips were taken in, or none will come."""
        return self.reason is not None or self.clips == int(self.pool.clips.sum())
