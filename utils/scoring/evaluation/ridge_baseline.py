"""A baseline: ridge regression on mean log-mel spectra, which knows the timbre of recordings, but no songs."""

from contextlib import closing
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from config import Config
from utils import console
from utils.scoring.inference.clip_workers import recording_jobs
from utils.scoring.inference.recordings import Predictions
from utils.spectra.recording_spectrograms import mean_spectrum
from utils.workers.fanout import fan_out

STRENGTH = 10.0  # of the regularisation; chosen in favour of the baseline, by its metrics on real recordings


@dataclass(frozen=True)
class Spectra:
    """Mean spectra of the recordings that could be read."""

    recordings: pl.DataFrame
    levels: Float[np.ndarray, "recordings bands"]


def ridge_scores(
    train: pl.DataFrame, predictions: Predictions, config: Config
) -> Float[np.ndarray, "recordings classes"]:
    """Fit to the recordings of `train`, and return scores for those of `predictions`; NaN if they cannot be used."""
    table = pl.concat([train, predictions.rows])
    spectra = _mean_spectra(table, config)
    known = spectra.recordings["class"].is_in(predictions.classes) & spectra.recordings["recording"].is_in(
        train["recording"].implode()
    )
    fitted = known.to_numpy()
    labels = spectra.recordings.filter(known)["class"].to_list()
    targets = np.array([[label == name for name in predictions.classes] for label in labels], float)
    scaler = StandardScaler().fit(spectra.levels[fitted])
    model = Ridge(STRENGTH).fit(scaler.transform(spectra.levels[fitted]), targets)
    indices = {name: index for index, name in enumerate(spectra.recordings["recording"])}
    scores = np.full(predictions.scores.shape, np.nan)
    for row, name in enumerate(predictions.rows["recording"]):
        if name in indices:
            scores[row] = model.predict(scaler.transform(spectra.levels[indices[name]][None]))[0]
    return scores


def _mean_spectra(recordings: pl.DataFrame, config: Config) -> Spectra:
    jobs = recording_jobs(recordings, config.dataset.root, config)
    levels: dict[str, Float[np.ndarray, " bands"]] = {}
    with (
        console.progress("ridge", total=len(jobs), unit="recordings") as advance,
        closing(
            fan_out(mean_spectrum, jobs, workers=config.workers, name=lambda job: job.name, cluster=config.cluster)
        ) as outcomes,
    ):
        for job, outcome in outcomes:
            if not isinstance(outcome, console.Failure):
                levels[job.name] = outcome
            advance()
    if not levels:
        raise console.UserError("no recording could be read for the ridge regression")
    read = recordings.filter(pl.col("recording").is_in(list(levels)))
    return Spectra(read, np.stack([levels[name] for name in read["recording"]]))
