"""Which clips an epoch sees, and in which order."""

import numpy as np
from jaxtyping import Int, Int64

from config import Training


def epoch_order(
    own: Int[np.ndarray, " clips"], settings: Training, *, epoch: int, unlabelled_ratio: float = 0.0
) -> Int64[np.ndarray, "steps batch"]:
    """Return which clips each step of an epoch sees; it follows from seed and epoch alone.

    Every clip of the pool comes once, in random order; with the balanced sampler as many are drawn, each class as often
    as any other. The last batch is filled up with clips from the begin of the order, so that all batches have one size.

    Parameters
    ----------
    own : the class of each clip, −1: unlabelled
    unlabelled_ratio : how many unlabelled clips are drawn for each labelled one, as far as there are some
    """
    generator = np.random.default_rng((settings.seed, epoch))
    known = np.flatnonzero(own >= 0)
    pool = known[_pool(own[known], settings, generator)]
    if settings.sampler == "balanced":
        share = 1 / np.bincount(own[pool])[own[pool]]
        order = generator.choice(pool, len(pool), p=share / share.sum())
    else:
        order = generator.permutation(pool)
    if len(known) < len(own):
        drawn = generator.permutation(np.flatnonzero(own < 0))[
            : _unlabelled(len(pool), len(own) - len(known), unlabelled_ratio)
        ]
        order = generator.permutation(np.concatenate([order, drawn]))
    return np.resize(order, (steps_of(len(order), settings), settings.batch_size))


def steps_of(clips: int, settings: Training) -> int:
    """Return how many batches so many clips make."""
    return -(-clips // settings.batch_size)


def clips_per_epoch(own: Int[np.ndarray, " clips"], settings: Training, *, unlabelled_ratio: float = 0.0) -> int:
    """Return how many clips an epoch sees; it is the same for every epoch. Parameters as of `epoch_order`."""
    known = own[own >= 0]
    labelled = int(_quotas(np.bincount(known), settings).sum())
    return labelled + _unlabelled(labelled, len(own) - len(known), unlabelled_ratio)


def _unlabelled(labelled: int, there: int, ratio: float) -> int:
    return min(there, round(labelled * ratio))


def _quotas(counts: Int64[np.ndarray, " classes"], settings: Training) -> Int64[np.ndarray, " classes"]:
    """Return how many clips of each class an epoch sees, of so many that there are."""
    least, most = settings.min_per_class, settings.max_per_class
    quotas = np.where(counts > 0, np.maximum(counts, least), 0)
    return np.minimum(quotas, most) if most else quotas


def _pool(
    own: Int[np.ndarray, " clips"], settings: Training, generator: np.random.Generator
) -> Int64[np.ndarray, " pool"]:
    """Return the clips of an epoch: all of them, those of small classes several times, some of those of large ones."""
    counts = np.bincount(own)
    quotas = _quotas(counts, settings)
    if np.array_equal(counts, quotas):
        return np.arange(len(own))
    by_class = np.split(np.argsort(own, kind="stable"), np.cumsum(counts)[:-1])
    # each class in random order, again and again up to its quota: no clip comes twice more often than another
    return np.concatenate(
        [np.resize(generator.permutation(clips), quota) for clips, quota in zip(by_class, quotas, strict=True) if quota]
    )
