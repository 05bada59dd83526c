"""Convert a JAX function to an ONNX graph: it is traced, and each of its operations is written as one of ONNX's.

ONNX's convolutions take (B, C, H, W), JAX's take (B, H, W, C). The output of a convolution stays in this order
("channels first") as long as the next operations allow it, until one needs JAX's order. Operations on weights alone are
computed during the conversion, so that the graph has their results.

Only the operations of our models are known; any other is refused by its name. Source: the operators of ONNX
(https://onnx.ai/onnx/operators), opset 18.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import onnx
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal
from onnx import TensorProto, helper, numpy_helper

OPSET, FILE_VERSION = 18, 8  # of 2022; every ONNX Runtime since 1.14 reads them
FIRST, LAST = (0, 3, 1, 2), (0, 2, 3, 1)  # transpose (B, H, W, C) to channels first, and back
KERNELS = (3, 2, 0, 1)  # transpose JAX's kernels (H, W, in, out) to ONNX's


class UnsupportedByOnnx(Exception):
    """An operation that this module cannot convert."""


class Value(NamedTuple):
    """The output of an operation: its name in the graph, and whether it has channels first."""

    name: str
    channels_first: bool = False


class Scaled(NamedTuple):
    """A value computed from another one that has channels first: source · scale + shift, both (channels,)."""

    source: str
    scale: np.ndarray
    shift: np.ndarray


Operand = Value | np.ndarray
Operation = Callable[["OnnxGraph", JaxprEqn, list[Operand]], Value]


class OnnxGraph:
    """The operations and weights that are converted so far."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.scaled: dict[str, Scaled] = {}

    def node(self, operation: str, *inputs: str, **attributes: Any) -> str:
        """Add an operation; return the name of its output."""
        name = f"{operation}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operation, list(inputs), [name], name=name, **attributes))
        return name

    def weight(self, array: np.ndarray) -> str:
        """Add a constant array; return its name."""
        name = f"weight_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def integers(self, *values: int) -> str:
        """Add a shape or axes, which some operations take as an input."""
        return self.weight(np.array(values, np.int64))

    def in_layout(self, operand: Operand, *, channels_first: bool = False) -> str:
        """Return the name of an operand in the wanted order of axes; it is transposed if necessary."""
        if isinstance(operand, np.ndarray):
            return self.weight(operand.transpose(FIRST) if channels_first and operand.ndim == len(FIRST) else operand)
        if operand.channels_first == channels_first:
            return operand.name
        return self.node("Transpose", operand.name, perm=FIRST if channels_first else LAST)

    def scale(self, value: Value, *, scale: np.ndarray, shift: np.ndarray) -> Value:
        """Multiply and shift the channels of a value that has channels first.

        Several in a row become one batch norm, which ONNX Runtime fuses into the convolution before it, or computes in
        the layout of convolutions.
        """
        before = self.scaled.get(value.name, Scaled(value.name, np.ones_like(scale), np.zeros_like(scale)))
        scaled = Scaled(before.source, before.scale * scale, before.shift * scale + shift)
        rest = (np.zeros_like(scale), np.ones_like(scale))  # a mean and a variance that change nothing
        name = self.node(
            "BatchNormalization", scaled.source, *map(self.weight, (scaled.scale, scaled.shift, *rest)), epsilon=0.0
        )
        self.scaled[name] = scaled
        return Value(name, channels_first=True)

    def needed_for(self, wanted: str) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
        """Return the operations and weights that one value needs."""
        needed, nodes = {wanted}, []
        for node in reversed(self.nodes):
            if needed.intersection(node.output):
                needed |= set(node.input)
                nodes.append(node)
        nodes.reverse()
        return nodes, [weight for weight in self.weights if weight.name in needed]


def to_onnx(
    function: Callable[[jax.Array], jax.Array], *, shape: tuple[int, ...], source: str, target: str
) -> onnx.ModelProto:
    """Convert a function from uint8 arrays (batch, *shape) to float32 (batch, features), for batches of any size.

    Parameters
    ----------
    source, target : names of its input and its output

    Raises
    ------
    Unwritable
        If it has an operation that this module cannot convert.
    """
    (batch,) = jax.export.symbolic_shape("batch")
    traced = jax.make_jaxpr(function)(jax.ShapeDtypeStruct((batch, *shape), np.uint8))
    graph = OnnxGraph()
    (output,) = _convert(graph, traced, [Value(source)])
    graph.nodes.append(helper.make_node("Identity", [graph.in_layout(output)], [target]))
    features = _abstract(traced.jaxpr.outvars[0]).shape[1]
    inputs = [helper.make_tensor_value_info(source, TensorProto.UINT8, ["batch", *shape])]
    outputs = [helper.make_tensor_value_info(target, TensorProto.FLOAT, ["batch", features])]
    nodes, weights = graph.needed_for(target)
    onnx_graph = helper.make_graph(nodes, "network", inputs, outputs, weights)
    return helper.make_model(
        onnx_graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=FILE_VERSION,
        producer_name="birdclef-jax",
    )


def _convert(graph: OnnxGraph, traced: ClosedJaxpr, operands: Sequence[Operand]) -> list[Operand]:
    """Convert all operations of a traced function; return its outputs."""
    jaxpr: Jaxpr = traced.jaxpr
    known: dict[Any, Operand] = dict(zip(jaxpr.constvars, map(np.asarray, traced.consts), strict=True))
    known |= zip(jaxpr.invars, operands, strict=True)

    def operand(variable: Any) -> Operand:
        return np.asarray(variable.val, _abstract(variable).dtype) if isinstance(variable, Literal) else known[variable]

    for equation in jaxpr.eqns:
        given = [operand(variable) for variable in equation.invars]
        known |= zip(equation.outvars, _convert_equation(graph, equation, given), strict=True)
    return [operand(variable) for variable in jaxpr.outvars]


def _abstract(variable: Any) -> Any:
    """Return the shape, dtype and ndim of an array."""
    return variable.aval


def _convert_equation(graph: OnnxGraph, equation: JaxprEqn, given: list[Operand]) -> list[Operand]:
    name = equation.primitive.name
    inner = equation.params.get("jaxpr", equation.params.get("call_jaxpr"))
    if isinstance(inner, ClosedJaxpr):  # a function within the function
        return _convert(graph, inner, given)
    if name == "broadcast_in_dim" and isinstance(given[0], np.ndarray):
        return [_with_new_axes(given[0], equation)]
    if all(isinstance(array, np.ndarray) for array in given):
        if any(
            np.shape(array) != _abstract(variable).shape for array, variable in zip(given, equation.invars, strict=True)
        ):
            raise UnsupportedByOnnx(f"{name} of broadcast weights")
        result = equation.primitive.bind(*given, **equation.params)
        return [np.asarray(array) for array in (result if equation.primitive.multiple_results else [result])]
    if name not in OPERATIONS:
        raise UnsupportedByOnnx(f"the operation {name}")
    return [OPERATIONS[name](graph, equation, given)]


def _with_new_axes(array: np.ndarray, equation: JaxprEqn) -> np.ndarray:
    """Give a constant its new axes, but do not repeat it: the next operation broadcasts it."""
    shape = [1] * len(equation.params["shape"])
    for side, axis in zip(array.shape, equation.params["broadcast_dimensions"], strict=True):
        shape[axis] = side
    return array.reshape(shape)


def _any_channels_first(given: Sequence[Operand]) -> bool:
    return any(isinstance(operand, Value) and operand.channels_first for operand in given)


def _elementwise(operation: str) -> Operation:
    def write(graph: OnnxGraph, equation: JaxprEqn, given: list[Operand]) -> Value:
        first = _any_channels_first(given)
        return Value(
            graph.node(operation, *(graph.in_layout(operand, channels_first=first) for operand in given)), first
        )

    return write


def _channels_and_weights(equation: JaxprEqn, given: Sequence[Operand]) -> tuple[Value, np.ndarray] | None:
    """Return a value that has channels first and weights (channels,), if these are the two operands."""
    shape = (1, 1, 1, _abstract(equation.outvars[0]).shape[-1])
    for value, weights in (given, given[::-1]):
        if (
            isinstance(value, Value)
            and value.channels_first
            and isinstance(weights, np.ndarray)
            and weights.shape == shape
        ):
            return value, weights.ravel()
    return None


def _convert_add(graph: OnnxGraph, equation: JaxprEqn, given: list[Operand]) -> Value:
    if found := _channels_and_weights(equation, given):
        return graph.scale(found[0], scale=np.ones_like(found[1]), shift=found[1])
    return _elementwise("Add")(graph, equation, given)


def _convert_sub(graph: OnnxGraph, equation: JaxprEqn, given: list[Operand]) -> Value:
    if isinstance(given[1], np.ndarray):
        return _convert_add(graph, equation, [given[0], np.asarray(-given[1])])
    return _elementwise("Sub")(graph, equation, given)


def _convert_mul(graph: OnnxGraph, equation: JaxprEqn, given: list[Operand]) -> Value:
    if found := _channels_and_weights(equation, given):
        return graph.scale(found[0], scale=found[1], shift=np.zeros_like(found[1]))
    return _elementwise("Mul")(graph, equation, given)


def _convert_max(graph: OnnxGraph, equation: JaxprEqn, given: list[Operand]) -> Value:
    if isinstance(given[1], np.ndarray) and given[1].ndim == 0 and given[1] == 0:
        return _elementwise("Relu")(graph, equation, given[:1])
    return _elementwise("Max")(graph, equation, given)


def _expm1(graph: OnnxGraph, equation: JaxprEqn, given: list[Operand]) -> Value:
    return _convert_sub(graph, equation, [_elementwise("Exp")(graph, equation, given), np.ones((), np.float32)])


def _select(graph: OnnxGraph, equation: JaxprEqn, given: list[Operand]) -> Value:
    """Where(condition, then, otherwise), whose two cases JAX has in the other order."""
    condition, otherwise, then = given
    return _elementwise("Where")(graph, equation, [condition, then, otherwise])


def _cast(graph: OnnxGraph, equation: JaxprEqn, given: list[Operand]) -> Value:
    (value,) = given
    assert isinstance(value, Value)  # noqa: S101
    wanted = np.dtype(equation.params["new_dtype"])
    if wanted == _abstract(equation.invars[0]).dtype:
        return value
    return Value(graph.node("Cast", value.name, to=helper.np_dtype_to_tensor_dtype(wanted)), value.channels_first)


def _reduce(operation: str) -> Operation:
    def write(graph: OnnxGraph, equation: JaxprEqn, given: list[Operand]) -> Value:
        axes = equation.params["axes"]
        first = _any_channels_first(given) and set(axes) == {
            1,
            2,
        }  # height and width: the rest is the same in both orders
        reduced = graph.integers(*((2, 3) if first else axes))
        return Value(graph.node(operation, graph.in_layout(given[0], channels_first=first), reduced, keepdims=0))

    return write


def _reshape(graph: OnnxGraph, equation: JaxprEqn, given: list[Operand]) -> Value:
    shape = [side if isinstance(side, int) else -1 for side in equation.params["new_sizes"]]
    return Value(graph.node("Reshape", graph.in_layout(given[0]), graph.integers(*shape)))


def _broadcast(graph: OnnxGraph, equation: JaxprEqn, given: list[Operand]) -> Value:
    """Give an array its new axes, then repeat it along them; the batch, whose size is unknown, is never repeated."""
    shape, axes = equation.params["shape"], equation.params["broadcast_dimensions"]
    sides = [1] * len(shape)
    for side, axis in zip(_abstract(equation.invars[0]).shape, axes, strict=True):
        sides[axis] = side if isinstance(side, int) else -1
    name = graph.node("Reshape", graph.in_layout(given[0]), graph.integers(*sides))
    wanted = [side if isinstance(side, int) else 1 for side in shape]
    if any(side == 1 < whole for side, whole in zip(sides, wanted, strict=True)):
        name = graph.node("Expand", name, graph.integers(*wanted))
    return Value(name)


def _convolution(graph: OnnxGraph, equation: JaxprEqn, given: list[Operand]) -> Value:
    params = equation.params
    images, kernel = given
    layout = (
        params["dimension_numbers"].lhs_spec,
        params["dimension_numbers"].rhs_spec,
        params["dimension_numbers"].out_spec,
    )
    if (
        layout != (FIRST, KERNELS, FIRST)
        or params["batch_group_count"] != 1
        or params["lhs_dilation"] != (1, 1)
        or not isinstance(kernel, np.ndarray)
    ):
        raise UnsupportedByOnnx("an unsupported kind of convolution")
    output = graph.node(
        "Conv",
        graph.in_layout(images, channels_first=True),
        graph.weight(kernel.transpose(KERNELS)),
        strides=params["window_strides"],
        dilations=params["rhs_dilation"],
        group=params["feature_group_count"],
        pads=[side for sides in zip(*params["padding"], strict=True) for side in sides],
    )
    return Value(output, channels_first=True)


def _max_pool(graph: OnnxGraph, equation: JaxprEqn, given: list[Operand]) -> Value:
    params = equation.params
    window, strides, padding = (params[name] for name in ("window_dimensions", "window_strides", "padding"))
    dilated = {*params["base_dilation"], *params["window_dilation"]} != {1}
    other_axes = [(window[axis], strides[axis], *padding[axis]) for axis in (0, 3)]
    if len(window) != len(FIRST) or dilated or other_axes != [(1, 1, 0, 0)] * 2:
        raise UnsupportedByOnnx("an unsupported kind of max pooling")
    pads = [side for sides in zip(*padding[1:3], strict=True) for side in sides]
    output = graph.node(
        "MaxPool",
        graph.in_layout(given[0], channels_first=True),
        kernel_shape=window[1:3],
        strides=strides[1:3],
        pads=pads,
    )
    return Value(output, channels_first=True)


def _dot(graph: OnnxGraph, equation: JaxprEqn, given: list[Operand]) -> Value:
    if equation.params["dimension_numbers"] != (((1,), (0,)), ((), ())) or _abstract(equation.outvars[0]).ndim != 2:
        raise UnsupportedByOnnx("an unsupported kind of matrix product")
    return Value(graph.node("MatMul", *map(graph.in_layout, given)))


OPERATIONS: dict[str, Operation] = {
    "add": _convert_add,
    "sub": _convert_sub,
    "mul": _convert_mul,
    "div": _elementwise("Div"),
    "max": _convert_max,
    "ge": _elementwise("GreaterOrEqual"),
    "gt": _elementwise("Greater"),
    "expm1": _expm1,
    "select_n": _select,
    "convert_element_type": _cast,
    "reduce_sum": _reduce("ReduceSum"),
    "reduce_min": _reduce("ReduceMin"),
    "reduce_max": _reduce("ReduceMax"),
    "reshape": _reshape,
    "broadcast_in_dim": _broadcast,
    "conv_general_dilated": _convolution,
    "reduce_window_max": _max_pool,
    "dot_general": _dot,
}
