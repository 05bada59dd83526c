"""Clips of further stores, which are learned beside those of the data set."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Int64

from utils.learning.examples import Examples
from utils.learning.targets import Labels
from utils.spectra.joined_store import JoinedStore
from utils.spectra.store import Store


def with_added_clips(
    examples: Examples, stores: Sequence[Store], rows: Int64[np.ndarray, " clips"], *, primary: int, drawn_ratio: float
) -> Examples:
    """Return examples with the clips of further stores, after those that are there.

    Parameters
    ----------
    rows : of the clips, in the stores of the examples and these, one after the other
    primary : class of all of them; −1: none
    drawn_ratio : see `Examples`
    """
    background = np.full((len(rows), examples.labels.background.shape[1]), -1, np.int32)
    new = Labels(np.full(len(rows), primary, np.int32), background, np.ones(len(rows), np.float32))
    return replace(
        examples,
        store=JoinedStore([*examples.stores, *stores]),
        rows=np.concatenate([examples.rows, rows]),
        labels=Labels(*(np.concatenate(pair) for pair in zip(examples.labels, new, strict=True))),
        drawn_ratio=drawn_ratio,
    )
