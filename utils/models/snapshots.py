"""Snapshots: a saved network with the classes and settings that it needs to be used again.

    <run>/epoch_012/settings.toml  classes.txt  learned.txt  validation.txt  snapshot.json (epoch, monitored metric)
    <run>/epoch_012/indirect.txt   of learned.txt, the recordings that only its teachers learned; not there if none
    <run>/epoch_012/net/           weights and running statistics, by Orbax
    <run>/epoch_012/training/      what resuming needs besides, by Orbax
    <run>/epoch_012/*.sha256       digests of both
    <run>/paused/                  the same, of an epoch that Ctrl-C stopped; removed when that epoch is finished

Which snapshot is the best and which the latest follows from their contents; no file points at them. This module reads
what a snapshot says of itself, without JAX; `saved_networks` saves snapshots and reads their arrays.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from config import Config, SettingsError
from utils.console import UserError, warning
from utils.files import digest_file, remove_folder
from utils.models.monitor import UNITS, Monitored
from utils.models.published import check_published, published_at
from utils.settings import load

SNAPSHOT_VERSION = 1


@dataclass(frozen=True)
class Snapshot:
    """The description of a snapshot.

    Attributes
    ----------
    folder : its path
    config : the settings of its run
    classes : in the order of the network's outputs
    epoch : number of finished epochs
    mlrap : validation MLRAP over recordings; None without validation recordings
    data : fingerprint of the clips that it was trained on
    validation_loss : None without validation recordings
    steps, sums : of a paused epoch, the number of finished steps, and the sums of their metrics
    monitored : the metric by which the best epoch is chosen; None: MLRAP, as in snapshots of earlier versions
    hard_negatives : of a paused epoch, indices of the noise clips that were mined for it
    """

    folder: Path
    config: Config
    classes: tuple[str, ...]
    epoch: int
    mlrap: float | None
    data: str
    validation_loss: float | None = None
    steps: int = 0
    sums: tuple[float, ...] = ()
    monitored: Monitored | None = None
    hard_negatives: tuple[int, ...] = ()

    @property
    def chosen_by(self) -> Monitored:
        """The value by which snapshots of a run are ranked."""
        return self.monitored or Monitored(value=self.mlrap)


def find_snapshot(run: Path, which: Literal["best", "latest"]) -> Snapshot | None:
    """Return the best snapshot of a run (by the monitored metric, then the loss) or its latest, if there is one.

    Raises
    ------
    UserError
        If a snapshot's description is damaged.
    """
    snapshots = snapshots_of(run)
    if not snapshots:
        return None
    if which == "latest" or all(snapshot.chosen_by.value is None for snapshot in snapshots):
        return snapshots[-1]
    return max(snapshots, key=lambda snapshot: snapshot.chosen_by.rank(snapshot.validation_loss))


def find_snapshot_at(path: Path, which: Literal["best", "latest"]) -> Snapshot | None:
    """Return the snapshot at `path`, or that of the run whose folder it is; None if it is neither.

    `path` may be that of a published model, or name one on the hub: hf:OWNER/NAME.

    Raises
    ------
    UserError
        If a snapshot's description is damaged, or a published model is or cannot be downloaded.
    """
    path = published_at(path)
    check_published(path)
    if (path / "snapshot.json").is_file():
        return read_snapshot(path)
    return find_snapshot(path, which) if path.is_dir() else None


def snapshots_of(run: Path) -> list[Snapshot]:
    """Return the snapshots of a run in the order of epochs; damaged ones are left out with a warning.

    Raises
    ------
    UserError
        If all of them are damaged.
    """
    snapshots, errors = [], []
    for folder in run.glob("epoch_*"):
        if re.fullmatch(r"epoch_\d+", folder.name):
            try:
                snapshots.append(read_snapshot(folder))
            except UserError as error:
                errors.append(error)
    if errors and not snapshots:
        raise errors[0]
    for damaged in errors:
        warning(str(damaged))
    return sorted(snapshots, key=lambda snapshot: snapshot.epoch)


def keep_best_and_newest(run: Path, *, newest: int) -> None:
    """Remove all snapshots of a run but the best and this number of the newest."""
    best, snapshots = find_snapshot(run, "best"), snapshots_of(run)
    for snapshot in snapshots[:-newest]:
        if snapshot != best:
            remove_folder(snapshot.folder)


def read_snapshot(folder: Path) -> Snapshot:
    """Read the description of a snapshot, without its weights.

    Raises
    ------
    UserError
        If it is damaged, or of a version that this program does not know.
    """
    try:
        state = json.loads((folder / "snapshot.json").read_text(encoding="utf-8"))
        classes = (folder / "classes.txt").read_text(encoding="utf-8").split("\n")[:-1]
        version = state["version"]
        if version != SNAPSHOT_VERSION:
            raise UserError(f"{folder}: has version {version}, but this program reads version {SNAPSHOT_VERSION}")
        if not classes:
            raise ValueError("classes.txt has no classes")
        if "val_loss" in state:  # its name in earlier versions
            state["validation_loss"] = state.pop("val_loss")
        mlrap, loss = (None if state[name] is None else float(state[name]) for name in ("mlrap", "validation_loss"))
        epoch, steps, sums = int(state["epoch"]), int(state["steps"]), tuple(map(float, state["sums"]))
        monitored, hard = _monitored_of(state.get("monitored")), tuple(map(int, state.get("hard_negatives", ())))
        settings, data = load(folder / "settings.toml"), str(state["data"])
        return Snapshot(folder, settings, tuple(classes), epoch, mlrap, data, loss, steps, sums, monitored, hard)
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError, SettingsError) as error:
        raise UserError(
            f"{folder}: is a damaged snapshot ({type(error).__name__}: {error}); remove it, earlier ones are usable"
        ) from None


def _monitored_of(saved: dict[str, Any] | None) -> Monitored | None:
    if saved is None:
        return None
    value = saved["value"]
    return Monitored(str(saved["metric"]), UNITS[saved["unit"]], None if value is None else float(value))


def recordings_used(snapshot: Snapshot) -> set[str]:
    """Return the names of the recordings that a network was trained or validated on; no test may use them.

    Raises
    ------
    UserError
        If they are not known.
    """
    return _names_in(snapshot.folder / "learned.txt")


def recordings_learned(snapshot: Snapshot) -> set[str]:
    """Return the names of the recordings that a network itself was trained or validated on, not only its teachers.

    Raises
    ------
    UserError
        If they are not known.
    """
    indirect = snapshot.folder / "indirect.txt"
    return recordings_used(snapshot) - (_names_in(indirect) if indirect.exists() else set())


def validation_recordings_of(snapshot: Snapshot) -> set[str]:
    """Return the names of the recordings that a network was validated on.

    Raises
    ------
    UserError
        If they are not known.
    """
    return _names_in(snapshot.folder / "validation.txt")


def _names_in(path: Path) -> set[str]:
    try:
        return set(path.read_text(encoding="utf-8").split("\n")[:-1])
    except (OSError, ValueError) as error:
        raise UserError(f"{path.parent}: is a damaged snapshot ({error})") from None


def network_digest(snapshot: Snapshot) -> str:
    """Return the digest of a snapshot's network; '' for snapshots of earlier versions, which have none."""
    path = digest_file(snapshot.folder / "net")
    return path.read_text(encoding="utf-8", errors="replace").strip() if path.is_file() else ""
