"""Groups of recordings, which the workers of a cluster predict with models that they keep from group to group."""

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Generic, Protocol, TypeVar, runtime_checkable

from config import Config, Location, Testing
from utils.console import Failure, UserError, info, warning
from utils.messages import collected_warnings
from utils.scoring.inference.engines import engine_text
from utils.scoring.inference.ensembles import Ensemble, Member, assemble
from utils.scoring.inference.fingerprints import fingerprint_of_parts
from utils.scoring.inference.novelty_prototypes import prototypes_of
from utils.scoring.inference.prediction_times import TimedBatches
from utils.sound.remote import sizes_and_times
from utils.workers.fanout import fan_out

MOST_RECORDINGS = 8  # of a group: enough to fill batches of clips, few enough to lose little with a worker
FEWEST_GROUPS = 32  # groups have fewer recordings if there were fewer groups, so that more workers have something to do
GROUP_BYTES = 2**26  # of the files of a group; a larger file is one of its own
# seconds for a group of that size, and as much for each further `GROUP_BYTES` of a file: only what hangs takes longer
GROUP_TIME_LIMIT = 4 * 3600.0
GROUPS_AHEAD = 2  # per worker


@runtime_checkable  # for tests, which check types
class OnePrediction(Protocol):
    """The prediction for one of some recordings: `row` is its index among them, `failure` why there is none."""

    @property
    def row(self) -> int: ...  # noqa: D102

    @property
    def failure(self) -> Failure | None: ...  # noqa: D102


Predicted = TypeVar("Predicted", bound=OnePrediction)

# from an ensemble and settings (`ensemble`, `config`) to predictions of some recordings. It travels between processes
PredictSome = Callable[..., Generator[Predicted]]


@dataclass(frozen=True)
class ModelsToLoad:
    """The models of an ensemble, by which a worker assembles it again; equal if their fingerprints are.

    Attributes
    ----------
    members : without prototypes, which are in the folders of the snapshots
    measuring : which of them have prototypes
    settings : engine and batch size
    frames : whether the scores of frames are wanted
    """

    fingerprint: str
    members: tuple[Member, ...] = field(compare=False)
    measuring: tuple[bool, ...] = field(compare=False)
    settings: Testing = field(compare=False)
    frames: bool = False


@dataclass(frozen=True, eq=False)
class RecordingGroup(Generic[Predicted]):
    """Recordings that one worker predicts together, with as many threads as the cluster reserves cores for it.

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
    predict: PredictSome[Predicted]
    models: ModelsToLoad
    config: Config
    needs: Sequence[Path] = ()

    @property
    def files(self) -> list[Location]:
        """All files that the worker has to see."""
        snapshots = [member.snapshot.folder / "snapshot.json" for member in self.models.members]
        return [*self.sounds, *snapshots, *self.needs]


@dataclass(frozen=True, eq=False)
class GroupPredictions(Generic[Predicted]):
    """What a worker predicted for a group.

    Attributes
    ----------
    predictions : one for each recording
    times : of batches of clips
    engine : what ran the models, for people
    warnings : of loading the models
    error : why there are no predictions; it would meet every other group, too
    """

    predictions: Sequence[Predicted] = ()
    times: TimedBatches = ()
    engine: str = ""
    warnings: Sequence[str] = ()
    error: str = ""


def predict_on_workers(
    predict_rows: Callable[[Sequence[int]], PredictSome[Predicted]],
    files: Sequence[Location],
    ensemble: Ensemble,
    config: Config,
    *,
    needs: Sequence[Path] = (),
) -> Generator[tuple[int, Predicted | Failure]]:
    """Yield each recording's index and its prediction: on a cluster by its workers, else all by this process.

    On a cluster, each worker takes a GPU where there are any. If a worker dies, its group of recordings is tried again
    `cluster.retries` times, and at the end its recordings, one at a time. What runs the models there, and what is odd
    about them, is printed once.

    Parameters
    ----------
    predict_rows : returns what predicts the recordings of some indices
    files : the recordings
    needs : folders that workers write to

    Yields
    ------
    (index, prediction), or (index, Failure) if the recording cannot be used, or its worker died or was stopped.

    Raises
    ------
    UserError
        If a model is damaged, or the cluster cannot be used.
    """
    if not config.cluster.address:
        with closing(predict_rows(range(len(files)))(ensemble=ensemble, config=config)) as predictions:
            yield from ((one.row, one.failure or one) for one in predictions)
        return
    models, printed = _models_of(ensemble, config), set[str]()

    def group_of(rows: Sequence[int]) -> RecordingGroup[Predicted]:
        return RecordingGroup(rows, [files[row] for row in rows], predict_rows(rows), models, config, needs)

    sizes = [max(0, size) for size, _ in sizes_and_times(files)]
    with closing(
        fan_out(
            predict_group,
            [group_of(rows) for rows in rows_of_groups(sizes)],
            workers=config.workers,
            name=lambda group: str(group.sounds[0]),
            cluster=config.cluster,
            time_limit=lambda group: GROUP_TIME_LIMIT * max(1.0, sum(sizes[row] for row in group.rows) / GROUP_BYTES),
            ahead=GROUPS_AHEAD,
            split=lambda group: [group_of([row]) for row in group.rows],
            gpus=1,
        )
    ) as outcomes:
        for group, outcome in outcomes:
            if isinstance(outcome, Failure):
                yield from ((row, outcome) for row in group.rows)
                continue
            _take_in_facts(outcome, ensemble, printed)
            yield from ((group.rows[one.row], one.failure or one) for one in outcome.predictions)


def _take_in_facts(outcome: GroupPredictions, ensemble: Ensemble, printed: set[str]) -> None:
    """Take in the times of a worker, and print what nobody else sees, unless it is among the lines printed before."""
    if outcome.error:
        raise UserError(outcome.error)
    ensemble.timer.add(outcome.times)
    engine = f"models run in workers of the cluster, by {outcome.engine}"
    for line in (engine, *outcome.warnings):
        if line not in printed:
            (info if line == engine else warning)(line)
            printed.add(line)


def rows_of_groups(sizes: Sequence[int]) -> Iterator[list[int]]:
    """Yield the recordings of each group; the largest files first, so that none of them is what all others wait for.

    Parameters
    ----------
    sizes : of all files, bytes
    """
    most = max(1, min(MOST_RECORDINGS, len(sizes) // FEWEST_GROUPS))
    rows: list[int] = []
    for row in sorted(range(len(sizes)), key=lambda row: -sizes[row]):
        if rows and (len(rows) == most or sum(sizes[one] for one in [*rows, row]) > GROUP_BYTES):
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
        ensemble.predicts_frames,
    )


def predict_group(group: RecordingGroup[Predicted]) -> GroupPredictions[Predicted]:
    """Predict the recordings of a group: the work of a worker."""
    try:
        ensemble, warnings = _loaded_ensemble(group.models)
        ensemble = replace(ensemble, threads=max(1, math.floor(group.config.cluster.cpus)))
        predictions = list(group.predict(ensemble=ensemble, config=group.config))
    except UserError as error:  # of the models: those of recordings are among the predictions
        return GroupPredictions(error=str(error))
    return GroupPredictions(predictions, ensemble.timer.take(), engine_text(group.models.settings), warnings)


@lru_cache(maxsize=1)
def _loaded_ensemble(models: ModelsToLoad) -> tuple[Ensemble, Sequence[str]]:
    """Load the models, or return those that this process has loaded before; and the warnings of that."""
    members = [
        replace(member, prototypes=prototypes_of(member.snapshot, models.settings)) if measures else member
        for member, measures in zip(models.members, models.measuring, strict=True)
    ]
    ensemble = assemble(members, frames=models.frames)  # the script has warned of the same
    with collected_warnings() as warnings:
        loaded = ensemble.scorers(models.settings)
    return replace(ensemble, loaded=loaded), tuple(warnings)
