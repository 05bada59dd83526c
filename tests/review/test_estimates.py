"""What verified detections say: by hand, with certainty when all is verified, and truthful about what is left."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.review.estimates import SCORE_BINS, Estimates, estimates_of, score_bins
from utils.review.sampling import Sampler, uncertain_first


def test_bins_of_a_species_have_about_the_same_size_and_equal_scores_stay_together() -> None:
    scores = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.5, 0.5, 0.5])
    species = np.array([0] * 10 + [1] * 3)
    bins = score_bins(scores, species, count=3)
    assert bins.size.tolist() == [[2] * SCORE_BINS, [0, 0, 0, 0, 3], [0] * SCORE_BINS]
    np.testing.assert_array_equal(bins.lowest[0], [0.1, 0.3, 0.5, 0.7, 0.9])
    assert len(set(bins.bin_index[10:].tolist())) == 1


def test_what_is_wholly_verified_is_certain() -> None:
    estimates = Estimates(np.array([[3, 4]]), np.array([[3, 4]]), np.array([[1, 4]]))
    found = estimates.precision(0)
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((5 / 7, 5 / 7, 5 / 7))
    assert estimates.half_widths[0] == 0
    assert estimates.first_bin_with(0.9, species=0) == 1
    assert estimates.first_bin_with(0.7, species=0) == 0
    assert Estimates(np.array([[3]]), np.array([[0]]), np.array([[0]])).first_bin_with(0.1, species=0) is None


def test_the_posterior_of_one_bin_is_that_of_the_formula() -> None:
    estimates = Estimates(np.array([[10]]), np.array([[4]]), np.array([[3]]))
    # Beta(3.5, 1.5): mean 0.7; six are left
    assert estimates.expected[0, 0] == pytest.approx(3 + 6 * 0.7)
    # beta-binomial: n a b (a + b + n) / ((a + b)² (a + b + 1))
    assert estimates.variance[0, 0] == pytest.approx(6 * 3.5 * 1.5 * (5 + 6) / (25 * 6))
    drawn = estimates._drawn[:, 0, 0]
    assert drawn.mean() == pytest.approx(7.2, abs=0.1)
    assert drawn.var() == pytest.approx(estimates.variance[0, 0], rel=0.1)
    assert (drawn.min() >= 3, drawn.max() <= 9) == (True, True)


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    """Scores that say something, some verified at random within bins: 95% intervals over many tables."""
    random, held = np.random.default_rng(3), 0
    for _ in range(200):
        scores = random.uniform(0, 1, 200)
        truth = random.uniform(0, 1, 200) < scores
        species = np.zeros(200, np.int64)
        bins = score_bins(scores, species, count=1)
        verified = np.zeros(200, bool)
        for which in range(SCORE_BINS):
            verified[random.permutation(np.flatnonzero(bins.bin_index == which))[:8]] = True
        found = estimates_of(bins, species, verified=verified, correct=verified & truth).number_correct(0)
        held += found.low <= truth.sum() <= found.high
    assert 180 <= held <= 200


@given(st.integers(1, 60), st.integers(1, 4), st.integers(0, 1000))
def test_every_detection_is_shown_once(count: int, kinds: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    scores, species = random.uniform(0, 1, count).round(1), random.integers(0, kinds, count)
    recordings = random.integers(0, 3, count)
    bins = score_bins(scores, species, count=kinds)
    sampler = Sampler(bins, species, seed=seed)
    for uncertain in (False, True):
        seen, shown = np.zeros(count, bool), []
        while True:
            estimates = estimates_of(bins, species, verified=seen, correct=seen)
            one = (
                uncertain_first(scores, species, recordings, seen)
                if uncertain
                else sampler.next(estimates, seen, target=0.1)
            )
            if one is None:
                break
            seen[one] = True
            shown.append(one)
        assert sorted(shown) == list(range(count))


def test_the_species_that_is_known_worst_comes_first() -> None:
    scores, species = np.linspace(0, 1, 60), np.repeat([0, 1], 30)
    bins, seen = score_bins(scores, species, count=2), np.zeros(60, bool)
    seen[:25] = True  # most of the first species
    sampler = Sampler(bins, species, seed=1)
    assert species[sampler.next(estimates_of(bins, species, verified=seen, correct=seen), seen, target=0.1)] == 1


def test_uncertain_detections_of_rare_species_and_new_recordings_come_first() -> None:
    scores = np.array([0.5, 0.9, 0.6, 0.4])
    species, recordings = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    seen = np.array([True, False, False, False])
    assert uncertain_first(scores, species, recordings, seen) == 3  # species 1 has no verdict, recording 1 has none
    assert uncertain_first(scores, species, recordings, np.ones(4, bool)) is None
