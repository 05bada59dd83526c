"""What verified detections say about all of a table: how many are correct, species by species and score by score.

The detections of a species are divided by score into bins of about the same size. The share that is correct in a bin
is near that of the species, and is learned from what was verified in the bin: in each of many draws, the share of the
species comes from Beta(correct + 1/2, wrong + 1/2), and that of a bin from a beta distribution around it that weighs
as much as `PRIOR_WEIGHT` verdicts. Detections that nobody verified are correct with the share of their bin, each by
itself. So the numbers are about this table, and are certain when all of it is verified.

Source: stratified by score and summed over bins as in Navine et al., All thresholds barred: direct estimation of call
density in bioacoustic data, 2024 (doi:10.3389/fbirs.2024.1380636).
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64

SCORE_BINS = 5  # of each species
POSTERIOR_DRAWS = 1000
POSTERIOR_SEED = 1
QUANTILES = (0.025, 0.975)
JEFFREYS = 0.5  # both parameters of the prior of a species' share
PRIOR_WEIGHT = 2.0  # of the share of the species in each bin, verdicts
LEAST = 1e-6  # parameter of a beta distribution

BinCounts = tuple[int, ...]  # one for each bin


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
    by_species = np.split(np.argsort(species, kind="stable"), np.bincount(species, minlength=count).cumsum()[:-1])
    for one, rows in enumerate(by_species):
        inner = (
            np.quantile(scores[rows], np.arange(1, SCORE_BINS) / SCORE_BINS) if len(rows) else np.zeros(SCORE_BINS - 1)
        )
        bin_index[rows] = np.searchsorted(inner, scores[rows], side="right")
        for each in np.unique(bin_index[rows]):
            inside = scores[rows][bin_index[rows] == each]
            lowest[one, each], size[one, each] = inside.min(), len(inside)
    return ScoreBins(bin_index, lowest, size)


@lru_cache(maxsize=2000)
def drawn_correct(size: BinCounts, verified: BinCounts, correct: BinCounts) -> Float32[np.ndarray, "draws bins"]:
    """Return draws of the number of correct detections in each bin of a species.

    Parameters
    ----------
    size : number of detections in each bin
    verified, correct : how many of them somebody was sure about, and how many of these are correct
    """
    random = np.random.default_rng(POSTERIOR_SEED)
    sizes, seen, right = (np.array(counts) for counts in (size, verified, correct))
    share = random.beta(right.sum() + JEFFREYS, (seen - right).sum() + JEFFREYS, (POSTERIOR_DRAWS, 1))
    of_bins = random.beta(
        np.maximum(right + PRIOR_WEIGHT * share, LEAST), np.maximum(seen - right + PRIOR_WEIGHT * (1 - share), LEAST)
    )
    return (right + random.binomial(sizes - seen, of_bins)).astype(np.float32)


@dataclass(frozen=True)
class ShareWithInterval:
    """A share or a count, and its 95% interval."""

    value: float
    low: float
    high: float


@lru_cache(maxsize=100_000)
def _counted_correct(
    size: BinCounts, verified: BinCounts, correct: BinCounts, *, from_bin: int, to_bin: int | None
) -> ShareWithInterval:
    """Return the number of correct detections in some bins of a species; a verdict changes that of one species only."""
    drawn = drawn_correct(size, verified, correct)[:, from_bin:to_bin].sum(axis=1)
    low, high = np.quantile(drawn, QUANTILES)
    return ShareWithInterval(float(drawn.mean()), float(low), float(high))


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

    def drawn(self, species: int) -> Float32[np.ndarray, "draws bins"]:
        """Return draws of the number of correct detections in each bin of a species."""
        return drawn_correct(*self._counts(species))

    def _counts(self, species: int) -> tuple[BinCounts, BinCounts, BinCounts]:
        size, verified, correct = (tuple(table[species].tolist()) for table in (self.size, self.verified, self.correct))
        return size, verified, correct

    @cached_property
    def half_widths(self) -> Float[np.ndarray, " species"]:
        """Half of the 95% interval of each species' precision."""
        found = [self.precision(species) for species in range(len(self.size))]
        return np.array([(one.high - one.low) / 2 if one else 0.0 for one in found])

    def variances(self, species: int) -> Float[np.ndarray, " bins"]:
        """Return the variance of the number of correct detections in each bin of a species."""
        return self.drawn(species).var(axis=0, dtype=np.float64)

    def count_correct(self, species: int, *, from_bin: int = 0, to_bin: int | None = None) -> ShareWithInterval:
        """Return how many detections of a species are correct, in the bins from one up to another."""
        return _counted_correct(*self._counts(species), from_bin=from_bin, to_bin=to_bin)

    def precision(self, species: int, *, from_bin: int = 0, to_bin: int | None = None) -> ShareWithInterval | None:
        """Return the share that is correct of these detections; None if there are none."""
        size = int(self.size[species, from_bin:to_bin].sum())
        if not size:
            return None
        found = self.count_correct(species, from_bin=from_bin, to_bin=to_bin)
        return ShareWithInterval(found.value / size, found.low / size, found.high / size)

    def first_bin_with(self, precision: float, *, species: int) -> int | None:
        """Return the lowest bin from which on the wanted share is correct, with 97.5% certainty; None: none."""
        for which in range(self.size.shape[1]):
            found = self.precision(species, from_bin=which)
            if found and self.size[species, which] and found.low >= precision:
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
