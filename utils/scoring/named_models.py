"""The models that a call names by their folders, as predict.py and explain.py take them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from config import Config
from utils.console import UserError, printable
from utils.models.published import published_at
from utils.models.snapshots import find_snapshot_at

NO_MODEL = (
    "no trained model comes with the toolkit: train one (python train.py), start from public weights "
    "(experiments/fine-tune.toml), or use a bird model from a file (experiments/external.toml); then name its folder: "
    "--snapshot snapshots/RUN"
)


def with_snapshots(config: Config, snapshots: Sequence[Path]) -> Config:
    """Return the settings for some runs or snapshots, instead of for the run of the experiment.

    Parameters
    ----------
    snapshots : their folders; several are an ensemble of equal weights; none: the run of the experiment stays
    """
    if not snapshots:
        return config
    paths = tuple(published_at(path.expanduser()).resolve() for path in snapshots)
    run = paths[0].parent if (paths[0] / "snapshot.json").is_file() else paths[0]
    testing = replace(config.testing, models=paths, weights=())
    return replace(config, snapshots=run.parent, run=run.name, testing=testing)


def check_named_models(config: Config, snapshots: Sequence[Path]) -> None:
    """Refuse a call that names no model in one line that says where models come from.

    Raises
    ------
    UserError
        If a folder is no run and no snapshot, or there is no run.
    """
    for path in config.testing.models if snapshots else ():
        if find_snapshot_at(path, config.testing.snapshot) is None:
            raise UserError(f"--snapshot {printable(path)}: neither a snapshot nor the folder of a run with one")
    if not config.testing.models and not config.run_folder.is_dir():
        runs = sorted(path.parent.name for path in config.snapshots.glob("*/log.csv"))
        there = (
            f"; {printable(config.snapshots)} has {', '.join(runs)} (--snapshot FOLDER)" if runs else f"; {NO_MODEL}"
        )
        raise UserError(f"{printable(config.run_folder)}: no such run{there}")
