"""Novelty: how unlike its training clips a model finds a recording, an interval or an event, from 0 to 1.

A model measures how far each clip is from its class prototypes (`utils.models.prototypes`). The distances of a
recording's clips are averaged, and compared with those of the validation recordings: 0.95 means that 95% of them are
nearer. Intervals and events have few clips, so their mean distances are compared with those of single validation clips.

Members that know the same classes are averaged by their weights. Of members that know different classes the least
novelty counts: what one of them knows is not new to the ensemble.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float32, Int64, Integer

from utils.scoring.inference.ensembles import Ensemble, MemberGroup
from utils.scoring.inference.pooling import MEAN, Pool, Pooling


class ColumnPool:
    """Pools the columns of a group's scorer as they come: scores as `testing.pooling` says, distances by their mean.

    Parameters
    ----------
    pooling : of the scores
    """

    def __init__(self, group: MemberGroup, pooling: Pooling) -> None:
        self._classes = len(group.classes)
        self._pools = Pool(pooling, classes=self._classes), Pool(MEAN, classes=len(group.measuring))

    @property
    def clips(self) -> Int64[np.ndarray, " rows"]:
        """How many clips each row has so far."""
        return self._pools[0].clips

    def add(
        self, columns: Float[np.ndarray, "clips columns"], rows: Integer[np.ndarray, " clips"] | None = None
    ) -> None:
        """Add clips; `rows` as the groups of `Pool.add`."""
        for pool, part in zip(self._pools, np.split(columns, [self._classes], axis=1), strict=True):
            pool.add(part, rows)

    def take(self, rows: int) -> Float[np.ndarray, "rows columns"]:
        """Return the pooled columns of the first rows, and remove them, as `Pool.take`."""
        return np.hstack([pool.take(rows) for pool in self._pools])

    def finish(self, rows: int = 1) -> Float[np.ndarray, "rows columns"]:
        """Return the pooled columns of the first rows; NaN for rows without a clip."""
        return np.hstack([pool.finish(rows) for pool in self._pools])


def novelty_of(
    ensemble: Ensemble, pooled: Sequence[Float[np.ndarray, "rows _"]], *, whole: bool
) -> Float32[np.ndarray, " rows"] | None:
    """Return the novelty of each row; None if no member has prototypes.

    Parameters
    ----------
    pooled : the pooled columns of each group
    whole : whether rows are whole recordings
    """
    by_classes: dict[tuple[str, ...], list[tuple[float, Float[np.ndarray, " rows"]]]] = {}
    for group, table in zip(ensemble.groups, pooled, strict=True):
        for column, member in enumerate(group.measuring, len(group.classes)):
            if member.prototypes:
                novelty = member.prototypes.novelty(table[:, column], whole=whole)
                by_classes.setdefault(member.snapshot.classes, []).append((member.weight, novelty))
    if not by_classes:
        return None
    means = [
        np.average([novelty for _, novelty in members], axis=0, weights=[weight for weight, _ in members])
        for members in by_classes.values()
    ]
    return np.min(means, axis=0).astype(np.float32)


def with_novelty(
    scores: Float[np.ndarray, "rows classes"], novelty: Float32[np.ndarray, " rows"] | None
) -> Float[np.ndarray, "rows columns"]:
    """Return scores and, as their last column, the novelty if there is one; `without_novelty` takes them apart."""
    return scores if novelty is None else np.column_stack([scores, novelty])


def without_novelty(
    columns: Float[np.ndarray, "rows columns"], *, classes: int
) -> tuple[Float[np.ndarray, "rows classes"], Float32[np.ndarray, " rows"] | None]:
    """Return scores and novelty; None if the columns are only those of the classes."""
    return columns[:, :classes], columns[:, classes].astype(np.float32) if columns.shape[1] > classes else None
