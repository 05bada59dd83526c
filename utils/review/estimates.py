"""What verified detections say about all of a table: how many are correct, species by species and score by score.

The detections of a species are divided by score into bins of about the same size. In each bin, the share that is
correct has Jeffreys' prior, Beta(1/2, 1/2); the detections that nobody verified are correct with that share, each by
itself. So the numbers are about this table, and are certain when all of it is verified.

Source: stratified by score and summed over bins as in Navine et al., All thresholds barred: direct estimation of call
density in bioacoustic data, 2024 (doi:10.3389/fbirs.2024.1380636).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int64

SCORE_BINS = 5  # of each species
POSTERIOR_DRAWS = 2000
POSTERIOR_SEED = 1
QUANTILES = (0.025, 0.975)
PRIOR = 0.5  # both parameters of Jeffreys' prior


@dataclass(frozen=True)
class ScoreBins:
    """The bins of all detections.

    Attributes
    ----------
    bin_index : of each detection
    lowest : lowest score in each bin of each species; NaN: the bin is empty
    size : number of detections in each
    """

    bin_index: Int64[np.ndarray, " detections"]
    lowest: Float[np.ndarray, "species bins"]
    size: Int64[np.ndarray, "species bins"]


def score_bins(
    scores: Float[np.ndarray, " detections"], species: Int64[np.ndarray, " detections"], *, count: int
) -> ScoreBins:
    """Divide the detections of each species by score; equal scores are in one bin.

    Parameters
    ----------
    species : index of each detection's species
    count : number of species
    """
    bin_index = np.zeros(len(scores), np.int64)
    lowest, size = np.full((count, SCORE_BINS), np.nan), np.zeros((count, SCORE_BINS), np.int64)
    for one in range(count):
        rows = np.flatnonzero(species == one)
        inner = (
            np.quantile(scores[rows], np.arange(1, SCORE_BINS) / SCORE_BINS) if len(rows) else np.zeros(SCORE_BINS - 1)
        )
        bin_index[rows] = np.searchsorted(inner, scores[rows], side="right")
        for each in np.unique(bin_index[rows]):
            inside = scores[rows][bin_index[rows] == each]
            lowest[one, each], size[one, each] = inside.min(), len(inside)
    return ScoreBins(bin_index, lowest, size)


@dataclass(frozen=True)
class ShareWithInterval:
    """A share or a number, and its 95% interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Estimates:
    """What is known of each bin, and what follows.

    Attributes
    ----------
    size : number of detections in each bin of each species
    verified, correct : how many of them somebody was sure about, and how many of these are correct
    """

    size: Int64[np.ndarray, "species bins"]
    verified: Int64[np.ndarray, "species bins"]
    correct: Int64[np.ndarray, "species bins"]

    @property
    def _alpha(self) -> Float[np.ndarray, "species bins"]:
        return self.correct + PRIOR

    @property
    def _beta(self) -> Float[np.ndarray, "species bins"]:
        return self.verified - self.correct + PRIOR

    @cached_property
    def expected(self) -> Float[np.ndarray, "species bins"]:
        """Expected number of correct detections in each bin."""
        return self.correct + (self.size - self.verified) * self._alpha / (self._alpha + self._beta)

    @cached_property
    def variance(self) -> Float[np.ndarray, "species bins"]:
        """Variance of the number of correct detections in each bin: that of a beta-binomial distribution."""
        left, total = self.size - self.verified, self._alpha + self._beta
        spread = self._alpha * self._beta / (total * (total + 1))
        return left * spread * (1 + left / total)

    @cached_property
    def half_widths(self) -> Float[np.ndarray, " species"]:
        """About half of the 95% interval of each species' precision."""
        return 1.96 * np.sqrt(self.variance.sum(axis=1)) / np.maximum(self.size.sum(axis=1), 1)

    @cached_property
    def _drawn(self) -> Float[np.ndarray, "draws species bins"]:
        random = np.random.default_rng(POSTERIOR_SEED)
        share = random.beta(self._alpha, self._beta, (POSTERIOR_DRAWS, *self.size.shape))
        return self.correct + random.binomial(self.size - self.verified, share).astype(np.float64)

    def number_correct(self, species: int, *, from_bin: int = 0) -> ShareWithInterval:
        """Return how many detections of a species are correct, in a bin and those with higher scores."""
        drawn = self._drawn[:, species, from_bin:].sum(axis=1)
        low, high = np.quantile(drawn, QUANTILES)
        return ShareWithInterval(float(self.expected[species, from_bin:].sum()), float(low), float(high))

    def precision(self, species: int, *, from_bin: int = 0) -> ShareWithInterval | None:
        """Return the share that is correct of these detections; None if there are none."""
        size = int(self.size[species, from_bin:].sum())
        if not size:
            return None
        number = self.number_correct(species, from_bin=from_bin)
        return ShareWithInterval(number.value / size, number.low / size, number.high / size)

    def precision_in_bin(self, species: int, which: int) -> ShareWithInterval | None:
        """Return the share of the detections in one bin that is correct; None if it is empty."""
        size = int(self.size[species, which])
        if not size:
            return None
        low, high = np.quantile(self._drawn[:, species, which], QUANTILES) / size
        return ShareWithInterval(float(self.expected[species, which]) / size, float(low), float(high))

    def first_bin_with(self, precision: float, *, species: int) -> int | None:
        """Return the lowest bin from which on the wanted share is correct, among bins somebody verified; None: none."""
        for which in range(self.size.shape[1]):
            found = self.precision(species, from_bin=which)
            if found and self.verified[species, which:].sum() and found.value >= precision:
                return which
        return None


def estimates_of(
    bins: ScoreBins,
    species: Int64[np.ndarray, " detections"],
    *,
    verified: Bool[np.ndarray, " detections"],
    correct: Bool[np.ndarray, " detections"],
) -> Estimates:
    """Count what was verified.

    Parameters
    ----------
    species : index of each detection's species
    verified, correct : which detections somebody was sure about, and which of these are correct
    """

    def counted(which: Bool[np.ndarray, " detections"]) -> Int64[np.ndarray, "species bins"]:
        count = np.zeros(bins.size.shape, np.int64)
        np.add.at(count, (species[which], bins.bin_index[which]), 1)
        return count

    return Estimates(bins.size, counted(verified), counted(verified & correct))
