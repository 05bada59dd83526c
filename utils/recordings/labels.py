"""Which classes are right for a recording."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from jaxtyping import Bool


def truth_of(recordings: pl.DataFrame, classes: Sequence[str], *, background: bool) -> Bool[np.ndarray, "recordings classes"]:
    """Tell which classes are right for each recording: its own, and, where asked for, those in its background.

    Parameters
    ----------
    recordings : has the columns `class` and `background`; labels that are not among `classes` are right for nothing
    """
    number = {label: index for index, label in enumerate(classes)}
    truth = np.zeros((len(recordings), len(classes)), bool)
    for row, (own, others) in enumerate(recordings.select("class", "background").iter_rows()):
        for label in [own, *(others if background else [])]:
            if label in number:
                truth[row, number[label]] = True
    return truth
