"""Beginning with a net that has learned before: weights are matched by their names, classes by theirs."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from utils.console import UserError
from utils.models.networks import Network
from utils.models.snapshots import Snapshot, find_at, load_network, name_leaves, unname_leaves

OUTPUT = "params/output/"


def find_pretrained(path: Path) -> Snapshot:
    """Return the snapshot at `path`, or the best of the run whose folder it is.

    Raises
    ------
    UserError
        If there is none.
    """
    found = find_at(path, "best")
    if not found:
        raise UserError(
            f"{path}: neither a snapshot nor the folder of a run with one; set training.pretrained to snapshots/<run>"
        )
    return found


def begin_with(snapshot: Snapshot, net: Network, classes: tuple[str, ...], *, output: bool) -> tuple[Network, str]:
    """Return `net` with the weights of a snapshot, and one line that says what was kept.

    Parameters
    ----------
    classes : what `net` answers, in the order of its outputs; of the snapshot's, those of the same name are kept,
        whatever their order
    output : whether the last layer is taken at all

    Raises
    ------
    UserError
        If the snapshot is of another net, or its weights are damaged.
    """
    _, other = load_network(snapshot)
    there, here = name_leaves(other), name_leaves(net)
    for name in sorted(there.keys() | here.keys()):
        shapes = [leaves[name].shape if name in leaves else "missing" for leaves in (there, here)]
        if not name.startswith(OUTPUT) and shapes[0] != shapes[1]:
            raise UserError(
                f"{snapshot.folder}: is of another net than model.* asks for: {name} is {shapes[0]}, should be {shapes[1]}"
            )
    shared = [label for label in classes if label in snapshot.classes] if output else []
    ours, theirs = [classes.index(label) for label in shared], [snapshot.classes.index(label) for label in shared]
    new = {
        name: _columns(here[name], there[name], ours, theirs) if name.startswith(OUTPUT) else there[name]
        for name in here
    }
    dropped, added = len(snapshot.classes) - len(shared), len(classes) - len(shared)
    last = (
        f", the last for {len(shared)} of {len(classes)} classes ({added} begin anew, {dropped} are dropped)"
        if output
        else " but the last"
    )
    return unname_leaves(net, new), f"begins with {snapshot.folder}: all layers{last}"


def _columns(here: Array, there: Array, ours: list[int], theirs: list[int]) -> Array:
    """Put columns of one array, the last axis, into another."""
    result = np.array(here)
    result[..., ours] = np.asarray(there)[..., theirs]
    return jnp.asarray(result)
