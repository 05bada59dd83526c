"""Tiny bird models in ONNX and TFLite files, whose outputs can be computed by hand."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import flatbuffers
import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, helper, numpy_helper

from tests.conftest import RATE

FRAME = 200  # samples
BANDS = np.linspace(500, 3800, 16)  # Hz
CLASSES = ("Altus clarus", "Bassus gravis", "Nemo nullus")
LEAST = 1e-6  # power, so that the logarithm of silence is finite
FLOAT = TensorProto.FLOAT


class Layer(NamedTuple):
    """Weights (width, classes) and bias of a dense layer."""

    weights: np.ndarray
    bias: np.ndarray


def onnx_file(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    *,
    inputs: dict[str, Sequence[Any]],
    outputs: dict[str, Sequence[Any]],
    constants: dict[str, np.ndarray],
    dtype: int = FLOAT,
) -> Path:
    """Write an ONNX model of these nodes; return its file."""
    graph = helper.make_graph(
        list(nodes),
        "model",
        [helper.make_tensor_value_info(name, dtype, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def embeddings_of(windows: np.ndarray) -> np.ndarray:
    """Return the embeddings (windows, bands) of `write_onnx`: the log of the mean power of 16 frequencies."""
    frames = windows.reshape(len(windows), -1, FRAME)
    cosine, sine = waves()
    return np.log(((frames @ cosine) ** 2 + (frames @ sine) ** 2).mean(axis=1) + LEAST)


def waves() -> tuple[np.ndarray, np.ndarray]:
    """Return cosines and sines (samples, bands) by which power is measured."""
    phases = 2 * np.pi * np.arange(FRAME)[:, None] * BANDS / RATE
    return (np.cos(phases) / FRAME).astype(np.float32), (np.sin(phases) / FRAME).astype(np.float32)


def class_layer(classes: int = len(CLASSES)) -> Layer:
    """Return a layer by which the first class is high, the second low, and no sound is one of the others."""
    weights = np.zeros((len(BANDS), classes), np.float32)
    weights[(BANDS > 2700) & (BANDS < 3300), 0] = 1
    weights[(BANDS > 900) & (BANDS < 1300), 1] = 1
    weights[:, :2] -= 0.1
    return Layer(weights, np.array([0.5, 0.25, *[-20] * (classes - 2)], np.float32)[:classes])


def write_onnx(
    path: Path,
    *,
    batch: int | str = "batch",
    samples: int | str = RATE,
    channel: bool = False,
    named: bool = True,
    dense: str = "MatMul",
    layer: Layer | None = None,
) -> Path:
    """Write a model whose embedding is `embeddings_of` its input, and whose classes are a dense layer of it.

    Parameters
    ----------
    channel : whether the input has an axis of one channel at the end
    named : whether the embedding is an output, called so, or a tensor within the model
    dense : MatMul, Gemm, or Gemm with transposed weights ("transposed")
    """
    layer = layer or class_layer()
    cosine, sine = waves()
    nodes = [
        helper.make_node("Reshape", ["sound", "frames_shape"], ["frames"]),
        helper.make_node("MatMul", ["frames", "cosine"], ["real"]),
        helper.make_node("MatMul", ["frames", "sine"], ["imaginary"]),
        helper.make_node("Mul", ["real", "real"], ["real_power"]),
        helper.make_node("Mul", ["imaginary", "imaginary"], ["imaginary_power"]),
        helper.make_node("Add", ["real_power", "imaginary_power"], ["powers"]),
        helper.make_node("ReduceMean", ["powers"], ["power"], axes=[1], keepdims=0),
        helper.make_node("Add", ["power", "least"], ["positive"]),
        helper.make_node("Log", ["positive"], ["embedding" if named else "inner"]),
    ]
    source = "embedding" if named else "inner"
    if dense == "MatMul":
        nodes += [
            helper.make_node("MatMul", [source, "weights"], ["product"]),
            helper.make_node("Add", ["product", "bias"], ["logits"]),
        ]
    else:
        transposed = int(dense == "transposed")
        nodes += [helper.make_node("Gemm", [source, "weights", "bias"], ["logits"], transB=transposed)]
    return onnx_file(
        path,
        nodes,
        inputs={"sound": [batch, samples, 1] if channel else [batch, samples]},
        outputs={
            **({"embedding": [batch, len(BANDS)]} if named else {}),
            "logits": [batch, len(layer.bias)],
        },
        constants={
            "frames_shape": np.array([0 if batch == "batch" else batch, -1, FRAME]),
            "cosine": cosine,
            "sine": sine,
            "least": np.array(LEAST, np.float32),
            "weights": np.ascontiguousarray(layer.weights.T) if dense == "transposed" else layer.weights,
            "bias": layer.bias,
        },
    )


def write_shapes(path: Path, *, samples: int | str, outputs: dict[str, Sequence[int]], dtype: int = FLOAT) -> Path:
    """Write an ONNX model of given shapes, each of whose outputs repeats the mean of its input."""
    nodes = [] if dtype == FLOAT else [helper.make_node("Cast", ["sound"], ["floats"], to=FLOAT)]
    source = "sound" if dtype == FLOAT else "floats"
    nodes.append(helper.make_node("ReduceMean", [source], ["mean"], axes=[1], keepdims=1))
    constants = {}
    for name, shape in outputs.items():
        aligned = f"{name}_aligned"
        constants |= {f"{name}_ones": np.array([-1, *[1] * len(shape)]), f"{name}_shape": np.array([1, *shape])}
        nodes += [
            helper.make_node("Reshape", ["mean", f"{name}_ones"], [aligned]),
            helper.make_node("Expand", [aligned, f"{name}_shape"], [name]),
        ]
    return onnx_file(
        path,
        nodes,
        inputs={"sound": ["batch", samples]},
        outputs={name: ["batch", *shape] for name, shape in outputs.items()},
        constants=constants,
        dtype=dtype,
    )


SAMPLES = 1600  # of a window of the TFLite model


def tflite_layers() -> tuple[Layer, Layer]:
    """Return the layers of `write_tflite`: from the mean frame to the embedding (before its ReLU), and to classes."""
    rng = np.random.default_rng(1)
    first = Layer(rng.normal(0, 1, (FRAME // 2, 8)).astype(np.float32), rng.normal(0, 1, 8).astype(np.float32))
    return first, Layer(rng.normal(0, 1, (8, 5)).astype(np.float32), rng.normal(0, 1, 5).astype(np.float32))


def tflite_embeddings_of(windows: np.ndarray) -> np.ndarray:
    """Return the embeddings (windows, 8) of `write_tflite`."""
    first, _ = tflite_layers()
    frames = windows.reshape(len(windows), -1, FRAME // 2)
    return np.maximum(frames.mean(axis=1) @ first.weights + first.bias, 0)


def write_tflite(path: Path) -> Path:
    """Write a TFLite model: windows (1, 1600) in frames, their mean, a dense layer with ReLU, and one of 5 classes."""
    first, second = tflite_layers()
    frame = FRAME // 2
    names = ("sound", "frames", "mean", "embedding", "classes")
    shapes: list[tuple[int, ...]] = [(1, SAMPLES), (1, SAMPLES // frame, frame), (1, frame), (1, 8), (1, 5)]
    constants = {
        "frames_shape": np.array(shapes[1], np.int32),
        "axis": np.array([1], np.int32),
        "first_weights": np.ascontiguousarray(first.weights.T),
        "first_bias": first.bias,
        "second_weights": np.ascontiguousarray(second.weights.T),
        "second_bias": second.bias,
    }
    model = schema.ModelT()
    model.version, model.description = 3, b"test"
    model.buffers, model.operatorCodes = [schema.BufferT()], []
    graph = schema.SubGraphT()
    graph.tensors = [_tensor(name, shape, buffer=0) for name, shape in zip(names, shapes, strict=True)]
    for name, value in constants.items():
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(value.tobytes(), np.uint8)
        model.buffers.append(buffer)
        graph.tensors.append(
            _tensor(name, value.shape, buffer=len(model.buffers) - 1, integers=value.dtype == np.int32)
        )
    index = {tensor.name: position for position, tensor in enumerate(graph.tensors)}
    graph.operators = [
        _operator(model, "RESHAPE", [index["sound"], index["frames_shape"]], index["frames"]),
        _operator(model, "MEAN", [index["frames"], index["axis"]], index["mean"], schema.ReducerOptionsT()),
        _dense(model, [index["mean"], index["first_weights"], index["first_bias"]], index["embedding"], relu=True),
        _dense(model, [index["embedding"], index["second_weights"], index["second_bias"]], index["classes"]),
    ]
    graph.inputs, graph.outputs = [index["sound"]], [index["classes"]]
    model.subgraphs = [graph]
    builder = flatbuffers.Builder(4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def _tensor(name: str, shape: Sequence[int], *, buffer: int, integers: bool = False) -> Any:
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.buffer = name, list(shape), buffer
    tensor.type = schema.TensorType.INT32 if integers else schema.TensorType.FLOAT32
    return tensor


def _operator(model: Any, kind: str, inputs: list[int], output: int, options: Any = None) -> Any:
    code = schema.OperatorCodeT()
    code.builtinCode = getattr(schema.BuiltinOperator, kind)
    code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), 1
    model.operatorCodes.append(code)
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = len(model.operatorCodes) - 1, inputs, [output]
    if options is not None:
        operator.builtinOptions = options
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
    return operator


def _dense(model: Any, inputs: list[int], output: int, *, relu: bool = False) -> Any:
    options = schema.FullyConnectedOptionsT()
    options.fusedActivationFunction = schema.ActivationFunctionType.RELU if relu else 0
    return _operator(model, "FULLY_CONNECTED", inputs, output, options)
