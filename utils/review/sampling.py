"""Which detection is shown next: where one more verdict says most about the precision of a species."""

import numpy as np
from jaxtyping import Bool, Float, Int64

from utils.review.estimates import Estimates, ScoreBins


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
        ranked = order[np.lexsort((bins.bin_index[order], species[order]))]
        self._of_bin: dict[tuple[int, int], list[int]] = {}
        for index in ranked.tolist():
            self._of_bin.setdefault((int(species[index]), int(bins.bin_index[index])), []).append(index)

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
                left = next((one for one in self._of_bin.get((species, which), ()) if not seen[one]), None)
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
