"""Pooling is the 2018 baseline's, or what its formula says, whether clips come together, one by one or in intervals."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import Config
from utils.scoring.inference.pooling import Pool, Pooling, median_filtered, pool, pool_groups, pooling_of


def plain_median_filtered(scores: np.ndarray) -> np.ndarray:
    """Write the baseline's formula down once more, class by class."""
    filtered = np.array([[0 if p < 1.5 * np.median(clip) else p for p in clip] for clip in scores])
    pooled = ((2 * filtered) ** 2).mean(axis=0)
    pooled = pooled - pooled.min()
    return pooled / pooled.max() if pooled.max() > 1 else pooled


PLAIN: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "median_filtered": plain_median_filtered,
    "mean_exponential": lambda scores: np.clip(((2 * scores) ** 2).mean(axis=0), 0, 1),
    "mean": lambda scores: scores.mean(axis=0),
    "max": lambda scores: scores.max(axis=0),
    "log_mean_exp": lambda scores: np.log(np.exp(5.0 * scores).mean(axis=0)) / 5.0,
}


def pooling_named(name: str) -> Pooling:
    return pooling_of(replace(Config().testing, pooling=name))


def random_scores(clips: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(7, 0.3), size=clips).astype(np.float32)


def test_golden(golden: Path) -> None:
    expected = np.load(golden / "pooling.npz")
    assert Config().testing.pooling == "median_filtered"
    for scores, pooled in zip(expected["scores"], expected["pooled"], strict=True):
        np.testing.assert_allclose(median_filtered(scores), pooled, atol=1e-6)
        one_by_one = Pool(pooling_named("median_filtered"), classes=scores.shape[1])
        for clip in scores:
            one_by_one.add(clip[None])
        np.testing.assert_allclose(one_by_one.finish()[0], pooled, atol=1e-6)


def test_by_hand() -> None:
    scores = np.array([[0.1, 0.2, 0.7], [0.4, 0.3, 0.3]])
    # medians 0.2 and 0.3: what is above 1.5 times the median is 0.7 in the first clip; 0.4 is under 0.45 in the second
    assert median_filtered(scores).tolist() == pytest.approx([0.0, 0.0, 1.4**2 / 2])
    assert scores[0].tolist() == [0.1, 0.2, 0.7]
    assert pool(scores, pooling_named("mean_exponential")).tolist() == pytest.approx(
        [(0.2**2 + 0.8**2) / 2, (0.4**2 + 0.6**2) / 2, 1.0]
    )
    assert pool(scores, pooling_named("mean")).tolist() == pytest.approx([0.25, 0.25, 0.5])
    assert pool(scores, pooling_named("max")).tolist() == pytest.approx([0.4, 0.3, 0.7])


def test_high_scores_are_scaled_to_one() -> None:
    assert median_filtered(np.array([[0.02, 0.02, 0.96]])).max() == 1.0


@given(
    name=st.sampled_from(list(PLAIN)),
    seed=st.integers(0, 1000),
    clips=st.integers(1, 30),
    cuts=st.lists(st.integers(0, 30), max_size=4),
)
def test_clips_that_come_in_parts_pool_as_the_formula_says(name: str, seed: int, clips: int, cuts: list[int]) -> None:
    scores = random_scores(clips, seed)
    pooled = Pool(pooling_named(name), classes=7)
    for part in np.split(scores, sorted(cuts)):
        pooled.add(part)
    np.testing.assert_allclose(pooled.finish()[0], PLAIN[name](scores.astype(float)), atol=1e-9)
    assert pooled.clips.tolist() == [clips]


@given(
    name=st.sampled_from(list(PLAIN)),
    groups=st.lists(st.integers(-1, 9), min_size=1, max_size=40),
    cut=st.integers(0, 40),
)
def test_intervals_pool_as_recordings_of_their_own(name: str, groups: list[int], cut: int) -> None:
    scores, groups = random_scores(len(groups), seed=cut), np.array(groups)
    expected = [
        PLAIN[name](scores[groups == group].astype(float)) if group in groups else np.full(7, np.nan)
        for group in range(11)
    ]
    np.testing.assert_allclose(pool_groups(scores, groups, pooling_named(name), count=11), expected, atol=1e-9)
    in_parts = Pool(pooling_named(name), classes=7)
    in_parts.add(scores[:cut], groups[:cut])
    in_parts.add(scores[cut:], groups[cut:])
    np.testing.assert_allclose(in_parts.finish(11), expected, atol=1e-9)


def test_sharpness_goes_from_the_mean_to_the_maximum() -> None:
    scores = random_scores(20, seed=1).astype(float)
    pooled = [
        pool(scores, pooling_of(replace(Config().testing, pooling="log_mean_exp", sharpness=sharpness)))
        for sharpness in (1e-4, 1.0, 10.0, 100.0)
    ]
    np.testing.assert_allclose(pooled[0], scores.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(pooled[-1], scores.max(axis=0), atol=np.log(20) / 100)
    assert all((one <= other).all() for one, other in pairwise(pooled))


def test_no_clips_and_wrong_groups() -> None:
    with pytest.raises(ValueError, match="no clips"):
        median_filtered(np.zeros((0, 3)))
    with pytest.raises(ValueError, match="group 3 of 3"):
        pool_groups(np.zeros((1, 2)), np.array([3]), pooling_named("mean"), count=3)
    assert np.isnan(pool_groups(np.zeros((0, 2)), np.zeros(0, int), pooling_named("max"), count=2)).all()


@given(
    name=st.sampled_from(list(PLAIN)),
    seed=st.integers(0, 1000),
    clips=st.integers(1, 30),
    cuts=st.lists(st.integers(0, 30), max_size=4),
)
def test_groups_that_are_complete_can_be_taken_to_the_last_bit(
    name: str, seed: int, clips: int, cuts: list[int]
) -> None:
    """However clips come, and whenever what is complete is taken: the same bits."""
    scores, groups = random_scores(clips, seed), np.arange(clips) // 3
    together, apart = Pool(pooling_named(name), classes=7), Pool(pooling_named(name), classes=7)
    together.add(scores, groups)
    taken, rows = 0, []
    for start, end in pairwise([0, *sorted(min(cut, clips) for cut in cuts), clips]):
        apart.add(scores[start:end], groups[start:end] - taken)
        rows.append(apart.take(end // 3 - taken))
        taken = end // 3
    count = int(groups[-1]) + 1
    rows.append(apart.finish(count - taken))
    assert np.array_equal(np.concatenate(rows), together.finish(count))
