"""Bird models in TFLite files, run by LiteRT."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import interpreter as litert
from ai_edge_litert import schema_py_generated as schema

from utils.external.model_files import ClassLayer, Runner, Tensor, Windows, as_input, damaged

FULLY_CONNECTED = schema.BuiltinOperator.FULLY_CONNECTED


class TFLiteFile:
    """A model in a TFLite file; see `ModelFile`.

    A tensor within the model is read by making it the model's output: LiteRT's fast engine leaves other tensors with
    old or no content.

    Raises
    ------
    UserError
        If the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._content = path.read_bytes()
        try:
            interpreter = _interpreter(self._content)
            self._tensors = {detail["name"]: detail for detail in interpreter.get_tensor_details()}
            self.inputs = tuple(_tensor(detail) for detail in interpreter.get_input_details())
            self.outputs = tuple(_tensor(detail) for detail in interpreter.get_output_details())
            self._graph = schema.Model.GetRootAsModel(bytearray(self._content), 0).Subgraphs(0)
        except (ValueError, RuntimeError, TypeError, AttributeError) as error:
            raise damaged(path, error) from None

    def class_layer(self) -> ClassLayer | None:
        """Return the last dense layer whose weights are in the file; it is read once."""
        return self._class_layer

    @cached_property
    def _class_layer(self) -> ClassLayer | None:
        """Return the last dense layer with float32 weights."""
        for inputs in self._dense_layers():
            embedding, weights, bias = inputs
            details = {detail["index"]: detail for detail in self._tensors.values()}
            if {embedding, weights, bias} <= details.keys() and details[weights]["dtype"] is np.float32:
                constants = _interpreter(self._content)
                return ClassLayer(
                    _tensor(details[embedding]),
                    np.ascontiguousarray(constants.get_tensor(weights).T),
                    constants.get_tensor(bias),
                )
        return None

    def _dense_layers(self) -> Iterator[tuple[int, int, int]]:
        """Yield the inputs of each dense layer, the last first: indices of input, weights and bias."""
        model = schema.Model.GetRootAsModel(bytearray(self._content), 0)
        for index in reversed(range(self._graph.OperatorsLength())):
            operator = self._graph.Operators(index)
            code = model.OperatorCodes(operator.OpcodeIndex())
            if max(code.BuiltinCode(), code.DeprecatedBuiltinCode()) == FULLY_CONNECTED:
                inputs = operator.InputsAsNumpy().tolist()
                if len(inputs) == 3 and min(inputs) >= 0:
                    yield inputs[0], inputs[1], inputs[2]

    def runner(self, tensor: str) -> Runner:
        """Return a function from windows of sound to the values of an output, or of a tensor within the model."""
        interpreter = _interpreter(self._with_output(tensor))
        given = self.inputs[0]
        source, target = interpreter.get_input_details()[0], self._tensors[tensor]["index"]

        def run(windows: Windows) -> np.ndarray:
            found = []
            for window in windows:  # several at once take as long
                content = as_input(window[None], given.shape).astype(given.dtype)
                _resize(interpreter, source["index"], content.shape)
                interpreter.set_tensor(source["index"], content)
                interpreter.invoke()
                found.append(interpreter.get_tensor(target).reshape(-1).astype(np.float32))
            return np.stack(found)

        return run

    def _with_output(self, tensor: str) -> bytes:
        """Return the file such that a tensor is an output; the others of its outputs stay, but for one."""
        content = bytearray(self._content)
        outputs = schema.Model.GetRootAsModel(content, 0).Subgraphs(0).OutputsAsNumpy()  # a view of the content
        index = self._tensors[tensor]["index"]
        if index not in outputs:
            outputs[0] = index
        return bytes(content)


def _interpreter(content: bytes) -> Any:
    """Return a model that is ready to run, on one thread: workers run side by side."""
    with _without_native_messages():
        interpreter = litert.Interpreter(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
    return interpreter


def _resize(interpreter: Any, source: int, shape: tuple[int, ...]) -> None:
    """Make the input of a model that takes any length, or several windows at once, as large as its content."""
    if tuple(interpreter.get_input_details()[0]["shape"]) != shape:
        interpreter.resize_tensor_input(source, shape)
        interpreter.allocate_tensors()


@contextmanager
def _without_native_messages() -> Iterator[None]:
    """Hide what LiteRT itself prints to stderr: one line about its engine for each model and worker."""
    sys.stderr.flush()
    shown = os.dup(2)
    try:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(shown, 2)
        os.close(shown)


def _tensor(detail: dict[str, Any]) -> Tensor:
    sizes = detail["shape_signature"] if len(detail["shape_signature"]) else detail["shape"]
    return Tensor(detail["name"], tuple(int(size) for size in sizes), np.dtype(detail["dtype"]).name)
