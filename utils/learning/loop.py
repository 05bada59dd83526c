"""The training loop: each epoch learns, validates, logs and saves. A stopped run resumes, with the same result."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Int

from config import Config, Training
from utils import console
from utils.augmentation_checks import sound_settings_without_effect
from utils.learning.batches import ResidentBatches, StreamedBatches
from utils.learning.curves import open_tensorboard, plot_curves
from utils.learning.devices import (
    clips_fit_on_device,
    compute_dtype,
    device_mesh,
    on_accelerator,
    replicate,
    replicate_from_host_0,
)
from utils.learning.epochs import ChunkSizer, TrainingSetup, run_epoch
from utils.learning.examples import Examples
from utils.learning.hard_negatives import make_mining
from utils.learning.host_messages import from_first, on_all, stop_on_all, values_of_all
from utils.learning.hosts import disconnect, host_count, is_first
from utils.learning.objectives import Objective, learn_recordings
from utils.learning.output_filling import make_filling
from utils.learning.packed_batches import PackedBatches
from utils.learning.runs import Progress, save_epoch, save_paused
from utils.learning.sampling import clips_per_epoch, drawn_per_epoch, steps_for
from utils.learning.schedules import rates
from utils.learning.starting_point import starting_point
from utils.learning.steps import TrainState, make_chunk, make_step
from utils.learning.targets import class_weights
from utils.learning.validation import Validation, make_validation, monitored_unit
from utils.models.array_trees import TooLarge
from utils.models.monitor import Monitored, MonitorUnit
from utils.models.networks import Network, build_network, count_parameters
from utils.models.saved_networks import check_snapshot
from utils.models.snapshots import Snapshot, find_snapshot
from utils.models.training_log import EpochRow, best_row, is_finished
from utils.spectra.pack import Pack

ENOUGH_ROWS: dict[MonitorUnit, int] = {"recording": 10, "clip": 50}  # for validation; fewer bring a warning
SECONDS_BETWEEN_PLOTS = 30.0  # of the curves


def learn(
    examples: Examples,
    config: Config,
    objective: Objective | None = None,
    keep_training: Callable[[Sequence[EpochRow]], bool] = lambda _: True,
) -> list[EpochRow]:
    """Train a network for `training.epochs` epochs or until it stops improving; return the log.

    After every epoch the log and a snapshot are on disk. The order of clips and all random numbers depend on the seed,
    the epoch and the step alone, so a run that was stopped ends with the same network as one that was not. Ctrl-C
    finishes the step, saves, and stops.

    Parameters
    ----------
    objective : what is learned; None: `training.loss`
    keep_training : tells by the epochs so far whether another one is wanted; asked before each

    Raises
    ------
    UserError
        If a loss becomes NaN or infinite, memory does not suffice, or the clips changed since the run was started.
    """
    settings = config.training
    mesh = device_mesh(settings.batch_size)
    graph, network = build_network(
        config.model,
        classes=len(examples.classes),
        shape=config.input_shape,
        seed=settings.seed,
        dtype=compute_dtype(settings),
    )
    _report_start(network, examples, config)
    _report_augmentation(config)
    state, progress = starting_point(network, examples, config)
    unit = _unit_of_run(progress, examples, settings)
    _report_monitor(unit, examples, config)
    resident = all(values_of_all(on_all(lambda: clips_fit_on_device(examples.bytes, settings))))
    objective = objective or learn_recordings(config, len(examples.classes))
    setup = _set_up(graph, examples, config, objective, mesh, resident)
    validate = (
        make_validation(graph, examples, settings, mesh, unit=unit, resident=resident)
        if is_first()
        else lambda _: Validation()
    )
    clips = clips_per_epoch(examples.sampled_classes, settings, drawn_ratio=examples.drawn_ratio)
    steps = steps_for(clips, settings)
    with (
        console.progress("training", total=settings.epochs * steps, unit="steps") as advance,
        console.stop_when_ready() as stop_requested,
    ):
        advance(len(progress.rows) * steps + progress.steps)
        state = replicate_from_host_0(state, mesh)
        _run_epochs(state, progress, setup, steps, validate, keep_training, advance, stop_on_all(stop_requested))
        advance((settings.epochs - len(progress.rows)) * steps)
    if is_first():
        plot_curves(config.run_folder / "curves.png", progress.rows, title=config.run)
    return progress.rows


def _report_augmentation(config: Config) -> None:
    for sentence in sound_settings_without_effect(config):
        console.warning(sentence)


def _report_start(network: Network, examples: Examples, config: Config) -> None:
    devices = jax.devices()
    validation = len(examples.validation_truth)
    console.info(
        f"{config.model.name} with {count_parameters(network):,} parameters for {len(examples.classes)} classes; "
        f"{len(examples.rows):,} clips to learn from, {validation} validation recordings; "
        f"on {f'{len(devices)} × ' if len(devices) > 1 else ''}{devices[0].device_kind}"
        f"{f' of {host_count()} hosts' if host_count() > 1 else ''}, in {compute_dtype(config.training)}"
    )


def _unit_of_run(progress: Progress, examples: Examples, settings: Training) -> MonitorUnit:
    """Return what the monitored metric is a mean over; a resumed run keeps what it started with."""
    if progress.rows and settings.monitor_unit == "auto":
        return progress.rows[-1].monitor_unit
    return monitored_unit(examples, settings)


def _report_monitor(unit: MonitorUnit, examples: Examples, config: Config) -> None:
    settings = config.training
    rows = len(examples.validation_truth if unit == "recording" else examples.validation_rows)
    if settings.all_data:
        console.info(f"all recordings are learned (training.all_data): epoch {settings.epochs}, the last, is kept")
    elif rows:
        console.info(f"the epoch with the best validation {Monitored(settings.monitor, unit).title} is kept")
    elif settings.monitor != Training().monitor:
        console.warning(
            f"there are no validation recordings, so training.monitor = {settings.monitor} has no effect: the last "
            "epoch is kept; increase training.validation_share (if there is a test/: dataset.val_share)"
        )
    by_chance = settings.early_stopping or config.testing.snapshot == "best"
    if 0 < rows < ENOUGH_ROWS[unit] and by_chance:
        console.warning(
            f"only {rows} validation {unit}s, so chance decides which epoch is best; increase "
            "training.validation_share (if there is a test/: dataset.val_share), or use the last epoch "
            "(training.early_stopping = 0, testing.snapshot = latest)"
        )


def _set_up(
    graph: nnx.GraphDef, examples: Examples, config: Config, objective: Objective, mesh: Mesh, resident: bool
) -> TrainingSetup:
    """Compile nothing yet, but put on the device what all epochs share."""
    settings = config.training
    pack = examples.store
    in_any_order = settings.compares_clips  # triplets are drawn from all files of a pack
    streamed = partial(PackedBatches, pack=pack) if isinstance(pack, Pack) and not in_any_order else StreamedBatches
    supply = (ResidentBatches if resident else streamed)(
        examples, batch_size=settings.clips_per_step, mesh=mesh, loops=on_accelerator()
    )
    weights = jnp.asarray(class_weights(_primary_of_epoch(examples, settings), len(examples.classes), settings))
    whole, last_layer = (make_step(graph, config, weights, objective, only_last_layer=only) for only in (False, True))
    return TrainingSetup(
        examples,
        config,
        supply,
        make_chunk(whole, supply.batch_at, mesh),
        replicate(examples.noise, mesh),
        ChunkSizer(),
        replicate(objective.frozen, mesh) if objective.frozen else (),
        make_chunk(last_layer, supply.batch_at, mesh) if settings.freeze_epochs else None,
        make_filling(graph, supply, examples, config, mesh) if settings.fills_output else None,
        make_mining(graph, supply, examples, config, mesh),
    )


def _primary_of_epoch(examples: Examples, settings: Training) -> Int[np.ndarray, " clips"]:
    """Return the classes of the clips, of noise clips as many as an epoch draws."""
    drawn = drawn_per_epoch(examples.sampled_classes, settings, drawn_ratio=examples.drawn_ratio)
    primary = examples.labels.primary
    return primary[: len(examples.rows_of_data_set) + drawn] if examples.noise_clips else primary


def _run_epochs(
    state: TrainState,
    progress: Progress,
    setup: TrainingSetup,
    steps: int,
    validate: Callable[[Network], Validation],
    keep_training: Callable[[Sequence[EpochRow]], bool],
    advance: Callable[..., None],
    stop_requested: Callable[[], bool],
) -> None:
    """Run the remaining epochs; log and save each."""
    config, rows = setup.config, progress.rows
    settings = config.training
    since_plot = console.stopwatch()
    tensorboard = config.run_folder / "tensorboard"
    with open_tensorboard(tensorboard, on=config.log.tensorboard and is_first(), after=len(rows)) as record:
        while not is_finished(rows, settings) and from_first(lambda: keep_training(rows)):
            passed, before = console.stopwatch(), progress.steps
            state = run_epoch(state, progress, setup, advance, stop_requested)
            if progress.steps < steps:
                save_paused(state, progress, setup.examples, config)
                console.info(
                    f"stopped in epoch {progress.epoch} after step {progress.steps} of {steps}; progress is saved"
                )
                disconnect()
                raise KeyboardInterrupt
            speed = (steps - before) * settings.clips_per_step / passed()
            state = setup.fill_output(state) if setup.fill_output else state
            finish = partial(_finished_row, state, progress, setup, steps, validate, passed, speed)
            row = EpochRow(**from_first(finish))
            rows.append(row)
            progress.steps, progress.sums = 0, ()
            save_epoch(state, progress, setup.examples, config)
            record(row)
            _report_epoch(row, best=best_row(rows) is row)
            if since_plot() > SECONDS_BETWEEN_PLOTS and is_first():
                plot_curves(config.run_folder / "curves.png", rows, title=config.run)
                since_plot = console.stopwatch()
    if len(rows) < settings.epochs and is_finished(rows, settings):
        console.info(
            f"stopped early: no better validation {rows[-1].chosen_by.title} for {settings.early_stopping} epochs"
        )


def _finished_row(
    state: TrainState,
    progress: Progress,
    setup: TrainingSetup,
    steps: int,
    validate: Callable[[Network], Validation],
    passed: Callable[[], float],
    speed: float,
) -> dict[str, Any]:
    """Validate, and return the row of the log about an epoch whose steps are done."""
    validation = validate(state.best_network)
    loss, accuracy = (total / steps for total in progress.sums)
    row = EpochRow(
        progress.epoch,
        float(rates(setup.config.training, epoch=progress.epoch, steps=steps)[-1]),
        loss,
        accuracy,
        validation.loss,
        validation.accuracy,
        validation.mlrap,
        round(passed(), 3),
        round(speed, 1),
        validation.macro_f1,
        validation.weighted_f1,
        validation.cmap,
        validation.monitored.metric,
        validation.monitored.unit,
        validation.monitored.value,
        validation.recall_at_1,
    )
    return asdict(row)


def _report_epoch(row: EpochRow, *, best: bool) -> None:
    validation = (
        ""
        if row.validation_loss is None
        else f"   validation: loss {row.validation_loss:.3f}, accuracy {row.validation_accuracy:.3f}, {row.shown.text}"
    )
    if row.validation_recall_at_1 is not None:
        validation += f", recall@1 {row.validation_recall_at_1:.3f}"
    console.info(
        f"epoch {row.epoch:3d}   loss {row.loss:.3f}, accuracy {row.accuracy:.3f}{validation}   "
        f"{row.clips_per_second:.0f} clips/s{'   best' if best else ''}"
    )


def summarize_training(rows: list[EpochRow], config: Config, *, seconds: float) -> None:
    """Print how training went, where its results are, and the next command, after reading back the best snapshot.

    Raises
    ------
    UserError
        If it cannot be read back.
    """
    folder, final = config.run_folder, config.training.all_data
    best = find_snapshot(folder, "best")
    if best:
        _read_back(best)
    latest = rows[-1]
    console.show_table(
        "Trained",
        {
            "epochs": f"{latest.epoch}, the last with loss {latest.loss:.3f}",
            "best": f"epoch {best.epoch}"
            + ("" if best.chosen_by.value is None else f", validation {best.chosen_by.text}")
            if best
            else "none",
            "snapshot": console.printable(best.folder) if best else "none",
            "log": f"{console.printable(folder / 'log.csv')}, {console.printable(folder / 'curves.png')}",
            "time": console.clock(seconds),
            "next": f"python {'submission_soundscape.py' if final else 'test.py'}, with the same experiment",
        },
    )


def _read_back(snapshot: Snapshot) -> None:
    try:
        check_snapshot(snapshot)
    except TooLarge:
        raise
    except console.UserError as error:
        path = console.printable(snapshot.folder)
        raise console.UserError(
            f"{error}; remove {path} and run the same command again, earlier snapshots are usable"
        ) from None
