"""A review: the detections, the verdicts on them so far, and which one is next."""

import threading
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int64

from utils.review.call import ReviewOrder
from utils.review.detections import Detections
from utils.review.estimates import Estimates, ScoreBins, estimates_of, score_bins
from utils.review.sampling import Sampler, uncertain_first
from utils.review.verdicts import Verdict, VerdictFile, VerdictKind, Verdicts


@dataclass(frozen=True)
class ReviewRules:
    """What is wanted of a review.

    Attributes
    ----------
    order : precision: what says most about the precision of species; uncertain: what a model learns most from
    target : half of the 95% interval of each species' precision that is wanted
    seed : of the order
    """

    order: ReviewOrder = "precision"
    target: float = 0.1
    seed: int = 1


class Review:
    """The state of a review. Several requests may come at once; one after the other changes it.

    Parameters
    ----------
    verdicts : of all reviewers
    file : takes those of the one who reviews now
    """

    def __init__(self, detections: Detections, verdicts: Verdicts, file: VerdictFile, rules: ReviewRules) -> None:
        self.detections, self.verdicts, self.rules = detections, verdicts, rules
        self._file, self._lock = file, threading.Lock()
        self._species = detections.species_index
        self._bins = score_bins(detections.scores, self._species, count=len(detections.species))
        self._sampler = Sampler(self._bins, self._species, seed=rules.seed)
        self._seen = np.zeros(len(detections), bool)
        self._sure, self._correct = self._seen.copy(), self._seen.copy()
        self._done: list[int] = []  # by this reviewer, in this call
        self.use(verdicts)

    def use(self, verdicts: Verdicts) -> None:
        """Take these verdicts in place of those so far."""
        with self._lock:
            self.verdicts = verdicts
            for index, key in enumerate(self.detections.keys):
                self._look_up(index, verdicts.of(key))

    def _look_up(self, index: int, verdict: Verdict | None) -> None:
        self._seen[index] = verdict is not None
        # those that were chosen because they are uncertain say nothing of others
        self._sure[index] = verdict is not None and verdict.random and verdict.correct is not None
        self._correct[index] = self._sure[index] and verdict is not None and verdict.correct is True

    @cached_property
    def _recordings(self) -> Int64[np.ndarray, " detections"]:
        _, index = np.unique(self.detections.table["recording"].to_numpy().astype(str), return_inverse=True)
        return index.astype(np.int64)

    @property
    def seen(self) -> Bool[np.ndarray, " detections"]:
        """Which detections have a verdict."""
        return self._seen

    @property
    def bins(self) -> ScoreBins:
        """The detections of each species, divided by score."""
        return self._bins

    def estimates(self) -> Estimates:
        """Return what is known so far."""
        return estimates_of(self._bins, self._species, verified=self._sure, correct=self._correct)

    def next(self) -> int | None:
        """Return the index of the detection to be shown; None if all have a verdict."""
        if self.rules.order == "uncertain":
            return uncertain_first(self.detections.scores, self._species, self._recordings, self._seen)
        return self._sampler.next(self.estimates(), self._seen, target=self.rules.target)

    def add_verdict(self, index: int, kind: VerdictKind, other: str = "") -> None:
        """Take in what the reviewer says about a detection; it is on disk when this returns.

        Raises
        ------
        ValueError
            If there is no such detection.
        """
        if not 0 <= index < len(self.detections):
            raise ValueError("there is no such detection")
        with self._lock:
            if self._file.reviewer in self.verdicts.given.get(self.detections.key(index), {}):
                raise ValueError("it has a verdict already, of another page; undo it there, or load this page again")
            score, species = float(self.detections.scores[index]), self.detections.key(index)[-1]
            if kind == "other" and other == species:
                kind, other = "yes", ""
            verdict = Verdict(self._file.reviewer, kind, other, score, self.rules.order == "precision")
            self._write(index, verdict)
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
        self._look_up(index, self.verdicts.of(key))
