"""A yardstick: ridge regression on mean log-mel spectra, which knows how a species' recordings are coloured, but nothing of its song."""

from contextlib import closing
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from config import Config
from utils import console
from utils.fanout import fan_out
from utils.scoring.inference.clip_workers import listening_jobs
from utils.scoring.inference.recordings import Answers
from utils.spectra.extraction import mean_spectrum

STRENGTH = 10.0  # of the regularisation; chosen in the yardstick's favour, by what it scored on real recordings


@dataclass(frozen=True)
class Spectra:
    """Mean spectra of those recordings that could be read."""

    recordings: pl.DataFrame
    levels: Float[np.ndarray, "recordings bands"]


def ridge_scores(train: pl.DataFrame, answers: Answers, config: Config) -> Float[np.ndarray, "recordings classes"]:
    """Learn from the recordings of `train` and answer those of `answers`; NaN for those that cannot be used."""
    table = pl.concat([train, answers.recordings])
    spectra = _mean_spectra(table, config)
    known = spectra.recordings["class"].is_in(answers.classes) & spectra.recordings["recording"].is_in(
        train["recording"].implode()
    )
    learned = known.to_numpy()
    labels = spectra.recordings.filter(known)["class"].to_list()
    targets = np.array([[label == name for name in answers.classes] for label in labels], float)
    scaler = StandardScaler().fit(spectra.levels[learned])
    model = Ridge(STRENGTH).fit(scaler.transform(spectra.levels[learned]), targets)
    numbers = {name: number for number, name in enumerate(spectra.recordings["recording"])}
    scores = np.full(answers.scores.shape, np.nan)
    for row, name in enumerate(answers.recordings["recording"]):
        if name in numbers:
            scores[row] = model.predict(scaler.transform(spectra.levels[numbers[name]][None]))[0]
    return scores


def _mean_spectra(recordings: pl.DataFrame, config: Config) -> Spectra:
    jobs = listening_jobs(recordings, config.dataset.root, config)
    levels: dict[str, Float[np.ndarray, " bands"]] = {}
    with (
        console.progress("ridge", total=len(jobs), unit="recordings") as advance,
        closing(fan_out(mean_spectrum, jobs, workers=config.workers, name=lambda job: job.name)) as outcomes,
    ):
        for job, outcome in outcomes:
            if not isinstance(outcome, console.Failure):
                levels[job.name] = outcome
            advance()
    if not levels:
        raise console.UserError("no recording could be read for the ridge regression")
    heard = recordings.filter(pl.col("recording").is_in(list(levels)))
    return Spectra(heard, np.stack([levels[name] for name in heard["recording"]]))
