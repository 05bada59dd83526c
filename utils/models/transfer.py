"""Start from a network that was trained before: weights are matched by their names, classes by theirs."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from utils.console import UserError
from utils.models.array_trees import named_leaves, unflatten_named
from utils.models.networks import Network
from utils.models.saved_networks import load_network
from utils.models.snapshots import Snapshot, find_snapshot_at

OUTPUT_LAYERS = ("params/output/", "params/frame_attention/")  # with a column for each class
OF_POOL = ("params/frame_attention/", "params/pool/")  # layers that only some values of model.pool have


def find_pretrained(path: Path) -> Snapshot:
    """Return the snapshot at `path`, or the best of the run whose folder it is.

    Raises
    ------
    UserError
        If there is none.
    """
    found = find_snapshot_at(path, "best")
    if not found:
        raise UserError(
            f"{path}: neither a snapshot nor the folder of a run with one; set training.pretrained to snapshots/<run>"
        )
    return found


def start_from(snapshot: Snapshot, network: Network, classes: tuple[str, ...], *, output: bool) -> tuple[Network, str]:
    """Return `network` with the weights of a snapshot, and one line that says which were taken over.

    Parameters
    ----------
    classes : of `network`, in the order of its outputs; weights of classes with the same name are taken over, in any
        order
    output : whether to take over the output layer at all

    Raises
    ------
    UserError
        If the snapshot belongs to another model, or its weights are damaged.
    """
    _, pretrained = load_network(snapshot)
    saved, initial = named_leaves(pretrained), named_leaves(network)
    _check_same_model(snapshot, saved, initial)
    shared = [label for label in classes if label in snapshot.classes] if output else []
    new_columns, saved_columns = ([names.index(label) for label in shared] for names in (classes, snapshot.classes))
    weights = {
        name: _copy_columns(initial[name], saved[name], new_columns, saved_columns)
        if name.startswith(OUTPUT_LAYERS)
        else saved[name]
        for name in initial
        if name in saved
    }
    added, dropped = len(classes) - len(shared), len(snapshot.classes) - len(shared)
    layers = (
        f"all layers, and {len(shared)} of {len(classes)} classes in the output layer ({added} are new, {dropped} are "
        "dropped)"
        if output
        else "all layers but the output layer"
    )
    return unflatten_named(network, initial | weights), f"starting from {snapshot.folder}: {layers}"


def _check_same_model(snapshot: Snapshot, saved: dict[str, Array], initial: dict[str, Array]) -> None:
    for name in sorted(saved.keys() | initial.keys()):
        shapes = [leaves[name].shape if name in leaves else "missing" for leaves in (saved, initial)]
        other_pool = "missing" in shapes and name.startswith(OF_POOL)
        if not other_pool and not name.startswith(OUTPUT_LAYERS) and shapes[0] != shapes[1]:
            raise UserError(
                f"{snapshot.folder}: does not fit the settings of model: {name} is {shapes[0]}, should be {shapes[1]}"
            )


def _copy_columns(initial: Array, saved: Array, new_columns: list[int], saved_columns: list[int]) -> Array:
    """Put columns of one array, the last axis, into another."""
    result = np.array(initial)
    result[..., new_columns] = np.asarray(saved)[..., saved_columns]
    return jnp.asarray(result)
