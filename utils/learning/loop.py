"""The loop over epochs: learn, watch, write down, save; stopped anywhere, it goes on after the last finished epoch."""

import math
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from config import Config, differences, to_toml
from utils import console
from utils.files import remove_folder, strangers, write_text
from utils.learning.batches import batches, epoch_order
from utils.learning.examples import Examples
from utils.learning.log import EpochRow, best_row, draw_curves, read_log, write_log
from utils.learning.schedules import schedule
from utils.learning.steps import Step, StepMetrics, TrainState, as_rate, first_state, make_step, step_key
from utils.models.nets import build, parameters
from utils.models.snapshots import Snapshot, find, keep_best_and_latest, restore_net, restore_training, save
from utils.scoring.metrics import lrap, mean_of_defined
from utils.scoring.pooling import median_filtered
from utils.scoring.predict import Predict, predictor

RUN_SETTINGS = ("dataset.root", "clips.", "spectrogram.", "augmentation.", "model.", "training.")  # what decides on the net
RUN_FILES = ("settings.toml", "log.csv", "curves.png", "epoch_*", "test")  # what a run's folder may hold
DRAW_EVERY = 30.0  # seconds from one drawing of the curves to the next
WATCHED_AT_ONCE = 1024  # clips that are read into memory together to watch training
IN_FLIGHT = 3  # steps that may be under way before the oldest one's loss is looked at


@dataclass(frozen=True)
class Validation:
    """How the net does on the recordings that watch."""

    loss: float | None = None
    accuracy: float | None = None
    mlrap: float | None = None


def open_run(config: Config, *, fresh: bool) -> None:
    """Make the run's folder; a run that was begun with other settings is refused, or removed where `fresh`.

    Raises
    ------
    Trouble
        That names the settings which differ, or what is of no training in that folder.
    """
    folder = config.run_folder
    others = strangers(folder, RUN_FILES)
    if others:
        raise console.Trouble(f"{folder}: holds {others[0]}, which is of no training; choose another --run, or another folder for --snapshots")
    if fresh:
        remove_folder(folder)
    latest = find(folder, "latest")
    changed = differences(latest.config, config, of=RUN_SETTINGS) if latest else []
    if changed:
        raise console.Trouble(f"{folder}: was begun with other settings ({'; '.join(changed)}); choose another --run, or --fresh to begin anew")
    write_text(folder / "settings.toml", to_toml(config))


def learn(examples: Examples, config: Config) -> list[EpochRow]:
    """Train a net for `training.epochs` epochs or until it gets no better; returns the log.

    After every epoch the log and a snapshot are on disk. The order of clips and all chance depend on the seed, the epoch and the step alone, so a run that
    was stopped ends with the same net as one that was not.

    Raises
    ------
    Trouble
        If the loss is no number any more, or the clips are others than when the run was begun.
    """
    folder, settings = config.run_folder, config.training
    graph, net = build(config.model, classes=len(examples.classes), shape=config.spectrogram.shape, seed=settings.seed)
    console.say(
        f"{config.model.name}, {parameters(net):,} parameters, {len(examples.classes)} classes; {len(examples.rows):,} clips to learn from, "
        f"{len(examples.val_labels)} recordings watch; on {jax.devices()[0].device_kind}"
    )
    state, rows = _resume(first_state(net), examples, config)
    step = make_step(graph, config.augmentation)
    predict = predictor(graph, batch_size=min(256, max(1, len(examples.val_rows))))
    rate_of = schedule(settings)
    noise = jnp.asarray(examples.noise)
    steps = -(-len(examples.rows) // settings.batch_size)
    fingerprint, learned = examples.fingerprint(), examples.recordings()
    drawn = console.stopwatch()
    with console.progress("training", total=settings.epochs * steps, unit="steps") as advance:
        advance(len(rows) * steps)
        while len(rows) < settings.epochs and not _gets_no_better(rows, wait=settings.early_stopping):
            epoch, rate = len(rows) + 1, float(rate_of(len(rows)))
            passed = console.stopwatch()
            state, metrics = _run_epoch(state, examples, step, noise, config, epoch=epoch, rate=rate, advance=advance)
            speed = steps * settings.batch_size / passed()
            _check_weights(state, epoch=epoch, rate=rate)
            watched = validate(state, examples, predict)
            row = EpochRow(
                epoch, rate, float(metrics.loss), float(metrics.accuracy), watched.loss, watched.accuracy, watched.mlrap, round(passed(), 3), round(speed, 1)
            )
            rows.append(row)
            write_log(folder / "log.csv", rows)
            snapshot = Snapshot(folder / f"epoch_{epoch:03d}", config, examples.classes, epoch, watched.mlrap, fingerprint)
            save(snapshot, state.net, state.optimizer, learned=learned)
            keep_best_and_latest(folder)
            _say(row, best=best_row(rows) is row)
            if drawn() > DRAW_EVERY:
                draw_curves(folder / "curves.png", rows, title=config.run)
                drawn = console.stopwatch()
        if len(rows) < settings.epochs:
            advance((settings.epochs - len(rows)) * steps)
            console.say(f"stopped early: no better validation MLRAP for {settings.early_stopping} epochs")
    draw_curves(folder / "curves.png", rows, title=config.run)
    return rows


def validate(state: TrainState, examples: Examples, predict: Predict) -> Validation:
    """Answer the clips of the recordings that watch; MLRAP is over recordings, from the pooled scores of their clips, background species included."""
    if len(examples.val_rows) == 0:
        return Validation()
    chunks = np.array_split(examples.val_rows, -(-len(examples.val_rows) // WATCHED_AT_ONCE))
    scores = np.concatenate([predict(state.net, examples.store.pictures(chunk)) for chunk in chunks])
    labels = examples.val_labels[examples.val_recording]
    pooled = np.stack([median_filtered(scores[examples.val_recording == number]) for number in range(len(examples.val_labels))])
    return Validation(
        loss=float(-np.log(np.maximum(scores[np.arange(len(labels)), labels], 1e-12)).mean()),
        accuracy=float((scores.argmax(axis=1) == labels).mean()),
        mlrap=mean_of_defined(lrap(pooled, examples.val_truth)),
    )


def _resume(state: TrainState, examples: Examples, config: Config) -> tuple[TrainState, list[EpochRow]]:
    snapshot = find(config.run_folder, "latest")
    if not snapshot:
        return state, []
    if snapshot.data != examples.fingerprint():
        raise console.Trouble(f"{config.run_folder}: the clips or classes are others than when it was begun; choose another --run, or --fresh to begin anew")
    console.say(f"going on after epoch {snapshot.epoch} ({console.shown(snapshot.folder)})")
    rows = read_log(config.run_folder / "log.csv", until=snapshot.epoch)
    if len(rows) != snapshot.epoch:
        raise console.Trouble(f"{config.run_folder / 'log.csv'}: is missing or damaged, so that training cannot go on; --fresh begins it anew")
    return TrainState(restore_net(snapshot, state.net), restore_training(snapshot, state.optimizer)), rows


def _run_epoch(
    state: TrainState, examples: Examples, step: Step, noise: jax.Array, config: Config, *, epoch: int, rate: float, advance: object
) -> tuple[TrainState, StepMetrics]:
    """Let the net see every clip once; returns the state after it, and the means of the steps' metrics."""
    settings = config.training
    order = epoch_order(len(examples.rows), batch_size=settings.batch_size, seed=settings.seed, epoch=epoch)
    in_flight: deque[tuple[int, StepMetrics]] = deque()
    seen: list[Float[np.ndarray, " 2"]] = []

    def look(number: int, metrics: StepMetrics) -> None:
        values = np.asarray(jax.device_get(metrics), np.float64)
        if not math.isfinite(values[0]):
            raise _diverged(f"the loss is {values[0]} in epoch {epoch}, step {number}", rate=rate)
        seen.append(values)
        advance(1, note=f"epoch {epoch}, loss {np.mean(seen, axis=0)[0]:.3f}")  # type: ignore[operator]

    for number, batch in enumerate(batches(examples, order)):
        key = step_key(seed=settings.seed, epoch=epoch, number=number)
        state, metrics = step(state, batch.pixels, batch.labels, noise, as_rate(rate), key)
        in_flight.append((number, metrics))
        if len(in_flight) > IN_FLIGHT:
            look(*in_flight.popleft())
    while in_flight:
        look(*in_flight.popleft())
    return state, StepMetrics(*np.mean(seen, axis=0))


def _check_weights(state: TrainState, *, epoch: int, rate: float) -> None:
    """Refuse to keep a net with a weight that is no number: the last step's loss does not show what that step did."""
    if not all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(state.net)):
        raise _diverged(f"a weight is no number after epoch {epoch}", rate=rate)


def _diverged(what: str, *, rate: float) -> console.Trouble:
    return console.Trouble(f"{what}, at learning rate {rate:g}; lower training.learning_rate (earlier snapshots are whole)")


def _gets_no_better(rows: list[EpochRow], *, wait: int) -> bool:
    best = best_row(rows)
    return bool(wait and best and rows[-1].epoch - best.epoch >= wait)


def _say(row: EpochRow, *, best: bool) -> None:
    watched = "" if row.val_mlrap is None else f"   validation: loss {row.val_loss:.3f}, right {row.val_accuracy:.3f}, MLRAP {row.val_mlrap:.3f}"
    console.say(
        f"epoch {row.epoch:3d}   loss {row.loss:.3f}, right {row.accuracy:.3f}{watched}   {row.clips_per_second:.0f} clips/s{'   best' if best else ''}"
    )


def summarize(rows: list[EpochRow], folder: Path, *, seconds: float) -> None:
    """Say how training went, where its results are, and what comes next."""
    best = find(folder, "best")
    latest = rows[-1]
    console.show_table(
        "Trained",
        {
            "epochs": f"{latest.epoch}, the last with loss {latest.loss:.3f}",
            "best": f"epoch {best.epoch}" + ("" if best.mlrap is None else f", validation MLRAP {best.mlrap:.3f}") if best else "none",
            "snapshot": console.shown(best.folder) if best else "none",
            "log": f"{console.shown(folder / 'log.csv')}, {console.shown(folder / 'curves.png')}",
            "time": console.clock(seconds),
            "next": "python test.py, with the same experiment",
        },
    )
