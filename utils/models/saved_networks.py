"""The arrays of snapshots: saving them, and reading networks and the state of a training back."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike

from utils.files import atomic_folder, remove_folder, write_json, write_text
from utils.models.array_trees import Tree, named_leaves, restore_leaves, restore_tree, save_tree
from utils.models.networks import Network, abstract_network
from utils.models.snapshots import SNAPSHOT_VERSION, Snapshot, read_snapshot
from utils.settings import to_toml


def save_snapshot(
    snapshot: Snapshot,
    network: Network,
    training: Any,
    *,
    recordings: Iterable[str],
    validation: Iterable[str] = (),
    indirect: Iterable[str] = (),
) -> None:
    """Save a snapshot to its folder; it appears whole or not at all.

    Parameters
    ----------
    training : tree of arrays that resuming needs besides the network; None: no training resumes from it
    recordings : names of the recordings that the network was trained or validated on
    validation : names of those for validation
    indirect : names of those that it learned through the predictions of other networks alone
    """
    remove_folder(snapshot.folder)  # only a damaged one can be there, or an earlier pause
    state = {name: getattr(snapshot, name) for name in ("epoch", "mlrap", "validation_loss", "data", "steps", "sums")}
    state["monitored"] = None if snapshot.monitored is None else asdict(snapshot.monitored)
    state |= {"hard_negatives": snapshot.hard_negatives} if snapshot.hard_negatives else {}
    with atomic_folder(snapshot.folder) as new:
        write_text(new / "settings.toml", to_toml(snapshot.config))
        write_text(new / "classes.txt", "".join(f"{label}\n" for label in snapshot.classes))
        write_json(new / "snapshot.json", {"version": SNAPSHOT_VERSION, **state})
        write_text(new / "learned.txt", "".join(f"{name}\n" for name in recordings))
        write_text(new / "validation.txt", "".join(f"{name}\n" for name in validation))
        if through_others := "".join(f"{name}\n" for name in indirect):
            write_text(new / "indirect.txt", through_others)
        save_tree(new / "net", network)
        if training is not None:
            save_tree(new / "training", training)


def restore_network(snapshot: Snapshot, like: Network) -> Network:
    """Read the network of a snapshot.

    Parameters
    ----------
    like : a network of the same settings and classes

    Raises
    ------
    UserError
        If the weights are damaged or belong to another model.
    """
    return restore_tree(snapshot.folder / "net", like)


def network_arrays(snapshot: Snapshot, like: Network) -> dict[str, np.ndarray]:
    """Return the arrays of a snapshot's network by name, in the memory of the host.

    Parameters and errors are those of `restore_network`.
    """
    return restore_leaves(snapshot.folder / "net", named_leaves(like), on_host=True)


def load_network(snapshot: Snapshot, *, dtype: DTypeLike = jnp.float32) -> tuple[nnx.GraphDef, Network]:
    """Build the network of a snapshot, which computes in `dtype`, and read its weights.

    Raises
    ------
    UserError
        Same as `restore_network`.
    """
    graph, like = abstract_network(
        snapshot.config.model, classes=len(snapshot.classes), shape=snapshot.config.input_shape, dtype=dtype
    )
    return graph, restore_network(snapshot, like)


def check_snapshot(snapshot: Snapshot) -> None:
    """Read back the whole snapshot: description, weights, and what resuming needs, each against its digest.

    The arrays go into the memory of the host: that of the accelerator already holds all of them.

    Raises
    ------
    TooLarge
        If memory does not suffice.
    UserError
        If it cannot be read back.
    """
    saved = read_snapshot(snapshot.folder)
    _, like = abstract_network(saved.config.model, classes=len(saved.classes), shape=saved.config.input_shape)
    restore_leaves(saved.folder / "net", named_leaves(like), on_host=True)
    restore_leaves(saved.folder / "training", None, on_host=True)


def restore_training_state(snapshot: Snapshot, like: Tree) -> Tree:
    """Read what resuming needs besides the network; `like` is a tree of the same shapes."""
    return restore_tree(snapshot.folder / "training", like)
