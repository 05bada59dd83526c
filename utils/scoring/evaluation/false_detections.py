"""False detections in noise: how often a species is detected in recordings of wind, rain, engines and dogs."""

from collections.abc import Sequence
from contextlib import closing

import numpy as np
import polars as pl
from jaxtyping import Bool

from config import Config
from utils import console
from utils.recordings.recording import NOISE
from utils.scoring.inference.ensembles import Member, assemble
from utils.scoring.inference.recordings import Predictions, iter_predictions
from utils.scoring.metrics.bootstrap import DRAWS, Draws, Interval, draw_recordings
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
    return NOISE_DETECTED.share_of(
        np.array(detected), np.array(clips), _draws_of_noise(len(clips), seed=config.testing.seed)
    )


def share_of_noise_rows_detected(
    rows: pl.DataFrame, detected: Bool[np.ndarray, "rows classes"], *, seed: int
) -> Interval | None:
    """Return the share of the intervals of recordings without birds in which a species is detected.

    Resampled over these recordings. None if there is none: if each recording has a species in some interval.

    Parameters
    ----------
    rows : intervals that have scores, table of `unit_rows.ROWS`
    detected : by thresholds that were found on other recordings
    """
    with_birds = rows.filter(pl.col("events").list.len() > 0)["recording"].unique()
    noise = (~rows["recording"].is_in(with_birds.to_list())).to_numpy()
    if not noise.any():
        return None
    _, recording = np.unique(rows["recording"].to_numpy()[noise], return_inverse=True)
    intervals = np.bincount(recording).astype(float)
    with_detections = np.bincount(recording, weights=detected[noise].any(axis=1))
    return NOISE_DETECTED.share_of(with_detections, intervals, _draws_of_noise(len(intervals), seed=seed))


def _draws_of_noise(recordings: int, *, seed: int) -> Draws:
    """Return draws of recordings; none of a single one, which has no other to be drawn instead."""
    return draw_recordings(np.arange(recordings), draws=DRAWS if recordings > 1 else 0, seed=seed)
