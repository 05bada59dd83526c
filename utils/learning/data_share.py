"""The share of the recordings that is learned from (`training.data_share`)."""

import polars as pl

from config import Training
from utils.recordings.splits import draw_names


def draw_data_share(learned: pl.DataFrame, split: pl.DataFrame, settings: Training) -> pl.DataFrame:
    """Keep the clips of some recordings: `data_share` of those of each class, at least one.

    They are drawn by name, so that store and pack give the same ones. A larger share has those of a smaller one, too.

    Parameters
    ----------
    learned : the clips to learn from, if all recordings were
    split : table with the class of each recording
    """
    if settings.data_share == 1:
        return learned
    classes = (
        split.filter(pl.col("recording").is_in(learned["recording"].unique().implode()))
        .group_by("class")
        .agg("recording")
    )
    drawn = [
        draw_names(
            names, max(1, round(len(names) * settings.data_share)), seed=settings.seed, label=f"data_share {label}"
        )
        for label, names in classes.iter_rows()
    ]
    return learned.filter(pl.col("recording").is_in(list(set().union(*drawn))))
