"""A net's answers to any number of pictures, in batches: by JAX, or by ONNX Runtime."""

import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from flax import nnx
from jaxtyping import Array, Float, UInt8

from config import Testing
from utils import console
from utils.models.export import INPUT, OUTPUT, can_export, check_can_export, to_model
from utils.models.networks import Network, apply, from_pixels, stretch

Logits = Float[np.ndarray, "clips classes"]
Scores = Float[np.ndarray, "clips classes"]
Predict = Callable[[Network, UInt8[np.ndarray | Array, "clips height width"]], Logits]


def chosen_predictor(graph: nnx.GraphDef, net: Network, *, shape: tuple[int, int], settings: Testing) -> Predict:
    """Return the predictor that `testing.engine` names; JAX's, with a warning, where ONNX cannot express the net.

    Parameters
    ----------
    net : the first, or the only one, that it will be asked for
    shape : height and width of the pictures, pixels

    Raises
    ------
    UserError
        If ONNX Runtime is asked for by name, and not installed.
    """
    on_cpu = jax.default_backend() == "cpu"
    if settings.engine == "onnx":
        check_can_export("testing.engine = onnx")
    if settings.engine == "onnx" or (settings.engine == "auto" and on_cpu and can_export()):
        try:
            return onnx_predictor(graph, net, shape=shape, batch_size=settings.batch_size)
        # whatever fails in tracing, writing or reading the net, JAX can still run it
        except Exception as error:  # noqa: BLE001
            console.warn(
                f"ONNX cannot run this net ({type(error).__name__}: {console.one_line(str(error))}); JAX does, which takes longer on a CPU"
            )
    return predictor(graph, batch_size=settings.batch_size)


def onnx_predictor(graph: nnx.GraphDef, net: Network, *, shape: tuple[int, int], batch_size: int) -> Predict:
    """Return the same as `predictor`, run by ONNX Runtime on the CPU; each net is written as ONNX once, in memory.

    Raises
    ------
    Unwritable
        If the net does what ONNX has no word for here.
    """
    sessions: dict[int, tuple[Network, Any]] = {}  # the net is kept, so that no other gets its id

    def session_of(net: Network) -> Any:
        if id(net) not in sessions:
            sessions[id(net)] = net, _session(to_model(graph, net, shape=shape).SerializeToString())
        return sessions[id(net)][1]

    def predict(net: Network, pixels: UInt8[np.ndarray | Array, "clips height width"]) -> Logits:
        session, pixels = session_of(net), np.asarray(pixels)
        starts = range(0, len(pixels), batch_size)
        return np.concatenate(
            [session.run([OUTPUT], {INPUT: pixels[start : start + batch_size]})[0] for start in starts]
        )

    session_of(net)
    return predict


def _session(model: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    # threads that wait for work would take the cores from workers that decode
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def predictor(graph: nnx.GraphDef, *, batch_size: int) -> Predict:
    """Return a function of (net, pictures) that answers logits, float32 (clips, classes); it compiles once, for one batch size."""

    @jax.jit
    def answer(net: Network, pixels: UInt8[Array, "batch height width"]) -> Float[Array, "batch classes"]:
        return apply(graph, net, stretch(from_pixels(pixels)))[0]

    def predict(net: Network, pixels: UInt8[np.ndarray | Array, "clips height width"]) -> Logits:
        starts = range(0, len(pixels), batch_size)
        missing = -len(pixels) % batch_size
        if missing:
            library = np if isinstance(pixels, np.ndarray) else jnp
            pixels = library.concatenate([pixels, library.zeros((missing, *pixels.shape[1:]), np.uint8)])
        # the device goes on while answers are fetched
        coming = [answer(net, pixels[start : start + batch_size]) for start in starts]
        return np.concatenate([np.asarray(logits) for logits in coming])[: len(pixels) - missing]

    return predict


def scores_of(logits: Logits, loss: str) -> Scores:
    """Turn logits into scores from 0 to 1: of a net that learned one label a clip they sum to 1, of one that learned many (`binary`) each stands alone."""
    return scipy.special.expit(logits) if loss == "binary" else scipy.special.softmax(logits, axis=1)
