"""Predictors: a network's logits for any number of spectrograms, in batches, by JAX or ONNX Runtime."""

import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Shaped

from config import Testing
from utils import console
from utils.models.input_scaling import from_pixels
from utils.models.networks import Network, apply, apply_and_embed
from utils.models.onnx.export import INPUT, OUTPUT, can_export, check_can_export, to_onnx_model
from utils.spectra.stored_sound import ModelInput
from utils.workers.worker_processes import THREADS_OF_MODELS

ClipTable = Float[np.ndarray, "clips classes"]  # logits, or scores from 0 to 1
Pixels = ModelInput
INT8 = "onnx-int8"  # value of `testing.engine`
Predict = Callable[[Network, ModelInput | Array], ClipTable]


def chosen_predictor(
    graph: nnx.GraphDef,
    network: Network,
    *,
    shape: tuple[int, int],
    settings: Testing,
    calibration: Callable[[], Pixels] | None = None,
    embeddings: bool = False,
    dtype: DTypeLike = np.uint8,
) -> Predict:
    """Return the predictor that `testing.engine` names; JAX's, with a warning, if ONNX cannot express the network.

    Parameters
    ----------
    network : the one that it will run, or the first of several of the same architecture
    shape, dtype : `Config.input_shape` and `Config.input_dtype` of the network
    calibration : returns the clips that `testing.engine = onnx-int8` needs
    embeddings : whether it returns embeddings beside the logits, as further columns

    Raises
    ------
    UserError
        If `testing.engine` is onnx or onnx-int8 and ONNX Runtime is not installed, or there are no clips for int8.
    """
    check_engine(settings)
    if runs_onnx(settings):
        clips = calibration() if calibration and settings.engine == INT8 else None
        if clips is None and settings.engine == INT8:
            raise console.UserError(f"testing.engine = {INT8}: needs clips of a store; use testing.engine = onnx")
        try:
            return onnx_predictor(
                graph,
                network,
                shape=shape,
                batch_size=settings.batch_size,
                calibration=clips,
                embeddings=embeddings,
                dtype=dtype,
            )
        # whatever fails while the network is traced, exported or read, JAX can still run it
        except Exception as error:  # noqa: BLE001
            reason = f"{type(error).__name__}: {console.one_line(str(error))}"
            console.warning(f"ONNX Runtime cannot run this network ({reason}); JAX runs it, which is slower on a CPU")
    return predictor(graph, batch_size=settings.batch_size, embeddings=embeddings)


def check_engine(settings: Testing) -> None:
    """Refuse an engine that is not installed.

    Raises
    ------
    UserError
        That says how to install it.
    """
    if settings.engine in ("onnx", INT8):
        check_can_export(f"testing.engine = {settings.engine}")


def runs_onnx(settings: Testing) -> bool:
    """Tell whether ONNX Runtime is to run models, rather than JAX."""
    on_cpu = jax.default_backend() == "cpu"
    return settings.engine in ("onnx", INT8) or (settings.engine == "auto" and on_cpu and can_export())


def engine_text(settings: Testing) -> str:
    """Return the name of what is to run models, for reports."""
    if not runs_onnx(settings):
        return "JAX"
    return f"ONNX Runtime, {'int8' if settings.engine == INT8 else 'float32'}"


def onnx_predictor(
    graph: nnx.GraphDef,
    network: Network,
    *,
    shape: tuple[int, int],
    batch_size: int,
    calibration: Pixels | None = None,
    embeddings: bool = False,
    dtype: DTypeLike = np.uint8,
) -> Predict:
    """Return the same as `predictor`, run by ONNX Runtime on the CPU; each network is exported to ONNX once, in memory.

    Parameters
    ----------
    calibration : spectrograms by which networks become ones that compute in int8; None: in float32
    embeddings, dtype : as for `chosen_predictor`

    Raises
    ------
    UnsupportedByOnnx
        If the network has an operation that the exporter does not know.
    """
    sessions: dict[int, tuple[Network, Any]] = {}  # holds the network, so that no other gets its id

    def session_of(network: Network) -> Any:
        if id(network) not in sessions:
            model = to_onnx_model(graph, network, shape=shape, dtype=dtype, embeddings=embeddings)
            if calibration is not None:
                from utils.models.onnx.int8 import to_int8

                model = to_int8(model, calibration)
            sessions[id(network)] = network, _session(model.SerializeToString())
        return sessions[id(network)][1]

    def predict(network: Network, pixels: ModelInput | Array) -> ClipTable:
        session, pixels = session_of(network), np.asarray(pixels)
        starts = range(0, len(pixels), batch_size)
        return np.concatenate(
            [session.run([OUTPUT], {INPUT: pixels[start : start + batch_size]})[0] for start in starts]
        )

    session_of(network)
    return predict


def _session(model: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads_of_models()
    # threads that spin while they wait would take the cores from the workers that decode
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def threads_of_models() -> int:
    """Return how many threads run a model: what the environment says, if that is a positive integer, else all cores."""
    given = os.environ.get(THREADS_OF_MODELS, "").strip()
    if given.isdecimal() and int(given) > 0:
        return int(given)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def predictor(graph: nnx.GraphDef, *, batch_size: int, embeddings: bool = False) -> Predict:
    """Return a function from (network, spectrograms) to logits, float32 (clips, classes); it compiles once.

    Parameters
    ----------
    embeddings : as for `chosen_predictor`
    """

    @jax.jit
    def logits_of_batch(network: Network, pixels: Shaped[Array, "batch height width"]) -> Float[Array, "batch columns"]:
        images = from_pixels(pixels)
        return apply_and_embed(graph, network, images) if embeddings else apply(graph, network, images)[0]

    def predict(network: Network, pixels: ModelInput | Array) -> ClipTable:
        starts = range(0, len(pixels), batch_size)
        missing = -len(pixels) % batch_size
        if missing:
            library = np if isinstance(pixels, np.ndarray) else jnp
            pixels = library.concatenate([pixels, library.zeros((missing, *pixels.shape[1:]), pixels.dtype)])
        # the device computes the next batch while logits are fetched
        coming = [logits_of_batch(network, pixels[start : start + batch_size]) for start in starts]
        return np.concatenate([np.asarray(logits) for logits in coming])[: len(pixels) - missing]

    return predict


def scores_of(logits: ClipTable, *, multi_label: bool) -> ClipTable:
    """Turn logits into scores from 0 to 1: sigmoids if clips have several labels, else a softmax, which sums to 1."""
    return scipy.special.expit(logits) if multi_label else scipy.special.softmax(logits, axis=1)
