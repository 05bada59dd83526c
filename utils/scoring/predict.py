"""A net's scores for any number of pictures, in batches of one size."""

from collections.abc import Callable

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, UInt8

from utils.models.nets import Net, apply, from_pixels, stretch

Scores = Float[np.ndarray, "clips classes"]
Predict = Callable[[Net, UInt8[np.ndarray, "clips height width"]], Scores]


def predictor(graph: nnx.GraphDef, *, batch_size: int) -> Predict:
    """Return a function of (net, pictures) that answers softmax scores, float32 (clips, classes); it compiles once, for one batch size."""

    @jax.jit
    def answer(net: Net, pixels: UInt8[Array, "batch height width"]) -> Float[Array, "batch classes"]:
        logits, _ = apply(graph, net, stretch(from_pixels(pixels)))
        return jax.nn.softmax(logits)

    def predict(net: Net, pixels: UInt8[np.ndarray, "clips height width"]) -> Scores:
        batches = []
        for start in range(0, len(pixels), batch_size):
            batch = pixels[start : start + batch_size]
            missing = batch_size - len(batch)
            full = np.concatenate([batch, np.zeros((missing, *batch.shape[1:]), np.uint8)]) if missing else batch
            batches.append(np.asarray(answer(net, full))[: len(batch)])
        return np.concatenate(batches)

    return predict
