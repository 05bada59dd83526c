"""Model soup: the parameters of several networks of one architecture are averaged to one network.

    <run>/soup_<key>/  a snapshot, with soup.json: which snapshots it is of, with their weights

The mean costs one network's time in inference, where the mean of scores costs that of all. It is for networks that
lie near each other: the last epochs of one training, or trainings that start from the same weights and differ little.
Running statistics of batch normalization are averaged as well, which is an approximation: those of the averaged
network would take another pass over the training clips.

Source: Wortsman et al., Model soups: averaging weights of multiple fine-tuned models improves accuracy without
increasing inference time, 2022; Izmailov et al., Averaging Weights Leads to Wider Optima and Better Generalization,
2018.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from utils.console import UserError, alone, info, printable
from utils.files import write_json
from utils.models.array_trees import unflatten_named
from utils.models.networks import abstract_network
from utils.models.saved_networks import network_arrays, save_snapshot
from utils.models.snapshots import Snapshot, network_digest, read_snapshot, recordings_used, validation_recordings_of
from utils.settings_keys import effective_settings, short_key

SOUP_VERSION = 1
# settings of `model` that only change training; the file of an External one is compared with the inputs
OF_TRAINING = ("model.dropout", "model.dropout_kind", "model.drop_path", "model.frozen_stages", "model.weights")


def soup_of(
    snapshots: Sequence[Snapshot], weights: Sequence[float], *, home: Path, inputs: Callable[[Snapshot], Any]
) -> Snapshot:
    """Return the mean of some snapshots, which is made if it is not there yet.

    It has the settings of the first of them. Recordings that any of them learned or was validated on count as learned;
    those that all were validated on, as validated.

    Parameters
    ----------
    snapshots : at least one
    weights : of each, above 0
    home : the folder of a run, in which the mean is kept
    inputs : returns the settings by which a snapshot makes what its network takes

    Raises
    ------
    UserError
        If their networks have other architectures, classes or inputs, or cannot be read.
    """
    for other in snapshots[1:]:
        _check_same(snapshots[0], other, inputs)
    of = [[one.folder.as_posix(), network_digest(one), weight] for one, weight in zip(snapshots, weights, strict=True)]
    key = short_key([SOUP_VERSION, [[digest or folder, weight] for folder, digest, weight in of]])
    folder = home / f"soup_{key}"
    if not (folder / "soup.json").is_file():
        with alone(home, "averaging of snapshots"):
            if not (folder / "soup.json").is_file():  # another process may have made it
                _write_soup(folder, snapshots, weights)
                rows = [{"snapshot": path, "network": digest, "weight": weight} for path, digest, weight in of]
                write_json(folder / "soup.json", {"version": SOUP_VERSION, "snapshots": rows})
    info(f"testing.soup: {printable(folder)} is the mean of the parameters of {len(snapshots)} snapshots")
    return read_snapshot(folder)


def _check_same(first: Snapshot, other: Snapshot, inputs: Callable[[Snapshot], Any]) -> None:
    """Refuse networks whose parameters do not mean the same."""
    architectures = [
        {
            name: value
            for name, value in effective_settings(one.config, of=("model.",)).items()
            if name not in OF_TRAINING
        }
        for one in (first, other)
    ]
    left, right = architectures
    differing = [name for name in sorted(left.keys() | right.keys()) if left.get(name) != right.get(name)]
    faults = {
        "other classes": first.classes != other.classes,
        f"another {', '.join(differing)}": bool(differing),
        "other clips or spectrograms": inputs(first) != inputs(other),
        "another kind of training.loss": first.config.training.multi_label != other.config.training.multi_label,
    }
    for fault, found in faults.items():
        if found:
            raise UserError(
                f"{printable(other.folder)}: has {fault} than {printable(first.folder)}, so that their parameters "
                "cannot be averaged; set testing.soup = false to average their scores, or choose other testing.models"
            )


def _write_soup(folder: Path, snapshots: Sequence[Snapshot], weights: Sequence[float]) -> None:
    first = snapshots[0]
    _, like = abstract_network(first.config.model, classes=len(first.classes), shape=first.config.input_shape)
    trees = (network_arrays(one, like) for one in snapshots)
    made = replace(
        first,
        folder=folder,
        epoch=max(one.epoch for one in snapshots),
        mlrap=None,
        validation_loss=None,
        steps=0,
        sums=(),
        monitored=None,
    )
    save_snapshot(
        made,
        unflatten_named(like, mean_of(trees, weights)),
        None,
        recordings=sorted(set[str]().union(*(recordings_used(one) for one in snapshots))),
        validation=sorted(_validated_by_all(snapshots)),
    )


def mean_of(trees: Iterable[Mapping[str, Any]], weights: Sequence[float]) -> dict[str, np.ndarray]:
    """Return the weighted mean of trees of arrays by name, summed as float64; what is not a float is the first tree's.

    Only one tree is in memory at a time, besides the sum.

    Parameters
    ----------
    trees : with the same names and shapes
    weights : of each tree, above 0
    """
    first, sums = dict[str, np.ndarray](), dict[str, np.ndarray]()
    for tree, weight in zip(trees, weights, strict=True):
        for name, leaf in tree.items():
            array = np.asarray(leaf)
            first.setdefault(name, array)
            if jnp.issubdtype(array.dtype, jnp.floating):
                sums[name] = sums.get(name, 0.0) + weight * array.astype(np.float64)
    return {
        name: (sums[name] / sum(weights)).astype(array.dtype) if name in sums else array
        for name, array in first.items()
    }


def _validated_by_all(snapshots: Sequence[Snapshot]) -> set[str]:
    """Return the recordings that all snapshots were validated on; none if one does not tell."""
    if not all((one.folder / "validation.txt").is_file() for one in snapshots):
        return set()
    return set.intersection(*(validation_recordings_of(one) for one in snapshots))
