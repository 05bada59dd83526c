"""Which uncertain detection is shown next where embeddings are known: the one least like what has a verdict."""

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64

from utils.review.embeddings import SoundEmbeddings

MOST_UNCERTAIN = 200  # of which the one least like the others is shown


class FarthestFirst:
    """Chooses detections that are uncertain and unlike each other.

    Of the species with the fewest verdicts, the detections whose scores are nearest to 0.5 are candidates. The one
    whose most similar verified detection is least similar comes first: greedy k-centre, whose centres are what was
    verified. So the many detections of one loud singer cost one verdict, not one each. Several species count together,
    because what one says of a sound is said of the sound.

    Source: Sener and Savarese, Active Learning for Convolutional Neural Networks: A Core-Set Approach, 2018 (greedy
    k-centre); Zhdanov, Diverse mini-batch Active Learning, 2019 (only among the most uncertain).
    """

    def __init__(self, embeddings: SoundEmbeddings) -> None:
        self._embeddings = embeddings
        self._centres = np.zeros((0, embeddings.rows.shape[1]), np.float32)
        self._seen = np.zeros(len(embeddings.span_of), bool)

    def next(
        self,
        scores: Float[np.ndarray, " detections"],
        species: Int64[np.ndarray, " detections"],
        seen: Bool[np.ndarray, " detections"],
    ) -> int | None:
        """Return the index of the next detection; None if all were seen.

        Parameters
        ----------
        species : index of each detection's species
        seen : which detections have a verdict
        """
        left = np.flatnonzero(~seen)
        if not len(left):
            return None
        verified = np.bincount(species[seen], minlength=int(species.max()) + 1)[species[left]]
        left = left[verified == verified.min()]
        doubt = np.abs(scores[left] - 0.5)
        candidates = left[np.lexsort((left, doubt))[:MOST_UNCERTAIN]]
        self._take(seen)
        nearest = self._nearest(candidates)
        return int(candidates[nearest.argmin()])

    def _take(self, seen: Bool[np.ndarray, " detections"]) -> None:
        """Make centres of what has got a verdict; all anew if one was withdrawn."""
        if (self._seen & ~seen).any():
            self._centres, self._seen = self._centres[:0], np.zeros(len(seen), bool)
        new = np.flatnonzero(seen & ~self._seen)
        if len(new):
            self._centres = np.concatenate([self._centres, self._embeddings.of(new)])
        self._seen = seen.copy()

    def _nearest(self, candidates: Int64[np.ndarray, " some"]) -> Float32[np.ndarray, " some"]:
        """Return how like each candidate the verified detection is that is most like it; −1 if none is verified."""
        if not len(self._centres):
            return np.full(len(candidates), -1, np.float32)
        return (self._embeddings.of(candidates) @ self._centres.T).max(axis=1)
