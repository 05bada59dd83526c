"""Networks in 8-bit integers: a quarter of the size, and faster on CPUs that multiply them fast (VNNI, NEON).

Weights have one step per channel. What flows between the operations has one step per array, from the least to the
greatest value that the array takes for the clips of a calibration. The scaling of spectrograms and the first three
layers stay in float32. Needs the extra `export`.

Source: static quantization of ONNX Runtime
(https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html).
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from jaxtyping import Shaped
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.quant_utils import add_pre_process_metadata

LAYERS = ("Conv", "MatMul")
# products only with a sigmoid (SiLU, squeeze-and-excitation): in GELU and layer norm, int8 loses much and gains nothing
FLOAT_LAYERS = 3  # layers from the input on that stay in float32: what they lose, all others amplify
IN_INT8 = (
    *LAYERS,
    *("Relu", "Clip", "Sigmoid", "Mul", "Add"),
    *("MaxPool", "AveragePool", "GlobalAveragePool", "Reshape", "Transpose"),
)
BATCH = 16  # clips at a time


class _Batches(CalibrationDataReader):  # type: ignore[misc]
    """The clips of a calibration, in the form that ONNX Runtime asks for."""

    def __init__(self, source: str, clips: Shaped[np.ndarray, "clips height width"]) -> None:
        self._batches: Iterator[dict[str, np.ndarray]] = (
            {source: clips[start : start + BATCH]} for start in range(0, len(clips), BATCH)
        )

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next batch; None: there is none."""
        return next(self._batches, None)


def to_int8(model: onnx.ModelProto, clips: Shaped[np.ndarray, "clips height width"]) -> onnx.ModelProto:
    """Return a network as one that computes in 8-bit integers; its input and its output stay as they are.

    Parameters
    ----------
    clips : spectrograms as it will get them, from which the ranges of values are found; at least one
    """
    source, graph = model.graph.input[0].name, model.graph
    layers = [index for index, node in enumerate(graph.node) if node.op_type in LAYERS]
    sigmoids = {node.output[0] for node in graph.node if node.op_type == "Sigmoid"}
    in_float = [
        *graph.node[: layers[:FLOAT_LAYERS][-1] + 1],
        *(node for node in graph.node if node.op_type == "Mul" and not sigmoids.intersection(node.input)),
    ]
    marked = onnx.ModelProto()
    marked.CopyFrom(model)
    add_pre_process_metadata(marked)  # else ONNX Runtime warns: our graphs have nothing to fold or fuse beforehand
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "int8.onnx"
        quantize_static(
            marked,
            target,
            _Batches(source, clips),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(IN_INT8),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=[node.name for node in in_float],
        )
        quantized = onnx.load(target)
    onnx.helper.set_model_props(quantized, {prop.key: prop.value for prop in model.metadata_props})
    return quantized
