"""Networks run by JAX on any number of spectrograms, in batches."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Shaped

from utils.models.input_scaling import from_pixels
from utils.models.networks import Network, all_outputs
from utils.models.onnx.interface import OUTPUT, FurtherOutput
from utils.scoring.inference.onnx_sessions import ClipOutputs, concatenated
from utils.spectra.stored_sound import ModelInput

Predict = Callable[[Network, ModelInput | Array], ClipOutputs]


def predictor(graph: nnx.GraphDef, *, batch_size: int, further: Sequence[FurtherOutput] = ()) -> Predict:
    """Return a function from (network, spectrograms) to what it makes of these clips; it compiles once.

    Parameters
    ----------
    further : what it returns beside the logits
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
        return concatenated(coming, clips=len(pixels) - missing)

    return predict
