"""Nets as ONNX files, which need neither JAX nor this toolkit: a picture's grey levels in, logits out.

A file says of itself what a field device has to know (`metadata_props`): the classes in the order of the logits, how
sound becomes clips and clips pictures, and what turns logits into scores. Needs the extra `export`.
"""

import json
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, UInt8

from utils.console import UserError
from utils.files import whole_file
from utils.models.networks import Network, apply, from_pixels, stretch
from utils.models.snapshots import Snapshot, load_network

if TYPE_CHECKING:
    import onnx

INPUT, OUTPUT = "pictures", "logits"


def can_export() -> bool:
    """Tell whether the extra `export` is installed."""
    return bool(find_spec("onnx") and find_spec("onnxruntime"))


def check_can_export(wanted: str) -> None:
    """Refuse what needs the extra `export` where that is not installed.

    Raises
    ------
    UserError
        That says how to install it.
    """
    if not can_export():
        raise UserError(f"{wanted}: needs ONNX and its runtime, which are not installed (pip install '.[export]')")


def to_model(graph: nnx.GraphDef, net: Network, *, shape: tuple[int, int]) -> "onnx.ModelProto":
    """Return a net as an ONNX model of uint8 pictures (batch, height, width) that answers float32 logits (batch, classes); the batch may be of any size.

    Parameters
    ----------
    shape : height and width of the pictures, pixels

    Raises
    ------
    Unwritable
        If the net does what ONNX has no word for here, or holds what is no number: ONNX Runtime's ReLU makes zeros of
        that, and nobody would notice.
    """
    from utils.models.onnx_graph import Unwritable, to_onnx

    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(net)):
        raise Unwritable("weights that are no numbers")

    def answer(pixels: UInt8[Array, "batch height width"]) -> Float[Array, "batch classes"]:
        return apply(graph, net, stretch(from_pixels(pixels)))[0]

    return to_onnx(answer, shape=shape, source=INPUT, target=OUTPUT)


def export(snapshot: Snapshot, path: Path) -> None:
    """Write a snapshot's net as an ONNX file.

    Raises
    ------
    UserError
        If the extra `export` is not installed, the snapshot is damaged, or its net cannot be written.
    """
    check_can_export("--export")
    import onnx

    from utils.models.onnx_graph import Unwritable

    graph, net = load_network(snapshot)
    try:
        model = to_model(graph, net, shape=snapshot.config.spectrogram.shape)
    except Unwritable as error:
        raise UserError(f"{snapshot.folder}: its net cannot be written as ONNX ({error})") from None
    onnx.helper.set_model_props(model, about(snapshot))
    onnx.checker.check_model(model, full_check=True)
    with whole_file(path) as stream:
        stream.write(model.SerializeToString())


def about(snapshot: Snapshot) -> dict[str, str]:
    """Return what a file says of itself, each as JSON.

    `scores` is what turns logits into scores from 0 to 1: a softmax over the classes, or the sigmoid of each.
    """
    config = snapshot.config
    facts = {
        "classes": snapshot.classes,
        "clips": asdict(config.clips),
        "spectrogram": asdict(config.spectrogram),
        "scores": "sigmoid" if config.training.loss == "binary" else "softmax",
        "snapshot": f"{config.run}/{snapshot.folder.name}",
    }
    return {name: json.dumps(fact, ensure_ascii=False) for name, fact in facts.items()}
