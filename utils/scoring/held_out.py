"""Which recordings are held out: those of a split, or some of them, drawn by name."""

import polars as pl

from config import Config, Testing
from utils import console
from utils.recordings.splits import draw_names


def held_out_split(split: pl.DataFrame, settings: Testing) -> str:
    """Return which split is held out, by `testing.held_out`; 'auto' is test if it exists, else val."""
    if settings.held_out != "auto":
        return settings.held_out
    return "test" if "test" in split["split"] else "val"


def held_out_recordings(split: pl.DataFrame, config: Config) -> pl.DataFrame:
    """Return the held-out recordings, as `held_out_split` says.

    At most `testing.max_recordings` of them are drawn, and at most `testing.max_per_class` per class; long recordings
    belong to no single class.

    Raises
    ------
    UserError
        If there is none.
    """
    name = held_out_split(split, config.testing)
    recordings = split.filter(split=name)
    if recordings.is_empty():
        raise console.UserError(
            f"no recording is held out in {name}/; sort_data.py needs classes of two or more recordings "
            f"and a dataset.{name}_share above 0"
        )
    return _draw_held_out(recordings, config)


def _draw_held_out(recordings: pl.DataFrame, config: Config) -> pl.DataFrame:
    """Draw recordings by name, so that which ones are drawn does not depend on the others of the split."""
    settings = config.testing
    if settings.max_per_class:
        drawn = set(recordings.filter(pl.col("class") == "")["recording"])
        for (label,), members in recordings.filter(pl.col("class") != "").group_by("class"):
            drawn |= draw_names(
                members["recording"].to_list(), settings.max_per_class, seed=settings.seed, label=f"tested {label}"
            )
        recordings = recordings.filter(pl.col("recording").is_in(list(drawn)))
    if settings.max_recordings:
        names = recordings["recording"].to_list()
        drawn = draw_names(names, settings.max_recordings, seed=settings.seed, label="tested")
        recordings = recordings.filter(pl.col("recording").is_in(list(drawn)))
    return recordings
