"""The ONNX graph of a network, while it is written: values in the order of axes that suits them, operations, weights.

ONNX's convolutions take (B, C, H, W), JAX's take (B, H, W, C). The output of a convolution stays in this order
("channels first") as long as the next operations allow it, until one needs JAX's order. Arrays of more axes, such as
(B, H, W, groups, C), have all of them before height and width then. Multiplying by a number is put off: the next
convolution takes it into its weights, and the sum of a map divided by its size is a mean.

Source: the operators of ONNX (https://onnx.ai/onnx/operators), opset 18.
"""

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import helper, numpy_helper

OPSET, FILE_VERSION = 18, 8  # of 2022; every ONNX Runtime since 1.14 reads them
FIRST = (0, 3, 1, 2)  # transpose (B, H, W, C) to channels first
KERNELS = (3, 2, 0, 1)  # transpose JAX's kernels (H, W, in, out) to ONNX's
SMALL = 1024  # elements of a weight that is written once only, however often it is needed
Shape = tuple[int, ...]  # −1: the batch, whose size is unknown


class UnsupportedByOnnx(Exception):
    """An operation that cannot be converted."""


class Value(NamedTuple):
    """An array that the graph computes.

    Attributes
    ----------
    name : in the graph
    shape : in JAX's order of axes
    channels_first : whether the graph has it in the other order
    factor : what it still has to be multiplied by
    """

    name: str
    shape: Shape
    channels_first: bool = False
    factor: float = 1.0


class Scaled(NamedTuple):
    """A value computed from another one: source · scale + shift, both (channels,)."""

    source: str
    scale: np.ndarray
    shift: np.ndarray


Operand = Value | np.ndarray


def first_order(axes: int) -> Shape:
    """Return how to transpose arrays of so many axes to channels first."""
    return (0, *range(3, axes), 1, 2)


def last_order(axes: int) -> Shape:
    """Return how to transpose them back."""
    return (0, axes - 2, axes - 1, *range(1, axes - 2))


def in_graph(shape: Sequence[int], *, channels_first: bool) -> Shape:
    """Return the lengths of an array in the order of axes that the graph has it in."""
    return tuple(shape[axis] for axis in first_order(len(shape))) if channels_first else tuple(shape)


def axis_in_graph(value: Value, axis: int) -> int:
    """Return the index that an axis has in the graph."""
    return first_order(len(value.shape)).index(axis) if value.channels_first else axis


class OnnxGraph:
    """The operations and weights that are converted so far."""

    def __init__(self) -> None:
        self.nodes: dict[str, onnx.NodeProto] = {}  # by the name of their output
        self.weights: dict[str, np.ndarray] = {}
        self._same: dict[Any, str] = {}  # names by contents: nothing is computed twice
        self._scaled: dict[str, Scaled] = {}
        self._reshaped: dict[str, tuple[str, Shape]] = {}  # what an array was before it got another shape

    def node(self, operation: str, *inputs: str, **attributes: Any) -> str:
        """Add an operation; return the name of its output."""
        key = operation, inputs, repr(sorted(attributes.items()))
        if key not in self._same:
            name = self._same[key] = f"{operation}_{len(self.nodes)}"
            self.nodes[name] = helper.make_node(operation, list(inputs), [name], name=name, **attributes)
        return self._same[key]

    def weight(self, array: np.ndarray) -> str:
        """Add a constant array; return its name."""
        array = np.ascontiguousarray(array).reshape(np.shape(array))
        key = (array.dtype.str, array.shape, array.tobytes()) if array.size <= SMALL else len(self.weights)
        if key not in self._same:
            self._same[key] = f"weight_{len(self.weights)}"
            self.weights[self._same[key]] = array
        return self._same[key]

    def integers(self, *values: int) -> str:
        """Add a shape or axes, which some operations take as an input."""
        return self.weight(np.array(values, np.int64))

    def number(self, value: float) -> str:
        """Add a float32."""
        return self.weight(np.array(value, np.float32))

    def reshape(self, name: str, before: Shape, after: Shape) -> str:
        """Give an array another shape; both as the graph has them."""
        source, first = self._reshaped.get(name, (name, before))
        if first == after:
            return source
        reshaped = self.node("Reshape", source, self.integers(*after))
        self._reshaped[reshaped] = source, first
        return reshaped

    def multiplied(self, value: Value) -> Value:
        """Multiply a value by its factor, so that it has none."""
        if value.factor == 1:
            return value
        return value._replace(name=self.node("Mul", value.name, self.number(value.factor)), factor=1.0)

    def in_layout(self, operand: Operand, *, channels_first: bool = False) -> str:
        """Return the name of an operand in the wanted order of axes, multiplied by its factor."""
        if isinstance(operand, Value):
            return self.multiplied(self.with_layout(operand, channels_first=channels_first)).name
        return self.weight(
            operand.transpose(first_order(operand.ndim)) if channels_first and operand.ndim > 2 else operand
        )

    def with_layout(self, value: Value, *, channels_first: bool) -> Value:
        """Return a value in the wanted order of axes."""
        if value.channels_first == channels_first:
            return value
        before = in_graph(value.shape, channels_first=value.channels_first)
        after = in_graph(value.shape, channels_first=channels_first)
        if prod(value.shape[1:3]) == 1 or prod(value.shape[3:]) == 1:  # in memory, both orders are the same
            name = self.reshape(value.name, before, after)
        else:
            order = first_order if channels_first else last_order
            name = self.node("Transpose", value.name, perm=order(len(value.shape)))
        return value._replace(name=name, channels_first=channels_first)

    def scale(self, value: Value, *, scale: np.ndarray, shift: np.ndarray) -> Value:
        """Multiply and shift the channels, (channels,), of a value.

        Several in a row become one. A matrix product takes them into its weights. Of values that have channels first
        they become a batch norm, which ONNX Runtime fuses into the convolution before it, or computes in the layout of
        convolutions.
        """
        before = self._scaled.get(value.name, Scaled(value.name, np.ones_like(scale), np.zeros_like(scale)))
        source, scale, shift = before.source, before.scale * value.factor * scale, before.shift * scale + shift
        if value.channels_first:
            rest = (np.zeros_like(scale), np.ones_like(scale))  # a mean and a variance that change nothing
            name = self.node("BatchNormalization", source, *map(self.weight, (scale, shift, *rest)), epsilon=0.0)
        else:
            name = self._scale_last_axis(source, scale, shift)
        self._scaled[name] = Scaled(source, scale, shift)
        return Value(name, value.shape, value.channels_first)

    def _scale_last_axis(self, name: str, scale: np.ndarray, shift: np.ndarray) -> str:
        node = self.nodes.get(name)
        if node is not None and node.op_type == "MatMul" and node.input[1] in self.weights:
            if not (scale == 1).all():
                name = self.node("MatMul", node.input[0], self.weight(self.weights[node.input[1]] * scale))
        elif not (scale == 1).all():
            name = self.node("Mul", name, self.weight(scale))
        return self.node("Add", name, self.weight(shift)) if shift.any() else name

    def model(
        self, values: Sequence[Value], *, source: onnx.ValueInfoProto, targets: Sequence[onnx.ValueInfoProto]
    ) -> onnx.ModelProto:
        """Return the model that computes some values, with no operation that it does not need."""
        names = [self.in_layout(value) for value in values]
        nodes = [
            *_fold_norms(self._needed_for(names), self.weights),
            *(helper.make_node("Identity", [name], [target.name]) for name, target in zip(names, targets, strict=True)),
        ]
        used = {name for node in nodes for name in node.input}
        weights = [numpy_helper.from_array(array, name) for name, array in self.weights.items() if name in used]
        return helper.make_model(
            helper.make_graph(nodes, "network", [source], list(targets), weights),
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=FILE_VERSION,
            producer_name="birdclef-jax",
        )

    def _needed_for(self, wanted: Sequence[str]) -> list[onnx.NodeProto]:
        needed, nodes = set(wanted), []
        for name, node in reversed(self.nodes.items()):
            if name in needed:
                needed |= set(node.input)
                nodes.append(node)
        return nodes[::-1]


def _fold_norms(nodes: Sequence[onnx.NodeProto], weights: dict[str, np.ndarray]) -> list[onnx.NodeProto]:
    """Take batch norms into the weights of the convolutions before them, if nothing else needs these."""
    by_name = {node.output[0]: node for node in nodes}
    inputs = [name for node in nodes for name in node.input]
    folded: dict[str, onnx.NodeProto] = {}
    for norm in nodes:
        source = by_name.get(norm.input[0])
        if norm.op_type != "BatchNormalization" or source is None or source.op_type != "Conv":
            continue
        if inputs.count(source.output[0]) == 1 and len(source.input) == 2:
            kernel, scale = weights[source.input[1]], weights[norm.input[1]]
            weights[f"{norm.name}_kernel"] = kernel * scale.reshape(-1, 1, 1, 1)
            new = onnx.NodeProto()
            new.CopyFrom(source)
            del new.input[1:], new.output[:]
            new.input.extend([f"{norm.name}_kernel", norm.input[2]])
            new.output.append(norm.output[0])
            folded |= {norm.output[0]: new, source.output[0]: new}
    kept = [node for node in nodes if node.output[0] not in folded or node.op_type == "BatchNormalization"]
    return [folded.get(node.output[0], node) for node in kept]
