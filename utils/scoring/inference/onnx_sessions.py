"""Networks run by ONNX Runtime on the CPU, in batches, and what they make of clips; without JAX."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.special
from jaxtyping import Float, Float32

from utils.models.onnx.interface import INPUT, OUTPUT, FurtherOutput
from utils.spectra.stored_sound import ModelInput
from utils.workers.worker_processes import THREADS_OF_MODELS

Pixels = ModelInput


class ClipOutputs(NamedTuple):
    """What a network makes of clips; embeddings and logits of frames only if they were asked for."""

    logits: Float32[np.ndarray, "clips classes"]
    embeddings: Float32[np.ndarray, "clips embedding"] | None = None
    frames: Float32[np.ndarray, "clips frames classes"] | None = None


def open_session(model: bytes) -> Any:
    """Return a session of ONNX Runtime for a model, with as many threads as `threads_of_models` says."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads_of_models()
    # threads that spin while they wait would take the cores from the workers that decode
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def run_session(session: Any, pixels: Pixels, *, batch_size: int, further: Sequence[FurtherOutput] = ()) -> ClipOutputs:
    """Return what the network of a session makes of any number of spectrograms.

    Parameters
    ----------
    further : what is returned beside the logits
    """
    names = [OUTPUT, *further]
    starts = range(0, len(pixels), batch_size)
    batches = [session.run(names, {INPUT: pixels[start : start + batch_size]}) for start in starts]
    return concatenated([dict(zip(names, batch, strict=True)) for batch in batches])


def concatenated(batches: Sequence[Mapping[str, Any]], *, clips: int | None = None) -> ClipOutputs:
    """Return the outputs of batches one after the other; without those after `clips` clips, which are padding."""
    names = batches[0].keys()
    return ClipOutputs(**{name: np.concatenate([np.asarray(one[name]) for one in batches])[:clips] for name in names})


def threads_of_models() -> int:
    """Return how many threads run a model: what the environment says, if that is a positive integer, else all cores."""
    given = os.environ.get(THREADS_OF_MODELS, "").strip()
    if given.isdecimal() and int(given) > 0:
        return int(given)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def scores_of(logits: Float[np.ndarray, "*rows classes"], *, multi_label: bool) -> Float[np.ndarray, "*rows classes"]:
    """Turn logits into scores from 0 to 1: sigmoids if clips have several labels, else a softmax, which sums to 1."""
    return scipy.special.expit(logits) if multi_label else scipy.special.softmax(logits, axis=-1)
