"""Experiments with a small network, small spectrograms and folders elsewhere, so that they take seconds."""

from pathlib import Path
from typing import Any

from config import Config
from tests.conftest import REPOSITORY
from utils.settings import load, to_dict, validated

SMALL = {
    "workers": 2,
    "spectrogram.rate": 22_050,
    "spectrogram.fmax": 10_000.0,
    "spectrogram.height": 24,
    "spectrogram.width": 48,
    "model.filters": [8, 16],
    "training.epochs": 8,
    "training.batch_size": 8,
    "training.learning_rate": 0.005,
    "log.tensorboard": False,
}


def small_experiment(experiment: str, folder: Path, **changes: Any) -> Config:
    """Return an experiment's settings, with its folders below `folder`; `changes` by names such as training.epochs."""
    tree = to_dict(load(REPOSITORY / "experiments" / f"{experiment}.toml"))
    for section, name in (
        ("dataset", "root"),
        ("dataset", "archive"),
        ("submission", "folder"),
        ("submission", "recordings"),
    ):
        if name in tree[section]:
            tree[section][name] = str(folder / tree[section][name])
    tree["snapshots"] = str(folder / tree["snapshots"])
    for key, value in {**SMALL, **changes}.items():
        section, _, name = key.rpartition(".")
        (tree[section] if section else tree)[name] = value
    return validated(tree)
