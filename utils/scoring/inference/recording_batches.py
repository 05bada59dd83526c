"""Recordings in batches, which the workers of a cluster predict with models that they keep from batch to batch."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from config import Config, Location, Testing
from utils.console import Failure, UserError
from utils.fanout import fan_out
from utils.local_threads import THREADS
from utils.scoring.inference.ensembles import Ensemble, Member, assemble
from utils.scoring.inference.fingerprints import fingerprint_of_parts
from utils.scoring.inference.novelty_prototypes import prototypes_of
from utils.scoring.inference.prediction_times import TimedBatches
from utils.sound.remote import sizes_and_times

MOST_RECORDINGS = 8  # of a batch: enough to fill batches of clips, few enough to lose little with a worker
FEWEST_BATCHES = 32  # of fewer, each is one recording, so that more workers have something to do
BATCH_BYTES = 2**26  # of the files of a batch; a larger file is one of its own
# seconds for a batch of that size, and as much for each further `BATCH_BYTES` of a file: only what hangs takes longer
BATCH_TIME_LIMIT = 4 * 3600.0
BATCHES_AHEAD = 2  # per worker

# from an ensemble and settings (`ensemble`, `config`) to predictions of some recordings; `row` of each is the index of
# its recording among them. It travels between processes
PredictSome = Callable[..., Iterable[Any]]


@dataclass(frozen=True)
class ModelsToLoad:
    """The models of an ensemble, by which a worker assembles it again; equal if their fingerprints are.

    Attributes
    ----------
    members : without prototypes, which are in the folders of the snapshots
    measuring : which of them have prototypes
    settings : engine and batch size
    """

    fingerprint: str
    members: tuple[Member, ...] = field(compare=False)
    measuring: tuple[bool, ...] = field(compare=False)
    settings: Testing = field(compare=False)


@dataclass(frozen=True, eq=False)
class RecordingBatch:
    """Recordings that one worker predicts together.

    Attributes
    ----------
    rows : their indices among all recordings
    sounds : where they are
    predict : predicts them
    models, config : what it is called with
    needs : other folders that all machines must have
    """

    rows: Sequence[int]
    sounds: Sequence[Location]
    predict: PredictSome
    models: ModelsToLoad
    config: Config
    needs: Sequence[Path] = ()

    @property
    def files(self) -> list[Location]:
        """All files that the worker has to see."""
        snapshots = [member.snapshot.folder / "snapshot.json" for member in self.models.members]
        return [*self.sounds, *snapshots, *self.needs]


class BatchPredictions(NamedTuple):
    """What a worker predicted for a batch, how long it took; or an error that would meet every other batch, too."""

    predictions: Sequence[Any] = ()
    times: TimedBatches = ()
    error: str = ""


def predict_batches(
    predict_rows: Callable[[Sequence[int]], PredictSome],
    files: Sequence[Location],
    ensemble: Ensemble,
    config: Config,
    *,
    needs: Sequence[Path] = (),
) -> Generator[tuple[int, Any]]:
    """Yield each recording's index and its prediction: on a cluster by its workers, else all by this process.

    On a cluster, each worker takes a GPU where there are any. If a worker dies, the recordings of its batch are tried
    again, one at a time.

    Parameters
    ----------
    predict_rows : returns what predicts the recordings of some indices
    files : the recordings
    needs : folders that workers write to

    Yields
    ------
    (index, prediction), or (index, Failure) if its worker died or was stopped.

    Raises
    ------
    UserError
        If a model is damaged, or the cluster cannot be used.
    """
    if not config.cluster.address:
        predictions: Any = predict_rows(range(len(files)))(ensemble=ensemble, config=config)
        with closing(predictions):
            yield from ((one.row, one) for one in predictions)
        return
    models = _models_of(ensemble, config)
    inside = replace(config, cluster=replace(config.cluster, address=THREADS))

    def batch_of(rows: Sequence[int]) -> RecordingBatch:
        return RecordingBatch(rows, [files[row] for row in rows], predict_rows(rows), models, inside, needs)

    sizes = [max(0, size) for size, _ in sizes_and_times(files)]
    with closing(
        fan_out(
            predict_batch,
            [batch_of(rows) for rows in rows_of_batches(sizes)],
            workers=config.workers,
            name=lambda batch: str(batch.sounds[0]),
            cluster=config.cluster,
            time_limit=BATCH_TIME_LIMIT * max(1.0, max(sizes, default=0) / BATCH_BYTES),
            ahead=BATCHES_AHEAD,
            split=lambda batch: [batch_of([row]) for row in batch.rows],
            gpus=1,
        )
    ) as outcomes:
        for batch, outcome in outcomes:
            yield from _predictions_of(batch, outcome, ensemble)


def _predictions_of(
    batch: RecordingBatch, outcome: BatchPredictions | Failure, ensemble: Ensemble
) -> Iterator[tuple[int, Any]]:
    if isinstance(outcome, Failure):
        yield from ((row, outcome) for row in batch.rows)
        return
    if outcome.error:
        raise UserError(outcome.error)
    ensemble.timer.add(outcome.times)
    yield from ((batch.rows[one.row], one) for one in outcome.predictions)


def rows_of_batches(sizes: Sequence[int]) -> Iterator[list[int]]:
    """Yield the recordings of each batch; the largest files first, so that none of them is what all others wait for.

    Parameters
    ----------
    sizes : of all files, bytes
    """
    most = max(1, min(MOST_RECORDINGS, len(sizes) // FEWEST_BATCHES))
    rows: list[int] = []
    for row in sorted(range(len(sizes)), key=lambda row: -sizes[row]):
        if rows and (len(rows) == most or sum(sizes[one] for one in [*rows, row]) > BATCH_BYTES):
            yield rows
            rows = []
        rows.append(row)
    if rows:
        yield rows


def _models_of(ensemble: Ensemble, config: Config) -> ModelsToLoad:
    members = ensemble.members
    fingerprint = f"{fingerprint_of_parts(members, config, interval=0.0)} {config.testing.batch_size}"
    return ModelsToLoad(
        fingerprint,
        tuple(replace(member, prototypes=None) for member in members),
        tuple(member.prototypes is not None for member in members),
        config.testing,
    )


def predict_batch(batch: RecordingBatch) -> BatchPredictions:
    """Predict the recordings of a batch: the work of a worker."""
    try:
        ensemble = _loaded_ensemble(batch.models)
        predictions = list(batch.predict(ensemble=ensemble, config=batch.config))
    except UserError as error:  # of the models: those of recordings are among the predictions
        return BatchPredictions(error=str(error))
    return BatchPredictions(predictions, ensemble.timer.take())


@lru_cache(maxsize=1)
def _loaded_ensemble(models: ModelsToLoad) -> Ensemble:
    """Load the models, or return those that this process has loaded before."""
    members = [
        replace(member, prototypes=prototypes_of(member.snapshot, models.settings)) if measures else member
        for member, measures in zip(models.members, models.measuring, strict=True)
    ]
    ensemble = assemble(members)
    return replace(ensemble, loaded=ensemble.scorers(models.settings))
