"""Bird models in ONNX files, run by ONNX Runtime."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from utils.console import UserError
from utils.external.model_files import ClassLayer, Runner, Tensor, Windows, as_input, damaged

DTYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64"}


class OnnxFile:
    """A model in an ONNX file; see `ModelFile`.

    Raises
    ------
    UserError
        If the file cannot be read, or has its weights in other files.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            session = _quiet_session(str(path))
        # ONNX Runtime raises classes of its C++ module, one for each status
        except Exception as error:  # noqa: BLE001
            raise damaged(path, error) from None
        parts = _constants_of(onnx.load(path, load_external_data=False).graph)
        if any(part.data_location == onnx.TensorProto.EXTERNAL for part in parts):  # which the hash would not cover
            raise UserError(
                f"{path}: keeps its weights in other files; make one file of it: onnx.save(onnx.load('{path.name}'), "
                "'whole.onnx')"
            )
        self.inputs = tuple(_input_or_output(entry) for entry in session.get_inputs())
        self.outputs = tuple(_input_or_output(entry) for entry in session.get_outputs())

    def class_layer(self) -> ClassLayer | None:
        """Return the last dense layer whose weights are in the file; it is read once."""
        return self._class_layer

    @cached_property
    def _class_layer(self) -> ClassLayer | None:
        """Return the last dense layer, `Gemm`, or `MatMul` and `Add`, whose weights are in the file."""
        graph = onnx.load(self.path).graph
        constants = {tensor.name: tensor for tensor in graph.initializer}
        users = {name: node for node in reversed(graph.node) for name in node.input}
        for node in reversed(graph.node):
            if node.op_type not in ("Gemm", "MatMul") or node.input[1] not in constants:
                continue
            weights = onnx.numpy_helper.to_array(constants[node.input[1]]).astype(np.float32)
            if node.op_type == "Gemm" and _attribute(node, "transB"):
                weights = weights.T
            bias = _bias(node, constants, users)
            if weights.ndim == 2:
                width = Tensor(node.input[0], (-1, len(weights)), "float32")
                return ClassLayer(width, weights, np.zeros(weights.shape[1], np.float32) if bias is None else bias)
        return None

    def runner(self, tensor: str) -> Runner:
        """Return a function from windows of sound to the values of an output, or of a tensor within the model."""
        given = self.inputs[0]
        session = _quiet_session(str(self.path) if tensor in self._output_names() else self._with_output(tensor))
        at_once = given.shape[0] if given.shape and given.shape[0] > 0 else 0

        def run(windows: Windows) -> np.ndarray:
            size = at_once or len(windows)
            found = []
            for start in range(0, len(windows), size):
                some = windows[start : start + size]
                padded = np.zeros((size, some.shape[1]), np.float32)
                padded[: len(some)] = some
                content = as_input(padded, given.shape).astype(given.dtype)
                found.append(session.run([tensor], {given.name: content})[0].reshape(size, -1)[: len(some)])
            return np.concatenate(found).astype(np.float32)

        return run

    def _output_names(self) -> Iterator[str]:
        return (output.name for output in self.outputs)

    def _with_output(self, tensor: str) -> bytes:
        model = onnx.load(self.path)
        model.graph.output.append(onnx.ValueInfoProto(name=tensor))
        content: bytes = model.SerializeToString()
        return content


def _constants_of(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Yield all constants of a graph: of itself, of its nodes, and of graphs within them."""
    yield from graph.initializer
    for attribute in (attribute for node in graph.node for attribute in node.attribute):
        yield from (attribute.t, *attribute.tensors)
        for inner in (attribute.g, *attribute.graphs):
            yield from _constants_of(inner)


def _bias(node: Any, constants: dict[str, Any], users: dict[str, Any]) -> np.ndarray | None:
    """Return the bias of a dense layer: the third input of `Gemm`, or what the next node adds."""
    if node.op_type == "Gemm":
        names = list(node.input[2:3])
    else:
        adds = users.get(node.output[0])
        names = [name for name in adds.input if name in constants] if adds and adds.op_type == "Add" else []
    found = [onnx.numpy_helper.to_array(constants[name]) for name in names if name in constants]
    return found[0].astype(np.float32).reshape(-1) if found else None


def _attribute(node: Any, name: str) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == name), 0)


def _quiet_session(model: str | bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # workers run side by side
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _input_or_output(entry: Any) -> Tensor:
    sizes = tuple(size if isinstance(size, int) else -1 for size in entry.shape)
    return Tensor(entry.name, sizes, DTYPES.get(entry.type, entry.type))
