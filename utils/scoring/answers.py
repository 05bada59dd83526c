"""What a snapshot answers to recordings: listening in worker processes, the net here, pooled scores out."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float, Int64, UInt8

from config import Config
from utils import console
from utils.fanout import fan_out
from utils.models.snapshots import Snapshot, find, load_net
from utils.recordings.recording import NOISE
from utils.scoring.pooling import median_filtered
from utils.scoring.predict import chosen_predictor, scores_of
from utils.spectra.extraction import Job, first_clips


@dataclass(frozen=True)
class Answers:
    """A snapshot's answers to some recordings.

    Attributes
    ----------
    recordings : rows of the split's table, in its order
    classes : what the columns of `scores` are
    scores : pooled over each recording, 0 to 1; NaN for recordings that could not be used
    clips : how many clips were heard of each
    reasons : why a recording could not be used; None where it could
    """

    recordings: pl.DataFrame
    classes: tuple[str, ...]
    scores: Float[np.ndarray, "recordings classes"]
    clips: Int64[np.ndarray, " recordings"]
    reasons: list[str | None]

    @property
    def failures(self) -> list[console.Failure]:
        """The recordings that could not be used."""
        pairs = zip(self.recordings["file"], self.reasons, strict=True)
        return [console.Failure(file, reason) for file, reason in pairs if reason is not None]


def chosen_snapshot(config: Config) -> Snapshot:
    """Return the snapshot that `testing.snapshot` names.

    Raises
    ------
    Trouble
        If the run has none.
    """
    snapshot = find(config.run_folder, config.testing.snapshot)
    if not snapshot:
        raise console.Trouble(f"{config.run_folder}: no snapshot; run train.py with the same experiment first")
    return snapshot


def answer(snapshot: Snapshot, recordings: pl.DataFrame, config: Config) -> Answers:
    """Let a snapshot answer recordings: all clips at the begin of each, without rejection, pooled by the median-filtered mean.

    The pictures are made with the snapshot's settings, whatever the config's are. Noise is no answer: of what was trained as 'Noise' nothing is said.
    """
    graph, net = load_net(snapshot)
    predict = chosen_predictor(graph, net, shape=snapshot.config.spectrogram.shape, settings=config.testing)
    numbers = {name: number for number, name in enumerate(recordings["recording"])}
    scores = np.full((len(recordings), len(snapshot.classes)), np.nan)
    clips = np.zeros(len(recordings), np.int64)
    reasons: list[str | None] = [None] * len(recordings)
    with console.progress("testing", total=len(recordings), unit="recordings") as advance:
        for name, outcome in _listen(snapshot, recordings, config):
            if isinstance(outcome, console.Failure):
                reasons[numbers[name]] = outcome.reason
            else:
                answers = scores_of(_finite(predict(net, outcome), snapshot), snapshot.config.training.loss)
                scores[numbers[name]] = median_filtered(answers)
                clips[numbers[name]] = len(outcome)
            advance()
    birds = [number for number, label in enumerate(snapshot.classes) if label != NOISE]
    return Answers(recordings, tuple(snapshot.classes[number] for number in birds), scores[:, birds], clips, reasons)


def _finite(logits: Float[np.ndarray, "clips classes"], snapshot: Snapshot) -> Float[np.ndarray, "clips classes"]:
    if not np.isfinite(logits).all():
        raise console.Trouble(f"{snapshot.folder}: the net answers what is no number; it is damaged")
    return logits


def _listen(snapshot: Snapshot, recordings: pl.DataFrame, config: Config) -> Iterator[tuple[str, UInt8[np.ndarray, "clips height width"] | console.Failure]]:
    jobs = listening_jobs(recordings, config.dataset.root, snapshot.config, cap=config.testing.max_clips)
    with closing(fan_out(first_clips, jobs, workers=config.workers, name=lambda job: job.name)) as outcomes:
        for job, outcome in outcomes:
            yield job.name, outcome


def listening_jobs(recordings: pl.DataFrame, root: Path, pictures: Config, *, cap: int = 0) -> list[Job]:
    """Return what workers need to hear recordings of the data set at `root` with the picture settings of `pictures`."""
    pairs = recordings.select("recording", "file").iter_rows()
    return [Job(name, root / file, cap, pictures.clips, pictures.spectrogram) for name, file in pairs]
