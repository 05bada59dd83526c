"""False detections in noise: how often a species is detected in recordings of wind, rain, engines and dogs."""

from collections.abc import Sequence
from contextlib import closing

import numpy as np
import polars as pl

from config import Config
from utils import console
from utils.recordings.recording import NOISE
from utils.scoring.inference.ensembles import Member, assemble
from utils.scoring.inference.recordings import Predictions, iter_predictions
from utils.scoring.metrics.bootstrap import Interval, draw_recordings
from utils.scoring.metrics.registry import NOISE_DETECTED
from utils.scoring.metrics.thresholds import Thresholds, detect


def noise_recordings(predictions: Predictions) -> pl.DataFrame:
    """Return the recordings without birds that could be used."""
    usable = pl.Series(reason is None for reason in predictions.reasons)
    return predictions.rows.filter((pl.col("class") == NOISE) & usable)


def share_of_noise_detected(
    members: Sequence[Member], noise: pl.DataFrame, thresholds: Thresholds, config: Config
) -> Interval:
    """Return the share of clips of recordings without birds in which a species is detected, resampled over recordings.

    Each clip is pooled alone, as if it were a recording, and multiplied by the prior, because the thresholds were found
    on such scores.

    Parameters
    ----------
    noise : from `noise_recordings`; at least one
    """
    detected, clips = [], []
    coming = iter_predictions(assemble(members), noise, config, noise["recording"].to_list())
    with console.progress("noise", total=len(noise), unit="recordings") as advance, closing(coming):
        for one in coming:
            detected.append(float(detect(one.alone, thresholds).any(axis=1).sum()))
            clips.append(float(len(one.alone)))
            advance()
    draws = draw_recordings(np.arange(len(clips)), seed=config.testing.seed)
    return NOISE_DETECTED.share_of(np.array(detected), np.array(clips), draws)
