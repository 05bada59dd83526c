"""A JAX function as an ONNX graph: it is traced, and each of its operations is written as one of ONNX's.

ONNX's convolutions want pictures as (B, C, H, W), where JAX has (B, H, W, C). What a convolution answers stays so
("channels first") through all that does not mind, until an operation needs JAX's order. Operations on weights alone are
done here and now, so that the graph holds their results.

Only what our nets are made of is known; anything else is refused by its name. Source: the operators of ONNX
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
OTHER_KERNELS = (3, 2, 0, 1)  # transpose JAX's kernels (H, W, in, out) to ONNX's


class Unwritable(Exception):
    """An operation that this module cannot write."""


class Value(NamedTuple):
    """What an operation answers: its name in the graph, and whether it lies there with channels first."""

    name: str
    channels_first: bool = False


class Scaled(NamedTuple):
    """How a value came about from another one that lies with channels first: source · scale + shift, both (channels,)."""

    source: str
    scale: np.ndarray
    shift: np.ndarray


Operand = Value | np.ndarray
Operation = Callable[["Graph", JaxprEqn, list[Operand]], Value]


class Graph:
    """The operations and weights that were written."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.scaled: dict[str, Scaled] = {}

    def node(self, operation: str, *inputs: str, **attributes: Any) -> str:
        """Add an operation; returns the name of its answer."""
        name = f"{operation}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operation, list(inputs), [name], name=name, **attributes))
        return name

    def weight(self, array: np.ndarray) -> str:
        """Add a constant array; returns its name."""
        name = f"weight_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def sides(self, *sides: int) -> str:
        """Add the sides of an array, or axes, as some operations take them."""
        return self.weight(np.array(sides, np.int64))

    def placed(self, operand: Operand, *, channels_first: bool = False) -> str:
        """Return the name of an operand that lies as asked; it is transposed where it lies otherwise."""
        if isinstance(operand, np.ndarray):
            return self.weight(operand.transpose(FIRST) if channels_first and operand.ndim == len(FIRST) else operand)
        if operand.channels_first == channels_first:
            return operand.name
        return self.node("Transpose", operand.name, perm=FIRST if channels_first else LAST)

    def scale(self, value: Value, *, scale: np.ndarray, shift: np.ndarray) -> Value:
        """Multiply and shift the channels of a value that lies with channels first.

        All that is done so in turn becomes one batch norm, which ONNX Runtime draws into the convolution before it, or
        does in the convolutions' own layout.
        """
        before = self.scaled.get(value.name, Scaled(value.name, np.ones_like(scale), np.zeros_like(scale)))
        scaled = Scaled(before.source, before.scale * scale, before.shift * scale + shift)
        rest = (np.zeros_like(scale), np.ones_like(scale))  # a mean and a variance that change nothing
        name = self.node(
            "BatchNormalization", scaled.source, *map(self.weight, (scaled.scale, scaled.shift, *rest)), epsilon=0.0
        )
        self.scaled[name] = scaled
        return Value(name, channels_first=True)

    def without_idle(self, wanted: str) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
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
    """Write a function of uint8 arrays (batch, *shape) that answers float32 (batch, features), for batches of any size.

    Parameters
    ----------
    source, target : what its input and its output are called

    Raises
    ------
    Unwritable
        If it does what this module cannot write.
    """
    (batch,) = jax.export.symbolic_shape("batch")
    traced = jax.make_jaxpr(function)(jax.ShapeDtypeStruct((batch, *shape), np.uint8))
    graph = Graph()
    (answer,) = _write(graph, traced, [Value(source)])
    graph.nodes.append(helper.make_node("Identity", [graph.placed(answer)], [target]))
    features = _form(traced.jaxpr.outvars[0]).shape[1]
    inputs = [helper.make_tensor_value_info(source, TensorProto.UINT8, ["batch", *shape])]
    outputs = [helper.make_tensor_value_info(target, TensorProto.FLOAT, ["batch", features])]
    nodes, weights = graph.without_idle(target)
    whole = helper.make_graph(nodes, "net", inputs, outputs, weights)
    return helper.make_model(
        whole, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=FILE_VERSION, producer_name="birdclef-jax"
    )


def _write(graph: Graph, traced: ClosedJaxpr, operands: Sequence[Operand]) -> list[Operand]:
    """Write all operations of a traced function; returns its answers."""
    jaxpr: Jaxpr = traced.jaxpr
    known: dict[Any, Operand] = dict(zip(jaxpr.constvars, map(np.asarray, traced.consts), strict=True))
    known |= zip(jaxpr.invars, operands, strict=True)

    def operand(variable: Any) -> Operand:
        return np.asarray(variable.val, _form(variable).dtype) if isinstance(variable, Literal) else known[variable]

    for equation in jaxpr.eqns:
        given = [operand(variable) for variable in equation.invars]
        known |= zip(equation.outvars, _answers(graph, equation, given), strict=True)
    return [operand(variable) for variable in jaxpr.outvars]


def _form(variable: Any) -> Any:
    """Return what is known of an array: its shape, dtype and ndim."""
    return variable.aval


def _answers(graph: Graph, equation: JaxprEqn, given: list[Operand]) -> list[Operand]:
    name = equation.primitive.name
    inner = equation.params.get("jaxpr", equation.params.get("call_jaxpr"))
    if isinstance(inner, ClosedJaxpr):  # a function within the function
        return _write(graph, inner, given)
    if name == "broadcast_in_dim" and isinstance(given[0], np.ndarray):
        return [_with_ones(given[0], equation)]
    if all(isinstance(array, np.ndarray) for array in given):
        if any(
            np.shape(array) != _form(variable).shape for array, variable in zip(given, equation.invars, strict=True)
        ):
            raise Unwritable(f"{name} of repeated weights")
        answer = equation.primitive.bind(*given, **equation.params)
        return [np.asarray(array) for array in (answer if equation.primitive.multiple_results else [answer])]
    if name not in OPERATIONS:
        raise Unwritable(f"the operation {name}")
    return [OPERATIONS[name](graph, equation, given)]


def _with_ones(array: np.ndarray, equation: JaxprEqn) -> np.ndarray:
    """Give a constant its new axes, but do not repeat it: what it meets next does so."""
    sides = [1] * len(equation.params["shape"])
    for side, axis in zip(array.shape, equation.params["broadcast_dimensions"], strict=True):
        sides[axis] = side
    return array.reshape(sides)


def _is_first(given: Sequence[Operand]) -> bool:
    return any(isinstance(operand, Value) and operand.channels_first for operand in given)


def _elementwise(operation: str) -> Operation:
    def write(graph: Graph, equation: JaxprEqn, given: list[Operand]) -> Value:
        first = _is_first(given)
        return Value(graph.node(operation, *(graph.placed(operand, channels_first=first) for operand in given)), first)

    return write


def _of_channels(equation: JaxprEqn, given: Sequence[Operand]) -> tuple[Value, np.ndarray] | None:
    """Return a value that lies with channels first and the weights (channels,) that it meets, where it is these that meet."""
    one_each = (1, 1, 1, _form(equation.outvars[0]).shape[-1])
    for value, weights in (given, given[::-1]):
        if (
            isinstance(value, Value)
            and value.channels_first
            and isinstance(weights, np.ndarray)
            and weights.shape == one_each
        ):
            return value, weights.ravel()
    return None


def _add(graph: Graph, equation: JaxprEqn, given: list[Operand]) -> Value:
    if met := _of_channels(equation, given):
        return graph.scale(met[0], scale=np.ones_like(met[1]), shift=met[1])
    return _elementwise("Add")(graph, equation, given)


def _sub(graph: Graph, equation: JaxprEqn, given: list[Operand]) -> Value:
    if isinstance(given[1], np.ndarray):
        return _add(graph, equation, [given[0], np.asarray(-given[1])])
    return _elementwise("Sub")(graph, equation, given)


def _mul(graph: Graph, equation: JaxprEqn, given: list[Operand]) -> Value:
    if met := _of_channels(equation, given):
        return graph.scale(met[0], scale=met[1], shift=np.zeros_like(met[1]))
    return _elementwise("Mul")(graph, equation, given)


def _max(graph: Graph, equation: JaxprEqn, given: list[Operand]) -> Value:
    if isinstance(given[1], np.ndarray) and given[1].ndim == 0 and given[1] == 0:
        return _elementwise("Relu")(graph, equation, given[:1])
    return _elementwise("Max")(graph, equation, given)


def _expm1(graph: Graph, equation: JaxprEqn, given: list[Operand]) -> Value:
    return _sub(graph, equation, [_elementwise("Exp")(graph, equation, given), np.ones((), np.float32)])


def _select(graph: Graph, equation: JaxprEqn, given: list[Operand]) -> Value:
    """Where(condition, this, else that), whose two cases JAX has in the other order."""
    condition, otherwise, then = given
    return _elementwise("Where")(graph, equation, [condition, then, otherwise])


def _cast(graph: Graph, equation: JaxprEqn, given: list[Operand]) -> Value:
    (value,) = given
    assert isinstance(value, Value)  # noqa: S101
    wanted = np.dtype(equation.params["new_dtype"])
    if wanted == _form(equation.invars[0]).dtype:
        return value
    return Value(graph.node("Cast", value.name, to=helper.np_dtype_to_tensor_dtype(wanted)), value.channels_first)


def _reduce(operation: str) -> Operation:
    def write(graph: Graph, equation: JaxprEqn, given: list[Operand]) -> Value:
        axes = equation.params["axes"]
        first = _is_first(given) and set(axes) == {1, 2}  # height and width: what is left lies the same in both orders
        sides = graph.sides(*((2, 3) if first else axes))
        return Value(graph.node(operation, graph.placed(given[0], channels_first=first), sides, keepdims=0))

    return write


def _reshape(graph: Graph, equation: JaxprEqn, given: list[Operand]) -> Value:
    sides = [side if isinstance(side, int) else -1 for side in equation.params["new_sizes"]]
    return Value(graph.node("Reshape", graph.placed(given[0]), graph.sides(*sides)))


def _broadcast(graph: Graph, equation: JaxprEqn, given: list[Operand]) -> Value:
    """Give an array its new axes, then repeat it along them; the batch, whose size is not known, is never repeated."""
    shape, axes = equation.params["shape"], equation.params["broadcast_dimensions"]
    sides = [1] * len(shape)
    for side, axis in zip(_form(equation.invars[0]).shape, axes, strict=True):
        sides[axis] = side if isinstance(side, int) else -1
    name = graph.node("Reshape", graph.placed(given[0]), graph.sides(*sides))
    wanted = [side if isinstance(side, int) else 1 for side in shape]
    if any(side == 1 < whole for side, whole in zip(sides, wanted, strict=True)):
        name = graph.node("Expand", name, graph.sides(*wanted))
    return Value(name)


def _convolution(graph: Graph, equation: JaxprEqn, given: list[Operand]) -> Value:
    params = equation.params
    pictures, kernel = given
    usual = (
        params["dimension_numbers"].lhs_spec,
        params["dimension_numbers"].rhs_spec,
        params["dimension_numbers"].out_spec,
    )
    if (
        usual != (FIRST, OTHER_KERNELS, FIRST)
        or params["batch_group_count"] != 1
        or params["lhs_dilation"] != (1, 1)
        or not isinstance(kernel, np.ndarray)
    ):
        raise Unwritable("a convolution of an unusual kind")
    answer = graph.node(
        "Conv",
        graph.placed(pictures, channels_first=True),
        graph.weight(kernel.transpose(OTHER_KERNELS)),
        strides=params["window_strides"],
        dilations=params["rhs_dilation"],
        group=params["feature_group_count"],
        pads=[side for sides in zip(*params["padding"], strict=True) for side in sides],
    )
    return Value(answer, channels_first=True)


def _max_pool(graph: Graph, equation: JaxprEqn, given: list[Operand]) -> Value:
    params = equation.params
    window, strides, padding = (params[name] for name in ("window_dimensions", "window_strides", "padding"))
    dilated = {*params["base_dilation"], *params["window_dilation"]} != {1}
    outside = [(window[axis], strides[axis], *padding[axis]) for axis in (0, 3)]
    if len(window) != len(FIRST) or dilated or outside != [(1, 1, 0, 0)] * 2:
        raise Unwritable("maxima of an unusual kind")
    pads = [side for sides in zip(*padding[1:3], strict=True) for side in sides]
    answer = graph.node(
        "MaxPool",
        graph.placed(given[0], channels_first=True),
        kernel_shape=window[1:3],
        strides=strides[1:3],
        pads=pads,
    )
    return Value(answer, channels_first=True)


def _dot(graph: Graph, equation: JaxprEqn, given: list[Operand]) -> Value:
    if equation.params["dimension_numbers"] != (((1,), (0,)), ((), ())) or _form(equation.outvars[0]).ndim != 2:
        raise Unwritable("a product of an unusual kind")
    return Value(graph.node("MatMul", *map(graph.placed, given)))


OPERATIONS: dict[str, Operation] = {
    "add": _add,
    "sub": _sub,
    "mul": _mul,
    "div": _elementwise("Div"),
    "max": _max,
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
