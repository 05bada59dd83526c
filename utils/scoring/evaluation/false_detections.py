"""How often a species is called where no bird sings: in the clips of recordings of wind, rain, engines and dogs."""

from collections.abc import Sequence
from contextlib import closing

import numpy as np
import polars as pl

from config import Config
from utils import console
from utils.recordings.recording import NOISE
from utils.scoring.inference.ensembles import Model, assemble
from utils.scoring.inference.recordings import Answers, answers
from utils.scoring.metrics.bootstrap import Interval, draw_weights, drawn_ratios, interval
from utils.scoring.metrics.thresholds import Thresholds, decide


def noise_of(tested: Answers) -> pl.DataFrame:
    """Return the recordings without birds that could be used."""
    return tested.recordings.filter((pl.col("class") == NOISE) & pl.Series(reason is None for reason in tested.reasons))


def noise_called(models: Sequence[Model], noise: pl.DataFrame, thresholds: Thresholds, config: Config) -> Interval:
    """Return the share of the clips of recordings without birds in which a species reaches its threshold, with its interval over recordings.

    Each clip is pooled alone, as if it were a recording, and multiplied by the prior, as the scores were by which the
    thresholds were found.

    Parameters
    ----------
    noise : of `noise_of`; at least one
    """
    called, clips = [], []
    coming = answers(assemble(models), noise, config, noise["recording"].to_list())
    with console.progress("noise", total=len(noise), unit="recordings") as advance, closing(coming):
        for one in coming:
            called.append(float(decide(one.alone, thresholds).any(axis=1).sum()))
            clips.append(float(len(one.alone)))
            advance()
    part, whole = np.array(called), np.array(clips)
    draws = draw_weights(np.arange(len(whole)), seed=config.testing.seed)
    return interval(float(part.sum() / whole.sum()) if whole.sum() else None, drawn_ratios(part, whole, draws))
