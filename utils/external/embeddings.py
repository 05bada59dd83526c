"""The embeddings of a clip: what a bird model makes of its windows. Workers load each model once."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Float16, Float32

from config import External
from utils.console import UserError
from utils.external.model_files import file_of, open_model_file

LARGEST_FLOAT16 = float(np.finfo(np.float16).max)


class ModelUnavailable(Exception):
    """A worker cannot load the bird model: no fault of the recording, which is tried again."""


Embedder = Callable[[Float[np.ndarray, " samples"]], Float16[np.ndarray, "windows values"]]


def embed_clip(samples: Float[np.ndarray, " samples"], external: External) -> Float16[np.ndarray, "windows values"]:
    """Return the embeddings of a clip's windows, float16.

    Parameters
    ----------
    samples : of the clip, at `external.rate`, from −1 to 1
    external : settings that are filled in

    Raises
    ------
    ModelUnavailable
        If the file of the model is gone, or what runs it is not installed.
    UserError
        If an embedding is NaN or infinite.
    """
    return _embedder(external)(samples)


@lru_cache(maxsize=4)
def _embedder(external: External) -> Embedder:
    path = file_of(external)
    try:
        run = open_model_file(path).runner(external.embedding)
    except UserError as error:
        raise ModelUnavailable(str(error)) from None
    length = round(external.window * external.rate)
    step = round((external.hop or external.window) * external.rate)

    def embed(samples: Float[np.ndarray, " samples"]) -> Float16[np.ndarray, "windows values"]:
        starts = range(0, max(len(samples) - length, 0) + 1, step)
        windows = np.stack([_filled_up(samples[start : start + length], length) for start in starts])
        found = run(scaled_to_peak(windows, external.peak) if external.peak else windows)
        if not np.isfinite(found).all():
            raise UserError(f"{path}: gives NaN or infinity for a clip; use another external.embedding")
        return np.clip(found, -LARGEST_FLOAT16, LARGEST_FLOAT16).astype(np.float16)

    return embed


def _filled_up(samples: Float[np.ndarray, " _"], length: int) -> Float32[np.ndarray, " length"]:
    """Return a window of the model's length: rounding may leave a clip a sample shorter."""
    window = np.zeros(length, np.float32)
    window[: len(samples)] = samples
    return window


def scaled_to_peak(windows: Float32[np.ndarray, "windows samples"], peak: float) -> Float32[np.ndarray, "..."]:
    """Return windows less their means, each scaled such that its largest sample is `peak`; silence stays silent."""
    centred = windows - windows.mean(axis=1, keepdims=True)
    largest = np.abs(centred).max(axis=1, keepdims=True)
    return centred * (peak / np.where(largest > 0, largest, 1)).astype(np.float32)
