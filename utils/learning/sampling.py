"""Which clips an epoch sees, and in which order."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int, Int64

from config import Training


def epoch_order(
    primary: Int[np.ndarray, " clips"],
    settings: Training,
    *,
    epoch: int,
    drawn_ratio: float = 0.0,
    first: Sequence[int] = (),
) -> Int64[np.ndarray, "steps batch"]:
    """Return which clips each step of an epoch sees; it depends on seed, epoch and `first` alone.

    Every clip of the pool comes once, in random order; with the balanced sampler as many are drawn, each class with the
    same probability. The last batch is padded with clips from the start of the order, so that all batches have one
    size.

    Parameters
    ----------
    primary : the class of each clip; −1: it is drawn by `drawn_ratio` (`Examples.sampled_classes`)
    drawn_ratio : clips without a class that are drawn per clip with one, as far as there are enough
    first : clips without a class that are among the drawn ones whatever chance says
    """
    generator = np.random.default_rng((settings.seed, epoch))
    known = np.flatnonzero(primary >= 0)
    pool = known[_pool(primary[known], settings, generator)]
    if settings.sampler == "balanced":
        share = 1 / np.bincount(primary[pool])[primary[pool]]
        order = generator.choice(pool, len(pool), p=share / share.sum())
    else:
        order = generator.permutation(pool)
    if len(known) < len(primary):
        count = _drawn_clips(len(pool), len(primary) - len(known), drawn_ratio)
        shuffled = generator.permutation(np.flatnonzero(primary < 0))
        chosen = np.asarray(first, np.int64)
        drawn = np.concatenate([chosen, shuffled[~np.isin(shuffled, chosen)]])[:count]
        order = generator.permutation(np.concatenate([order, drawn]))
    return np.resize(order, (steps_for(len(order), settings), settings.batch_size))


def packed_order(
    files: Int[np.ndarray, " clips"], settings: Training, *, epoch: int
) -> Int64[np.ndarray, "steps batch"]:
    """Return which clips of a pack each step of an epoch sees; it depends on seed and epoch alone.

    The files come in random order, and a clip at most `training.buffer` clips later than in its file: at any time so
    many have to be in memory, besides the files that are being read. Every clip comes once; the last batch is padded
    with the clips before it.

    Parameters
    ----------
    files : index of the file of each clip
    """
    generator = np.random.default_rng((settings.seed, epoch))
    place = generator.permutation(int(files.max()) + 1)  # of each file
    stream = np.argsort(place[files], kind="stable")
    delay = generator.random(len(files)) * settings.buffer
    order = stream[np.argsort(np.arange(len(files)) + delay, kind="stable")]
    padding = np.resize(order[::-1], steps_for(len(order), settings) * settings.batch_size - len(order))
    return np.concatenate([order, padding]).reshape(-1, settings.batch_size)


def steps_for(clips: int, settings: Training) -> int:
    """Return how many batches so many clips make."""
    return -(-clips // settings.batch_size)


def clips_per_epoch(primary: Int[np.ndarray, " clips"], settings: Training, *, drawn_ratio: float = 0.0) -> int:
    """Return how many clips an epoch sees; it is the same for every epoch. Parameters: same as `epoch_order`."""
    known = primary[primary >= 0]
    labelled = int(_clips_per_class(np.bincount(known), settings).sum())
    return labelled + drawn_per_epoch(primary, settings, drawn_ratio=drawn_ratio)


def drawn_per_epoch(primary: Int[np.ndarray, " clips"], settings: Training, *, drawn_ratio: float) -> int:
    """Return how many of the clips of an epoch are drawn by `drawn_ratio`. Parameters: same as `epoch_order`."""
    known = primary[primary >= 0]
    labelled = int(_clips_per_class(np.bincount(known), settings).sum())
    return _drawn_clips(labelled, len(primary) - len(known), drawn_ratio)


def _drawn_clips(labelled: int, available: int, ratio: float) -> int:
    return min(available, round(labelled * ratio))


def _clips_per_class(counts: Int64[np.ndarray, " classes"], settings: Training) -> Int64[np.ndarray, " classes"]:
    """Return how many clips of each class an epoch sees, from the number of clips that there are."""
    least, most = settings.min_per_class, settings.max_per_class
    quotas = np.where(counts > 0, np.maximum(counts, least), 0)
    return np.minimum(quotas, most) if most else quotas


def _pool(
    primary: Int[np.ndarray, " clips"], settings: Training, generator: np.random.Generator
) -> Int64[np.ndarray, " pool"]:
    """Return the clips of an epoch: those of small classes several times, some of those of large classes."""
    counts = np.bincount(primary)
    quotas = _clips_per_class(counts, settings)
    if np.array_equal(counts, quotas):
        return np.arange(len(primary))
    by_class = np.split(np.argsort(primary, kind="stable"), np.cumsum(counts)[:-1])
    # each class in random order, again and again up to its quota: no clip comes twice more often than another
    return np.concatenate(
        [np.resize(generator.permutation(clips), quota) for clips, quota in zip(by_class, quotas, strict=True) if quota]
    )
