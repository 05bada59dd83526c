"""Networks as ONNX files, which need neither JAX nor this toolkit: grey levels of a spectrogram in, logits out.

The metadata of a file (`metadata_props`) has what a field device needs: the classes in the order of the logits, how
sound becomes clips and spectrograms, and whether a softmax or a sigmoid turns logits into scores. Needs the extra
`export`.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import numpy as np
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Shaped

from utils.console import UserError
from utils.files import atomic_file
from utils.models.input_scaling import from_pixels
from utils.models.networks import Network, all_outputs
from utils.models.onnx.interface import INPUT, OUTPUT, FurtherOutput, check_can_export
from utils.models.saved_networks import load_network
from utils.models.snapshots import Snapshot

if TYPE_CHECKING:
    import onnx

EXTERNAL_FACTS = ("title", "licence", "sha256", "embedding", "rate", "window", "hop", "peak")  # in metadata


def to_onnx_model(
    graph: nnx.GraphDef,
    network: Network,
    *,
    shape: tuple[int, int],
    dtype: DTypeLike = np.uint8,
    further: Sequence[FurtherOutput] = (),
) -> "onnx.ModelProto":
    """Return a network as an ONNX model.

    Its input is (batch, *shape), for any batch size, its output float32 logits (batch, classes).

    Parameters
    ----------
    shape : `Config.input_shape`: height and width of the spectrograms, pixels
    dtype : `Config.input_dtype`
    further : other outputs, by the same names; embeddings are (batch, embedding), frames (batch, frames, classes)

    Raises
    ------
    UnsupportedByOnnx
        If the network has an operation that cannot be written, or NaN or infinite weights: ONNX Runtime's ReLU makes
        zeros of those without an error.
    """
    from utils.models.onnx.conversion import to_onnx
    from utils.models.onnx.graph import UnsupportedByOnnx

    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(network)):
        raise UnsupportedByOnnx("NaN or infinite weights")

    targets = (OUTPUT, *further)

    def predict(pixels: Shaped[Array, "batch height width"]) -> list[Array]:
        found = all_outputs(graph, network, from_pixels(pixels))
        return [getattr(found, name) for name in targets]

    return to_onnx(predict, shape=shape, source=INPUT, targets=targets, dtype=dtype)


def export(
    snapshot: Snapshot, path: Path, *, calibration: Shaped[np.ndarray, "clips height width"] | None = None
) -> None:
    """Write the network of a snapshot as an ONNX file.

    Parameters
    ----------
    calibration : spectrograms by which it becomes one that computes in int8; None: in float32

    Raises
    ------
    UserError
        If the extra `export` is not installed, the snapshot is damaged, or its network cannot be written.
    """
    check_can_export("--export")
    import onnx

    from utils.models.onnx.graph import UnsupportedByOnnx

    graph, network = load_network(snapshot)
    try:
        model = to_onnx_model(
            graph,
            network,
            shape=snapshot.config.input_shape,
            dtype=snapshot.config.input_dtype,
            further=("frames",) if snapshot.config.has_frames else (),
        )
    except UnsupportedByOnnx as error:
        raise UserError(f"{snapshot.folder}: its network cannot be written as ONNX ({error})") from None
    if calibration is not None:
        from utils.models.onnx.int8 import to_int8

        model = to_int8(model, calibration)
    onnx.helper.set_model_props(model, metadata_of(snapshot))
    onnx.checker.check_model(model, full_check=True)
    with atomic_file(path) as stream:
        stream.write(model.SerializeToString())


def metadata_of(snapshot: Snapshot) -> dict[str, str]:
    """Return the metadata of a file, each value as JSON.

    `scores` is what turns logits into scores from 0 to 1: a softmax over the classes, or a sigmoid for each.
    """
    config = snapshot.config
    facts = {
        "classes": snapshot.classes,
        "clips": asdict(config.clips),
        "spectrogram": asdict(config.spectrogram),
        "external": {name: getattr(config.external, name) for name in EXTERNAL_FACTS},
        "scores": "sigmoid" if config.training.multi_label else "softmax",
        "snapshot": f"{config.run}/{snapshot.folder.name}",
    }
    return {name: json.dumps(fact, ensure_ascii=False) for name, fact in facts.items()}
