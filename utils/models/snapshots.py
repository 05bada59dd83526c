"""Snapshots: a saved net with the classes and settings that it needs to be used again.

    <run>/epoch_012/settings.toml  classes.txt  learned.txt  snapshot.json (epoch, validation MLRAP)
    <run>/epoch_012/net/           weights and running statistics, by Orbax
    <run>/epoch_012/training/      what training needs besides to go on, by Orbax
    <run>/epoch_012/*.sha256       fingerprints of both: of some flipped bits, Orbax reads other weights without a word
    <run>/paused/                  the same, of an epoch that Ctrl-C ended early; it is gone when that epoch is done

Which one is the best and which the latest follows from what is in them; nothing points at them.
"""

import errno
import hashlib
import json
import logging
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from flax import nnx
from jax.typing import DTypeLike

from config import Config, SettingsError, load, to_toml
from utils.console import UserError, warn
from utils.files import remove_folder, whole_folder, write_json, write_text
from utils.models.networks import Network, outline

VERSION = 1
# Orbax takes these in any part of a path for a pattern, and TensorStore a backslash for the end of a folder's name
MISREAD = re.compile(r"[\\*?\[\]]")
# folders for a link, where the usual one for temporary files has such a name itself
PLAIN_PLACES = ("/tmp", "/var/tmp")  # noqa: S108
Tree = TypeVar("Tree")


class TooLarge(UserError):
    """A snapshot that memory does not suffice to read; nothing is wrong with it, and nobody may remove it."""


@dataclass(frozen=True)
class Snapshot:
    """What a snapshot says of itself.

    Attributes
    ----------
    folder : where it is
    config : the settings of its run
    classes : what the net answers, in the order of its outputs
    epoch : how often the net had seen all clips
    mlrap : validation MLRAP then; none where no recording watched training
    data : fingerprint of the clips it learned from
    val_loss : validation loss then
    steps, sums : of a paused epoch, how many of its steps are done, and the sums of their metrics
    """

    folder: Path
    config: Config
    classes: tuple[str, ...]
    epoch: int
    mlrap: float | None
    data: str
    val_loss: float | None = None
    steps: int = 0
    sums: tuple[float, ...] = ()


def save(snapshot: Snapshot, net: Network, training: Any, *, learned: Iterable[str]) -> None:
    """Save a snapshot to its folder; it appears whole or not at all.

    Parameters
    ----------
    learned : names of the recordings that the net learned from, or that watched it
    training : tree of arrays that training needs besides the net to go on
    """
    remove_folder(snapshot.folder)  # only a damaged one can be there, or an earlier pause
    state = {name: getattr(snapshot, name) for name in ("epoch", "mlrap", "val_loss", "data", "steps", "sums")}
    with whole_folder(snapshot.folder) as new:
        write_text(new / "settings.toml", to_toml(snapshot.config))
        write_text(new / "classes.txt", "".join(f"{label}\n" for label in snapshot.classes))
        write_json(new / "snapshot.json", {"version": VERSION, **state})
        write_text(new / "learned.txt", "".join(f"{name}\n" for name in learned))
        _save_tree(new / "net", net)
        _save_tree(new / "training", training)


def find(run: Path, which: Literal["best", "latest"]) -> Snapshot | None:
    """Return the best snapshot of a run (highest validation MLRAP, of equals that of the lowest loss) or its latest; None where there is none.

    Raises
    ------
    UserError
        If a snapshot's description is damaged.
    """
    snapshots = all_of(run)
    if not snapshots:
        return None
    if which == "latest" or all(snapshot.mlrap is None for snapshot in snapshots):
        return snapshots[-1]
    return max(snapshots, key=lambda snapshot: rank(snapshot.mlrap, snapshot.val_loss))


def find_at(path: Path, which: Literal["best", "latest"]) -> Snapshot | None:
    """Return the snapshot at `path`, or that of the run whose folder it is; None where it is neither.

    Raises
    ------
    UserError
        If a snapshot's description is damaged.
    """
    if (path / "snapshot.json").is_file():
        return describe(path)
    return find(path, which) if path.is_dir() else None


def rank(mlrap: float | None, val_loss: float | None) -> tuple[float, float]:
    """Return what the best net has most of: on few recordings many nets have the same MLRAP, and then the loss decides."""
    return -1.0 if mlrap is None else mlrap, 0.0 if val_loss is None else -val_loss


def all_of(run: Path) -> list[Snapshot]:
    """Return the snapshots of a run in the order of epochs; damaged ones are left out with a warning.

    Raises
    ------
    UserError
        If all that there are are damaged.
    """
    snapshots, troubles = [], []
    for folder in run.glob("epoch_*"):
        if re.fullmatch(r"epoch_\d+", folder.name):
            try:
                snapshots.append(describe(folder))
            except UserError as trouble:
                troubles.append(trouble)
    if troubles and not snapshots:
        raise troubles[0]
    for damaged in troubles:
        warn(str(damaged))
    return sorted(snapshots, key=lambda snapshot: snapshot.epoch)


def keep_best_and_newest(run: Path, *, newest: int) -> None:
    """Remove all snapshots of a run but the best and so many of the newest."""
    best, snapshots = find(run, "best"), all_of(run)
    for snapshot in snapshots[:-newest]:
        if snapshot != best:
            remove_folder(snapshot.folder)


def describe(folder: Path) -> Snapshot:
    """Read what a snapshot says of itself, without its weights.

    Raises
    ------
    UserError
        If it is damaged, or of a version that this program does not know.
    """
    try:
        state = json.loads((folder / "snapshot.json").read_text(encoding="utf-8"))
        classes = (folder / "classes.txt").read_text(encoding="utf-8").split("\n")[:-1]
        if state["version"] != VERSION:
            raise UserError(f"{folder}: is of version {state['version']}, this program reads version {VERSION}")
        if not classes:
            raise ValueError("classes.txt names no class")
        mlrap, loss = (None if state[name] is None else float(state[name]) for name in ("mlrap", "val_loss"))
        epoch, steps, sums = int(state["epoch"]), int(state["steps"]), tuple(map(float, state["sums"]))
        return Snapshot(
            folder, load(folder / "settings.toml"), tuple(classes), epoch, mlrap, str(state["data"]), loss, steps, sums
        )
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError, SettingsError) as error:
        raise UserError(
            f"{folder}: is no whole snapshot ({type(error).__name__}: {error}); remove it, earlier ones stay usable"
        ) from None


def learned_from(snapshot: Snapshot) -> set[str]:
    """Return the names of the recordings that a snapshot's net learned from, or that watched it; no test may use them.

    Raises
    ------
    UserError
        If they are not known.
    """
    try:
        return set((snapshot.folder / "learned.txt").read_text(encoding="utf-8").split("\n")[:-1])
    except (OSError, ValueError) as error:
        raise UserError(f"{snapshot.folder}: is no whole snapshot ({error})") from None


def restore_network(snapshot: Snapshot, like: Network) -> Network:
    """Read a snapshot's net.

    Parameters
    ----------
    like : a net of the same settings and classes

    Raises
    ------
    UserError
        If the weights are damaged or of another net.
    """
    return _restore_tree(snapshot.folder / "net", like)


def load_network(snapshot: Snapshot, *, dtype: DTypeLike = jnp.float32) -> tuple[nnx.GraphDef, Network]:
    """Build a snapshot's net and read its weights, to be used by `utils.models.networks.apply`; it computes in `dtype`.

    Raises
    ------
    UserError
        As `restore_net`.
    """
    graph, like = outline(
        snapshot.config.model, classes=len(snapshot.classes), shape=snapshot.config.spectrogram.shape, dtype=dtype
    )
    return graph, restore_network(snapshot, like)


def check_saved(snapshot: Snapshot) -> None:
    """Read back all that a snapshot holds: description, weights, and what training needs, each against its fingerprint.

    It goes into the memory of the host: that of the accelerator holds all of it once already.

    Raises
    ------
    TooLarge
        If memory does not suffice.
    UserError
        If it cannot be read back.
    """
    there = describe(snapshot.folder)
    _, like = outline(there.config.model, classes=len(there.classes), shape=there.config.spectrogram.shape)
    _restore_leaves(there.folder / "net", name_leaves(like), on_host=True)
    _restore_leaves(there.folder / "training", None, on_host=True)


def restore_training(snapshot: Snapshot, like: Tree) -> Tree:
    """Read what training needs besides the net to go on; `like` is a tree of the same shapes."""
    return _restore_tree(snapshot.folder / "training", like)


def name_leaves(tree: Any) -> dict[str, Any]:
    """Name the leaves of a tree by their way in it, such as 'params/blocks/0/convolution_in/kernel'."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/").removesuffix("/value"): leaf for path, leaf in leaves
    }


def unname_leaves(like: Tree, leaves: Mapping[str, Any]) -> Tree:
    """Put named leaves into a tree of the form of `like`."""
    return jax.tree.unflatten(jax.tree.structure(like), [leaves[name] for name in name_leaves(like)])


@contextmanager
def _orbax() -> Iterator[ocp.StandardCheckpointer]:
    """Yield what saves and reads trees. What goes wrong it raises, to be told in one line; the traceback that it logs besides is left out."""
    logger = logging.getLogger("absl")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            yield checkpointer
    finally:
        logger.setLevel(before)


def _save_tree(folder: Path, tree: Any) -> None:
    leaves = name_leaves(tree)
    write_text(fingerprint_file(folder), f"{_fingerprint(leaves)}\n")
    try:
        with _plain(folder) as place, _orbax() as checkpointer:  # which goes on saving until its block ends
            checkpointer.save(place, leaves)
    except (ValueError, OSError) as error:
        if "RESOURCE_EXHAUSTED" in str(error) or "No space left" in str(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder.parent)) from None
        raise


@contextmanager
def _plain(folder: Path) -> Iterator[Path]:
    """Yield a path to a folder that means only that folder to Orbax: through a link with a plain name, where its own path could be misread.

    Raises
    ------
    UserError
        If no such link can be made.
    """
    whole = folder.absolute()
    if not MISREAD.search(whole.as_posix()):
        yield whole
        return
    places = [
        place
        for place in (tempfile.gettempdir(), *PLAIN_PLACES)
        if not MISREAD.search(Path(place).as_posix()) and Path(place).is_dir()
    ]
    try:
        beside = tempfile.TemporaryDirectory(prefix="snapshot-", dir=places[0])
    except (OSError, IndexError):
        raise _no_link(folder) from None
    with beside as home:
        link = Path(home) / "there"
        try:
            link.symlink_to(whole.parent, target_is_directory=True)
        except OSError:  # on Windows, few may make links
            raise _no_link(folder) from None
        yield link / whole.name


def _no_link(folder: Path) -> UserError:
    return UserError(
        f"{folder}: snapshots need a path without brackets, backslashes, * and ? here; choose another folder for --snapshots"
    )


def fingerprint_file(folder: Path) -> Path:
    """Return the file that holds the SHA-256 of a tree's arrays: beside the tree's folder."""
    return folder.with_name(f"{folder.name}.sha256")


def _fingerprint(leaves: Mapping[str, Any]) -> str:
    content = hashlib.sha256()
    for name in sorted(leaves):
        content.update(name.encode() + np.asarray(leaves[name]).tobytes())
    return content.hexdigest()


def _restore_tree(folder: Path, like: Tree) -> Tree:
    return unname_leaves(like, _restore_leaves(folder, name_leaves(like)))


def _restore_leaves(folder: Path, wanted: Mapping[str, Any] | None, *, on_host: bool = False) -> dict[str, Any]:
    """Read the arrays of a tree; `wanted` has their shapes and types, None takes what is there. `on_host`: as arrays of NumPy."""
    try:
        with _plain(folder) as place, _orbax() as checkpointer:
            there = checkpointer.metadata(place).item_metadata.tree
            if wanted is not None:
                _check_same(
                    folder, *({name: tuple(leaf.shape) for name, leaf in leaves.items()} for leaves in (there, wanted))
                )
            arrays = checkpointer.restore(
                place, (_on_host if on_host else _abstract)(there if wanted is None else wanted)
            )
        kept = fingerprint_file(folder)
        # earlier versions kept none
        if kept.is_file() and kept.read_text(encoding="utf-8").strip() != _fingerprint(arrays):
            raise ValueError("the numbers are others than those that were saved")
    except UserError:
        raise
    except Exception as error:  # noqa: BLE001 — of damaged files Orbax raises anything, Exception itself included
        if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
            raise TooLarge(
                f"{folder}: memory does not suffice to read it; the snapshot stays, free memory and run the same command again"
            ) from None
        raise UserError(
            f"{folder}: cannot be read ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''})"
        ) from None
    return arrays


def _abstract(leaves: Mapping[str, Any]) -> dict[str, jax.ShapeDtypeStruct]:
    here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])  # of shapes that stand for numbers
    shardings = {name: getattr(leaf, "sharding", None) for name, leaf in leaves.items()}
    places = {
        name: sharding if isinstance(sharding, jax.sharding.Sharding) else here for name, sharding in shardings.items()
    }
    return {name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=places[name]) for name, leaf in leaves.items()}


def _on_host(leaves: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return arrays that have shapes and types, and take no memory."""
    return {name: np.broadcast_to(np.zeros((), leaf.dtype), leaf.shape) for name, leaf in leaves.items()}


def _check_same(folder: Path, there: dict[str, tuple[int, ...]], wanted: dict[str, tuple[int, ...]]) -> None:
    """Compare names and shapes first: Orbax's own message about a difference has a hundred lines."""
    for name in sorted(there.keys() | wanted.keys()):
        if there.get(name) != wanted.get(name):
            raise UserError(
                f"{folder}: is of another net: {name} is {there.get(name, 'missing')}, should be {wanted.get(name, 'missing')}"
            )
