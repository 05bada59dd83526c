"""A run's folder: what is kept of a training, and where it goes on."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax

from config import Config, differences, to_toml
from utils import console
from utils.files import remove_folder, remove_leftovers, strangers, write_json, write_text
from utils.learning.examples import Examples
from utils.learning.steps import TrainState
from utils.models.snapshots import (
    Snapshot,
    TooLarge,
    check_saved,
    describe,
    find,
    keep_best_and_newest,
    restore_network,
    restore_training,
    save,
)
from utils.models.training_log import EpochRow, best_row, gets_no_better, read_log, write_log

# what decides on the net
RUN_SETTINGS = ("dataset.root", "clips.", "spectrogram.", "augmentation.", "model.", "training.", "distillation.")
RUN_FILES = (
    "settings.toml",
    "log.csv",
    "curves.png",
    "epoch_*",
    "paused",
    "diverged.csv",
    "tensorboard",
    "teachers.json",
    "test",
)  # what a run's folder may hold


@dataclass
class Progress:
    """How far a training is.

    Attributes
    ----------
    rows : the log, one row a finished epoch
    steps, sums : of the epoch that is under way, how many of its steps are done, and the sums of their metrics
    checked : whether a snapshot that this call saved was read back
    """

    rows: list[EpochRow] = field(default_factory=list)
    steps: int = 0
    sums: tuple[float, ...] = ()
    checked: bool = False

    @property
    def epoch(self) -> int:
        """The epoch that is under way or comes next, from 1 on."""
        return len(self.rows) + 1


def refuse_teachers(config: Config) -> None:
    """Refuse to train by labels alone where the experiment names teachers: the run would say of itself that it had some.

    Raises
    ------
    UserError
        That names the script which asks them.
    """
    if config.distillation.teachers:
        raise console.UserError(
            "distillation.teachers is set, and train.py asks no teachers; run distill.py with the same experiment, or leave the setting out"
        )


def open_run(config: Config, *, fresh: bool) -> None:
    """Make the run's folder, or tidy up what a killed process left in it; a run that was begun with other settings is refused, or removed where `fresh`.

    Raises
    ------
    UserError
        That names the settings which differ, or what is of no training in that folder.
    """
    folder = config.run_folder
    others = strangers(folder, RUN_FILES)
    if others:
        raise console.UserError(
            f"{folder}: holds {others[0]}, which is of no training; choose another --run, or another folder for --snapshots"
        )
    if fresh:
        remove_folder(folder)
    latest = _latest(folder)
    changed = differences(latest.config, config, of=RUN_SETTINGS) if latest else []
    if changed:
        raise console.UserError(
            f"{folder}: was begun with other settings ({'; '.join(changed)}); choose another --run, or --fresh to begin anew"
        )
    write_text(folder / "settings.toml", to_toml(config))
    remove_leftovers(folder)
    if latest and latest.folder.name != "paused":
        _tidy(folder, config)


def resume(state: TrainState, examples: Examples, config: Config) -> tuple[TrainState, Progress]:
    """Return where a training goes on: at its latest snapshot, in the midst of an epoch where it was paused; `state` and no progress where there is none.

    Raises
    ------
    UserError
        If the clips or classes are others than when it was begun, or the snapshot or the log is damaged.
    """
    folder = config.run_folder
    snapshot = _latest(folder)
    if not snapshot:
        return state, Progress()
    if snapshot.data != examples.fingerprint:
        raise console.UserError(
            f"{folder}: the clips or classes are others than when it was begun; choose another --run, or --fresh to begin anew"
        )
    rows = read_log(folder / "log.csv", until=snapshot.epoch)
    if len(rows) != snapshot.epoch:
        raise console.UserError(
            f"{folder / 'log.csv'}: is missing or damaged, so that training cannot go on; --fresh begins it anew"
        )
    within = f", step {snapshot.steps} of the next" if snapshot.steps else ""
    console.say(f"going on after epoch {snapshot.epoch}{within} ({console.shown(snapshot.folder)})")
    try:
        kept, besides = restore_network(snapshot, state.best_network), restore_training(snapshot, _besides(state))
    except TooLarge:
        raise
    except console.UserError as trouble:
        raise console.UserError(
            f"{trouble}; remove {console.shown(snapshot.folder)}, earlier ones stay usable, or begin anew with --fresh"
        ) from None
    net, average = (kept, None) if state.average is None else (besides["net"], kept)
    return TrainState(net, besides["optimizer"], average, besides["steps"], state.alive), Progress(
        rows, snapshot.steps, snapshot.sums
    )


def note_teachers(folder: Path, contents: Mapping[str, str]) -> None:
    """Keep in teachers.json who teaches a run, or check that it is who did when the run was begun.

    Parameters
    ----------
    contents : of each teacher, by its path: a text that changes when it does

    Raises
    ------
    UserError
        That names a teacher that has changed since.
    """
    path, begun = folder / "teachers.json", _latest(folder)
    if begun and contents:
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
            changed = [name for name, content in contents.items() if before.get(name) != content]
        except (OSError, ValueError, AttributeError, RecursionError):
            raise console.UserError(
                f"{path}: is missing or damaged, so that nobody knows who taught this run; --fresh begins it anew"
            ) from None
        if changed:
            raise console.UserError(
                f"{changed[0]}: is another net than when {folder} was begun; choose another --run, or --fresh to begin anew"
            )
    elif contents:
        write_json(path, dict(contents))


def keep_epoch(state: TrainState, progress: Progress, examples: Examples, config: Config) -> None:
    """Write down an epoch that is done, and save its net where it is the best, the last, or its turn.

    Raises
    ------
    UserError
        If the first snapshot of this call cannot be read back.
    """
    folder, rows, settings = config.run_folder, progress.rows, config.training
    row = rows[-1]
    write_log(folder / "log.csv", rows)
    last = row.epoch == settings.epochs or gets_no_better(rows, wait=settings.early_stopping)
    if row.epoch % settings.snapshot_epochs == 0 or last or best_row(rows) is row:
        kept = Snapshot(
            folder / f"epoch_{row.epoch:03d}",
            config,
            examples.classes,
            row.epoch,
            row.val_mlrap,
            examples.fingerprint,
            row.val_loss,
        )
        _save(state, kept, progress, examples)
        _tidy(folder, config)


def _tidy(folder: Path, config: Config) -> None:
    """Remove the snapshots that the latest one has made superfluous."""
    keep_best_and_newest(folder, newest=config.training.keep_snapshots)
    remove_folder(folder / "paused")


def pause(state: TrainState, progress: Progress, examples: Examples, config: Config) -> None:
    """Save a net in the midst of an epoch.

    Raises
    ------
    UserError
        As `keep_epoch`.
    """
    paused = Snapshot(
        config.run_folder / "paused", config, examples.classes, len(progress.rows), None, examples.fingerprint
    )
    _save(state, replace(paused, steps=progress.steps, sums=progress.sums), progress, examples)


def _save(state: TrainState, snapshot: Snapshot, progress: Progress, examples: Examples) -> None:
    """Save a snapshot; the first one of a call is read back, so that nobody learns after hours that none can be kept."""
    state = jax.device_get(state)
    save(snapshot, state.best_network, _besides(state), learned=examples.recordings)
    if progress.checked:
        return
    try:
        check_saved(snapshot)
    except TooLarge:
        raise  # nothing is wrong with it
    except console.UserError as trouble:
        remove_folder(snapshot.folder)  # earlier ones stay usable
        raise console.UserError(
            f"{trouble}, right after it was saved; choose another folder for --snapshots, or another disk"
        ) from None
    progress.checked = True


def _besides(state: TrainState) -> dict[str, Any]:
    """Return what training needs to go on besides the net that is kept."""
    return {"optimizer": state.optimizer, "steps": state.steps, **({} if state.average is None else {"net": state.net})}


def _latest(folder: Path) -> Snapshot | None:
    """Return the latest snapshot of a run; that of a pause, where it is later."""
    latest = find(folder, "latest")
    if not (folder / "paused").is_dir():
        return latest
    try:
        paused = describe(folder / "paused")
    except console.UserError as trouble:
        console.warn(str(trouble))
        return latest
    return paused if paused.epoch >= (latest.epoch if latest else 0) else latest
