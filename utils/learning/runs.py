"""The folder of a run: started, resumed, and saved to after each epoch or when training is stopped."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax

from config import Config
from utils import console
from utils.files import remove_folder, remove_leftovers, unrelated_names, write_text
from utils.learning.examples import Examples
from utils.learning.hard_negatives import hard_per_epoch
from utils.learning.hosts import is_first
from utils.learning.steps import TrainState
from utils.models.array_trees import TooLarge
from utils.models.saved_networks import check_snapshot, restore_network, restore_training_state, save_snapshot
from utils.models.snapshots import Snapshot, find_snapshot, keep_best_and_newest, read_snapshot, recordings_used
from utils.models.training_log import EpochRow, best_row, is_finished, read_training_log, write_training_log
from utils.settings import to_toml
from utils.settings_keys import changed_settings

# settings that change the trained network
RUN_SETTINGS = (
    "dataset.root",
    "clips.",
    "spectrogram.",
    "external.",
    "waveform.",
    "augmentation.",
    "model.",
    "training.",
    "distillation.",
)
RUN_FILES = (
    "settings.toml",
    "log.csv",
    "curves.png",
    "epoch_*",
    "soup_*",
    "paused",
    "diverged.csv",
    "tensorboard",
    "teachers.json",
    "rounds.csv",
    "pseudo_labels.csv",
    "triplets.parquet",
    "hard_negatives.csv",
    "test",
)  # what the folder of a run may hold


@dataclass
class Progress:
    """How far a training is.

    Attributes
    ----------
    rows : the log, one row per finished epoch
    steps, sums : of the current epoch, the number of finished steps, and the sums of their metrics
    hard_negatives : those of the current epoch, as indices of `Examples.rows`
    checked : whether a snapshot that this process saved was read back
    """

    rows: list[EpochRow] = field(default_factory=list)
    steps: int = 0
    sums: tuple[float, ...] = ()
    hard_negatives: tuple[int, ...] = ()
    checked: bool = False

    @property
    def epoch(self) -> int:
        """Number of the current or next epoch, from 1 on."""
        return len(self.rows) + 1


def refuse_teachers(config: Config) -> None:
    """Refuse to train on labels alone if the experiment names teachers.

    Raises
    ------
    UserError
        That names the script for it.
    """
    if config.distillation.embedding_share and not config.distillation.teachers:
        raise console.UserError(
            "distillation.embedding_share is set, but train.py does not use teachers; run distill.py with the same "
            "experiment and distillation.teachers, or remove the setting"
        )
    if config.distillation.learns_from_models:
        name = "teachers" if config.distillation.teachers else "rounds"
        raise console.UserError(
            f"distillation.{name} is set, but train.py does not use teachers; run distill.py with the same "
            "experiment, or remove the setting"
        )


def check_run_folder(folder: Path) -> None:
    """Refuse a folder that holds something else than a run.

    Raises
    ------
    UserError
        That names it.
    """
    unrelated = unrelated_names(folder, RUN_FILES)
    if unrelated:
        raise console.UserError(
            f"{folder}: contains {unrelated[0]}, which does not belong to a run; choose another --run, or another "
            "folder for --snapshots"
        )


def open_run(config: Config, *, fresh: bool) -> None:
    """Make the run's folder, or remove what a killed process left in it.

    A run with other settings is refused, or removed if `fresh`.

    Raises
    ------
    UserError
        That names the settings which differ, or a file in that folder that does not belong to a run.
    """
    folder = config.run_folder
    check_run_folder(folder)
    if fresh:
        remove_folder(folder)
    latest = latest_snapshot(folder)
    changed = changed_settings(latest.config, config, of=RUN_SETTINGS) if latest else []
    if changed:
        raise console.UserError(
            f"{folder}: was started with other settings ({'; '.join(changed)}); choose another --run, or start over "
            "with --fresh"
        )
    write_text(folder / "settings.toml", to_toml(config))
    remove_leftovers(folder)
    if latest and latest.folder.name != "paused":
        _remove_superseded(folder, config)


def resume(state: TrainState, examples: Examples, config: Config) -> tuple[TrainState, Progress]:
    """Return state and progress of a training at its latest snapshot; `state` and no progress if it is new.

    Raises
    ------
    UserError
        If the clips or classes changed since it was started, or the snapshot or the log is damaged.
    """
    folder = config.run_folder
    snapshot = latest_snapshot(folder)
    if not snapshot:
        return state, Progress()
    if snapshot.data != examples.fingerprint:
        raise console.UserError(
            f"{folder}: the clips or classes changed since this run was started{_what_changed(snapshot, examples)}; "
            f"choose another --run, which starts from what this one learned with --training.pretrained {folder}, or "
            "start over with --fresh"
        )
    rows = read_training_log(folder / "log.csv", until=snapshot.epoch)
    if len(rows) != snapshot.epoch:
        raise console.UserError(
            f"{folder / 'log.csv'}: is missing or damaged, so training cannot resume; start over with --fresh"
        )
    within = f", step {snapshot.steps} of the next" if snapshot.steps else ""
    console.info(f"resuming after epoch {snapshot.epoch}{within} ({console.printable(snapshot.folder)})")
    _check_hard_negatives(snapshot, examples, config)
    return _restored(snapshot, state), Progress(rows, snapshot.steps, snapshot.sums, snapshot.hard_negatives)


def _what_changed(snapshot: Snapshot, examples: Examples) -> str:
    """Say how many recordings and classes came and went since a snapshot was saved; nothing if it was neither."""
    if not (snapshot.folder / "learned.txt").is_file():
        return ""
    recordings, now = recordings_used(snapshot), {*examples.recordings}
    classes, new_classes = {*snapshot.classes}, {*examples.classes}
    counts = {
        "more recordings": len(now - recordings),
        "fewer recordings": len(recordings - now),
        "more classes": len(new_classes - classes),
        "fewer classes": len(classes - new_classes),
    }
    told = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    return f" ({told})" if told else ""


def _check_hard_negatives(snapshot: Snapshot, examples: Examples, config: Config) -> None:
    """Refuse a paused epoch without the hard negatives that it started with: others would end in another network."""
    found, first = snapshot.hard_negatives, len(examples.rows_of_data_set)
    count = hard_per_epoch(examples, config) if snapshot.steps else 0
    if len(set(found)) != count or not all(first <= index < len(examples.rows) for index in found):
        raise console.UserError(
            f"{snapshot.folder}: is a damaged snapshot (hard_negatives in snapshot.json are not those of an epoch); "
            "remove it, earlier ones are usable"
        )


def _restored(snapshot: Snapshot, state: TrainState) -> TrainState:
    """Read the state of a training from a snapshot; `state` has the same shapes."""
    try:
        saved, rest = restore_network(snapshot, state.best_network), restore_training_state(snapshot, _rest_of(state))
    except TooLarge:
        raise
    except console.UserError as error:
        raise console.UserError(
            f"{error}; remove {console.printable(snapshot.folder)}, earlier ones are usable, or start over with --fresh"
        ) from None
    network, average = (saved, None) if state.average is None else (rest["net"], saved)
    return TrainState(network, rest["optimizer"], average, rest["steps"], state.finite)


def save_epoch(state: TrainState, progress: Progress, examples: Examples, config: Config) -> None:
    """Log a finished epoch, and save its network if it is the best, the last, or due by `training.snapshot_epochs`.

    Of several hosts, the first one does.

    Raises
    ------
    UserError
        If the first snapshot of this process cannot be read back.
    """
    if not is_first():
        return
    folder, rows, settings = config.run_folder, progress.rows, config.training
    row = rows[-1]
    write_training_log(folder / "log.csv", rows)
    last = is_finished(rows, settings)
    if row.epoch % settings.snapshot_epochs == 0 or last or best_row(rows) is row:
        snapshot = Snapshot(
            folder / f"epoch_{row.epoch:03d}",
            config,
            examples.classes,
            row.epoch,
            row.validation_mlrap,
            examples.fingerprint,
            row.validation_loss,
            monitored=row.chosen_by,
        )
        _save(state, snapshot, progress, examples)
        _remove_superseded(folder, config)


def save_paused(state: TrainState, progress: Progress, examples: Examples, config: Config) -> None:
    """Save a network in the middle of an epoch; of several hosts, the first one does.

    Raises
    ------
    UserError
        Same as `save_epoch`.
    """
    if not is_first():
        return
    paused = Snapshot(
        config.run_folder / "paused", config, examples.classes, len(progress.rows), None, examples.fingerprint
    )
    paused = replace(paused, steps=progress.steps, sums=progress.sums, hard_negatives=progress.hard_negatives)
    _save(state, paused, progress, examples)


def latest_snapshot(folder: Path) -> Snapshot | None:
    """Return the latest snapshot of a run; that of a pause if it is later."""
    latest = find_snapshot(folder, "latest")
    if not (folder / "paused").is_dir():
        return latest
    try:
        paused = read_snapshot(folder / "paused")
    except console.UserError as error:
        console.warning(str(error))
        return latest
    return paused if paused.epoch >= (latest.epoch if latest else 0) else latest


def _remove_superseded(folder: Path, config: Config) -> None:
    """Remove the snapshots that are not needed after the latest one."""
    keep_best_and_newest(folder, newest=config.training.keep_snapshots)
    remove_folder(folder / "paused")


def _save(state: TrainState, snapshot: Snapshot, progress: Progress, examples: Examples) -> None:
    """Save a snapshot; the first one of a process is read back, so that a bad disk is noticed at once."""
    state = jax.device_get(state)
    save_snapshot(
        snapshot,
        state.best_network,
        _rest_of(state),
        recordings=examples.recordings,
        validation=examples.validation_recordings,
        indirect=examples.only_indirect_recordings,
    )
    if progress.checked:
        return
    try:
        check_snapshot(snapshot)
    except TooLarge:
        raise  # the snapshot is intact
    except console.UserError as error:
        remove_folder(snapshot.folder)  # earlier ones are usable
        raise console.UserError(
            f"{error}, right after it was saved; choose another folder for --snapshots, or another disk"
        ) from None
    progress.checked = True


def _rest_of(state: TrainState) -> dict[str, Any]:
    """Return what resuming needs besides the network that is saved."""
    average = {} if state.average is None else {"net": state.network}
    return {"optimizer": state.optimizer, "steps": state.steps, **average}
