"""The network of a snapshot as an ONNX graph, cached in the snapshot's folder, so that inference starts without JAX.

    epoch_012/network.onnx         all outputs of the network
    epoch_012/network.onnx.sha256  digests of that file, of what it was made from, and of the code that made it

A graph whose digests differ is not used, and made again.
"""

import hashlib
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from utils.console import one_line, warning
from utils.files import atomic_file, digest_file, write_text
from utils.models.onnx.interface import FurtherOutput
from utils.models.snapshots import Snapshot, network_digest

MODELS = Path(__file__).parents[1]
CODE = (MODELS / "onnx", MODELS / "architectures", MODELS / "networks.py", MODELS / "input_scaling.py")


def graph_of(snapshot: Snapshot) -> bytes | None:
    """Return the network of a snapshot as an ONNX graph with all its outputs, made and cached if there is none.

    None, with a warning, if the network cannot be written as a graph.

    Raises
    ------
    UserError
        If the snapshot is damaged.
    """
    return _cached(snapshot) or _made(snapshot)


def _graph_file(snapshot: Snapshot) -> Path:
    return snapshot.folder / "network.onnx"


def _cached(snapshot: Snapshot) -> bytes | None:
    path = _graph_file(snapshot)
    try:
        graph, digests = path.read_bytes(), digest_file(path).read_text(encoding="utf-8")
    except (OSError, ValueError):  # it was never made, or half of the pair is missing
        return None
    return graph if digests == _digests(graph, source_digest(snapshot)) else None


def _digests(graph: bytes, source: str) -> str:
    return "".join(f"{one}\n" for one in (hashlib.sha256(graph).hexdigest(), source, code_digest()))


def source_digest(snapshot: Snapshot) -> str:
    """Return the digest of what decides on a graph: weights, model settings, input and classes; '' without the first.

    Snapshots of earlier versions have no digest of their weights.
    """
    weights, config = network_digest(snapshot), snapshot.config
    source = repr((weights, config.model, config.input_shape, str(config.input_dtype), snapshot.classes))
    return hashlib.sha256(source.encode()).hexdigest() if weights else ""


@lru_cache
def code_digest() -> str:
    """Return the digest of the source files that decide on a graph."""
    digest = hashlib.sha256()
    for folder in CODE:
        for path in sorted(folder.glob("*.py")) if folder.is_dir() else [folder]:
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _made(snapshot: Snapshot) -> bytes | None:
    from utils.models.onnx.export import to_onnx_model
    from utils.models.saved_networks import load_network

    further: tuple[FurtherOutput, ...] = ("embeddings", "frames") if snapshot.config.has_frames else ("embeddings",)
    source = source_digest(snapshot)
    graph, network = load_network(snapshot)
    shape, dtype = snapshot.config.input_shape, snapshot.config.input_dtype
    # whatever fails while the network is traced or written, JAX can still run it
    try:
        made = to_onnx_model(graph, network, shape=shape, dtype=dtype, further=further).SerializeToString()
    except Exception as error:  # noqa: BLE001
        warn_of_jax(error)
        return None
    if source and source == source_digest(snapshot):  # else a training has just saved the epoch again
        with suppress(OSError):  # somebody else's snapshot, or a full disk: it is made again the next time
            with atomic_file(_graph_file(snapshot)) as stream:
                stream.write(made)
            write_text(digest_file(_graph_file(snapshot)), _digests(made, source))
    return made


def warn_of_jax(error: Exception) -> None:
    """Warn that ONNX Runtime cannot run a network."""
    reason = f"{type(error).__name__}: {one_line(str(error))}"
    warning(f"ONNX Runtime cannot run this network ({reason}); JAX runs it, which is slower on a CPU")
