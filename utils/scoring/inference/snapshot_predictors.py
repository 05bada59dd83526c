"""The network of a snapshot as a function from spectrograms to what it makes of them."""

from collections.abc import Callable, Sequence
from functools import partial

from config import Testing
from utils.console import UserError
from utils.models.onnx.cached import graph_of, warn_of_jax
from utils.models.onnx.interface import FurtherOutput
from utils.models.snapshots import Snapshot
from utils.scoring.inference.engines import INT8, check_engine, runs_onnx
from utils.scoring.inference.onnx_sessions import ClipOutputs, Pixels, open_session, run_session

SnapshotPredictor = Callable[[Pixels], ClipOutputs]


def snapshot_predictor(
    snapshot: Snapshot, settings: Testing, *, further: Sequence[FurtherOutput] = ()
) -> SnapshotPredictor:
    """Return the network of a snapshot, run by what `testing.engine` names; by JAX if ONNX cannot express it.

    With ONNX Runtime and a cached graph, JAX is not imported.

    Parameters
    ----------
    further : what it returns beside the logits

    Raises
    ------
    UserError
        If the network cannot be read, the engine is not installed, or there are no clips for int8.
    """
    check_engine(settings)
    by_onnx = _by_onnx(snapshot, settings, further) if runs_onnx(settings) else None
    return by_onnx or _by_jax(snapshot, settings, further)


def _by_onnx(snapshot: Snapshot, settings: Testing, further: Sequence[FurtherOutput]) -> SnapshotPredictor | None:
    graph = graph_of(snapshot)
    if graph is None:
        return None
    try:
        session = open_session(_in_int8(graph, snapshot) if settings.engine == INT8 else graph)
    except UserError:
        raise
    except Exception as error:  # noqa: BLE001 — ONNX Runtime raises types of its own; JAX can still run the network
        warn_of_jax(error)
        return None
    return partial(run_session, session, batch_size=settings.batch_size, further=further)


def _in_int8(graph: bytes, snapshot: Snapshot) -> bytes:
    import onnx

    from utils.models.onnx.int8 import to_int8
    from utils.scoring.inference.calibration_clips import calibration_clips

    return to_int8(onnx.load_from_string(graph), calibration_clips(snapshot)).SerializeToString()


def _by_jax(snapshot: Snapshot, settings: Testing, further: Sequence[FurtherOutput]) -> SnapshotPredictor:
    from utils.models.saved_networks import load_network
    from utils.scoring.inference.predictors import predictor

    graph, network = load_network(snapshot)
    return partial(predictor(graph, batch_size=settings.batch_size, further=further), network)
