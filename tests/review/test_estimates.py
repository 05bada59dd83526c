"""What verified detections say: by hand, with certainty when all is verified, and truthful about what is left."""

import numpy as np
import pytest
from hypothesis import given, settings
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
    assert Estimates(np.array([[300]]), np.array([[1]]), np.array([[1]])).first_bin_with(0.9, species=0) is None


def test_one_bin_has_the_posterior_of_a_species() -> None:
    """Of ten, three of four are correct: the share is near 3.5 / 5, and three to nine of ten may be."""
    estimates = Estimates(np.array([[10]]), np.array([[4]]), np.array([[3]]))
    found = estimates.count_correct(0)
    assert found.value == pytest.approx(3 + 6 * 0.72, abs=0.4)
    assert (found.low >= 3, found.high <= 9) == (True, True)


def test_what_nobody_verified_is_anything() -> None:
    found = Estimates(np.array([[50, 50]]), np.zeros((1, 2), np.int64), np.zeros((1, 2), np.int64)).precision(0)
    assert found is not None
    assert found.value == pytest.approx(0.5, abs=0.05)
    assert (found.low < 0.05, found.high > 0.95) == (True, True)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.1, 0.5, 0.9, 0.98, 1.0])
@pytest.mark.parametrize("steep", [False, True])
def test_the_interval_holds_the_truth_when_a_species_is_known(share: float, steep: bool) -> None:
    """A reviewer verifies in the order of the sampler until the interval is ±0.1, of tables with any precision.

    Who stops as soon as the interval is narrow stops early when luck has made it so: it holds the truth less often than
    in 95 of 100 tables.
    """
    random, held, errors, tables = np.random.default_rng(3), 0, [], 25
    for seed in range(tables):
        scores, species = random.uniform(0, 1, 400), np.zeros(400, np.int64)
        chance = np.clip(share * 2 * scores, 0, 1) if steep else np.full(400, share)
        truth = random.uniform(0, 1, 400) < chance
        bins, seen = score_bins(scores, species, count=1), np.zeros(400, bool)
        sampler = Sampler(bins, species, seed=seed)
        while True:
            estimates = estimates_of(bins, species, verified=seen, correct=seen & truth)
            if estimates.half_widths[0] <= 0.1:
                break
            seen[sampler.next(estimates, seen, target=0.1)] = True
        found = estimates.precision(0)
        assert found is not None
        held += found.low <= truth.mean() <= found.high
        errors.append(found.value - truth.mean())
    assert held >= 0.75 * tables
    assert abs(np.mean(errors)) < 0.05


def test_a_threshold_has_the_precision_that_it_promises() -> None:
    random, kept, given = np.random.default_rng(4), 0, 0
    for _ in range(60):
        scores, species = random.uniform(0, 1, 400), np.zeros(400, np.int64)
        truth = random.uniform(0, 1, 400) < 0.6 + 0.4 * scores
        bins, verified = score_bins(scores, species, count=1), np.zeros(400, bool)
        verified[random.permutation(400)[:100]] = True
        first = estimates_of(bins, species, verified=verified, correct=verified & truth).first_bin_with(0.8, species=0)
        if first is not None:
            given += 1
            kept += truth[bins.bin_index >= first].mean() >= 0.8
    assert given >= 20
    assert kept >= 0.9 * given


@settings(max_examples=12)
@given(st.integers(1, 40), st.integers(1, 4), st.integers(0, 1000))
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
