"""A second reviewer reads again what others verified, without their verdicts; and how well reviewers agree.

Agreement is the share of detections that both find correct, or both not. Cohen's kappa is what of it is beyond chance:

    kappa = (agreement − expected) / (1 − expected),   expected = p₁ p₂ + (1 − p₁) (1 − p₂)

where p₁ and p₂ are the shares that each finds correct. Intervals are quantiles of the posterior of the four shares
(both yes, yes and no, no and yes, both no), a Dirichlet distribution with Jeffreys' prior: they do not shrink to a
point when few detections were read and all verdicts agree.

Source: Cohen, A Coefficient of Agreement for Nominal Scales, 1960.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from jaxtyping import Float, Int64

from utils.review.detections import DetectionKey
from utils.review.estimates import JEFFREYS, POSTERIOR_DRAWS, POSTERIOR_SEED, QUANTILES, ShareWithInterval
from utils.review.verdicts import Verdict, Verdicts

if TYPE_CHECKING:
    from utils.review.session import ReviewRules

LEAST_OF_A_SPECIES = 10  # detections that two reviewers were sure about, for a row of their own
READING_DIGITS = 4
AGREEMENT_COLUMNS = pl.Schema(
    {
        "reviewer_1": pl.String(),
        "reviewer_2": pl.String(),
        "species": pl.String(),  # '': all
        "detections": pl.Int64(),  # that both were sure about
        "both_correct": pl.Int64(),
        "only_1_correct": pl.Int64(),
        "only_2_correct": pl.Int64(),
        "neither_correct": pl.Int64(),
        **{f"{name}{end}": pl.Float64() for name in ("agreement", "kappa") for end in ("", "_low", "_high")},
    }
)
DISAGREEMENT_COLUMNS = pl.Schema(
    {
        "recording": pl.String(),
        "start": pl.Float64(),
        "end": pl.Float64(),
        "species": pl.String(),
        "score": pl.Float64(),
        **{f"{name}_{which}": pl.String() for which in (1, 2) for name in ("reviewer", "verdict", "other")},
    }
)


def to_be_read_again(verdicts: Verdicts, rules: "ReviewRules", *, reviewer: str) -> list[DetectionKey]:
    """Return the share of what others verified that a reviewer is to read, in the order in which it is shown.

    Which ones follows from their names and the seed alone: more verdicts of others add to them.
    """
    others = [key for key, given in verdicts.given.items() if given.keys() - {reviewer}]

    def chance(key: DetectionKey) -> bytes:
        return hashlib.sha256(json.dumps([rules.seed, *key]).encode()).digest()

    return sorted(others, key=chance)[: ceil(rules.second * len(others))]


@dataclass(frozen=True)
class Agreement:
    """How well two reviewers agree.

    Attributes
    ----------
    reviewers : both
    species : of which detections; '': of all
    counts : of detections that both were sure about: both find it correct, only the first, only the second, neither
    """

    reviewers: tuple[str, str]
    species: str
    counts: tuple[int, int, int, int]

    @property
    def share(self) -> ShareWithInterval:
        """The share of detections on which they agree."""
        drawn = self._drawn()
        return _with_interval(float(_agreement_shares(np.array([self.counts]))[0][0]), _agreement_shares(drawn)[0])

    @property
    def kappa(self) -> ShareWithInterval | None:
        """Cohen's kappa; None if both gave the same verdict throughout: then chance alone would do."""
        agreement, expected = (float(one[0]) for one in _agreement_shares(np.array([self.counts])))
        if expected == 1:
            return None
        drawn_agreement, drawn_expected = _agreement_shares(self._drawn())
        drawn = (drawn_agreement - drawn_expected) / (1 - drawn_expected)
        return _with_interval((agreement - expected) / (1 - expected), drawn)

    def _drawn(self) -> Float[np.ndarray, "draws 4"]:
        random = np.random.default_rng(POSTERIOR_SEED)
        return random.dirichlet(np.array(self.counts) + JEFFREYS, POSTERIOR_DRAWS)


def _agreement_shares(
    counts: Float[np.ndarray, "rows 4"] | Int64[np.ndarray, "rows 4"],
) -> tuple[Float[np.ndarray, " rows"], Float[np.ndarray, " rows"]]:
    """Return which share agrees, and which would by chance."""
    both, first, second, neither = (counts / counts.sum(axis=1, keepdims=True)).T
    expected = (both + first) * (both + second) + (second + neither) * (first + neither)
    return both + neither, expected


def _with_interval(value: float, drawn: Float[np.ndarray, " draws"]) -> ShareWithInterval:
    low, high = np.quantile(drawn, QUANTILES).tolist()
    return ShareWithInterval(value, min(low, value), max(high, value))


def agreements(verdicts: Verdicts) -> list[Agreement]:
    """Return the agreement of each two reviewers: over all that both were sure about, and by species where enough."""
    counts: dict[tuple[tuple[str, str], str], list[int]] = {}
    for key, one, other in _pairs_of_readings(verdicts):
        if one.correct is None or other.correct is None:
            continue
        which = 2 * (not one.correct) + (not other.correct)
        for species in ("", key[-1]):
            counts.setdefault(((one.reviewer, other.reviewer), species), [0, 0, 0, 0])[which] += 1
    return [
        Agreement(reviewers, species, (found[0], found[1], found[2], found[3]))
        for (reviewers, species), found in sorted(counts.items())
        if not species or sum(found) >= LEAST_OF_A_SPECIES
    ]


def _pairs_of_readings(verdicts: Verdicts) -> Iterator[tuple[DetectionKey, Verdict, Verdict]]:
    """Yield the verdicts of each two reviewers on a detection, by their names."""
    for key, given in verdicts.given.items():
        for one, other in combinations(sorted(given), 2):
            yield key, given[one], given[other]


def agreement_table(found: Sequence[Agreement]) -> pl.DataFrame:
    """Return one row for each two reviewers, and for each species of which they read enough."""

    def rounded(share: ShareWithInterval | None) -> list[float | None]:
        values = (share.value, share.low, share.high) if share else (None, None, None)
        return [None if value is None else round(value, READING_DIGITS) for value in values]

    rows = [
        (*one.reviewers, one.species, sum(one.counts), *one.counts, *rounded(one.share), *rounded(one.kappa))
        for one in found
    ]
    return pl.DataFrame(rows, schema=AGREEMENT_COLUMNS, orient="row")


def disagreement_table(verdicts: Verdicts) -> pl.DataFrame:
    """Return one row for each two verdicts on a detection that differ, also in the other species; unsure is none."""
    rows = [
        (*key, max(one.score, other.score), *_names(one), *_names(other))
        for key, one, other in _pairs_of_readings(verdicts)
        if one.correct is not None and other.correct is not None and _names(one)[1:] != _names(other)[1:]
    ]
    return pl.DataFrame(rows, schema=DISAGREEMENT_COLUMNS, orient="row").sort("recording", "start", "species")


def _names(verdict: Verdict) -> tuple[str, str, str]:
    return verdict.reviewer, verdict.kind, verdict.other
