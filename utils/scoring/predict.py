"""A net's answers to any number of pictures, in batches of one size."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from flax import nnx
from jaxtyping import Array, Float, UInt8

from utils.models.nets import Net, apply, from_pixels, stretch

Logits = Float[np.ndarray, "clips classes"]
Scores = Float[np.ndarray, "clips classes"]
Predict = Callable[[Net, UInt8[np.ndarray | Array, "clips height width"]], Logits]


def predictor(graph: nnx.GraphDef, *, batch_size: int) -> Predict:
    """Return a function of (net, pictures) that answers logits, float32 (clips, classes); it compiles once, for one batch size."""

    @jax.jit
    def answer(net: Net, pixels: UInt8[Array, "batch height width"]) -> Float[Array, "batch classes"]:
        return apply(graph, net, stretch(from_pixels(pixels)))[0]

    def predict(net: Net, pixels: UInt8[np.ndarray | Array, "clips height width"]) -> Logits:
        starts = range(0, len(pixels), batch_size)
        missing = -len(pixels) % batch_size
        if missing:
            library = np if isinstance(pixels, np.ndarray) else jnp
            pixels = library.concatenate([pixels, library.zeros((missing, *pixels.shape[1:]), np.uint8)])
        coming = [answer(net, pixels[start : start + batch_size]) for start in starts]  # the device goes on while answers are fetched
        return np.concatenate([np.asarray(logits) for logits in coming])[: len(pixels) - missing]

    return predict


def scores_of(logits: Logits, loss: str) -> Scores:
    """Turn logits into scores from 0 to 1: of a net that learned one label a clip they sum to 1, of one that learned many (`binary`) each stands alone."""
    return scipy.special.expit(logits) if loss == "binary" else scipy.special.softmax(logits, axis=1)
