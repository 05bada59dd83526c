"""Trees of arrays on disk, by Orbax, each with the SHA-256 of its arrays beside it.

Some flipped bits Orbax reads as other numbers, without an error; the digest finds them.
"""

import errno
import hashlib
import logging
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
import orbax.checkpoint as ocp

from utils.console import UserError
from utils.files import digest_file, write_text

# Orbax takes these in any part of a path for a pattern, and TensorStore a backslash for the end of a folder's name
MISREAD = re.compile(r"[\\*?\[\]]")
# folders for a link, if the usual one for temporary files has such a name itself
LINK_FOLDERS = ("/tmp", "/var/tmp")  # noqa: S108
Tree = TypeVar("Tree")


class TooLarge(UserError):
    """A snapshot that memory does not suffice to read; it is intact and must not be removed."""


def named_leaves(tree: Any) -> dict[str, Any]:
    """Name the leaves of a tree by their paths in it, such as 'params/blocks/0/convolution_in/kernel'."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/").removesuffix("/value"): leaf for path, leaf in leaves
    }


def unflatten_named(like: Tree, leaves: Mapping[str, Any]) -> Tree:
    """Put named leaves into a tree with the structure of `like`."""
    return jax.tree.unflatten(jax.tree.structure(like), [leaves[name] for name in named_leaves(like)])


def save_tree(folder: Path, tree: Any) -> None:
    """Save a tree of arrays to a folder, and its digest beside it.

    Raises
    ------
    OSError
        If the disk is full, also if Orbax reports that as something else.
    """
    leaves = named_leaves(tree)
    write_text(digest_file(folder), f"{_digest_of(leaves)}\n")
    try:
        with _path_for_orbax(folder) as path, _checkpointer() as checkpointer:  # saves until its block ends
            checkpointer.save(path, leaves)
    except (ValueError, OSError) as error:
        if "RESOURCE_EXHAUSTED" in str(error) or "No space left" in str(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder.parent)) from None
        raise


def restore_tree(folder: Path, like: Tree) -> Tree:
    """Read a tree of arrays; `like` has the same structure and shapes. Raises the same errors as `restore_leaves`."""
    return unflatten_named(like, restore_leaves(folder, named_leaves(like)))


def restore_leaves(folder: Path, wanted: Mapping[str, Any] | None, *, on_host: bool = False) -> dict[str, Any]:
    """Read the arrays of a tree by their names.

    Parameters
    ----------
    wanted : arrays with the expected shapes and types; None: those on disk
    on_host : return arrays of NumPy

    Raises
    ------
    TooLarge
        If memory does not suffice.
    UserError
        If the arrays are damaged, or have other names or shapes.
    """
    try:
        with _path_for_orbax(folder) as path, _checkpointer() as checkpointer:
            saved = checkpointer.metadata(path).item_metadata.tree
            if wanted is not None:
                _check_shapes(folder, _shapes(saved), _shapes(wanted))
            templates = (_host_templates if on_host else _device_templates)(saved if wanted is None else wanted)
            arrays = checkpointer.restore(path, templates)
        digest = digest_file(folder)
        # earlier versions saved none
        if digest.is_file() and digest.read_text(encoding="utf-8").strip() != _digest_of(arrays):
            raise ValueError("the arrays differ from those that were saved")
    except UserError:
        raise
    except Exception as error:  # noqa: BLE001 — Orbax raises anything for damaged files, Exception itself included
        raise _as_user_error(error, folder) from None
    return arrays


def _as_user_error(error: Exception, folder: Path) -> UserError:
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
        return TooLarge(
            f"{folder}: not enough memory to read it; the snapshot is intact, free some memory and run the same "
            "command again"
        )
    first_line = str(error).partition("\n")[0]
    return UserError(f"{folder}: cannot be read ({type(error).__name__}: {first_line})")


@contextmanager
def _checkpointer() -> Iterator[ocp.StandardCheckpointer]:
    """Yield Orbax's checkpointer, which waits for no other host; its log is off, as errors are one line."""
    logger = logging.getLogger("absl")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        here = jax.process_index()
        alone = ocp.options.MultiprocessingOptions(primary_host=here, active_processes={here})
        with ocp.StandardCheckpointer(multiprocessing_options=alone) as checkpointer:
            yield checkpointer
    finally:
        logger.setLevel(before)


@contextmanager
def _path_for_orbax(folder: Path) -> Iterator[Path]:
    """Yield a path that Orbax does not misread: that of the folder, or a link to it with a plain name.

    Raises
    ------
    UserError
        If no such link can be made.
    """
    absolute = folder.absolute()
    if not MISREAD.search(absolute.as_posix()):
        yield absolute
        return
    usable = [
        candidate
        for candidate in (tempfile.gettempdir(), *LINK_FOLDERS)
        if not MISREAD.search(Path(candidate).as_posix()) and Path(candidate).is_dir()
    ]
    try:
        temporary = tempfile.TemporaryDirectory(prefix="snapshot-", dir=usable[0])
    except (OSError, IndexError):
        raise _no_link(folder) from None
    with temporary as home:
        link = Path(home) / "link"
        try:
            link.symlink_to(absolute.parent, target_is_directory=True)
        except OSError:  # on Windows, few users may make links
            raise _no_link(folder) from None
        yield link / absolute.name


def _no_link(folder: Path) -> UserError:
    return UserError(
        f"{folder}: on this machine, snapshots need a path without brackets, backslashes, * and ?; choose another "
        "folder for --snapshots"
    )


def _digest_of(leaves: Mapping[str, Any]) -> str:
    content = hashlib.sha256()
    for name in sorted(leaves):
        content.update(name.encode() + np.asarray(leaves[name]).tobytes())
    return content.hexdigest()


def _shapes(leaves: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(leaf.shape) for name, leaf in leaves.items()}


def _check_shapes(folder: Path, saved: dict[str, tuple[int, ...]], wanted: dict[str, tuple[int, ...]]) -> None:
    """Compare names and shapes first: Orbax's message about a difference has a hundred lines."""
    for name in sorted(saved.keys() | wanted.keys()):
        if saved.get(name) != wanted.get(name):
            raise UserError(
                f"{folder}: belongs to another model: {name} is {saved.get(name, 'missing')}, should be "
                f"{wanted.get(name, 'missing')}"
            )


def _device_templates(leaves: Mapping[str, Any]) -> dict[str, jax.ShapeDtypeStruct]:
    """Return shapes, types and shardings: those of arrays, or the first device."""
    default = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    templates = {}
    for name, leaf in leaves.items():
        sharding = getattr(leaf, "sharding", None)
        known = sharding if isinstance(sharding, jax.sharding.Sharding) else default
        templates[name] = jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=known)
    return templates


def _host_templates(leaves: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return arrays with the same shapes and types, which take no memory."""
    return {name: np.broadcast_to(np.zeros((), leaf.dtype), leaf.shape) for name, leaf in leaves.items()}
