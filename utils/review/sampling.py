"""Which detection is shown next: where one more verdict says most about the precision of a species."""

import numpy as np
from jaxtyping import Bool, Float, Int64

from utils.review.estimates import SCORE_BINS, Estimates, ScoreBins


class Sampler:
    """Chooses detections to be verified; what it chooses follows from the verdicts so far, and from nothing else.

    Parameters
    ----------
    bins : of all detections
    species : index of each detection's species
    seed : of the order within a bin
    """

    def __init__(self, bins: ScoreBins, species: Int64[np.ndarray, " detections"], *, seed: int) -> None:
        order = np.random.default_rng(seed).permutation(len(species))
        cells = (species * SCORE_BINS + bins.bin_index)[order]
        by_cell = np.argsort(cells, kind="stable")
        self._ranked, cells = order[by_cell], cells[by_cell]
        self._ends = np.searchsorted(cells, np.arange(bins.size.size), side="right")
        self._starts = np.searchsorted(cells, np.arange(bins.size.size), side="left")

    def _first_unseen(self, cell: int, seen: Bool[np.ndarray, " detections"]) -> int | None:
        drawn = self._ranked[self._starts[cell] : self._ends[cell]]
        left = ~seen[drawn]
        return int(drawn[left.argmax()]) if left.any() else None

    def passed(
        self, seen: Bool[np.ndarray, " detections"], drawn: Bool[np.ndarray, " detections"]
    ) -> Bool[np.ndarray, " detections"]:
        """Tell which detections the random order of their bin has passed: all up to the last one that it showed.

        What was verified for another reason was not drawn, and says nothing of others. But the order would have shown
        it before those that come after it, so that it counts as soon as one of these was shown: to leave it out would
        leave a sample of what nobody looked for.

        Parameters
        ----------
        seen : which detections have a verdict
        drawn : which of them were shown by the random order
        """
        result = np.zeros(len(seen), bool)
        shown = drawn[self._ranked]
        for cell in np.unique(np.searchsorted(self._ends, np.flatnonzero(shown), side="right")).tolist():
            inside = slice(self._starts[cell], self._ends[cell])
            left = ~seen[self._ranked[inside]]
            first_left = int(left.argmax()) if left.any() else len(left)
            last = np.flatnonzero(shown[inside][:first_left])
            result[self._ranked[inside][: last[-1] + 1 if len(last) else 0]] = True
        return result

    def next(self, estimates: Estimates, seen: Bool[np.ndarray, " detections"], *, target: float) -> int | None:
        """Return the index of the next detection; None if all were seen.

        It is of the species whose precision is known worst, and of the bin that adds most to the doubt about it.
        Species that are known within `target` wait for the others.

        Parameters
        ----------
        seen : which detections have a verdict
        target : half of the wanted 95% interval
        """
        widths = estimates.half_widths
        urgent = np.lexsort((-widths, widths <= target))
        for species in urgent.tolist():
            gains = estimates.variances(species) / (estimates.verified[species] + 1)
            for which in np.argsort(-gains, kind="stable").tolist():
                left = self._first_unseen(species * SCORE_BINS + which, seen)
                if left is not None:
                    return left
        return None


def uncertain_first(
    scores: Float[np.ndarray, " detections"],
    species: Int64[np.ndarray, " detections"],
    recordings: Int64[np.ndarray, " detections"],
    seen: Bool[np.ndarray, " detections"],
) -> int | None:
    """Return the unseen detection from which a model would learn most; None if all were seen.

    It is one of the species with the fewest verdicts, of a recording with the fewest, and its score is nearest to 0.5.

    Parameters
    ----------
    recordings : index of each detection's recording
    """
    left = np.flatnonzero(~seen)
    if not len(left):
        return None
    of_species = np.bincount(species[seen], minlength=int(species.max()) + 1)[species[left]]
    of_recording = np.bincount(recordings[seen], minlength=int(recordings.max()) + 1)[recordings[left]]
    doubt = np.abs(scores[left] - 0.5)
    return int(left[np.lexsort((left, doubt, of_recording, of_species))[0]])
