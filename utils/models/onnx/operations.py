"""How each operation of JAX that our models use is written in ONNX."""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
from jax.extend.core import JaxprEqn
from onnx import helper

from utils.models.onnx.graph import (
    FIRST,
    KERNELS,
    OnnxGraph,
    Operand,
    Shape,
    UnsupportedByOnnx,
    Value,
    axis_in_graph,
)
from utils.models.onnx.shapes import (
    any_channels_first,
    broadcast,
    concatenate,
    cut_slice,
    gather,
    output_shape,
    pad,
    reshape,
    split,
    transpose,
)

Operation = Callable[[OnnxGraph, JaxprEqn, list[Operand]], Any]  # returns a Value; of `split`, several
LAST_AXES = range(3, 10)  # all but batch, height and width


def _as_number(operand: Operand) -> float | None:
    """Return the number that an operand is, if it is one for all elements."""
    return float(operand.item()) if isinstance(operand, np.ndarray) and operand.size == 1 else None


def _elementwise(operation: str) -> Operation:
    def write(graph: OnnxGraph, equation: JaxprEqn, given: list[Operand]) -> Value:
        first = any_channels_first(given)
        names = [graph.in_layout(operand, channels_first=first) for operand in given]
        return Value(graph.node(operation, *names), output_shape(equation), first)

    return write


def _channels_and_weights(equation: JaxprEqn, given: Sequence[Operand]) -> tuple[Value, np.ndarray] | None:
    """Return a value and weights (channels,), if these are the two operands."""
    shape = output_shape(equation)
    wanted = (1, 1, 1, shape[-1]) if len(shape) == len(FIRST) else None
    for value, weights in (given, given[::-1]):
        if not isinstance(value, Value) or not isinstance(weights, np.ndarray) or weights.dtype != np.float32:
            continue
        if value.shape == shape and weights.shape == wanted:
            return value, weights.ravel()
    return None


def _shift(graph: OnnxGraph, equation: JaxprEqn, given: list[Operand]) -> Value:
    if found := _channels_and_weights(equation, given):
        return graph.scale(found[0], scale=np.ones_like(found[1]), shift=found[1])
    return _elementwise("Add")(graph, equation, given)


def _sub(graph: OnnxGraph, equation: JaxprEqn, given: list[Operand]) -> Value:
    if isinstance(given[1], np.ndarray):
        return _shift(graph, equation, [given[0], np.asarray(-given[1])])
    return _elementwise("Sub")(graph, equation, given)


def _mul(graph: OnnxGraph, equation: JaxprEqn, given: list[Operand]) -> Value:
    for value, other in (given, given[::-1]):
        number = _as_number(other)
        if isinstance(value, Value) and number is not None and value.shape == output_shape(equation):
            return value._replace(factor=value.factor * number)
    if found := _channels_and_weights(equation, given):
        return graph.scale(found[0], scale=found[1], shift=np.zeros_like(found[1]))
    factor = prod(operand.factor for operand in given if isinstance(operand, Value))
    plain = [operand._replace(factor=1.0) if isinstance(operand, Value) else operand for operand in given]
    return graph.multiplied(_elementwise("Mul")(graph, equation, plain)._replace(factor=factor))


def _div(graph: OnnxGraph, equation: JaxprEqn, given: list[Operand]) -> Value:
    value, number = given[0], _as_number(given[1])
    if isinstance(value, Value) and number is not None:
        return value._replace(factor=value.factor / number)
    return _elementwise("Div")(graph, equation, given)


def _neg(graph: OnnxGraph, equation: JaxprEqn, given: list[Operand]) -> Value:
    return _mul(graph, equation, [given[0], np.array(-1, np.float32)])


def _max(graph: OnnxGraph, equation: JaxprEqn, given: list[Operand]) -> Value:
    for value, other in (given, given[::-1]):
        if _as_number(other) == 0:
            return _elementwise("Relu")(graph, equation, [value])
        if _as_number(other) == -np.inf:
            assert isinstance(value, Value)  # noqa: S101
            return value
    return _elementwise("Max")(graph, equation, given)


def _min(graph: OnnxGraph, equation: JaxprEqn, given: list[Operand]) -> Value:
    """The smaller one; of a ReLU and a number, one operation for both, which ONNX Runtime fuses into convolutions."""
    for value, other in (given, given[::-1]):
        node, number = graph.nodes.get(value.name) if isinstance(value, Value) else None, _as_number(other)
        if isinstance(value, Value) and node is not None and node.op_type == "Relu" and number is not None:
            name = graph.node("Clip", node.input[0], graph.number(0.0), graph.number(number))
            return value._replace(name=name)
    return _elementwise("Min")(graph, equation, given)


def _square(graph: OnnxGraph, equation: JaxprEqn, given: list[Operand]) -> Value:
    return _mul(graph, equation, [given[0], given[0]])


def _power(graph: OnnxGraph, equation: JaxprEqn, given: list[Operand]) -> Value:
    exponent = np.array(equation.params["y"], np.float32)
    return _elementwise("Pow")(graph, equation, [given[0], exponent])


def _rsqrt(graph: OnnxGraph, equation: JaxprEqn, given: list[Operand]) -> Value:
    root = _elementwise("Sqrt")(graph, equation, given)
    return root._replace(name=graph.node("Reciprocal", root.name))


def _erfc(graph: OnnxGraph, equation: JaxprEqn, given: list[Operand]) -> Value:
    """1 + erf(−x), in the form in which ONNX Runtime finds a GELU around it."""
    (value,) = given
    assert isinstance(value, Value)  # noqa: S101
    inside = graph.node("Div", value.name, graph.number(-1 / value.factor))
    name = graph.node("Add", graph.node("Erf", inside), graph.number(1.0))
    return value._replace(name=name, factor=1.0)


def _expm1(graph: OnnxGraph, equation: JaxprEqn, given: list[Operand]) -> Value:
    return _sub(graph, equation, [_elementwise("Exp")(graph, equation, given), np.ones((), np.float32)])


def _where(graph: OnnxGraph, equation: JaxprEqn, given: list[Operand]) -> Value:
    """Where(condition, then, otherwise), whose two cases JAX has in the other order."""
    condition, otherwise, then = given
    return _elementwise("Where")(graph, equation, [condition, then, otherwise])


def _same(graph: OnnxGraph, equation: JaxprEqn, given: list[Operand]) -> Operand:
    return given[0]


def _cast(graph: OnnxGraph, equation: JaxprEqn, given: list[Operand]) -> Value:
    (value,) = given
    assert isinstance(value, Value)  # noqa: S101
    wanted = np.dtype(equation.params["new_dtype"])
    variable: Any = equation.invars[0]
    if wanted == variable.aval.dtype:
        return value
    value = graph.multiplied(value)
    return value._replace(name=graph.node("Cast", value.name, to=helper.np_dtype_to_tensor_dtype(wanted)))


def _reduce(operation: str) -> Operation:
    def write(graph: OnnxGraph, equation: JaxprEqn, given: list[Operand]) -> Value:
        (value,), axes, shape = given, equation.params["axes"], output_shape(equation)
        assert isinstance(value, Value)  # noqa: S101
        factor = value.factor if operation == "ReduceSum" else 1.0
        name = value.name if operation == "ReduceSum" else graph.in_layout(value, channels_first=value.channels_first)
        if operation == "ReduceSum" and set(axes) == {1, 2} and value.channels_first and len(value.shape) == len(FIRST):
            name = graph.node("GlobalAveragePool", name)
            name = graph.reshape(name, (*shape, 1, 1), shape)
            return Value(name, shape, factor=factor * prod(value.shape[1:3]))
        stays = value.channels_first and len(shape) >= len(FIRST) and set(axes) <= set(LAST_AXES)
        if value.channels_first and not (stays or {1, 2} <= set(axes) or set(axes) == set(range(3, len(value.shape)))):
            value = graph.with_layout(value._replace(name=name), channels_first=False)
            name = value.name
        reduced = graph.integers(*sorted(axis_in_graph(value, axis) for axis in axes))
        return Value(graph.node(operation, name, reduced, keepdims=0), shape, stays, factor)

    return write


def _conv_operation(graph: OnnxGraph, equation: JaxprEqn, given: list[Operand]) -> Value:
    params, (images, kernel), shape = equation.params, given, output_shape(equation)
    numbers = params["dimension_numbers"]
    if (
        (numbers.lhs_spec, numbers.rhs_spec, numbers.out_spec) != (FIRST, KERNELS, FIRST)
        or params["batch_group_count"] != 1
        or params["lhs_dilation"] != (1, 1)
        or not isinstance(kernel, np.ndarray)
        or not isinstance(images, Value)
    ):
        raise UnsupportedByOnnx("an unsupported kind of convolution")
    of_pixels = kernel.shape[:2] == params["window_strides"] == (1, 1) and images.shape[:3] == shape[:3]
    if of_pixels and params["feature_group_count"] == 1 and not images.channels_first:
        return _dense_product(graph, images, kernel[0, 0], shape)
    kernel = kernel * np.float32(images.factor)
    name = graph.node(
        "Conv",
        graph.with_layout(images, channels_first=True).name,
        graph.weight(kernel.transpose(KERNELS)),
        strides=params["window_strides"],
        dilations=params["rhs_dilation"],
        group=params["feature_group_count"],
        pads=[int(length) for lengths in zip(*params["padding"], strict=True) for length in lengths],
    )
    return Value(name, shape, channels_first=True)


def _pooling(operation: str, **attributes: int) -> Operation:
    def write(graph: OnnxGraph, equation: JaxprEqn, given: list[Operand]) -> Value:
        params, value = equation.params, given[0]
        window, strides, padding = (params[name] for name in ("window_dimensions", "window_strides", "padding"))
        dilated = {*params["base_dilation"], *params["window_dilation"]} != {1}
        if (
            len(window) != len(FIRST)
            or dilated
            or [(window[a], strides[a], *padding[a]) for a in (0, 3)] != [(1, 1, 0, 0)] * 2
        ):
            raise UnsupportedByOnnx("an unsupported kind of pooling")
        name = graph.node(
            operation,
            graph.in_layout(value, channels_first=True),
            kernel_shape=window[1:3],
            strides=strides[1:3],
            pads=[int(length) for lengths in zip(*padding[1:3], strict=True) for length in lengths],
            **attributes,
        )
        factor = float(prod(window)) if operation == "AveragePool" else 1.0
        return Value(name, output_shape(equation), channels_first=True, factor=factor)

    return write


def _dot(graph: OnnxGraph, equation: JaxprEqn, given: list[Operand]) -> Value:
    (value, kernel), shape = given, output_shape(equation)
    numbers = (((len(shape) - 1,), (0,)), ((), ()))
    if equation.params["dimension_numbers"] != numbers or not isinstance(value, Value):
        raise UnsupportedByOnnx("an unsupported kind of matrix product")
    if not isinstance(kernel, np.ndarray) or kernel.ndim != 2:
        raise UnsupportedByOnnx("an unsupported kind of matrix product")
    return _dense_product(graph, value, kernel, shape)


def _dense_product(graph: OnnxGraph, value: Value, kernel: np.ndarray, shape: Shape) -> Value:
    """A product with weights (in, out) along the last axis; of values with channels first, a convolution of 1×1."""
    kernel = kernel * np.float32(value.factor)
    if value.channels_first and len(shape) == len(FIRST):
        return Value(graph.node("Conv", value.name, graph.weight(kernel.T[:, :, None, None])), shape, True)
    name = graph.with_layout(value, channels_first=False).name
    return Value(graph.node("MatMul", name, graph.weight(kernel)), shape)


OPERATIONS: dict[str, Operation] = {
    "add": _shift,
    "sub": _sub,
    "mul": _mul,
    "div": _div,
    "neg": _neg,
    "max": _max,
    "min": _min,
    "ge": _elementwise("GreaterOrEqual"),
    "gt": _elementwise("Greater"),
    "square": _square,
    "integer_pow": _power,
    "pow": _elementwise("Pow"),
    "sqrt": _elementwise("Sqrt"),
    "rsqrt": _rsqrt,
    "exp": _elementwise("Exp"),
    "expm1": _expm1,
    "tanh": _elementwise("Tanh"),
    "erf": _elementwise("Erf"),
    "erfc": _erfc,
    "logistic": _elementwise("Sigmoid"),
    "select_n": _where,
    "copy": _same,
    "stop_gradient": _same,
    "convert_element_type": _cast,
    "reduce_sum": _reduce("ReduceSum"),
    "reduce_min": _reduce("ReduceMin"),
    "reduce_max": _reduce("ReduceMax"),
    "reshape": reshape,
    "squeeze": reshape,
    "expand_dims": reshape,
    "broadcast_in_dim": broadcast,
    "transpose": transpose,
    "slice": cut_slice,
    "gather": gather,
    "split": split,
    "concatenate": concatenate,
    "pad": pad,
    "conv_general_dilated": _conv_operation,
    "reduce_window_max": _pooling("MaxPool"),
    "reduce_window_sum": _pooling("AveragePool", count_include_pad=1),
    "dot_general": _dot,
}
