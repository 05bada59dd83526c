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
from utils.scoring.metrics.bootstrap import DRAWS, Interval, draw_recordings, interval
from utils.scoring.metrics.registry import NOISE_DETECTED
from utils.scoring.metrics.thresholds import Thresholds, detect

# of recordings without birds: how many clips (or intervals) they have, and in how many of these a species is detected
NOISE_COLUMNS = pl.Schema({"recording": pl.String(), "clips": pl.Int64(), "detected": pl.Int64()})


def noise_recordings(predictions: Predictions) -> pl.DataFrame:
    """Return the recordings without birds that could be used."""
    usable = pl.Series(reason is None for reason in predictions.reasons)
    return predictions.rows.filter((pl.col("class") == NOISE) & usable)


def false_detections(
    members: Sequence[Member], noise: pl.DataFrame, thresholds: Thresholds, config: Config
) -> pl.DataFrame:
    """Return in how many clips of recordings without birds a species is detected: a table of `NOISE_COLUMNS`.

    Each clip is pooled alone, as if it were a recording, and multiplied by the prior, because the thresholds were found
    on such scores.

    Parameters
    ----------
    noise : from `noise_recordings`; at least one
    """
    rows = []
    coming = iter_predictions(assemble(members), noise, config, noise["recording"].to_list())
    with console.progress("noise", total=len(noise), unit="recordings") as advance, closing(coming):
        for one in coming:
            found = int(detect(one.alone, thresholds).any(axis=1).sum())
            rows.append((noise["recording"][one.row], len(one.alone), found))
            advance()
    return pl.DataFrame(rows, schema=NOISE_COLUMNS, orient="row").sort("recording")


def false_detections_in_rows(rows: pl.DataFrame, detected: Bool[np.ndarray, "rows classes"]) -> pl.DataFrame:
    """Return the same of the intervals of recordings that have no species in any interval.

    Parameters
    ----------
    rows : intervals that have scores, table of `unit_rows.ROWS`
    detected : by thresholds that were found on other recordings
    """
    with_birds = rows.filter(pl.col("events").list.len() > 0)["recording"].unique()
    noise = rows.select("recording", pl.Series("found", detected.any(axis=1))).filter(
        ~pl.col("recording").is_in(with_birds.to_list())
    )
    counts = noise.group_by("recording").agg(pl.len().alias("clips"), pl.col("found").sum().alias("detected"))
    return counts.cast(NOISE_COLUMNS).sort("recording")


def share_of_noise_detected(table: pl.DataFrame, *, seed: int) -> Interval:
    """Return the share of the clips of a table of `NOISE_COLUMNS` in which a species is detected.

    It is resampled over recordings; a single one has no other to be drawn instead.
    """
    draws = draw_recordings(np.arange(len(table)), draws=DRAWS if len(table) > 1 else 0, seed=seed)
    return interval(*NOISE_DETECTED.share_of(table["detected"].to_numpy(), table["clips"].to_numpy(), draws))
