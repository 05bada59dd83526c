"""Predictors: what a network makes of any number of spectrograms, in batches, by JAX or ONNX Runtime."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32, Shaped

from config import Testing
from utils import console
from utils.models.input_scaling import from_pixels
from utils.models.networks import Network, all_outputs
from utils.models.onnx.export import INPUT, OUTPUT, FurtherOutput, can_export, check_can_export, to_onnx_model
from utils.spectra.stored_sound import ModelInput
from utils.workers.worker_processes import THREADS_OF_MODELS

Pixels = ModelInput
INT8 = "onnx-int8"  # value of `testing.engine`


class ClipOutputs(NamedTuple):
    """What a network makes of clips; embeddings and logits of frames only if they were asked for."""

    logits: Float32[np.ndarray, "clips classes"]
    embeddings: Float32[np.ndarray, "clips embedding"] | None = None
    frames: Float32[np.ndarray, "clips frames classes"] | None = None


Predict = Callable[[Network, ModelInput | Array], ClipOutputs]


def chosen_predictor(
    graph: nnx.GraphDef,
    network: Network,
    *,
    shape: tuple[int, int],
    settings: Testing,
    calibration: Callable[[], Pixels] | None = None,
    further: Sequence[FurtherOutput] = (),
    dtype: DTypeLike = np.uint8,
) -> Predict:
    """Return the predictor that `testing.engine` names; JAX's, with a warning, if ONNX cannot express the network.

    Parameters
    ----------
    network : the one that it will run, or the first of several of the same architecture
    shape, dtype : `Config.input_shape` and `Config.input_dtype` of the network
    calibration : returns the clips that `testing.engine = onnx-int8` needs
    further : what it returns beside the logits

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
                further=further,
                dtype=dtype,
            )
        # whatever fails while the network is traced, exported or read, JAX can still run it
        except Exception as error:  # noqa: BLE001
            reason = f"{type(error).__name__}: {console.one_line(str(error))}"
            console.warning(f"ONNX Runtime cannot run this network ({reason}); JAX runs it, which is slower on a CPU")
    return predictor(graph, batch_size=settings.batch_size, further=further)


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
    further: Sequence[FurtherOutput] = (),
    dtype: DTypeLike = np.uint8,
) -> Predict:
    """Return the same as `predictor`, run by ONNX Runtime on the CPU; each network is exported to ONNX once, in memory.

    Parameters
    ----------
    calibration : spectrograms by which networks become ones that compute in int8; None: in float32
    further, dtype : as for `chosen_predictor`

    Raises
    ------
    UnsupportedByOnnx
        If the network has an operation that the exporter does not know.
    """
    sessions: dict[int, tuple[Network, Any]] = {}  # holds the network, so that no other gets its id

    def session_of(network: Network) -> Any:
        if id(network) not in sessions:
            model = to_onnx_model(graph, network, shape=shape, dtype=dtype, further=further)
            if calibration is not None:
                from utils.models.onnx.int8 import to_int8

                model = to_int8(model, calibration)
            sessions[id(network)] = network, _session(model.SerializeToString())
        return sessions[id(network)][1]

    names = [OUTPUT, *further]

    def predict(network: Network, pixels: ModelInput | Array) -> ClipOutputs:
        session, pixels = session_of(network), np.asarray(pixels)
        starts = range(0, len(pixels), batch_size)
        batches = [session.run(names, {INPUT: pixels[start : start + batch_size]}) for start in starts]
        return _concatenated([dict(zip(names, batch, strict=True)) for batch in batches])

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


def predictor(graph: nnx.GraphDef, *, batch_size: int, further: Sequence[FurtherOutput] = ()) -> Predict:
    """Return a function from (network, spectrograms) to what it makes of these clips; it compiles once.

    Parameters
    ----------
    further : as for `chosen_predictor`
    """

    @jax.jit
    def outputs_of_batch(network: Network, pixels: Shaped[Array, "batch height width"]) -> dict[str, Array]:
        found = all_outputs(graph, network, from_pixels(pixels))
        return {name: getattr(found, name) for name in (OUTPUT, *further)}

    def predict(network: Network, pixels: ModelInput | Array) -> ClipOutputs:
        starts = range(0, len(pixels), batch_size)
        missing = -len(pixels) % batch_size
        if missing:
            library = np if isinstance(pixels, np.ndarray) else jnp
            pixels = library.concatenate([pixels, library.zeros((missing, *pixels.shape[1:]), pixels.dtype)])
        # the device computes the next batch while outputs are fetched
        coming = [outputs_of_batch(network, pixels[start : start + batch_size]) for start in starts]
        return _concatenated(coming, clips=len(pixels) - missing)

    return predict


def _concatenated(batches: Sequence[Mapping[str, Any]], *, clips: int | None = None) -> ClipOutputs:
    """Return the outputs of batches one after the other; without those after `clips` clips, which are padding."""
    names = batches[0].keys()
    return ClipOutputs(**{name: np.concatenate([np.asarray(one[name]) for one in batches])[:clips] for name in names})


def scores_of(logits: Float[np.ndarray, "*rows classes"], *, multi_label: bool) -> Float[np.ndarray, "*rows classes"]:
    """Turn logits into scores from 0 to 1: sigmoids if clips have several labels, else a softmax, which sums to 1."""
    return scipy.special.expit(logits) if multi_label else scipy.special.softmax(logits, axis=-1)
