"""The loop over epochs: learn, watch, write down, save; stopped anywhere, it goes on and ends as if it had not been."""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp

from config import Config
from utils import console
from utils.learning.batches import Resident, Streamed
from utils.learning.curves import draw_curves, open_board
from utils.learning.devices import arithmetic, clips_fit, everywhere, mesh_for, on_accelerator
from utils.learning.epochs import Course, Pace, run_epoch
from utils.learning.examples import Examples
from utils.learning.runs import Progress, keep_epoch, note_teachers, pause, resume
from utils.learning.sampling import clips_per_epoch, steps_of
from utils.learning.schedules import rates
from utils.learning.steps import TrainState, first_state, make_chunk, make_step
from utils.learning.targets import class_weights
from utils.learning.teachers import Teachers
from utils.learning.validation import Validation, validator
from utils.models.networks import Network, build, parameters
from utils.models.snapshots import Snapshot, TooLarge, check_saved, find
from utils.models.training_log import EpochRow, best_row, gets_no_better
from utils.models.transfer import begin_with, find_pretrained

FEW = 10  # recordings that watch; of fewer one warns
DRAW_EVERY = 30.0  # seconds from one drawing of the curves to the next


def learn(examples: Examples, config: Config, teachers: Teachers | None = None) -> list[EpochRow]:
    """Train a net for `training.epochs` epochs or until it gets no better; returns the log.

    After every epoch the log and a snapshot are on disk. The order of clips and all chance depend on the seed, the
    epoch and the step alone, so a run that was stopped ends with the same net as one that was not. Ctrl-C ends the
    step, saves, and stops.

    Parameters
    ----------
    teachers : whose answers are learned, as `distillation` says; none: true labels alone are

    Raises
    ------
    UserError
        If a loss is no number any more, memory does not suffice, or the clips or the teachers are others than when the
        run was begun.
    """
    settings = config.training
    mesh = mesh_for(settings.batch_size)
    graph, net = build(
        config.model,
        classes=len(examples.classes),
        shape=config.spectrogram.shape,
        seed=settings.seed,
        dtype=arithmetic(settings),
    )
    _introduce(net, examples, config)
    state, progress = _begin(net, examples, config)
    if teachers:
        note_teachers(config.run_folder, teachers.named_contents)
    resident = clips_fit(examples.bytes, settings)
    supply = (Resident if resident else Streamed)(
        examples, batch_size=settings.batch_size, mesh=mesh, loops=on_accelerator()
    )
    step = make_step(
        graph, config, jnp.asarray(class_weights(examples.labels.own, len(examples.classes), settings)), teachers
    )
    nets = jax.device_put(teachers.nets, everywhere(mesh)) if teachers and not examples.answers else ()
    course = Course(
        examples,
        config,
        supply,
        make_chunk(step, supply.batch_at, mesh),
        jax.device_put(examples.noise, everywhere(mesh)),
        Pace(),
        nets,
    )
    validate = validator(graph, examples, settings, mesh, resident=resident)
    steps = steps_of(
        clips_per_epoch(examples.labels.own, settings, unlabelled_ratio=config.distillation.unlabelled_ratio), settings
    )
    with (
        console.progress("training", total=settings.epochs * steps, unit="steps") as advance,
        console.stop_when_ready() as asked,
    ):
        advance(len(progress.rows) * steps + progress.steps)
        _run(jax.device_put(state, everywhere(mesh)), progress, course, steps, validate, advance, asked)
        advance((settings.epochs - len(progress.rows)) * steps)
    draw_curves(config.run_folder / "curves.png", progress.rows, title=config.run)
    return progress.rows


def _introduce(net: Network, examples: Examples, config: Config) -> None:
    devices = jax.local_devices()
    console.say(
        f"{config.model.name}, {parameters(net):,} parameters, {len(examples.classes)} classes; {len(examples.rows):,} clips to learn from, "
        f"{len(examples.val_truth)} recordings watch; on {f'{len(devices)} × ' if len(devices) > 1 else ''}{devices[0].device_kind}, "
        f"in {arithmetic(config.training)}"
    )

    if 0 < len(examples.val_truth) < FEW:
        console.warn(
            f"only {len(examples.val_truth)} recordings watch, so that chance picks the best net; a larger training.val_share makes that surer"
        )


def _begin(net: Network, examples: Examples, config: Config) -> tuple[TrainState, Progress]:
    """Return where the run stands: at its latest snapshot, else at the pretrained net that was asked for, else at first weights."""
    settings = config.training
    state, progress = resume(first_state(net, settings), examples, config)
    if settings.pretrained and not progress.rows and not progress.steps:
        net, kept = begin_with(
            find_pretrained(settings.pretrained), net, examples.classes, output=settings.pretrained_output
        )
        console.say(kept)
        state = first_state(net, settings)
    return state, progress


def _run(
    state: TrainState,
    progress: Progress,
    course: Course,
    steps: int,
    validate: Callable[[Network], Validation],
    advance: Callable[..., None],
    asked: Callable[[], bool],
) -> None:
    """Do what is missing of the epochs, and write each down."""
    config, rows = course.config, progress.rows
    settings = config.training
    drawn = console.stopwatch()
    with open_board(config.run_folder / "tensorboard", on=config.log.tensorboard, after=len(rows)) as note:
        while len(rows) < settings.epochs and not gets_no_better(rows, wait=settings.early_stopping):
            passed, begun = console.stopwatch(), progress.steps
            state = run_epoch(state, progress, course, advance, asked)
            if progress.steps < steps:
                pause(state, progress, course.examples, config)
                console.say(f"stopped in epoch {progress.epoch} after step {progress.steps} of {steps}, which is saved")
                raise KeyboardInterrupt
            speed = (steps - begun) * settings.batch_size / passed()
            watched = validate(state.best_network)
            loss, accuracy = (total / steps for total in progress.sums)
            rate = float(rates(settings, epoch=progress.epoch, steps=steps)[-1])
            row = EpochRow(
                progress.epoch,
                rate,
                loss,
                accuracy,
                watched.loss,
                watched.accuracy,
                watched.mlrap,
                round(passed(), 3),
                round(speed, 1),
            )
            rows.append(row)
            progress.steps, progress.sums = 0, ()
            keep_epoch(state, progress, course.examples, config)
            note(row)
            _say(row, best=best_row(rows) is row)
            if drawn() > DRAW_EVERY:
                draw_curves(config.run_folder / "curves.png", rows, title=config.run)
                drawn = console.stopwatch()
    if len(rows) < settings.epochs:
        console.say(f"stopped early: no better validation MLRAP for {settings.early_stopping} epochs")


def _say(row: EpochRow, *, best: bool) -> None:
    watched = (
        ""
        if row.val_mlrap is None
        else f"   validation: loss {row.val_loss:.3f}, right {row.val_accuracy:.3f}, MLRAP {row.val_mlrap:.3f}"
    )
    console.say(
        f"epoch {row.epoch:3d}   loss {row.loss:.3f}, right {row.accuracy:.3f}{watched}   {row.clips_per_second:.0f} clips/s{'   best' if best else ''}"
    )


def summarize(rows: list[EpochRow], folder: Path, *, seconds: float) -> None:
    """Say how training went, where its results are, and what comes next; the snapshot that is named was read back before.

    Raises
    ------
    UserError
        If it cannot be read back.
    """
    best = find(folder, "best")
    if best:
        _read_back(best)
    latest = rows[-1]
    console.show_table(
        "Trained",
        {
            "epochs": f"{latest.epoch}, the last with loss {latest.loss:.3f}",
            "best": f"epoch {best.epoch}" + ("" if best.mlrap is None else f", validation MLRAP {best.mlrap:.3f}")
            if best
            else "none",
            "snapshot": console.shown(best.folder) if best else "none",
            "log": f"{console.shown(folder / 'log.csv')}, {console.shown(folder / 'curves.png')}",
            "time": console.clock(seconds),
            "next": "python test.py, with the same experiment",
        },
    )


def _read_back(snapshot: Snapshot) -> None:
    try:
        check_saved(snapshot)
    except TooLarge:
        raise
    except console.UserError as trouble:
        place = console.shown(snapshot.folder)
        raise console.UserError(
            f"{trouble}; remove {place} and run the same command again, earlier snapshots stay usable"
        ) from None
