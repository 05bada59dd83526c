"""A review: the detections, the verdicts on them so far, and which one is next."""

import threading
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int64

from utils.review.call import ReviewOrder
from utils.review.detections import DetectionKey, Detections
from utils.review.diversity import FarthestFirst
from utils.review.embedding_map import EmbeddingMap, in_cluster, map_of
from utils.review.embeddings import SoundEmbeddings
from utils.review.estimates import Estimates, ScoreBins, estimates_of, score_bins
from utils.review.sampling import Sampler, uncertain_first
from utils.review.second_reading import to_be_read_again
from utils.review.verdicts import ShownBecause, Verdict, VerdictFile, VerdictKind, Verdicts


@dataclass(frozen=True)
class ReviewRules:
    """What is wanted of a review.

    Attributes
    ----------
    order : precision: what says most about the precision of species; uncertain: what a model learns most from
    target : half of the 95% interval of each species' precision that is wanted
    seed : of the order
    second : share of what others verified that is shown again, in place of what nobody did; 0: none
    """

    order: ReviewOrder = "precision"
    target: float = 0.1
    seed: int = 1
    second: float = 0.0

    @property
    def shown(self) -> ShownBecause:
        """Why detections are shown in this order."""
        return "second" if self.second else self.order


class Review:
    """The state of a review. Several requests may come at once; one after the other changes it.

    Parameters
    ----------
    verdicts : of all reviewers
    file : takes those of the one who reviews now
    embeddings : of the detections, if they are known
    """

    def __init__(
        self,
        detections: Detections,
        verdicts: Verdicts,
        file: VerdictFile,
        rules: ReviewRules,
        embeddings: SoundEmbeddings | None = None,
    ) -> None:
        self.detections, self.verdicts, self.rules, self.embeddings = detections, verdicts, rules, embeddings
        self._file, self._lock = file, threading.RLock()
        self._species = detections.species_index
        self._bins = score_bins(detections.scores, self._species, count=len(detections.species))
        self._sampler = Sampler(self._bins, self._species, seed=rules.seed)
        self._farthest = FarthestFirst(embeddings) if embeddings else None
        self._done: list[int] = []  # by this reviewer, in this call
        self.use(verdicts)

    def use(self, verdicts: Verdicts) -> None:
        """Take these verdicts in place of those so far."""
        with self._lock:
            self.verdicts = verdicts
            nobody = np.zeros(len(self.detections), bool)
            self._seen, self._sure, self._correct = nobody, nobody.copy(), nobody.copy()
            self._random, self._mine = nobody.copy(), nobody.copy()
            self._estimates: Estimates | None = None
            keys = list(verdicts.given)
            found = self.detections.find(keys).tolist()
            for index, key in zip(found, keys, strict=True):
                if index >= 0:
                    self._look_up(index, key)
            again = to_be_read_again(verdicts, self.rules, reviewer=self._file.reviewer) if self.rules.second else []
            self._again = [index for index in self.detections.find(again).tolist() if index >= 0]

    def _look_up(self, index: int, key: DetectionKey) -> None:
        verdict = self.verdicts.of(key)
        self._seen[index] = verdict is not None
        self._random[index] = verdict is not None and verdict.random
        self._sure[index] = verdict is not None and verdict.correct is not None
        self._correct[index] = verdict is not None and verdict.correct is True
        self._mine[index] = self._file.reviewer in self.verdicts.given.get(key, {})
        self._estimates = None

    @property
    def seen(self) -> Bool[np.ndarray, " detections"]:
        """Which detections have a verdict."""
        return self._seen

    @property
    def by_me(self) -> Int64[np.ndarray, " detections"]:
        """What this reviewer found of each detection: 1: correct, 0: not, −1: unsure, −2: nothing yet."""
        found = np.full(len(self.detections), -2)
        for index in np.flatnonzero(self._mine).tolist():
            correct = self.verdicts.given[self.detections.key(index)][self._file.reviewer].correct
            found[index] = -1 if correct is None else int(correct)
        return found

    @property
    def bins(self) -> ScoreBins:
        """The detections of each species, divided by score."""
        return self._bins

    @property
    def again(self) -> tuple[int, int]:
        """How many detections this reviewer has read again, and of how many."""
        return int(self._mine[self._again].sum()), len(self._again)

    def estimates(self) -> Estimates:
        """Return what is known so far.

        Verdicts on what was not drawn at random say nothing of others, until the random order has passed it.
        """
        with self._lock:
            if self._estimates is None:
                counted = self._random
                if (self._seen & ~self._random).any():
                    counted = self._random | self._sampler.passed(self._seen, self._random)
                verified = self._sure & counted
                self._estimates = estimates_of(
                    self._bins, self._species, verified=verified, correct=verified & self._correct
                )
            return self._estimates

    def next(self) -> int | None:
        """Return the index of the detection to be shown; None if all have a verdict."""
        with self._lock:
            if self.rules.second:
                return next((index for index in self._again if not self._mine[index]), None)
            if self.rules.order == "uncertain":
                return self._next_uncertain()
            return self._sampler.next(self.estimates(), self._seen, target=self.rules.target)

    def _next_uncertain(self) -> int | None:
        scores, recordings = self.detections.scores, self.detections.recording_index
        if self._farthest is None:
            return uncertain_first(scores, self._species, recordings, self._seen)
        return self._farthest.next(scores, self._species, self._seen)

    def similar(self, index: int, *, count: int) -> list[tuple[int, float]]:
        """Return the detections without a verdict that are most like one, and how like it they are.

        Raises
        ------
        ValueError
            If there are no embeddings.
        """
        return self._known_embeddings().most_similar(
            index, count=count, allowed=~self._seen, species=self._species, scores=self.detections.scores
        )

    @cached_property
    def map(self) -> EmbeddingMap:
        """The map of the embeddings; the first time it is computed, which takes a while.

        Raises
        ------
        ValueError
            If there are no embeddings.
        UserError
            If its file is damaged.
        """
        return map_of(self._known_embeddings(), self._species)

    def cluster(self, index: int) -> list[int]:
        """Return the detections without a verdict of a detection's cluster; raises the same errors."""
        return in_cluster(self.map, self._known_embeddings(), index, ~self._seen)

    def _known_embeddings(self) -> SoundEmbeddings:
        if self.embeddings is None:
            raise ValueError("there are no embeddings")
        return self.embeddings

    def add_verdict(self, index: int, kind: VerdictKind, other: str = "", *, shown: ShownBecause | None = None) -> None:
        """Take in what the reviewer says about a detection; it is on disk when this returns.

        Parameters
        ----------
        shown : why the reviewer saw it, if not because of the order

        Raises
        ------
        ValueError
            If there is no such detection.
        """
        if not 0 <= index < len(self.detections):
            raise ValueError("there is no such detection")
        with self._lock:
            if self._mine[index]:
                raise ValueError("it has a verdict already, of another page; undo it there, or load this page again")
            score, species = float(self.detections.scores[index]), self.detections.key(index)[-1]
            if kind == "other" and other == species:
                kind, other = "yes", ""
            self._write(index, Verdict(self._file.reviewer, kind, other, score, shown or self.rules.shown))
            self._done.append(index)

    def undo(self) -> int | None:
        """Withdraw the reviewer's last verdict in this call, and return its detection; None if there is none."""
        with self._lock:
            if not self._done:
                return None
            index = self._done.pop()
            self._write(index, None)
            return index

    def _write(self, index: int, verdict: Verdict | None) -> None:
        key = self.detections.key(index)
        self._file.append(key, verdict)
        self.verdicts.take(key, verdict, reviewer=self._file.reviewer)
        self._look_up(index, key)
